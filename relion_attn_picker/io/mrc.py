"""MRC images: with ``io.volume`` (maps) the only place that knows mrcfile.

Rows and columns stay as they lie in the file; nothing is flipped. What is no single image (a movie, a volume, a
damaged file) is refused with one sentence. mrcfile reads the header, in either byte order and with its habit of
warning of small faults turned off: headers in the wild are often wrong in what does not matter here (statistics,
space group, machine stamp). The pixels are then read straight from their place behind it.
"""

from __future__ import annotations

import logging
import warnings
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import mrcfile
import mrcfile.utils
import numpy as np
from mrcfile.mrcinterpreter import MrcInterpreter
from numpy.typing import NDArray

from relion_attn_picker.errors import InputError
from relion_attn_picker.picks import FloatArray
from relion_attn_picker.replacing import replacing

log = logging.getLogger(__name__)

HEADER_BYTES = 1024
EXTENDED_LENGTH = slice(92, 96)
"""Where a header says how long the extended header behind it is (MRC2014, word 24)."""

MARK = slice(208, 211)
"""Where an MRC file of our century says that it is one (MRC2014, word 53)."""

IMOD_FLAGS = slice(152, 160)
IMOD_STAMP = 1146047817
IMOD_SIGNED = 1
"""Where IMOD says that it wrote a file, and whether bytes are signed: before MRC2014 they were not (bits of its
``imodFlags``; bio3d.colorado.edu/imod/doc/mrc_format.txt)."""

REAL_MODES = (0, 1, 2, 6, 12)
"""int8, int16, float32, uint16, float16 (MRC2014; Cheng et al. 2015, J. Struct. Biol. 192, and its later additions)."""


OTHER_FORMATS = {
    b"\x1f\x8b": "compressed: uncompress it with gunzip",
    b"BZh": "compressed: uncompress it with bunzip2",
    b"\xfd7zXZ": "compressed: uncompress it with unxz",
    b"\x28\xb5\x2f\xfd": "compressed: uncompress it with unzstd",
    b"II*\0": "a TIFF: if it is a movie, correct its motion; if an image, convert it to MRC (IMOD's tif2mrc)",
    b"MM\0*": "a TIFF: if it is a movie, correct its motion; if an image, convert it to MRC (IMOD's tif2mrc)",
    b"II+\0": "a movie (EER or a large TIFF): correct its motion",
    b"\x89HDF": "HDF5: convert it to MRC (EMAN2's e2proc2d.py)",
    b"\x89PNG": "a picture to look at (PNG): give the MRC file that it was made from",
    b"\xff\xd8\xff": "a picture to look at (JPEG): give the MRC file that it was made from",
}
"""What else lies in a folder of micrographs: how such a file begins, and what to do with it."""


@dataclass(frozen=True)
class MrcHeader:
    """Shape ``(h, w)`` of an image and its pixel size in Å, ``None`` where the header has none."""

    shape: tuple[int, int]
    pixel_size: float | None


@dataclass(frozen=True)
class _Layout:
    """Where and how the pixels lie in a file."""

    shape: tuple[int, int]
    dtype: np.dtype[Any]
    offset: int


def read_header(path: Path) -> MrcHeader:
    """Return shape and pixel size of an image without reading its pixels.

    Raises
    ------
    InputError
        If the file is absent, damaged, or not a single real image.
    """
    header = _read_mrc_header(path)
    layout = _check_layout(path, header)
    cells = int(header.mx)
    step = float(header.cella.x) / cells if cells > 0 else 0.0
    return MrcHeader(layout.shape, step if np.isfinite(step) and step > 0 else None)


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
    image = _read_pixels(path).astype(np.float32, copy=False)
    _check_pixels(path, image)
    return image


def read_mask(path: Path) -> NDArray[np.bool_]:
    """Read an image of zeros and other numbers, ``(h, w)``; true where it is not zero.

    Raises
    ------
    InputError
        If the file is absent, damaged, or not a single real image.
    """
    return np.asarray(_read_pixels(path) != 0)


def _read_pixels(path: Path) -> NDArray[Any]:
    """Return the pixels ``(h, w)`` as they lie in a file."""
    layout = _check_layout(path, _read_mrc_header(path))
    count = layout.shape[0] * layout.shape[1]
    try:
        pixels = np.fromfile(path, layout.dtype, count, offset=layout.offset)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error}).") from error
    if len(pixels) < count:
        raise InputError(f"{path} was cut short while it was read: is another program still writing it?")
    return pixels.reshape(layout.shape)


def write_image(path: Path, image: NDArray[Any], pixel_size: float, corner: tuple[float, float] = (0.0, 0.0)) -> None:
    """Write an image, by a temporary file and a rename, so that ``path`` never holds half of it.

    Parameters
    ----------
    path
        File to write; its folder exists.
    image
        Shape ``(h, w)`` of dtype int8, int16, uint16, float16 or float32, which is that of the file.
    pixel_size
        Å per pixel.
    corner
        Where the image begins within a larger one, (y, x) in Å: the origin of MRC2014 (words 50 to 52).

    Raises
    ------
    ValueError
        If the array is not such an image.
    """
    kinds = [np.dtype(kind) for kind in (np.int8, np.int16, np.uint16, np.float16, np.float32)]
    if image.ndim != 2 or image.size == 0 or image.dtype not in kinds:
        raise ValueError(f"The image is {image.dtype} of shape {image.shape}: expected (h, w) of a type of MRC file.")
    with replacing(path) as partial, warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # overflow of float16 in the header's statistics
        with mrcfile.new(partial, data=image, overwrite=True) as mrc:
            mrc.voxel_size = pixel_size
            mrc.header.origin.y, mrc.header.origin.x = corner


