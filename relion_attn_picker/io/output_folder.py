"""Making the folders that results go into, and telling at once where that is not possible."""

from __future__ import annotations

import errno
from pathlib import Path
from tempfile import TemporaryFile
from typing import Final

from relion_attn_picker.errors import InputError

REFUSALS: Final = {errno.ENOENT, errno.ENOTDIR, errno.EEXIST, errno.EROFS, errno.EACCES, errno.EPERM}
"""What the system answers for a place that takes no folder or file; ``ENOENT`` comes from such as ``/proc``."""


def make_folder(folder: Path) -> None:
    """Make a folder if it is absent, and make sure that files can be made in it.

    Raises
    ------
    InputError
        If its place takes no folder or no file.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        if error.errno not in REFUSALS:
            raise
        raise _refuse(folder, error) from error
    check_folder(folder)


def check_place(folder: Path) -> None:
    """Make sure that a folder can be made later, once there is something to put into it; nothing is made now.

    Raises
    ------
    InputError
        If it cannot.
    """
    place = folder.absolute()
    while not place.exists() and place != place.parent:
        place = place.parent
    if not place.is_dir():
        raise InputError(f"The folder {folder} cannot be made or written to ({place} is a file): give another.")
    check_folder(place)


def check_folder(folder: Path) -> None:
    """Make sure that files can be made in a folder that is there.

    Raises
    ------
    InputError
        If its place takes no file. A full disk is left to whoever writes there.
    """
    try:
        with TemporaryFile(dir=folder):  # rights alone do not tell: for root they are all there, in /proc too
            pass
    except OSError as error:
        if error.errno in REFUSALS:
            raise _refuse(folder, error) from error


def _refuse(folder: Path, error: OSError) -> InputError:
    return InputError(
        f"The folder {folder} cannot be made or written to ({error.strerror}): check that no file is in its way and "
        "who may write there, or give another."
    )
