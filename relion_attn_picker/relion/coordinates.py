"""Reading coordinates: what RELION's picking jobs and particle files say about where the particles are.

``open_coordinates`` tells the kind of file and reads the lists; the coordinates of a micrograph are read when asked for.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from relion_attn_picker.errors import InputError
from relion_attn_picker.picks import FloatArray
from relion_attn_picker.relion import labels
from relion_attn_picker.relion.file_names import coordinate_file_name
from relion_attn_picker.relion.micrographs_star import find_micrographs_table, read_names, reject_tomography
from relion_attn_picker.relion.star_format import StarTable, read_tables

log = logging.getLogger(__name__)

WANTED = frozenset(
    {
        labels.MICROGRAPH_NAME,
        labels.MICROGRAPH_COORDINATES,
        labels.COORDINATE_X,
        labels.COORDINATE_Y,
        labels.SCORE,
        labels.SHIFT_X,
        labels.SHIFT_Y,
        labels.SHIFT_X_PIXELS,
        labels.SHIFT_Y_PIXELS,
        labels.OPTICS_GROUP,
        labels.MICROGRAPH_PIXEL_SIZE,
    }
)
LISTS_OF_A_JOB = ("autopick.star", "manualpick.star", "coords_suffix_*.star")
"""Names of a picking job's list of coordinates, the better first: RELION 4 and 5, then 3.1."""

COORDS_SUFFIX_PREFIX = "coords_suffix"


@dataclass(frozen=True)
class CoordinateTable:
    """Coordinates of one micrograph: ``yx`` ``(n, 2)`` in its pixels, ``score`` ``(n,)`` or ``None``, both float32."""

    yx: FloatArray
    score: FloatArray | None


@dataclass(frozen=True)
class Coordinates:
    """Coordinates of many micrographs.

    Parameters
    ----------
    micrograph_names
        The micrographs that have coordinates, to the letter; ``None`` if the file does not name its micrograph.
    find
        Behind ``read``.
    """

    micrograph_names: tuple[str, ...] | None
    find: Callable[[str], CoordinateTable | None]

    def read(self, micrograph_name: str) -> CoordinateTable | None:
        """Return the coordinates of a micrograph, ``None`` if it is not listed.

        Raises
        ------
        InputError
            If it is listed, but its coordinates are missing or malformed.
        """
        return self.find(micrograph_name)


def open_coordinates(path: Path, project_dir: Path = Path()) -> Coordinates:
    """Open coordinates of any kind that RELION writes.

    Parameters
    ----------
    path
        A list of coordinate files (``autopick.star`` of RELION 4 and 5), ``coords_suffix_*.star`` (3.1), a
        ``particles.star``, the folder of a picking job, or the coordinate file of one micrograph.
    project_dir
        The folder that paths inside the file are relative to. Paths of a list that are not found there are tried
        relative to the list's own folder.

    Raises
    ------
    InputError
        If there is no such file, or it holds no coordinates of single-particle analysis.
    """
    if path.is_dir():
        path = _find_list(path)
    if path.name.startswith(COORDS_SUFFIX_PREFIX):
        return _open_coords_suffix(path, project_dir)
    if path.is_file() and path.stat().st_size == 0:
        return _single(_EMPTY)
    tables = read_tables(path, WANTED)
    reject_tomography(tables)
    for has, open_kind in KINDS:
        table = next((table for table in tables if has <= set(table.labels)), None)
        if table is not None:
            return open_kind(table, tables, project_dir)
    raise InputError(
        f"{path} holds no coordinates: expected the columns {labels.COORDINATE_X} and {labels.COORDINATE_Y}, or a list "
        f"with {labels.MICROGRAPH_NAME} and {labels.MICROGRAPH_COORDINATES}."
    )


def _find_list(folder: Path) -> Path:
    for pattern in LISTS_OF_A_JOB:
        if found := sorted(folder.glob(pattern)):
            return found[0]
    raise InputError(f"The folder {folder} is no picking job: expected {', '.join(LISTS_OF_A_JOB[:-1])} or "
                     f"{LISTS_OF_A_JOB[-1]} in it.")  # fmt: skip


