"""Coordinates that RELION, or this program, wrote before: an index, a 3.1 suffix file, particles, one micrograph.

All are pixels of the micrograph file, 0-based, x along its columns; nothing is flipped.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from relion_attn_picker.errors import InputError
from relion_attn_picker.picks import FloatArray
from relion_attn_picker.point_set import DoubleArray, MicrographPoints
from relion_attn_picker.relion import labels
from relion_attn_picker.relion.number_loop import read_number_loop
from relion_attn_picker.relion.paths import coordinate_name
from relion_attn_picker.relion.star import read_tables

if TYPE_CHECKING:
    from pandas import DataFrame

log = logging.getLogger(__name__)

SUFFIX_PREFIX = "coords_suffix_"
COORDINATE_LISTS = (labels.INDEX_FILE, "manualpick.star", f"{SUFFIX_PREFIX}*.star", "truth.star", "particles.star")
"""Coordinates of many micrographs in a folder, the first of them that is there."""

PixelSizes = Mapping[str, float] | Callable[[Sequence[str]], Mapping[str, float]]
"""Name of a micrograph → its Å per pixel, or what returns this for names."""

CONVERT = "attnpick convert makes STAR files of other programs' coordinates (.box, .cbox, Topaz's, .cs)."


@dataclass(frozen=True)
class CoordinateTable:
    """Points of one micrograph: ``yx`` ``(n, 2)`` in its pixels, ``score`` ``(n,)`` or ``None``."""

    yx: FloatArray
    score: FloatArray | None


@dataclass(frozen=True)
class Coordinates:
    """Points of many micrographs, each read when it is asked for.

    Parameters
    ----------
    micrograph_names
        The micrographs listed; ``None`` for the file of a single, unnamed micrograph.
    read_points
        Name → its points with all their digits, ``None`` if it is not listed.
    pixel_size
        Å per pixel of the micrographs, if the file tells one for all of them.
    """

    micrograph_names: tuple[str, ...] | None
    read_points: Callable[[str], MicrographPoints | None]
    pixel_size: float | None = None

    def read(self, micrograph_name: str) -> CoordinateTable | None:
        """Return the points of one micrograph as the networks and figures take them, ``None`` if it is not listed."""
        points = self.read_points(micrograph_name)
        if points is None:
            return None
        score = None if points.score is None else points.score.astype(np.float32)
        return CoordinateTable(points.yx.astype(np.float32), score)


def open_coordinates(path: Path, project_dir: Path = Path(), pixel_sizes: PixelSizes | None = None) -> Coordinates:
    """Open coordinates of any of the kinds that RELION writes.

    Parameters
    ----------
    path
        ``autopick.star`` or ``manualpick.star`` (4.0, 5.0), ``coords_suffix_*.star`` (3.1), a particles STAR file, the
        coordinates of one micrograph, or a folder with one of ``COORDINATE_LISTS``.
    project_dir
        The folder that paths inside the files are relative to; the file's own folder and its parents are tried next,
        or first if the file lies outside ``project_dir``: other projects have files of the same names.
    pixel_sizes
        Name of a micrograph → its Å per pixel, as its own list tells, or what finds this for the names in the file.
        Refined shifts of particles are in Å, and a particles file of RELION's Extract does not tell the pixel size of
        the micrographs.

    Raises
    ------
    InputError
        If there is no such file, or it holds no coordinates.
    """
    if path.is_dir():
        path = _find_in_folder(path)
    if not path.is_file():
        raise InputError(f"There are no coordinates at {path}: check the path, and the folder the job runs in.")
    if path.name.startswith(SUFFIX_PREFIX):
        return _open_suffix(path, project_dir)
    try:
        tables = read_tables(path)
    except InputError as error:
        raise InputError(f"{str(error).removesuffix('.')}; {CONVERT}") from error
    if any(str(label).startswith(labels.TOMO_PREFIX) for table in tables.values() for label in table.columns):
        raise InputError(f"{path} lists particles of tomograms: expected coordinates on single-particle micrographs.")
    for table in tables.values():
        if labels.MICROGRAPH_COORDINATES in table.columns:
            return _open_index(path, table, project_dir)
    for name, table in tables.items():
        if name != labels.OPTICS_BLOCK and labels.COORDINATE_X in table.columns:
            if labels.MICROGRAPH_NAME in table.columns:
                return _open_particles(path, table, tables.get(labels.OPTICS_BLOCK), pixel_sizes or {})
            return _of_one_micrograph(MicrographPoints("", *table_to_points(path, table)))
    raise InputError(
        f"{path} holds no coordinates: expected columns {labels.COORDINATE_X} and {labels.COORDINATE_Y}; {CONVERT}"
    )


def _of_one_micrograph(points: MicrographPoints) -> Coordinates:
    return Coordinates(None, lambda micrograph_name: points)


def _find_in_folder(folder: Path) -> Path:
    for pattern in COORDINATE_LISTS:
        found = sorted(folder.glob(pattern))
        if found:
            return found[0]
    raise InputError(
        f"The folder {folder} holds no coordinates: expected autopick.star or {SUFFIX_PREFIX}*.star; {CONVERT}"
    )


def _open_index(path: Path, table: DataFrame, project_dir: Path) -> Coordinates:
    if labels.MICROGRAPH_NAME not in table.columns:
        raise InputError(f"{path}: its list of coordinate files has no column {labels.MICROGRAPH_NAME}.")
    names = table[labels.MICROGRAPH_NAME].tolist()
    files = dict(zip(names, table[labels.MICROGRAPH_COORDINATES].tolist(), strict=True))
    if len(files) < len(names):
        twice = next(name for name, number in Counter(names).items() if number > 1)
        raise InputError(f"{path} lists the micrograph {twice} twice: leave only one of its coordinate files there.")

    places = _places_of_files(project_dir, path.parent)

    def read(micrograph_name: str) -> MicrographPoints | None:
        if micrograph_name not in files:
            return None
        return read_micrograph_points(_resolve(files[micrograph_name], places), micrograph_name)

    return Coordinates(tuple(files), read)


def _places_of_files(project_dir: Path, own_folder: Path) -> tuple[Path, ...]:
    """Return where files lie that a file in ``own_folder`` names, in the order of ``open_coordinates``."""
    own_side = (own_folder, *own_folder.absolute().parents)
    is_inside = own_folder.resolve().is_relative_to(project_dir.resolve())
    return (project_dir, *own_side) if is_inside else (*own_side, project_dir)


def _resolve(name: str, places: Sequence[Path]) -> Path:
    """Return the first of the places that has a file of this name; the first place's if none has."""
    return next((place / name for place in places if (place / name).exists()), places[0] / name)


