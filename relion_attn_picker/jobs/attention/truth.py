"""What is known of the micrographs that attention is looked at on: their particles, what to ignore, and their junk.

What this module does not do: it compares nothing; ``evaluation.attention_check`` does.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

import numpy as np

from relion_attn_picker.errors import InputError
from relion_attn_picker.evaluation.attention_regions import JunkMask, KnownContents
from relion_attn_picker.io.mrc import read_header, read_mask
from relion_attn_picker.jobs.name_matching import match_names
from relion_attn_picker.micrograph import Micrograph
from relion_attn_picker.picks import FloatArray
from relion_attn_picker.relion.coordinates import Coordinates, open_coordinates
from relion_attn_picker.simulation.project_folder import IGNORED_STAR

log = logging.getLogger(__name__)

JUNK_FOLDER: Final = "Junk"
"""What ``attnpick simulate`` writes beside its ``truth.star``."""


class NamedPoints:
    """Coordinates that are asked for by a micrograph's name, folders included, or else by its file's name.

    A micrograph that is given by its path is seldom called so in a STAR file.

    Parameters
    ----------
    coordinates
        The file.
    micrographs
        All that will be asked for.

    Raises
    ------
    InputError
        If two micrographs or two names in the file have the same file name, and only that could match them; or the
        file holds the points of one unnamed micrograph, and there are several.
    """

    def __init__(self, coordinates: Coordinates, micrographs: Sequence[Micrograph]) -> None:
        self._coordinates = coordinates
        self._names = {each.name: each.name for each in micrographs}
        listed = coordinates.micrograph_names
        if listed is None and len(micrographs) > 1:
            raise InputError(
                f"The coordinates are those of one micrograph without a name, and there are {len(micrographs)}: give a "
                "file that names them, or one micrograph."
            )
        if listed is not None and not self._names.keys() & set(listed):
            asked = list(self._names)
            found = match_names(asked, listed, "name").listed
            self._names = {name: match for name, match in zip(asked, found, strict=True) if match is not None}

    def read(self, name: str) -> FloatArray | None:
        """Return the points of a micrograph, ``(n, 2)`` in its pixels; ``None`` if it is not listed."""
        table = self._coordinates.read(self._names[name]) if name in self._names else None
        return None if table is None else table.yx


@dataclass(frozen=True)
class Truth:
    """Particles, ignored particles if there are any, and the folder of junk masks if there is one."""

    particles: NamedPoints
    ignored: NamedPoints | None
    junk: Path | None

    def read(self, micrograph: Micrograph, image_shape: tuple[int, int]) -> KnownContents | None:
        """Return what a micrograph of ``image_shape`` is known to show; ``None`` if the truth does not list it.

        Raises
        ------
        InputError
            If its junk mask is missing or does not fit.
        """
        true_yx = self.particles.read(micrograph.name)
        if true_yx is None:
            return None
        ignored_yx = None if self.ignored is None else self.ignored.read(micrograph.name)
        nothing = np.empty((0, 2), dtype=np.float32)
        junk = None if self.junk is None else read_junk(self.junk, micrograph, image_shape)
        return KnownContents(true_yx, nothing if ignored_yx is None else ignored_yx, junk)


def open_points(path: Path, micrographs: Sequence[Micrograph], project_dir: Path) -> NamedPoints:
    """Open coordinates of any kind that RELION writes.

    Raises
    ------
    InputError
        If there are none.
    """
    sizes: Mapping[str, float] = {each.name: each.optics.pixel_size for each in micrographs}
    return NamedPoints(open_coordinates(path, project_dir, sizes), micrographs)


def open_truth(path: Path, junk: Path | None, micrographs: Sequence[Micrograph], project_dir: Path) -> Truth:
    """Open a truth with what lies beside it, and see that it has to do with these micrographs.

    Parameters
    ----------
    path
        Coordinates of the particles.
    junk
        Folder of junk masks; ``None``: ``Junk/`` beside the truth, if it is there.
    micrographs, project_dir
        The micrographs, and the folder of their names.

    Raises
    ------
    InputError
        If a file is missing, or the truth lists none of the micrographs.
    """
    particles = open_points(path, micrographs, project_dir)
    missing = [each.name for each in micrographs if particles.read(each.name) is None]
    if len(missing) == len(micrographs):
        raise InputError(
            f"{path} lists no coordinates for {missing[0]}"
            + (f" and the {len(missing) - 1} other micrographs" if len(missing) > 1 else "")
            + ": give the truth of these micrographs, or leave out --truth."
        )
    if missing:
        log.warning(
            "%s does not list %d of %d micrographs: the check is without.", path, len(missing), len(micrographs)
        )
    junk = _find_junk(path, junk)
    beside = _find_ignored(path, junk)
    return Truth(particles, None if beside is None else open_points(beside, micrographs, project_dir), junk)


def _find_ignored(truth: Path, junk: Path | None) -> Path | None:
    """Return the list of ignored particles beside the truth, as an evaluation takes it, or else beside the junk."""
    folders = [truth if truth.is_dir() else truth.parent, *([] if junk is None else [junk.parent])]
    found = [path for path in (folder / IGNORED_STAR for folder in folders) if path.is_file()]
    return next((path for path in found if path.resolve() != truth.resolve()), None)


def _find_junk(truth: Path, given: Path | None) -> Path | None:
    if given is not None and not given.is_dir():
        raise InputError(
            f"There is no folder {given}: give the folder of the junk masks, {JUNK_FOLDER}/ of a simulation."
        )
    beside = (truth if truth.is_dir() else truth.parent) / JUNK_FOLDER
    return given if given is not None or not beside.is_dir() else beside


def read_junk(folder: Path, micrograph: Micrograph, image_shape: tuple[int, int]) -> JunkMask:
    """Read the junk mask of a micrograph, as ``attnpick simulate`` writes it: pixels of a whole multiple of its own.

    Several multiples can give a mask of the same shape; its pixel size says which of them it is.

    Raises
    ------
    InputError
        If there is none, or no whole multiple makes it cover ``image_shape``.
    """
    path = folder / f"{PurePosixPath(micrograph.name).stem}_junk.mrc"
    header = read_header(path)
    factors = [each for each in range(1, max(image_shape) + 1) if _coarsened(image_shape, each) == header.shape]
    if not factors:
        (height, width), (h, w) = header.shape, image_shape
        raise InputError(
            f"{path} has {width}×{height} pixels, which cannot cover the {w}×{h} of {micrograph.name} by whole blocks: "
            "give the masks of these micrographs."
        )
    expected = (header.pixel_size or 0.0) / micrograph.optics.pixel_size
    return JunkMask(read_mask(path), min(factors, key=lambda each: abs(each - expected)))


def _coarsened(shape: tuple[int, int], factor: int) -> tuple[int, int]:
    return -(-shape[0] // factor), -(-shape[1] // factor)