_EMPTY = CoordinateTable(np.zeros((0, 2), np.float32), None)


def _single(table: CoordinateTable) -> Coordinates:
    return Coordinates(None, lambda name: table)


def _open_file_list(table: StarTable, tables: Sequence[StarTable], project_dir: Path) -> Coordinates:
    """Open ``autopick.star`` or ``manualpick.star`` of RELION 4 and 5."""
    if (repeated := table.first_repeated(labels.MICROGRAPH_NAME)) is not None:
        raise InputError(f"{table.place}, lists the micrograph {repeated} more than once: remove the repeated rows.")
    names, paths = table.words(labels.MICROGRAPH_NAME), table.words(labels.MICROGRAPH_COORDINATES)
    return _from_files(dict(zip(names, paths, strict=True)), lambda listed: _locate(listed, table.path, project_dir))


def _from_files(files: Mapping[str, str], locate: Callable[[str], Path]) -> Coordinates:
    def find(name: str) -> CoordinateTable | None:
        return read_coordinate_file(locate(files[name])) if name in files else None

    return Coordinates(tuple(files), find)


def _locate(listed: str, list_path: Path, project_dir: Path) -> Path:
    for folder in (project_dir, list_path.parent):
        if (folder / listed).is_file():
            return folder / listed
    raise InputError(
        f"{list_path} lists the coordinate file {listed}, which is neither in {project_dir.absolute()} nor beside the "
        "list: restore it, or run from the project folder."
    )


def _open_coords_suffix(path: Path, project_dir: Path) -> Coordinates:
    """Open ``coords_suffix_NAME.star`` of RELION 3.1: a text file whose first word is the path of a micrographs STAR.

    RELION's Extract goes on where a coordinate file is missing (a manual picking job has one only for the micrographs
    that were looked at), so that the micrographs with a file count as listed.
    """
    micrographs_star = _read_first_word(path)
    names = read_names(find_micrographs_table(read_tables(project_dir / micrographs_star, WANTED)))
    suffix = path.name.removeprefix(COORDS_SUFFIX_PREFIX)
    candidates = ((name, path.parent / coordinate_file_name(name, suffix)) for name in names)
    files = {name: str(file.absolute()) for name, file in candidates if file.is_file()}
    if not files:
        raise InputError(
            f"Beside {path} there is no coordinate file of any of the {len(names)} micrographs of {micrographs_star}: "
            f"expected for example {path.parent / coordinate_file_name(names[0], suffix)}."
        )
    return _from_files(files, Path)


def _read_first_word(path: Path) -> str:
    try:
        words = path.read_text(encoding="utf-8", errors="surrogateescape").split(maxsplit=1)
    except FileNotFoundError:
        raise InputError(f"There is no file {path}: check the path; it is relative to the project folder.") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from None
    if not words:
        raise InputError(f"{path} is empty: expected the path of a micrographs STAR file in its first line.")
    return words[0]


def _open_particles(table: StarTable, tables: Sequence[StarTable], project_dir: Path) -> Coordinates:
    """Open a ``particles.star``: coordinates of all micrographs in one table."""
    coordinates = _to_coordinates(table, _read_shifts(table, tables))
    rows: dict[str, list[int]] = {}
    for row, name in enumerate(table.words(labels.MICROGRAPH_NAME)):
        rows.setdefault(name, []).append(row)

    def find(name: str) -> CoordinateTable | None:
        if name not in rows:
            return None
        score = None if coordinates.score is None else coordinates.score[rows[name]]
        return CoordinateTable(coordinates.yx[rows[name]], score)

    return Coordinates(tuple(rows), find)