def _open_suffix(path: Path, project_dir: Path) -> Coordinates:
    """Open a 3.1 suffix file: it names the micrographs' STAR file; the coordinates lie beside it by RELION's rule."""
    try:
        lines = path.read_text(encoding="utf-8").strip().splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is no text: expected the path of a micrographs STAR file.") from error
    if not lines:
        raise InputError(f"{path} is empty: expected the path of a micrographs STAR file.")
    micrographs = _resolve(lines[0], _places_of_files(project_dir, path.parent))
    pickname = path.name.removeprefix(SUFFIX_PREFIX).removesuffix(".star")
    tables = [table for table in read_tables(micrographs).values() if labels.MICROGRAPH_NAME in table.columns]
    if not tables:
        raise InputError(f"{micrographs}, which {path} names, lists no micrographs.")
    names = dict.fromkeys(tables[0][labels.MICROGRAPH_NAME].tolist())

    def read(micrograph_name: str) -> MicrographPoints | None:
        file = path.parent / coordinate_name(micrograph_name, pickname).lstrip("/")
        return read_micrograph_points(file, micrograph_name) if micrograph_name in names and file.exists() else None

    return Coordinates(tuple(names), read)


def _open_particles(path: Path, table: DataFrame, optics: DataFrame | None, pixel_sizes: PixelSizes) -> Coordinates:
    """Open a particles STAR file; re-centred particles count at their refined centre."""
    yx, score = table_to_points(path, table)
    yx = yx - _refined_shift(path, table, optics, pixel_sizes)
    rows = table.groupby(labels.MICROGRAPH_NAME, sort=False).indices

    def read(micrograph_name: str) -> MicrographPoints | None:
        if micrograph_name not in rows:
            return None
        own = rows[micrograph_name]
        return MicrographPoints(micrograph_name, yx[own], None if score is None else score[own])

    return Coordinates(tuple(table[labels.MICROGRAPH_NAME].unique().tolist()), read, _one_pixel_size(optics))


def _one_pixel_size(optics: DataFrame | None) -> float | None:
    """Return the pixel size of the micrographs, ``None`` if none is told or the groups differ."""
    if optics is None or labels.MICROGRAPH_PIXEL_SIZE not in optics.columns:
        return None
    sizes = set(optics[labels.MICROGRAPH_PIXEL_SIZE].tolist())
    return float(sizes.pop()) if len(sizes) == 1 else None


