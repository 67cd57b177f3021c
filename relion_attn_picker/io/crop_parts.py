"""The parts of a crop file that is being made: what a killed program has done is not done again.

HDF5 files do not survive a kill while they are written. Crops are therefore kept in small files of their own, each
complete or not there, until all are made; then they become one HDF5 file (``io.hdf5``) and are removed.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from relion_attn_picker.errors import InputError
from relion_attn_picker.io.hdf5 import Crop
from relion_attn_picker.replacing import replace_file, replacing


class CropParts:
    """The folder ``PATH.parts`` beside the crop file ``path``.

    Parameters
    ----------
    path
        The crop file that the parts are for.
    recipe
        All that the crops depend on, as JSON can hold it.

    Raises
    ------
    InputError
        If there are parts that were made by another recipe.
    """

    def __init__(self, path: Path, recipe: dict[str, Any]) -> None:
        self._folder = path.with_name(path.name + ".parts")
        record = json.dumps(recipe, sort_keys=True, indent=1)
        claim = self._folder / "recipe.json"
        if claim.exists():
            if claim.read_text(encoding="utf-8") != record:
                raise InputError(
                    f"{self._folder} holds crops that were being made with other options or from other data or labels: "
                    "give another folder, or the same options and data to go on."
                )
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        replace_file(claim, record)

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.npz"

    def __contains__(self, name: str) -> bool:
        return self._path(name).exists()

    def write(self, name: str, crops: Sequence[Crop], n_labels: int) -> None:
        """Keep the crops of one micrograph, and how many labels it has."""
        with replacing(self._path(name)) as partial, partial.open("wb") as file:
            np.savez(
                file,
                image=np.stack([crop.image for crop in crops]).astype(np.float16),
                count=np.array([[len(crop.yx), len(crop.ignored_yx)] for crop in crops]),
                yx=np.concatenate([crop.yx for crop in crops]),
                ignored_yx=np.concatenate([crop.ignored_yx for crop in crops]),
                n_labels=np.array(n_labels),
            )

    def read(self, name: str) -> tuple[list[Crop], int]:
        """Return the crops and the number of labels that ``write`` kept.

        Raises
        ------
        InputError
            If the file is damaged.
        """
        try:
            with np.load(self._path(name), allow_pickle=False) as part:
                counts = np.cumsum(part["count"], axis=0)[:-1]
                own = np.split(part["yx"], counts[:, 0])
                ignored = np.split(part["ignored_yx"], counts[:, 1])
                images = part["image"].astype(np.float32)
                n_labels = int(part["n_labels"])
        except (OSError, KeyError, ValueError, EOFError, BadZipFile) as error:
            raise InputError(f"{self._path(name)} is damaged ({error}): remove it and go on.") from error
        return [Crop(*each) for each in zip(images, own, ignored, strict=True)], n_labels

    def remove(self) -> None:
        """Remove all parts."""
        shutil.rmtree(self._folder)
