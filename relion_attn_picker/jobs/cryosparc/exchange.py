"""Going between CryoSPARC and RELION by files: micrographs in and picks out (picks in: ``importing``).

What this module does not do: it needs no CryoSPARC and talks to none (``jobs.cryosparc.job`` does). ``io.cryosparc*``
knows the columns and the geometry, ``relion`` the STAR files.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path

import numpy as np

from relion_attn_picker.errors import InputError
from relion_attn_picker.io.candidates import CandidateStore
from relion_attn_picker.io.cryosparc import write_cs
from relion_attn_picker.io.cryosparc_exposures import Exposure, Exposures, read_exposures
from relion_attn_picker.io.cryosparc_group import read_result, write_group
from relion_attn_picker.io.cryosparc_picks import (
    ExposurePicks,
    have_scores,
    make_pick_table,
    pick_slots,
    place_picks,
)
from relion_attn_picker.io.mrc import read_header
from relion_attn_picker.io.output_folder import make_folder
from relion_attn_picker.jobs.cryosparc.exposure_matching import check_shape, compare_pixel_sizes, find_exposure_indices
from relion_attn_picker.jobs.micrograph_list import find_project_dir, name_for_list, require_one
from relion_attn_picker.jobs.pick_evaluation import CANDIDATES_FILE
from relion_attn_picker.jobs.reference import check_pixel_size
from relion_attn_picker.jobs.saved_options import find_own_list, has_saved_options, read_saved_options
from relion_attn_picker.micrograph import Micrograph, pixel_sizes_contradict
from relion_attn_picker.relion.coordinates import Coordinates, open_coordinates
from relion_attn_picker.relion.job_files import write_particles
from relion_attn_picker.relion.micrographs import (
    USUAL_ABERRATION,
    USUAL_CONTRAST,
    USUAL_VOLTAGE,
    read_micrographs,
    write_micrographs,
)

log = logging.getLogger(__name__)

GROUP_NAME = "attnpick_picks"


def read_exposure_files(paths: Sequence[Path]) -> Exposures:
    """Read the micrographs of one output of CryoSPARC: its ``.csg``, or its ``.cs`` files."""
    return read_exposures(read_result(paths))


def list_exposures(exposures: Exposures, project_dir: Path | None, out: Path) -> list[Micrograph]:
    """Write the micrographs STAR file of exposures, after a look into the header of every one.

    Names are paths relative to the current folder, absolute for files outside it, as for all lists of this program.
    Files that cannot be read stay listed, with a warning: the job then tells what is wrong with each, and picks the
    others.

    Parameters
    ----------
    exposures
        See ``read_exposure_files``.
    project_dir
        CryoSPARC's project folder; ``None`` looks for it in the current folder and in the file's parents. Paths of an
        exported copy are relative to the copy.
    out
        The STAR file; its folder is made if absent.

    Raises
    ------
    InputError
        If no micrograph is there or can be read as a single image, or one has another shape than CryoSPARC says.
    """
    folder = find_exposure_folder(exposures, project_dir)
    _check_headers(exposures, folder)
    micrographs = [
        Micrograph(name_for_list(folder / exposure.path), exposure.optics, exposure.ctf) for exposure in exposures.items
    ]
    _warn_of_usual_optics(micrographs)
    make_folder(out.parent)
    write_micrographs(out, micrographs, [exposure.total_dose for exposure in exposures.items])
    return micrographs


def _warn_of_usual_optics(micrographs: Sequence[Micrograph]) -> None:
    """Tell what stands in the list because RELION needs something there, and CryoSPARC does not tell it."""
    optics = [micrograph.optics for micrograph in micrographs]
    known = {
        f"voltage ({USUAL_VOLTAGE:g} kV)": [each.voltage for each in optics],
        f"spherical aberration ({USUAL_ABERRATION:g} mm)": [each.spherical_aberration for each in optics],
        f"amplitude contrast ({USUAL_CONTRAST:g})": [each.amplitude_contrast for each in optics],
    }
    missing = [what for what, values in known.items() if None in values]
    if missing:
        log.warning(
            "CryoSPARC does not tell everything of %d of %d micrographs: the usual %s is written for them; add the "
            "passthrough .cs file that has it, or mend the list's optics table before a CTF is fitted.",
            sum(None in values for values in zip(*known.values(), strict=True)),
            len(micrographs),
            ", ".join(missing),
        )


def find_exposure_folder(exposures: Exposures, project_dir: Path | None) -> Path:
    """Return the folder that the paths of exposures are relative to.

    Raises
    ------
    InputError
        If none of the first micrographs is there.
    """
    names = [each.path for each in exposures.items]
    folder = project_dir
    if folder is None:
        folder = exposures.folder if exposures.is_exported else find_project_dir(exposures.folder / "any", names)
    advice = "give --project_dir, CryoSPARC's project folder as this machine sees it (with valid links to raw data)."
    require_one(folder, names, advice)
    return folder


def _check_headers(exposures: Exposures, folder: Path) -> None:
    """Compare the headers with what CryoSPARC says, and tell how many cannot be read."""
    contradictions: dict[tuple[float, float], Path] = {}
    unreadable: list[InputError] = []
    for exposure in exposures.items:
        path = folder / exposure.path
        try:
            header = read_header(path)
        except InputError as error:
            unreadable.append(error)
            continue
        check_shape(str(path), header.shape, exposure.shape)
        listed = exposure.optics.pixel_size
        if header.pixel_size is not None and pixel_sizes_contradict(header.pixel_size, listed):
            contradictions.setdefault((round(header.pixel_size, 3), round(listed, 3)), path)
    if len(unreadable) == len(exposures.items):
        raise unreadable[0]
    if unreadable:
        told = (
            "%d of %d micrographs cannot be read, and stay listed: a job tells why, and picks the others. The first: %s"
        )
        log.warning(told, len(unreadable), len(exposures.items), unreadable[0])
    for (stated, listed), path in contradictions.items():
        log.warning("%s: its header says %g Å per pixel, CryoSPARC %g; CryoSPARC is believed.", path, stated, listed)


@dataclass(frozen=True)
class ExportedPicks:
    """What ``export_picks`` wrote, and how many picks of how many micrographs; ``star`` is absent if names repeat.

    ``has_scores`` tells whether the picks have some, by which CryoSPARC can cut them.
    """

    table: Path
    group: Path
    star: Path | None
    n_picks: int
    n_micrographs: int
    has_scores: bool


def export_picks(
    picks: Path,
    exposures: Exposures,
    out: Path,
    *,
    min_distance: float | None = None,
    flip_y: bool = False,
    seed: int | None = None,
    title: str = "attnpick picks",
) -> ExportedPicks:
    """Write picks for CryoSPARC: a result group, and a STAR file for Import Particle Stack.

    Parameters
    ----------
    picks
        A picking job's folder, or any coordinates that ``relion.coordinates.open_coordinates`` reads.
    exposures
        CryoSPARC's list of the same micrographs.
    out
        Folder for the files; made if absent.
    min_distance
        Smallest distance between picks, Å, for the record; a job of this program knows its own.
    flip_y
        Count rows from the last one: for micrographs that CryoSPARC has mirrored.
    seed
        Of the uids; ``None`` gives new ones each time.
    title
        What CryoSPARC shows.

    Raises
    ------
    InputError
        If no micrograph is among the exposures, one fits several, shape or pixel size contradicts them, a pick lies
        outside or has no score among others, or an option cannot be meant.
    """
    if min_distance is not None and not 0 <= min_distance < math.inf:
        raise InputError(f"The smallest distance is {min_distance:g}: expected Å, 0 or more.")
    if seed is not None and seed < 0:
        raise InputError(f"The seed is {seed}: expected 0 or more.")
    coordinates = open_coordinates(picks, pixel_sizes=partial(_find_pixel_sizes, exposures))
    indices = _match_exposures(coordinates, exposures, picks)
    matched = {name: exposures.items[index] for name, index in indices.items()}
    check_pixel_size(coordinates, picks, {name: exposure.optics.pixel_size for name, exposure in matched.items()})
    settings = _compare_job(picks if picks.is_dir() else picks.parent, matched)
    entries = [_read_exposure_picks(coordinates, name, exposures.items[index]) for name, index in indices.items()]
    if exposures.is_exported:
        log.warning("The exposures are an exported copy: paths are written without its mark '>'; uids tell who is who.")
    distance = min_distance if min_distance is not None else settings
    table = make_pick_table(entries, np.random.default_rng(seed), min_distance=distance, flip_y=flip_y)
    make_folder(out)
    cs, csg = out / f"{GROUP_NAME}.cs", out / f"{GROUP_NAME}.csg"
    write_cs(cs, table)
    slots = pick_slots(table)
    write_group(csg, cs.name, slots, len(table), title=title, version=exposures.version, created=datetime.now())
    star = _write_star(out / f"{GROUP_NAME}.star", entries, flip_y)
    return ExportedPicks(cs, csg, star, len(table), len(entries), "pick_stats" in slots)


def _find_pixel_sizes(exposures: Exposures, names: Sequence[str]) -> dict[str, float]:
    """Return the Å per pixel of those of the names that are among the exposures."""
    found = find_exposure_indices(names, exposures)
    return {name: exposures.items[index].optics.pixel_size for name, index in found.items()}


def _match_exposures(coordinates: Coordinates, exposures: Exposures, picks: Path) -> dict[str, int]:
    """Return the exposure of each micrograph that has one; warn of the others."""
    names = coordinates.micrograph_names
    if names is None:
        if len(exposures.items) == 1:
            return {exposures.items[0].path: 0}
        raise InputError(f"{picks} holds the coordinates of one micrograph without its name: give the job's folder.")
    found = find_exposure_indices(names, exposures)
    missing = [name for name in names if name not in found]
    if not found:
        raise InputError(
            f"None of the {len(names)} micrographs of {picks} is among the {len(exposures.items)} exposures: "
            f"{missing[0]} is not there, {exposures.items[0].path} is; give the exposures that the picks were made on."
        )
    if missing:
        log.warning(
            "%d of %d micrographs are not among the exposures, their picks are left out; the first: %s.",
            len(missing),
            len(names),
            missing[0],
        )
    return found


def _read_exposure_picks(coordinates: Coordinates, name: str, exposure: Exposure) -> ExposurePicks:
    table = coordinates.read(name)
    if table is None:
        return ExposurePicks(exposure, np.zeros((0, 2), dtype=np.float32), np.zeros(0, dtype=np.float32))
    return ExposurePicks(exposure, table.yx, table.score)


def _compare_job(folder: Path, exposures: dict[str, Exposure]) -> float | None:
    """Compare what a job of this program knows of its micrographs with CryoSPARC; return its smallest distance in Å."""
    if not has_saved_options(folder):
        return None
    saved = read_saved_options(folder)
    store = CandidateStore(folder / CANDIDATES_FILE)
    for name, exposure in exposures.items():
        known = store.summary(name)
        if known is not None and known.image_shape != exposure.shape:
            raise InputError(
                f"{name} had {known.image_shape[1]}×{known.image_shape[0]} pixels when it was picked, but the "
                f"exposure {exposure.path} has {exposure.shape[1]}×{exposure.shape[0]}: they are different files."
            )
    own_list = find_own_list(folder, saved)
    if own_list is not None:
        micrographs = read_micrographs(own_list, saved.pixel_size)
        listed = {micrograph.name: micrograph.optics.pixel_size for micrograph in micrographs}
        compare_pixel_sizes(
            {name: (listed[name], exposures[name].optics.pixel_size) for name in exposures if name in listed}
        )
    return saved.options.min_distance_or_default


def _write_star(path: Path, entries: Sequence[ExposurePicks], flip_y: bool) -> Path | None:
    """Write the STAR file, in which micrographs have their file names only; without it, where names repeat."""
    names = [Path(entry.exposure.path).name for entry in entries]
    if len(set(names)) < len(names):
        path.unlink(missing_ok=True)
        log.warning("Micrographs in different folders have the same file name: no STAR file, use the result group.")
        return None
    has_scores = have_scores(entries)
    points = (
        (name, place_picks(entry, flip_y), entry.score if has_scores else None)
        for name, entry in zip(names, entries, strict=True)
    )
    write_particles(path, points, has_scores=has_scores)
    return path