def _read_shifts(table: StarTable, tables: Sequence[StarTable]) -> NDArray[np.float64] | None:
    """Return how far each particle's refined centre lies before its coordinate, ``(n, 2)`` as y, x in micrograph pixels.

    Refined centre = coordinate − origin / pixel size of the micrograph: RELION 3.1-5.0, preprocessing.cpp
    (re-extraction with re-centring).
    """
    if {labels.SHIFT_X, labels.SHIFT_Y} <= set(table.labels):
        shifts = np.stack([table.numbers(labels.SHIFT_Y), table.numbers(labels.SHIFT_X)], axis=1)
        pixel_size = _micrograph_pixel_sizes(table, tables)
        if pixel_size is not None:
            return np.asarray(shifts / pixel_size[:, None])
    elif {labels.SHIFT_X_PIXELS, labels.SHIFT_Y_PIXELS} <= set(table.labels):
        shifts = np.stack([table.numbers(labels.SHIFT_Y_PIXELS), table.numbers(labels.SHIFT_X_PIXELS)], axis=1)
    else:
        return None
    if shifts.any():
        log.warning(
            "%s: the particles' shifts are not applied, for the micrographs' pixel size is not known.", table.place
        )
    return None


def _micrograph_pixel_sizes(table: StarTable, tables: Sequence[StarTable]) -> NDArray[np.float64] | None:
    """Return the pixel size of each particle's micrograph, Å, if the optics groups have it."""
    optics = next((table for table in tables if table.block == "optics"), None)
    if optics is None or labels.MICROGRAPH_PIXEL_SIZE not in optics.labels or labels.OPTICS_GROUP not in table.labels:
        return None
    sizes = dict(
        zip(optics.words(labels.OPTICS_GROUP), optics.numbers(labels.MICROGRAPH_PIXEL_SIZE).tolist(), strict=True)
    )
    groups = table.words(labels.OPTICS_GROUP)
    if undefined := set(groups) - set(sizes):
        raise InputError(f"{table.place}: optics group {min(undefined)} is not defined in block 'data_optics'.")
    if not all(0 < size < np.inf for size in sizes.values()):
        raise InputError(f"{optics.place}: {labels.MICROGRAPH_PIXEL_SIZE} must be a positive number of Å per pixel.")
    return np.array([sizes[group] for group in groups])


def _open_single(table: StarTable, tables: Sequence[StarTable], project_dir: Path) -> Coordinates:
    """Open the coordinate file of one micrograph, which does not name it."""
    return _single(_to_coordinates(table))


def read_coordinate_file(path: Path) -> CoordinateTable:
    """Read the coordinate file of one micrograph; RELION leaves an empty file where it found no particles.

    Raises
    ------
    InputError
        If the file is missing, malformed, or has no coordinates.
    """
    if path.is_file() and path.stat().st_size == 0:
        return _EMPTY
    return _to_coordinates(read_tables(path, WANTED)[0])


def _to_coordinates(table: StarTable, shifts: NDArray[np.float64] | None = None) -> CoordinateTable:
    yx = np.stack([table.numbers(labels.COORDINATE_Y), table.numbers(labels.COORDINATE_X)], axis=1)
    if shifts is not None:
        yx = yx - shifts
    if not np.isfinite(yx).all():
        row = int(np.flatnonzero(~np.isfinite(yx).all(axis=1))[0]) + 1
        raise InputError(f"{table.place}, row {row}: a coordinate is not finite; expected pixels of the micrograph.")
    score = table.numbers(labels.SCORE).astype(np.float32) if labels.SCORE in table.labels else None
    return CoordinateTable(yx.astype(np.float32), score)


_COORDINATES = frozenset({labels.COORDINATE_X, labels.COORDINATE_Y})
KINDS: tuple[tuple[frozenset[str], Callable[[StarTable, Sequence[StarTable], Path], Coordinates]], ...] = (
    (frozenset({labels.MICROGRAPH_NAME, labels.MICROGRAPH_COORDINATES}), _open_file_list),
    (_COORDINATES | {labels.MICROGRAPH_NAME}, _open_particles),
    (_COORDINATES, _open_single),
)
"""Labels that tell a kind of file, and how it is opened; the first kind that fits."""
