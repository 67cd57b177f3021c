"""Maps (MRC volumes, as EMDB distributes them), also compressed; ``io.mrc`` is for single images."""

from __future__ import annotations

import gzip
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
from numpy.typing import NDArray

from relion_attn_picker.errors import InputError

GZIP_MARK = b"\x1f\x8b"


@dataclass(frozen=True)
class Volume:
    """A map: values ``(nz, ny, nx)`` and the voxel's edges in Å along z, y, x."""

    values: NDArray[np.float32]
    voxel_size: tuple[float, float, float]


def read_volume(path: Path) -> Volume:
    """Read a map, its axes put into the order z, y, x whatever their order in the file.

    Raises
    ------
    InputError
        If the file is absent, damaged, no map of real numbers, has no voxel size, or is the same everywhere.
    """
    if not path.is_file():
        raise InputError(f"There is no file {path}: check the path.")
    try:
        _check_mark(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # headers in the wild are wrong in what does not matter
            with mrcfile.open(path, permissive=True) as mrc:
                data, header = mrc.data, mrc.header.copy()
    except (OSError, EOFError, ValueError, MemoryError, OverflowError) as error:
        raise InputError(f"{path} is not an MRC map, or is damaged ({error}): copy it again.") from error
    if data is None or data.ndim != 3 or min(data.shape) < 2 or np.iscomplexobj(data):
        found = "nothing readable" if data is None else f"{data.dtype} of shape {data.shape}"
        raise InputError(f"{path} holds {found}: expected a map, a volume of real numbers.")
    values = _turn_axes(data, header).astype(np.float32)
    _check_values(path, values)
    return Volume(values, _voxel_size(path, header))


def _check_mark(path: Path) -> None:
    """Refuse what has no mark of an MRC file: mrcfile would reserve as much memory as its bytes claim."""
    with path.open("rb") as raw:
        is_compressed = raw.read(2) == GZIP_MARK
    with gzip.open(path) if is_compressed else path.open("rb") as file:
        header = file.read(1024)
    if header[208:211] != b"MAP":
        raise ValueError("its header has no MAP mark")


def _turn_axes(data: NDArray[Any], header: Any) -> NDArray[Any]:
    """Return data whose axes are z, y, x; a header tells which of x, y, z (1, 2, 3) columns, rows and sections are."""
    axes = [int(header.maps), int(header.mapr), int(header.mapc)]
    return data.transpose([axes.index(axis) for axis in (3, 2, 1)]) if sorted(axes) == [1, 2, 3] else data


def _voxel_size(path: Path, header: Any) -> tuple[float, float, float]:
    edges = [float(header.cella[axis]) / max(int(header[f"m{axis}"]), 1) for axis in "zyx"]
    if not all(np.isfinite(edge) and edge > 0 for edge in edges):
        raise InputError(f"{path} has no voxel size in its header: write one there (relion_image_handler does).")
    return edges[0], edges[1], edges[2]


def _check_values(path: Path, values: NDArray[np.float32]) -> None:
    low, high = float(values.min()), float(values.max())
    if not np.isfinite([low, high]).all():
        raise InputError(f"{path} has voxels that are not finite numbers: make the map again.")
    if low == high:
        raise InputError(f"{path}: all voxels have the same value, {low:g}; there is no particle in it.")