def _refined_shift(path: Path, table: DataFrame, optics: DataFrame | None, pixel_sizes: PixelSizes) -> DoubleArray:
    """Return the shift (pixels of the micrograph) to subtract: origins are in Å, and point from the true centre.

    RELION's re-extraction computes new = old - origin / pixel size (preprocessing.cpp, "recenter").
    """
    if labels.ORIGIN_X_PIXELS in table.columns and labels.ORIGIN_X not in table.columns:
        log.warning(
            "%s is of RELION 3.0: its refined centres, in pixels of the particle images, are not applied; "
            "relion_convert_star makes a file of 3.1 of it.",
            path,
        )
    if not {labels.ORIGIN_X, labels.ORIGIN_Y} <= set(table.columns):
        return np.zeros((len(table), 2))
    names = table[labels.MICROGRAPH_NAME]
    known = pixel_sizes(names.unique().tolist()) if callable(pixel_sizes) else pixel_sizes
    pixel_size = names.map(dict(known)).to_numpy(dtype=np.float64)
    unknown = np.isnan(pixel_size)
    if unknown.any() and optics is not None:
        pixel_size[unknown] = _pixel_sizes_of_groups(path, table[unknown], optics)
    elif unknown.any():
        log.warning("%s has refined centres but no optics table: %d are not applied.", path, unknown.sum())
        pixel_size[unknown] = np.inf
    origin = table[[labels.ORIGIN_Y, labels.ORIGIN_X]].to_numpy(dtype=np.float64)
    return np.asarray(origin / pixel_size[:, None])


def _pixel_sizes_of_groups(path: Path, table: DataFrame, optics: DataFrame) -> DoubleArray:
    """Return the pixel size (Å) of each particle's micrograph by its optics group."""
    sizes = _micrograph_pixel_sizes(path, optics)
    if labels.OPTICS_GROUP not in table.columns:
        raise InputError(f"{path}: its particles have refined centres but no column {labels.OPTICS_GROUP}.")
    pixel_size = table[labels.OPTICS_GROUP].map(sizes).to_numpy(dtype=np.float64)
    if not (pixel_size > 0).all():
        raise InputError(f"{path}: its optics table has no pixel size for a group that its particles belong to.")
    return np.asarray(pixel_size)


def _micrograph_pixel_sizes(path: Path, optics: DataFrame) -> dict[object, float]:
    """Return the pixel size (Å) of each group's micrographs.

    RELION's Extract leaves it out of a particles file: what it writes there is the pixel size of the movies, the same
    unless they were binned, and that of the particle images, the same unless they were rescaled.
    """
    known = (labels.MICROGRAPH_PIXEL_SIZE, labels.ORIGINAL_PIXEL_SIZE, labels.IMAGE_PIXEL_SIZE)
    label = next((label for label in known if label in optics.columns), None)
    if label is None or labels.OPTICS_GROUP not in optics.columns:
        raise InputError(
            f"{path} has refined centres, but its optics table has no {labels.OPTICS_GROUP} with a pixel size: "
            "give the file as RELION wrote it."
        )
    if label == labels.ORIGINAL_PIXEL_SIZE and not optics[label].equals(optics.get(labels.IMAGE_PIXEL_SIZE)):
        log.warning(
            "%s does not tell the pixel size of the micrographs; %s is taken to shift the particles to their refined "
            "centres, which is wrong if the movies were binned.",
            path,
            label,
        )
    return dict(zip(optics[labels.OPTICS_GROUP].tolist(), optics[label].tolist(), strict=True))


def read_micrograph_points(path: Path, name: str) -> MicrographPoints:
    """Read the coordinate file of the micrograph ``name``; an empty file, as RELION's picker writes it, has no points.

    Raises
    ------
    InputError
        If there is no such file, or it holds no coordinates, or one that is not a finite number.
    """
    if path.is_file() and path.stat().st_size == 0:
        return MicrographPoints(name, np.empty((0, 2)))
    columns = read_number_loop(path)
    tables = read_tables(path).values() if columns is None else [columns]
    for table in tables:
        if labels.COORDINATE_X in table:
            return MicrographPoints(name, *table_to_points(path, table))
    raise InputError(f"{path} holds no coordinates: expected columns {labels.COORDINATE_X} and {labels.COORDINATE_Y}.")


def table_to_points(path: Path, table: DataFrame | Mapping[str, DoubleArray]) -> tuple[DoubleArray, DoubleArray | None]:
    """Return centres ``(n, 2)`` and figures of merit ``(n,)``, or ``None``, of a table with coordinates.

    Raises
    ------
    InputError
        If a coordinate is missing or not a finite number.
    """
    if labels.COORDINATE_Y not in table:
        raise InputError(f"{path} has a column {labels.COORDINATE_X} but no {labels.COORDINATE_Y}.")
    try:
        y, x = (np.asarray(table[label], dtype=np.float64) for label in (labels.COORDINATE_Y, labels.COORDINATE_X))
        score = None
        if labels.FIGURE_OF_MERIT in table:
            score = np.asarray(table[labels.FIGURE_OF_MERIT], dtype=np.float64)
    except ValueError as error:
        raise InputError(f"{path} has a coordinate that is not a number ({error}).") from error
    yx = np.stack([y, x], axis=1)
    if not np.isfinite(yx).all():
        raise InputError(f"{path} has a coordinate that is not a finite number.")
    return yx, score
