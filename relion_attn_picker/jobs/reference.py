"""The coordinates that picks are scored against, and those where a pick counts neither as right nor as wrong.

What this module does not do: it scores nothing; ``pick_evaluation`` does.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from relion_attn_picker.errors import InputError
from relion_attn_picker.micrograph import pixel_sizes_contradict
from relion_attn_picker.picks import FloatArray
from relion_attn_picker.relion.coordinates import Coordinates, open_coordinates
from relion_attn_picker.simulation.project_folder import IGNORED_STAR

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Reference:
    """True centres, and what is ignored, if anything is."""

    true: Coordinates
    ignored: Coordinates | None = None

    def read_ignored(self, micrograph: str) -> FloatArray:
        """Return the centres that are ignored on a micrograph, ``(k, 2)`` of its pixels."""
        table = None if self.ignored is None else self.ignored.read(micrograph)
        return np.empty((0, 2), dtype=np.float32) if table is None else table.yx


def open_reference(path: Path, project_dir: Path, pixel_sizes: Mapping[str, float] | None) -> Reference:
    """Open reference coordinates, with the ``ignored.star`` beside them if there is one, as in a simulated project.

    ``pixel_sizes`` has the Å per pixel of each micrograph by its name, as far as they are known.

    Raises
    ------
    InputError
        If one of them cannot be read, or tells another pixel size.
    """
    true = open_coordinates(path, project_dir, pixel_sizes)
    check_pixel_size(true, path, pixel_sizes or {})
    beside = (path if path.is_dir() else path.parent) / IGNORED_STAR
    if not beside.is_file() or beside.resolve() == path.resolve():
        return Reference(true)
    return Reference(true, open_coordinates(beside, project_dir, pixel_sizes))


def open_reference_of(path: Path, project_dir: Path, pixel_sizes: Mapping[str, float]) -> Reference:
    """Open reference coordinates, and see before any work is done that they belong to these micrographs.

    Raises
    ------
    InputError
        If one of them cannot be read, they list none of the micrographs, are of one unnamed micrograph where there are
        several, or tell another pixel size.
    """
    reference = open_reference(path, project_dir, pixel_sizes)
    check_named(reference.true, len(pixel_sizes), "The reference coordinates")
    if reference.true.micrograph_names is not None:
        common = pixel_sizes.keys() & set(reference.true.micrograph_names)
        check_overlap(len(common), len(pixel_sizes), "the reference coordinates", warn=False)
        for name in common:
            reference.true.read(name)
            reference.read_ignored(name)
    return reference


def check_named(coordinates: Coordinates, total: int, what: str) -> None:
    """Refuse the file of one unnamed micrograph for several: every one of them would get the same points.

    Raises
    ------
    InputError
        If it is one.
    """
    if coordinates.micrograph_names is None and total > 1:
        raise InputError(
            f"{what} are those of one micrograph without its name, but there are {total} micrographs: give the job's "
            "folder, or a list of coordinate files."
        )


def check_pixel_size(coordinates: Coordinates, path: Path, pixel_sizes: Mapping[str, float]) -> None:
    """Refuse coordinates that are pixels of another size, as their file tells it, than their micrographs have.

    ``pixel_sizes`` has the Å per pixel of each micrograph by the name that it has among the coordinates.

    Raises
    ------
    InputError
        If they are.
    """
    own = coordinates.pixel_size
    if own is None:
        return
    for name in coordinates.micrograph_names or ():
        size = pixel_sizes.get(name)
        if size is not None and pixel_sizes_contradict(own, size):
            raise InputError(
                f"The coordinates in {path} are pixels of {own:g} Å, but {name} has {size:g} Å: attnpick convert "
                f"--factor {own / size:.6g} makes coordinates on it, if it is the image that they were picked on."
            )


def check_overlap(common: int, total: int, what: str, warn: bool = True) -> None:
    """Refuse coordinates that list no micrograph in ``common``, and tell how many of ``total`` are not listed.

    Raises
    ------
    InputError
        If there is none in common.
    """
    if not common:
        raise InputError(
            f"None of the {total} micrographs is listed in {what}: names must be equal to the letter, folders included."
        )
    if warn and common < total:
        log.warning("%d of %d micrographs are not listed in %s and are left out.", total - common, total, what)
