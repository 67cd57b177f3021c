"""Files that are whole or not there: written under a name beside their own, and renamed at the end.

A reader, and a job that goes on after it was killed, find the old file, the new one or none, never half of one.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from relion_attn_picker.errors import InputError

PARTIAL = ".partial"
"""What is added to a file's name until it is complete; what a kill leaves is overwritten by the next attempt."""


@contextmanager
def replacing(path: Path, *, through_links: bool = False) -> Iterator[Path]:
    """Give a name in the same folder to write to, and rename it to ``path`` at the end.

    If the block raises, what it wrote is removed, and a file that was at ``path`` stays as it was. The file has the
    rights of a new one (umask), whatever an earlier one had; other hard links keep the earlier contents.

    Parameters
    ----------
    path
        File to write; its folder exists.
    through_links
        Where ``path`` is a symbolic link: write the file that it leads to, as a plain ``open`` does, and a device or a
        pipe at once. Otherwise the link itself gives way to the new file, and what it led to is left alone.
    """
    target = path.resolve() if through_links else path
    if through_links and target.exists() and not target.is_file():
        yield target
        return
    partial = target.with_name(target.name + PARTIAL)
    try:
        yield partial
        partial.replace(target)
    except BaseException:
        with suppress(OSError):  # the first error tells what happened
            partial.unlink()
        raise


def replace_file(path: Path, text: str, *, through_links: bool = False) -> None:
    """Write ``text`` to ``path`` as UTF-8, its line ends as they are; see ``replacing``."""
    with replacing(path, through_links=through_links) as partial:
        partial.write_text(text, encoding="utf-8", newline="\n")


def copy_file(source: Path, target: Path) -> None:
    """Copy the contents of a file; see ``replacing``."""
    with replacing(target) as partial:
        shutil.copyfile(source, partial)


def refuse_other_files(folder: Path, files: Iterable[Path], pattern: str) -> None:
    """Refuse a folder where a new set of files would leave some that its reader would take for its own.

    Parameters
    ----------
    folder
        Where the new ``files`` are to be written; it may be absent.
    files
        All that will be written.
    pattern
        Of names that belong to such a set, in the folder and below.

    Raises
    ------
    InputError
        If there are others.
    """
    others = sorted(set(folder.rglob(pattern)) - set(files)) if folder.is_dir() else []
    if others:
        raise InputError(
            f"{folder} has {len(others)} files of coordinates that are not of these micrographs and would count as if "
            f"they were, the first {others[0].relative_to(folder)}: remove them, or give another folder."
        )
