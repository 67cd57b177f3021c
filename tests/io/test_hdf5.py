"""Crop files: what is read is what was written, and what was spoilt since is told."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from relion_attn_picker.errors import InputError
from relion_attn_picker.io.hdf5 import CROP_FILE_VERSION, Crop, CropFile, CropWriter


def make_crops() -> list[Crop]:
    rng = np.random.default_rng(1)
    points = [rng.uniform(0, 16, (n, 2)).astype(np.float32) for n in (3, 0, 2)]
    nothing = np.zeros((0, 2), np.float32)
    return [Crop(rng.normal(size=(16, 16)).astype(np.float16).astype(np.float32), yx, nothing) for yx in points]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file of three crops; nothing is ignored on any."""
    with CropWriter(tmp_path / "crops.h5", 16, {"sources": []}) as writer:
        writer.append(make_crops())
    return tmp_path / "crops.h5"


def spoil(path: Path, name: str, index: int = 0) -> None:
    """Change a byte in a chunk of a data set."""
    with h5py.File(path, "r") as file:
        offset = file[name].id.get_chunk_info(index).byte_offset
    content = bytearray(path.read_bytes())
    content[offset + 9] ^= 0x40
    path.write_bytes(content)


def test_crops_round_trip(path: Path) -> None:
    crops = CropFile(path)
    assert len(crops) == 3
    for index, crop in enumerate(make_crops()):
        for name in ("image", "yx", "ignored_yx"):
            np.testing.assert_array_equal(getattr(crops.read(index), name), getattr(crop, name))


def test_spoilt_crop(path: Path) -> None:
    """Training went on with other numbers, or with some that are not finite, for which the learning rate was blamed."""
    spoil(path, "image", 1)
    crops = CropFile(path)
    np.testing.assert_array_equal(crops.read(0).image, make_crops()[0].image)
    with pytest.raises(InputError, match=r"crops\.h5 is damaged at crop 2 .*: remove it, so that the crops are cut"):
        crops.read(1)


@pytest.mark.parametrize("name", ["yx", "yx_offset", "ignored_yx_offset"])
def test_spoilt_points(path: Path, name: str) -> None:
    spoil(path, name)
    with pytest.raises(InputError, match=r"crops\.h5 is not a complete crop file .*: remove it, so that the crops are"):
        CropFile(path)


@pytest.mark.parametrize("size", [0, 100, -1])
def test_crop_file_cut_short(path: Path, size: int) -> None:
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(InputError, match=r"crops\.h5 is not a complete crop file"):
        CropFile(path)


def test_folder_in_the_place_of_a_crop_file(tmp_path: Path) -> None:
    (tmp_path / "crops.h5").mkdir()
    with pytest.raises(InputError, match=r"crops\.h5 is a folder, but crops are kept in a file of this name: move it"):
        CropFile(tmp_path / "crops.h5")


def test_crop_file_of_an_earlier_version_has_no_checksums(tmp_path: Path) -> None:
    crop = make_crops()[0]
    with h5py.File(tmp_path / "crops.h5", "w") as file:
        file.attrs["version"], file.attrs["attributes"] = CROP_FILE_VERSION, "{}"
        file.create_dataset("image", data=crop.image[None].astype(np.float16), chunks=(1, 16, 16), compression="lzf")
        for name, points in (("yx", crop.yx), ("ignored_yx", crop.ignored_yx)):
            file.create_dataset(name, data=points)
            file.create_dataset(f"{name}_offset", data=[0, len(points)])
    np.testing.assert_array_equal(CropFile(tmp_path / "crops.h5").read(0).yx, crop.yx)
