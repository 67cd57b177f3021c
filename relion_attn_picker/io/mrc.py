"""MRC images: the only place that knows mrcfile.

Rows and columns stay as they lie in the file; nothing is flipped. What is no single image (a movie, a volume, a
damaged file) is refused with one sentence.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
from numpy.typing import NDArray

from relion_attn_picker.errors import InputError
from relion_attn_picker.picks import FloatArray

HEADER_BYTES = 1024
IMAGE_MODES = {0: "int8", 1: "int16", 2: "float32", 6: "uint16", 12: "float16"}


@dataclass(frozen=True)
class MrcHeader:
    """Shape ``(h, w)`` of an image and its pixel size in Å, ``None`` where the header has none."""

    shape: tuple[int, int]
    pixel_size: float | None


@contextmanager
def _open(path: Path, header_only: bool) -> Iterator[Any]:
    """Open an MRC file as mrcfile sees it, its complaints turned into our sentences."""
    if not path.is_file():
        raise InputError(f"There is no micrograph at {path}: check the path, and the folder the job runs in.")
    length = path.stat().st_size
    if length < HEADER_BYTES:
        what = "is empty (0 bytes)" if length == 0 else f"has only {length} bytes, less than an MRC header"
        raise InputError(f"{path} {what}: copy or process it again.")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # permissive reading warns of odd headers; what matters is checked below
        try:
            opened = (
                mrcfile.open(path, permissive=True, header_only=True)
                if header_only
                else mrcfile.mmap(path, permissive=True)
            )
        except (ValueError, OSError, MemoryError, OverflowError) as error:
            raise InputError(f"{path} cannot be read as an MRC file ({error}).") from error
        with opened as mrc:
            yield mrc


def _check_header(path: Path, header: Any) -> tuple[int, int]:
    """Return the shape ``(h, w)`` after checking that the file can be one image, and is complete."""
    if bytes(header.map) not in (b"MAP ", b"MAP\x00") and int(header.mode) not in IMAGE_MODES:
        raise InputError(f"{path} is not an MRC file: its header has no MAP mark.")
    nx, ny, nz, mode = (int(header[name]) for name in ("nx", "ny", "nz", "mode"))
    if mode not in IMAGE_MODES:
        raise InputError(
            f"{path} has MRC mode {mode}: expected a real image of mode {', '.join(map(str, IMAGE_MODES))}."
        )
    if nx < 1 or ny < 1:
        raise InputError(f"{path} has {nx}×{ny} pixels in its header: expected an image.")
    if nz != 1:
        raise InputError(f"{path} holds {nz} images (a movie, a stack or a volume): expected one summed micrograph.")
    needed = HEADER_BYTES + int(header.nsymbt) + nx * ny * np.dtype(IMAGE_MODES[mode]).itemsize
    found = path.stat().st_size
    if found < needed:
        raise InputError(f"{path} is cut short: {found} bytes, expected {needed} for {nx}×{ny} pixels; copy it again.")
    return ny, nx


def read_header(path: Path) -> MrcHeader:
    """Return shape and pixel size of an image without reading its pixels.

    Raises
    ------
    InputError
        If the file is absent, damaged, or not a single real image.
    """
    with _open(path, header_only=True) as mrc:
        shape = _check_header(path, mrc.header)
        step = float(mrc.voxel_size.x)
    return MrcHeader(shape, step if np.isfinite(step) and step > 0 else None)


def read_image(path: Path) -> FloatArray:
    """Read one micrograph.

    Parameters
    ----------
    path
        MRC file of mode 0, 1, 2, 6 or 12, either byte order, 2D or with nz = 1.

    Returns
    -------
    FloatArray
        Shape ``(h, w)``, float32, in file order.

    Raises
    ------
    InputError
        If the file is absent, damaged, not a single real image, or has pixels that are not finite or all equal.
    """
    with _open(path, header_only=True) as mrc:
        shape = _check_header(path, mrc.header)
    with _open(path, header_only=False) as mrc:
        image = np.array(mrc.data, dtype=np.float32).reshape(shape)
    total = float(image.sum(dtype=np.float64))
    if not np.isfinite(total):
        bad = int(np.count_nonzero(~np.isfinite(image)))
        raise InputError(f"{path} has {bad} pixels that are not finite numbers: process the micrograph again.")
    if image.min() == image.max():
        raise InputError(f"{path}: all pixels have the same value, {image.flat[0]:g}; there is nothing to see.")
    return image


def write_image(path: Path, image: NDArray[Any], pixel_size: float) -> None:
    """Write an image ``(h, w)`` of dtype int8, int16, uint16, float16 or float32, by a temporary file and a rename."""
    partial = path.with_name(path.name + ".partial")
    with mrcfile.new(partial, data=image, overwrite=True) as mrc:
        mrc.voxel_size = pixel_size
    partial.replace(path)
