"""Maps are read with their axes in order, and what is no map is refused with one sentence."""

from __future__ import annotations

import gzip
from pathlib import Path

import mrcfile
import numpy as np
import pytest
from numpy.typing import NDArray

from relion_attn_picker.errors import InputError
from relion_attn_picker.io.volume import read_volume


def write_map(path: Path, values: NDArray[np.float32], voxel: float | tuple[float, float, float] = 2.0) -> Path:
    with mrcfile.new(path, data=values, overwrite=True) as mrc:
        mrc.voxel_size = voxel
    return path


def ramp() -> NDArray[np.float32]:
    return np.arange(24, dtype=np.float32).reshape(2, 3, 4)


def test_map_and_voxels(tmp_path: Path) -> None:
    volume = read_volume(write_map(tmp_path / "a.mrc", ramp(), (1.0, 2.0, 3.0)))  # x, y, z
    np.testing.assert_array_equal(volume.values, ramp())
    assert volume.voxel_size == pytest.approx((3.0, 2.0, 1.0))


def test_axes_in_another_order(tmp_path: Path) -> None:
    path = write_map(tmp_path / "a.mrc", ramp())
    with mrcfile.open(path, "r+") as mrc:
        mrc.header.mapc, mrc.header.mapr, mrc.header.maps = 3, 2, 1  # columns are z, sections are x
    np.testing.assert_array_equal(read_volume(path).values, ramp().transpose(2, 1, 0))


def test_compressed_map(tmp_path: Path) -> None:
    plain = write_map(tmp_path / "a.mrc", ramp())
    (tmp_path / "a.map.gz").write_bytes(gzip.compress(plain.read_bytes()))
    np.testing.assert_array_equal(read_volume(tmp_path / "a.map.gz").values, ramp())


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (np.zeros((4, 4, 4), np.float32), "all voxels have the same value, 0; there is no particle"),
        (np.full((4, 4, 4), np.nan, np.float32), "voxels that are not finite"),
        (np.zeros((4, 4), np.float32), r"holds float32 of shape \(4, 4\): expected a map"),
        (np.zeros((4, 4, 4), np.complex64), "expected a map, a volume of real numbers"),
    ],
)
def test_what_is_no_map(tmp_path: Path, values: NDArray[np.float32], sentence: str) -> None:
    path = tmp_path / "a.mrc"
    if np.isnan(values).any():
        write_map(path, ramp())
        with path.open("r+b") as file:
            file.seek(1024)
            file.write(np.full(24, np.nan, np.float32).tobytes())
    else:
        write_map(path, values)
    with pytest.raises(InputError, match=sentence):
        read_volume(path)


def test_no_voxel_size(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no voxel size in its header"):
        read_volume(write_map(tmp_path / "a.mrc", ramp(), 0.0))


@pytest.mark.parametrize("content", [b"", b"no map" * 400, bytes(2048), b"\x1f\x8b cut short"])
def test_garbage(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.mrc").write_bytes(content)
    with pytest.raises(InputError, match=r"a\.mrc"):
        read_volume(tmp_path / "a.mrc")


def test_cut_short(tmp_path: Path) -> None:
    path = write_map(tmp_path / "a.mrc", ramp())
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(InputError, match=r"a\.mrc"):
        read_volume(path)
