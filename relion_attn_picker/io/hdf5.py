"""HDF5 files: training crops with their points, and probability maps.

Crops are stored at the network's scale and standardised, with the points as coordinates: targets and weights are
drawn when a batch is made, so that one file serves every kind of target. Crops and points have checksums, but for files
of earlier versions, so that spoilt numbers are not trained on.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from relion_attn_picker.errors import InputError
from relion_attn_picker.picks import FloatArray, ProbabilityMap
from relion_attn_picker.replacing import replacing

CROP_FILE_VERSION = 2


@dataclass(frozen=True)
class Crop:
    """One training crop.

    Parameters
    ----------
    image
        Shape ``(s, s)``, standardised.
    yx
        Centres of particles, ``(n, 2)`` pixels of the crop; they may lie a little outside.
    ignored_yx
        Centres round which the loss does not count.
    """

    image: FloatArray
    yx: FloatArray
    ignored_yx: FloatArray


class CropWriter:
    """Makes a crop file; it gets its final name only when it is complete."""

    def __init__(self, path: Path, crop_size: int, attributes: dict[str, Any]) -> None:
        with ExitStack() as stack:
            self._file = stack.enter_context(h5py.File(stack.enter_context(replacing(path)), "w"))
            self._file.attrs["version"] = CROP_FILE_VERSION
            self._file.attrs["attributes"] = json.dumps(attributes, sort_keys=True)
            self._images = self._file.create_dataset(
                "image",
                shape=(0, crop_size, crop_size),
                maxshape=(None, crop_size, crop_size),
                chunks=(1, crop_size, crop_size),
                dtype="f2",
                compression="lzf",
                shuffle=True,
                fletcher32=True,
            )
            self._ending = stack.pop_all()
        self._ending.push(self._write_points)
        self._points: dict[str, list[FloatArray]] = {"yx": [], "ignored_yx": []}

    def append(self, crops: Sequence[Crop]) -> None:
        """Add crops."""
        count = len(self._images)
        self._images.resize(count + len(crops), axis=0)
        for row, crop in enumerate(crops, start=count):
            self._images[row] = crop.image.astype(np.float16)
            self._points["yx"].append(crop.yx)
            self._points["ignored_yx"].append(crop.ignored_yx)

    def __enter__(self) -> CropWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.__exit__(kind, value, trace)

    def _write_points(self, kind: type[BaseException] | None, *_: object) -> None:
        """Complete the file, unless something went wrong."""
        if kind is not None:
            return
        for name, arrays in self._points.items():
            offsets = np.cumsum([0, *map(len, arrays)])
            flat = np.concatenate(arrays) if arrays else np.zeros((0, 2), dtype=np.float32)
            self._file.create_dataset(name, data=flat.astype(np.float32), fletcher32=True)
            self._file.create_dataset(f"{name}_offset", data=offsets, fletcher32=True)


class CropFile:
    """Reads a crop file.

    It may be sent to other processes, or inherited by them: each opens a handle of its own, because a handle of HDF5
    that two processes share gives wrong data.

    Raises
    ------
    InputError
        If the file is absent, damaged, incomplete or of another version.
    """

    def __init__(self, path: Path) -> None:
        if path.is_dir():
            raise InputError(f"{path} is a folder, but crops are kept in a file of this name: move it away.")
        if not path.is_file():
            raise InputError(f"There is no crop file at {path}: make one with `attnpick train`.")
        self.path = path
        self._process = -1
        self._open()

    def _open(self) -> None:
        path = self.path
        try:
            self._file = h5py.File(path, "r")
            version = int(self._file.attrs["version"])
            self.attributes: dict[str, Any] = json.loads(self._file.attrs["attributes"])
            self._images = self._file["image"]
            self._yx, self._yx_offset = self._read_points("yx")
            self._ignored_yx, self._ignored_offset = self._read_points("ignored_yx")
        except (OSError, KeyError, ValueError, TypeError) as error:
            raise InputError(
                f"{path} is not a complete crop file ({error}): remove it, so that the crops are cut anew."
            ) from error
        if version != CROP_FILE_VERSION:
            raise InputError(f"{path} has crop file version {version}, expected {CROP_FILE_VERSION}: make it again.")
        if not len(self._images) or len(self._images) != len(self._yx_offset) - 1:
            raise InputError(f"{path} holds {len(self._images)} crops and other points: remove it and make it again.")
        self._process = os.getpid()

    def __reduce__(self) -> tuple[type[CropFile], tuple[Path]]:
        return CropFile, (self.path,)

    def _read_points(self, name: str) -> tuple[FloatArray, NDArray[np.int64]]:
        return self._file[name][()], self._file[f"{name}_offset"][()]

    def __len__(self) -> int:
        return len(self._yx_offset) - 1

    def read(self, index: int) -> Crop:
        """Return one crop.

        Raises
        ------
        InputError
            If it is damaged.
        """
        if self._process != os.getpid():
            self._open()
        own, ignored = self._yx_offset[index : index + 2], self._ignored_offset[index : index + 2]
        try:
            image = self._images[index].astype(np.float32)
        except OSError as error:
            raise InputError(
                f"{self.path} is damaged at crop {index + 1} ({error}): remove it, so that the crops are cut anew."
            ) from error
        return Crop(image, self._yx[own[0] : own[1]], self._ignored_yx[ignored[0] : ignored[1]])

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def write_probability_map(path: Path, probability_map: ProbabilityMap) -> None:
    """Write a map as 8-bit numbers (steps of 1/255) with its pixel size, by a temporary file and a rename."""
    with replacing(path) as partial, h5py.File(partial, "w") as file:
        stored = np.rint(probability_map.values * 255).astype(np.uint8)
        values = file.create_dataset("probability", data=stored, compression="gzip", compression_opts=4)
        values.attrs["scale"] = 1 / 255
        values.attrs["pixel_size"] = probability_map.pixel_size


def read_probability_map(path: Path) -> ProbabilityMap:
    """Read what ``write_probability_map`` wrote.

    Raises
    ------
    InputError
        If the file cannot be read.
    """
    try:
        with h5py.File(path, "r") as file:
            values = file["probability"]
            scale, pixel_size = float(values.attrs["scale"]), float(values.attrs["pixel_size"])
            return ProbabilityMap(values[()].astype(np.float32) * np.float32(scale), pixel_size)
    except (OSError, KeyError) as error:
        raise InputError(f"{path} is not a probability map of this program ({error}).") from error
