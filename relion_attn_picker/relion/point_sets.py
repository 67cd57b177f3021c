"""RELION's coordinates of many micrographs as one point set: an index, a 3.1 suffix file, particles, single files.

Coordinates are pixels of the micrograph file, 0-based, not flipped: those of a point set, without any change. RELION
cuts the fraction of a coordinate off when it extracts (preprocessing.cpp), so that whole pixels are its resolution.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from relion_attn_picker.errors import InputError
from relion_attn_picker.point_set import MicrographPoints, PointSet, gather
from relion_attn_picker.relion import labels
from relion_attn_picker.relion.coordinates import (
    COORDINATE_LISTS,
    PixelSizes,
    open_coordinates,
    read_micrograph_points,
)
from relion_attn_picker.relion.job_files import (
    write_coordinate_index,
    write_coordinates,
    write_coords_suffix,
    write_particles,
)
from relion_attn_picker.relion.paths import coordinate_name
from relion_attn_picker.relion.star import format_value
from relion_attn_picker.replacing import refuse_other_files

PICKNAMES = ("_autopick", "_manualpick", "_extract")
"""What RELION adds to a micrograph's name for its coordinate files."""


def read_star_points(path: Path, project_dir: Path = Path(), pixel_sizes: PixelSizes | None = None) -> PointSet:
    """Read coordinates of any of the kinds that RELION writes, all of them.

    Parameters
    ----------
    path
        As for ``coordinates.open_coordinates``; also a folder of STAR files, one a micrograph, without any list, as
        crYOLO and RELION 3.0 leave it: the micrographs are then called by the files' names, as for one such file.
    project_dir, pixel_sizes
        As for ``coordinates.open_coordinates``.

    Raises
    ------
    InputError
        If there are no coordinates, or some cannot be read.
    """
    if path.is_dir() and not any(list(path.glob(pattern)) for pattern in COORDINATE_LISTS):
        return _read_folder(path)
    opened = open_coordinates(path, project_dir, pixel_sizes)
    names = opened.micrograph_names
    if names is None:
        return gather([_named(path, opened.read_points(""))], has_stems=True)
    found = [points for name in names if (points := opened.read_points(name)) is not None]
    return gather(found, opened.pixel_size)


def _read_folder(folder: Path) -> PointSet:
    files = sorted(folder.rglob("*.star"))
    if not files:
        raise InputError(f"The folder {folder} holds no STAR file: expected a job of RELION, or coordinates.")
    return gather([read_micrograph_points(path, _micrograph_of(path, folder)) for path in files], has_stems=True)


def _named(path: Path, points: MicrographPoints | None) -> MicrographPoints:
    if points is None:
        raise InputError(f"{path} holds no coordinates.")
    return MicrographPoints(_micrograph_of(path, path.parent), points.yx, points.score)


def _micrograph_of(path: Path, folder: Path) -> str:
    """Return the name of a coordinate file, relative to the folder, without its extension and RELION's addition."""
    name = path.relative_to(folder).with_suffix("").as_posix()
    return next((name.removesuffix(ending) for ending in PICKNAMES if name.endswith(ending)), name)


def write_star_job(folder: Path, points: PointSet, micrographs_star: str | None) -> None:
    """Write coordinates as a picking job of RELION leaves them: a file a micrograph, and the lists of 3.1, 4.0 and 5.0.

    Parameters
    ----------
    folder
        The job's folder, as RELION will see it from the project's folder: its path goes into the list.
    points
        Written as they are; micrographs without points get a file with a header only.
    micrographs_star
        The STAR file of the micrographs, for the list of 3.1; without it there is none.

    Raises
    ------
    InputError
        If two micrographs would get one file, a name cannot be written, or the folder has coordinates of others.
    """
    files: dict[str, str] = {}
    for name in points.names:
        relative = coordinate_name(name, labels.PICKNAME).lstrip("/")
        if relative in files:
            raise InputError(f"{files[relative]} and {name} would get the same coordinate file {relative}.")
        format_value(name)
        files[relative] = name
    refuse_other_coordinates(folder, [folder / relative for relative in files])
    for relative, each in zip(files, points.micrographs(), strict=True):
        (folder / relative).parent.mkdir(parents=True, exist_ok=True)
        write_coordinates(folder / relative, each.yx, each.score)
    write_coordinate_index(
        folder / labels.INDEX_FILE, list(files.values()), [(folder / relative).as_posix() for relative in files]
    )
    if micrographs_star is None:
        (folder / labels.SUFFIX_FILE).unlink(missing_ok=True)  # an earlier one would name another list
    else:
        write_coords_suffix(folder / labels.SUFFIX_FILE, micrographs_star)


def refuse_other_coordinates(folder: Path, files: Sequence[Path]) -> None:
    """Refuse the folder of a picking job that has coordinate files beside those to be written: RELION takes them all.

    Raises
    ------
    InputError
        If there are others.
    """
    lists = [folder / name for name in (labels.INDEX_FILE, labels.SUFFIX_FILE)]
    refuse_other_files(folder, [*files, *lists], f"*{labels.PICKNAME}.star")


def write_star_particles(path: Path, points: PointSet) -> None:
    """Write all points into one table with the micrographs' names, six digits behind the point.

    Micrographs without a point cannot be told in this form.
    """
    named = ((each.name, each.yx, each.score) for each in points.micrographs())
    write_particles(path, named, has_scores=points.score is not None)
