"""Picks or particles of CryoSPARC as coordinates that RELION reads: ``import_picks``.

What this module does not do: ``jobs.cryosparc.exchange`` takes micrographs from CryoSPARC and gives it picks.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from relion_attn_picker.errors import InputError
from relion_attn_picker.io.cryosparc_group import read_result
from relion_attn_picker.io.cryosparc_names import MicrographFinder
from relion_attn_picker.io.cryosparc_picks import (
    LocatedPicks,
    read_located_picks,
    warn_of_losses,
)
from relion_attn_picker.io.folder_lock import hold_folder
from relion_attn_picker.io.mrc import read_header
from relion_attn_picker.jobs.cryosparc.exposure_matching import check_shape, compare_pixel_sizes
from relion_attn_picker.jobs.micrograph_list import find_project_dir
from relion_attn_picker.jobs.saved_options import refuse_picking_job
from relion_attn_picker.picks import FloatArray
from relion_attn_picker.relion.job import JobDirectory, coordinate_paths
from relion_attn_picker.relion.job_files import (
    write_coordinate_index,
    write_coords_suffix,
    write_picks,
)
from relion_attn_picker.relion.labels import INDEX_FILE, SUFFIX_FILE
from relion_attn_picker.relion.micrographs import read_micrographs
from relion_attn_picker.relion.point_sets import refuse_other_coordinates

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ImportedPicks:
    """What ``import_picks`` wrote: the index of coordinate files, and how many picks of how many micrographs."""

    index: Path
    n_picks: int
    n_micrographs: int


def import_picks(
    paths: Sequence[Path], micrographs_star: Path | None, out: str, *, flip_y: bool = False
) -> ImportedPicks:
    """Turn picks or particles of CryoSPARC into coordinates as a picking job of RELION leaves them.

    Coordinates are rounded to whole pixels: RELION would cut them off. Positions are those that particles were picked
    or extracted at; shifts of an alignment are not applied.

    Parameters
    ----------
    paths
        A ``.csg``, or ``.cs`` files.
    micrographs_star
        Gives the micrographs' names, and leaves out all others; ``None``: names are the paths in CryoSPARC.
    out
        The folder for the files, made once all is known to fit; its name goes into the index.
    flip_y
        Count rows from the last one: for micrographs that CryoSPARC has mirrored.

    Raises
    ------
    InputError
        If the picks are none, none is on a listed micrograph, a pixel size or the shape of an image contradicts, or the
        folder is that of a picking job, has coordinates of other micrographs, or another process is at work in it.
    """
    located = read_located_picks(read_result(paths).columns, flip_y=flip_y)
    if not located.paths:
        raise InputError(f"{', '.join(map(str, paths))}: there are no picks in it.")
    warn_of_losses(located)
    names = _name_located(located, micrographs_star)
    if micrographs_star is not None:
        _check_images(located, names, find_project_dir(micrographs_star, list(names)))
    scores = _finite_scores([located.score[index] for index in names.values()])
    files = coordinate_paths(out, list(names))
    refuse_picking_job(Path(out))
    refuse_other_coordinates(Path(out), files)
    job = JobDirectory.open(out)
    with hold_folder(job.path):
        for index, file, score in zip(names.values(), files, scores, strict=True):
            file.parent.mkdir(parents=True, exist_ok=True)
            yx = located.yx[index]
            write_picks(file, yx, score, located.shapes[index])
        write_coordinate_index(job.path / INDEX_FILE, list(names), [job.output_name(file) for file in files])
        if micrographs_star is None:
            (job.path / SUFFIX_FILE).unlink(missing_ok=True)  # an earlier one would name another list
        else:
            write_coords_suffix(job.path / SUFFIX_FILE, str(micrographs_star))
    n_picks = sum(len(located.yx[index]) for index in names.values())
    return ImportedPicks(job.path / INDEX_FILE, n_picks, len(names))


def _check_images(located: LocatedPicks, names: Mapping[str, int], project_dir: Path) -> None:
    """Refuse picks on images of another shape than those listed, as far as these are here and can be read."""
    for name, index in names.items():
        try:
            shape = read_header(project_dir / name).shape
        except InputError as error:
            log.debug("%s", error)
            continue
        check_shape(name, shape, located.shapes[index])


def _finite_scores(scores: Sequence[FloatArray | None]) -> Sequence[FloatArray | None]:
    """Return scores that RELION can read: 0 where there is none, no scores at all where there is no other; tell it."""
    known = np.concatenate([np.zeros(0, dtype=np.float32), *(score for score in scores if score is not None)])
    n_bad = np.count_nonzero(~np.isfinite(known))
    if not n_bad:
        return scores
    if n_bad == len(known):
        log.warning("None of the %d picks has a score that is a finite number: they are written without.", n_bad)
        return [None] * len(scores)
    log.warning(
        "%d of %d picks have no score that is a finite number: 0 is written as their figure of merit.",
        n_bad,
        len(known),
    )
    return [None if score is None else np.where(np.isfinite(score), score, np.float32(0)) for score in scores]


def _name_located(located: LocatedPicks, micrographs_star: Path | None) -> dict[str, int]:
    """Return the name of each micrograph with picks, in the order of the list."""
    if micrographs_star is None:
        return {path: index for index, path in enumerate(located.paths)}
    micrographs = read_micrographs(micrographs_star)
    names = [micrograph.name for micrograph in micrographs]
    found = MicrographFinder(located.uids, located.paths).find_all(names)
    if not found:
        raise InputError(
            f"None of the {len(located.paths)} micrographs with picks is listed in {micrographs_star}: "
            f"{located.paths[0]} is not there, {names[0]} is."
        )
    if len(found) < len(located.paths):
        used = set(found.values())
        first = next(path for index, path in enumerate(located.paths) if index not in used)
        log.warning(
            "%d of %d micrographs with picks are not listed in %s, their picks are left out; the first: %s.",
            len(located.paths) - len(found),
            len(located.paths),
            micrographs_star,
            first,
        )
    listed = {micrograph.name: micrograph.optics.pixel_size for micrograph in micrographs}
    stored = {name: located.pixel_sizes[index] for name, index in found.items()}
    compare_pixel_sizes({name: (listed[name], size) for name, size in stored.items() if size is not None})
    return found
