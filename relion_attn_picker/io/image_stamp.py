"""Whether an image's file is still the one that was looked at, told without reading all of it.

Size and time tell nearly always. Where only the time differs, as after a project was copied, a few blocks of the file
decide: whatever makes a micrograph anew (motion correction, dose weighting) changes all of its pixels. A change of some
pixels between the blocks that leaves the header's statistics as they were is not noticed.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

BLOCK: Final = 4096
"""Bytes; more than an MRC header."""

BLOCKS: Final = 9
"""How many are looked at: the first, the last, and others at equal distances."""

TIME_TOLERANCE: Final = 2.0
"""Seconds by which copying a file may change its time (some file systems keep it to two), where no digest is known."""


@dataclass(frozen=True)
class ImageStamp:
    """Of a file: the time of its last change (seconds since 1970), its size in bytes, a digest of a few blocks."""

    time: float
    size: int
    digest: str


def stamp_image(path: Path) -> ImageStamp | None:
    """Return the stamp of a file; ``None`` where it is absent or cannot be read."""
    try:
        status = path.stat()
        return ImageStamp(status.st_mtime, status.st_size, _digest_blocks(path, status.st_size))
    except OSError:  # whoever needs the image itself tells what is wrong
        return None


def is_changed(path: Path, time: float | None, size: int | None, digest: str | None) -> bool:
    """Tell whether a file is another one than when it had this stamp, of which all but the time may be unknown.

    A file that is gone (archived), or whose time was not known, counts as unchanged; where the digest is not known, one
    whose time differs counts as changed.
    """
    try:
        status = path.stat()
        if time is None or (status.st_size == size and status.st_mtime == time):
            return False
        if size is not None and status.st_size != size:
            return True
        if digest is None:
            return abs(status.st_mtime - time) > TIME_TOLERANCE
        return _digest_blocks(path, status.st_size) != digest
    except OSError:
        return False


def _digest_blocks(path: Path, size: int) -> str:
    """Return a SHA-256, cut to 16 digits, of ``BLOCKS`` blocks of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for number in range(BLOCKS):
            file.seek(max(0, size - BLOCK) * number // (BLOCKS - 1))
            digest.update(file.read(BLOCK))
    return digest.hexdigest()[:16]