def _read_mrc_header(path: Path) -> Any:
    """Return mrcfile's record of the header, its complaints turned into our sentences or into debug lines."""
    try:
        if not path.is_file():
            raise InputError(f"There is no micrograph at {path}: check the path, and the folder the job runs in.")
        length = path.stat().st_size
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error}).") from error
    if length < HEADER_BYTES:
        what = "is empty (0 bytes)" if length == 0 else f"has only {length} bytes, less than an MRC header"
        raise InputError(f"{path} {what}: copy or process it again.")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            header = _interpret_header(path)
        except OSError as error:
            raise InputError(f"{path} cannot be read ({error.strerror or error}).") from error
        except (ValueError, MemoryError, OverflowError) as error:
            raise InputError(f"{path} is not an MRC file, or its header is damaged ({error}).") from error
    for warning in caught:
        log.debug("%s: %s", path, warning.message)
    return header


def _interpret_header(path: Path) -> Any:
    """Return mrcfile's record of the first 1024 bytes.

    mrcfile would also read the extended header, and reserve as much memory as a damaged file claims that it has: up to
    2 GB. So it is shown the header with that length set to zero, and the length is put back afterwards.
    """
    with path.open("rb") as file:
        start = bytearray(file.read(HEADER_BYTES))
    _refuse_other_format(path, bytes(start))
    length = bytes(start[EXTENDED_LENGTH])
    start[EXTENDED_LENGTH] = bytes(4)
    header = MrcInterpreter(BytesIO(start), permissive=True, header_only=True).header.copy()
    header.nsymbt = np.frombuffer(length, header.nsymbt.dtype)[0]
    return header


def _refuse_other_format(path: Path, start: bytes) -> None:
    if start[MARK] == b"MAP":
        return
    for magic, advice in OTHER_FORMATS.items():
        if start.startswith(magic):
            raise InputError(f"{path} is not an MRC file but {advice}.")


def _check_layout(path: Path, header: Any) -> _Layout:
    """Return where the pixels lie, after checking that the file can be one real image, and is complete."""
    nx, ny, nz, mode, extended = (int(header[name]) for name in ("nx", "ny", "nz", "mode", "nsymbt"))
    has_mark = bytes(header.map)[:3] == b"MAP"
    if extended < 0 or (not has_mark and (mode not in REAL_MODES or min(nx, ny, nz) < 1)):
        raise InputError(f"{path} is not an MRC file, or its header is damaged: expected an MRC image.")
    if mode not in REAL_MODES:
        expected = ", ".join(map(str, REAL_MODES))
        what = (
            "complex numbers (a Fourier transform)"
            if mode in (3, 4)
            else "not read here (newstack -mode 2 makes it one)"
        )
        raise InputError(f"{path} has MRC mode {mode}, {what}: expected a real image of mode {expected}.")
    if nx < 1 or ny < 1 or nz < 1:
        raise InputError(f"{path} has {nx}×{ny}×{nz} pixels in its header: expected an image.")
    if nz != 1:
        raise InputError(f"{path} holds {nz} images (a movie, a stack or a volume): expected one summed micrograph.")
    dtype = np.dtype(mrcfile.utils.data_dtype_from_header(header))
    if mode == 0 and _has_unsigned_bytes(header):
        dtype = np.dtype(np.uint8)
    offset = HEADER_BYTES + extended
    needed, found = offset + nx * ny * dtype.itemsize, path.stat().st_size
    if found < needed:
        what = "is cut short" if has_mark else "is not an MRC file, or cut short"
        raise InputError(f"{path} {what}: {found} bytes, expected {needed} for {nx}×{ny} pixels; copy it again.")
    return _Layout((ny, nx), dtype, offset)


def _has_unsigned_bytes(header: Any) -> bool:
    """Tell whether mode 0 means 0 to 255, as IMOD's mark or, without it, a highest pixel above 127 says."""
    stamp, flags = np.frombuffer(header.tobytes()[IMOD_FLAGS], header.mode.dtype).tolist()
    if stamp == IMOD_STAMP:
        return not flags & IMOD_SIGNED
    return bool(header.dmin >= 0 and 127 < header.dmax <= 255)


def _check_pixels(path: Path, image: FloatArray) -> None:
    low, high = float(image.min()), float(image.max())  # NaN and infinity show in one of them
    if not np.isfinite([low, high]).all():
        bad = int(np.count_nonzero(~np.isfinite(image)))
        raise InputError(f"{path} has {bad} pixels that are not finite numbers: process the micrograph again.")
    if low == high:
        raise InputError(f"{path}: all pixels have the same value, {low:g}; there is nothing to see.")
