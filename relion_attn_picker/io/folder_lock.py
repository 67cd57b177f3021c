"""Keeping a second process out of a folder that one is at work in, such as a job that was started twice.

The system itself gives the lock back when its process ends, however it ends. Where a file system knows no locks, none
is taken: then nothing is refused either.
"""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from relion_attn_picker.errors import InputError
from relion_attn_picker.io.output_folder import make_folder

LOCK_NAME: Final = ".attnpick.lock"

_held: set[Path] = set()
"""Folders that this process holds: it may enter them again."""


@contextmanager
def hold_folder(folder: Path) -> Iterator[None]:
    """Keep other processes out of a folder for as long as the context lasts; the folder is made if absent.

    Raises
    ------
    InputError
        If the folder cannot be made or written to, or another process is at work there.
    """
    make_folder(folder)
    place = folder.resolve()
    if place in _held:
        yield
        return
    descriptor = _lock(folder)
    _held.add(place)
    try:
        yield
    finally:
        _held.discard(place)
        if descriptor is not None:
            with suppress(OSError):
                (folder / LOCK_NAME).unlink()
            os.close(descriptor)


def _lock(folder: Path) -> int | None:
    """Return the descriptor of the locked file, which says who holds it; ``None`` where locks are not known."""
    path = folder / LOCK_NAME
    while True:
        try:
            descriptor, is_ours = _open(path)
        except OSError:  # a full disk, say: whoever works here meets it too, and tells
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 200).decode(errors="replace").strip() or "another process"
            os.close(descriptor)
            raise InputError(
                f"{folder} is being worked in by {holder}: wait until that has ended, stop it, or give another folder."
            ) from None
        except OSError:
            os.close(descriptor)
            if is_ours:
                path.unlink(missing_ok=True)
            return None
        if _is_still(descriptor, path):
            with suppress(OSError):  # a full disk again: the lock holds without the name of its holder
                os.ftruncate(descriptor, 0)
                os.write(descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode())
            return descriptor
        os.close(descriptor)


def _open(path: Path) -> tuple[int, bool]:
    """Return a descriptor of the file to lock, and whether we may write it: another user's can only be read."""
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o666), True
    except PermissionError:
        return os.open(path, os.O_RDONLY), False


def _is_still(descriptor: int, path: Path) -> bool:
    """Tell whether the file at ``path`` is the one that was locked, and not another since that one was removed."""
    with suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(descriptor), path.stat())
    return False
