"""Scoring a job's candidates, or any two files of coordinates, against each other.

What this module does not do: it computes no figure itself; ``evaluation`` does.
"""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from relion_attn_picker.errors import InputError
from relion_attn_picker.evaluation.evaluate import (
    ALL_CANDIDATES,
    EvaluatedMicrograph,
    Evaluation,
    RejectedCount,
    evaluate_picks,
)
from relion_attn_picker.evaluation.matching import lie_beside
from relion_attn_picker.evaluation.pixels import PixelCounts, draw_discs
from relion_attn_picker.inference.operating_point import OperatingPoint
from relion_attn_picker.inference.rejection import reason_name
from relion_attn_picker.io.candidates import CandidateRecord, CandidateStore
from relion_attn_picker.io.hdf5 import read_probability_map
from relion_attn_picker.io.mrc import read_header
from relion_attn_picker.jobs.micrograph_list import find_project_dir
from relion_attn_picker.jobs.reference import (
    Reference,
    check_named,
    check_overlap,
    check_pixel_size,
    open_reference,
)
from relion_attn_picker.jobs.saved_options import SavedOptions, find_own_list, has_saved_options, read_saved_options
from relion_attn_picker.options import PickOptions, check_threshold
from relion_attn_picker.picks import JUNK, FloatArray, is_junk
from relion_attn_picker.relion.coordinates import Coordinates, open_coordinates
from relion_attn_picker.relion.labels import INDEX_FILE, PICKNAME, SUFFIX_FILE
from relion_attn_picker.relion.micrographs import read_micrographs
from relion_attn_picker.relion.paths import coordinate_name

log = logging.getLogger(__name__)

BOOTSTRAP_SEED = 1
CANDIDATES_FILE = "candidates.jsonl"
SINGLE = "the micrograph"
OWN_SCORE = "own score"
"""Name of the detail that keeps a network's score where figures of merit stand in its place."""


@dataclass(frozen=True)
class JobResults:
    """What a picking job left for its evaluation.

    Parameters
    ----------
    store
        All candidates.
    point
        The job's operating point.
    options
        The job's: what they leave out (border, junk, more than the most picks of a micrograph) is no pick.
    pixel_sizes
        Name of each picked micrograph → Å per pixel.
    map_paths
        Name → probability map, where maps were kept; otherwise empty.
    """

    store: CandidateStore
    point: OperatingPoint
    options: PickOptions
    pixel_sizes: Mapping[str, float]
    map_paths: Mapping[str, Path]


def evaluate_job(results: JobResults, reference: Reference, particle_diameter: float) -> Evaluation:
    """Score all candidates of a job against reference coordinates, at the job's threshold.

    Micrographs that the reference does not list are left out, and it is said how many.

    Raises
    ------
    InputError
        If the reference lists none of the job's micrographs.
    """
    point, options = results.point, results.options
    pixels = PixelCounts(_map_threshold(point)) if results.map_paths else None
    rejected: Counter[tuple[str, bool]] = Counter()
    check_named(reference.true, len(results.pixel_sizes), "The reference coordinates")
    truths = {name: table for name in results.pixel_sizes if (table := reference.true.read(name)) is not None}
    check_overlap(len(truths), len(results.pixel_sizes), "the reference coordinates")

    def evaluated() -> Iterator[EvaluatedMicrograph]:
        for name, true in truths.items():
            record, pixel_size = results.store.read(name), results.pixel_sizes[name]
            if record is None:
                continue
            merit = point.judge(record.score, record.details)
            record = replace(record, details={**record.details, OWN_SCORE: record.score}).with_scores(merit)
            record = record.inside((options.border or 0.0) / pixel_size)
            if options.reject_junk:
                rejected.update(_tally_rejected(record, point, true.yx, particle_diameter / 2 / pixel_size))
                record = record.without_junk()
            record = record.first(options.max_picks)
            if pixels is not None:
                _count_pixels(pixels, results.map_paths[name], true.yx, pixel_size, particle_diameter)
            raw_score = None if point.curve is None else record.details[OWN_SCORE]
            ignored = reference.read_ignored(name)
            yield EvaluatedMicrograph(
                name, record.yx, record.score, true.yx, pixel_size, record.image_shape, raw_score, ignored
            )

    rng = np.random.default_rng(BOOTSTRAP_SEED)
    evaluation = evaluate_picks(evaluated(), particle_diameter, rng, threshold=point.threshold, pixels=pixels)
    evaluation = replace(evaluation, rejected=_sum_rejected(rejected))
    if point.expected is None or math.isnan(point.expected.precision):
        return evaluation
    return replace(evaluation, expected=(point.expected.precision, point.expected.recall))


def _tally_rejected(
    record: CandidateRecord, point: OperatingPoint, true_yx: FloatArray, radius: float
) -> Counter[tuple[str, bool]]:
    """Count rejected candidates that reach the threshold, by reason and by whether a particle is within the radius.

    The scores of the record are the figures of merit.
    """
    reaches = is_junk(record.score, record.details) & (record.score >= point.threshold)
    if not reaches.any():
        return Counter()
    on_particle = lie_beside(record.yx[reaches], true_yx, radius)
    return Counter(zip(map(reason_name, record.details[JUNK][reaches]), on_particle.tolist(), strict=True))


def _sum_rejected(tally: Counter[tuple[str, bool]]) -> tuple[RejectedCount, ...]:
    reasons = sorted({reason for reason, _ in tally})
    return tuple(
        RejectedCount(reason, tally[reason, False] + tally[reason, True], tally[reason, True]) for reason in reasons
    )


def _map_threshold(point: OperatingPoint) -> float:
    """Return the value of a probability map that the threshold on figures of merit means."""
    if point.curve is None:
        return point.threshold
    return float(np.interp(point.threshold, point.curve.value, point.curve.score))


def _count_pixels(
    pixels: PixelCounts, map_path: Path, true_yx: FloatArray, pixel_size: float, particle_diameter: float
) -> None:
    probability_map = read_probability_map(map_path)
    to_map = pixel_size / probability_map.pixel_size
    radius = particle_diameter / 2 / probability_map.pixel_size
    height, width = probability_map.values.shape
    pixels.add(probability_map.values, draw_discs((height, width), true_yx * to_map, radius))


def evaluate_files(
    picks: Path,
    truth: Path,
    particle_diameter: float,
    *,
    pixel_size: float | None = None,
    micrographs_star: Path | None = None,
    threshold: float | None = None,
    last: int | None = None,
) -> Evaluation:
    """Score the coordinates in ``picks`` against those in ``truth``.

    Parameters
    ----------
    picks, truth
        Anything that ``relion.coordinates.open_coordinates`` reads. If ``picks`` is a job of this program (its folder,
        or its list of coordinates), its candidates below the threshold are used too, and its maps if it kept them; of
        any file in its folder, its own micrographs STAR file and the pixel size that it was given.
    particle_diameter
        Å.
    pixel_size, micrographs_star
        Å per pixel of all micrographs, and the file that has it for each; only micrographs of that file count.
    threshold
        Operating point; by default the job's, or all picks. Scores of other programs may lie outside 0 to 1, and so
        may their threshold.
    last
        Only the last so many micrographs of the list count: those that ``attnpick train --hold_out`` keeps out.

    Raises
    ------
    InputError
        If no pixel size is known, or a file tells another, ``last`` is given without a list, the threshold is
        impossible, both files have no micrograph in common, or none with the list, or one is of a single unnamed
        micrograph and the other of several.
    """
    folder = picks if picks.is_dir() else picks.parent
    saved = read_saved_options(folder) if has_saved_options(folder) else None
    _check_threshold(threshold, is_own=saved is not None)
    if saved is not None:
        pixel_size = saved.pixel_size if pixel_size is None else pixel_size
        micrographs_star = micrographs_star or _find_list(folder, saved, pixel_size)
    if last is not None and (last < 1 or micrographs_star is None):
        raise InputError(f"--last {last} needs a list of micrographs and a number of 1 or more: give --micrographs.")
    listed = None if micrographs_star is None else _read_pixel_sizes(micrographs_star, pixel_size, last)
    project_dir = Path() if micrographs_star is None or not listed else find_project_dir(micrographs_star, list(listed))
    reference = open_reference(truth, project_dir, listed)
    is_job = picks == folder or picks.name in (INDEX_FILE, SUFFIX_FILE)
    if is_job and saved is not None and listed is not None and (folder / CANDIDATES_FILE).exists():
        point = saved.point if threshold is None else replace(saved.point, threshold=threshold, expected=None)
        results = read_job_results(folder, listed, point, saved.options)
        _check_picked(results, folder, listed, micrographs_star)
        return evaluate_job(results, reference, particle_diameter)
    if is_job and saved is not None and listed is None:
        log.warning(
            "The job's list %s is not here: the candidates below its threshold are not used; give --micrographs.",
            saved.micrographs,
        )
    found = open_coordinates(picks, project_dir, listed)
    _check_pixel_sizes({picks: found, truth: reference.true}, listed, pixel_size)
    return _evaluate_coordinates(found, reference, particle_diameter, listed, pixel_size, threshold, project_dir)


def _check_threshold(threshold: float | None, *, is_own: bool) -> None:
    """Refuse a threshold, if one is given, that no score of this program (``is_own``), or of any, compares with."""
    if threshold is None:
        return
    if is_own:
        check_threshold(threshold)
    elif math.isnan(threshold):
        raise InputError("The threshold is nan: expected a number that scores can be compared with.")


def _check_pixel_sizes(
    files: Mapping[Path, Coordinates], listed: Mapping[str, float] | None, pixel_size: float | None
) -> None:
    """Refuse coordinates whose file tells another pixel size than the list, or without one than ``pixel_size``."""
    for path, coordinates in files.items():
        sizes = listed
        if sizes is None:
            sizes = {} if pixel_size is None else dict.fromkeys(coordinates.micrograph_names or (), pixel_size)
        check_pixel_size(coordinates, path, sizes)


def _find_list(folder: Path, saved: SavedOptions, pixel_size: float | None) -> Path | None:
    """Return the list of micrographs that a job picked; ``None`` if it is gone, and a pixel size is known without."""
    path = find_own_list(folder, saved)
    if path is None and pixel_size is None:
        raise InputError(f"The job's list {saved.micrographs} is not here: give --micrographs or --pixel_size.")
    return path


def _read_pixel_sizes(path: Path, pixel_size: float | None, last: int | None) -> dict[str, float]:
    micrographs = read_micrographs(path, pixel_size)
    return {micrograph.name: micrograph.optics.pixel_size for micrograph in micrographs[-(last or 0) :]}


def map_path(coordinate_path: Path) -> Path:
    """Return the path of the probability map beside a coordinate file."""
    return coordinate_path.with_name(coordinate_path.name.removesuffix("_autopick.star") + "_probability.h5")


def read_job_results(
    folder: Path, listed: Mapping[str, float], point: OperatingPoint, options: PickOptions
) -> JobResults:
    """Return what the job in ``folder`` left of the micrographs in ``listed`` (name → Å per pixel)."""
    store = CandidateStore(folder / CANDIDATES_FILE)
    done = {name: pixel_size for name, pixel_size in listed.items() if name in store}
    maps = {name: map_path(folder / coordinate_name(name, PICKNAME).lstrip("/")) for name in done}
    kept = all(path.exists() for path in maps.values())
    return JobResults(store, point, options, done, maps if kept else {})


def _check_picked(results: JobResults, folder: Path, listed: Mapping[str, float], star: Path | None) -> None:
    """Refuse a list of which the job picked nothing, and tell how much of it the job did not pick."""
    total, n_missing = len(listed), len(listed) - len(results.pixel_sizes)
    if not results.pixel_sizes:
        picked = next(iter(results.store.names()), "none at all")
        raise InputError(
            f"None of the {total} micrographs of {star} was picked by {folder}, which picked {picked}, where the list "
            f"has {next(iter(listed))}: names must be equal to the letter, folders included."
        )
    if n_missing:
        log.warning(
            "%d of %d micrographs of %s were not picked by %s and are left out.", n_missing, total, star, folder
        )


def _evaluate_coordinates(
    picks: Coordinates,
    reference: Reference,
    particle_diameter: float,
    listed: Mapping[str, float] | None,
    pixel_size: float | None,
    threshold: float | None,
    project_dir: Path,
) -> Evaluation:
    names: Sequence[str] = reference.true.micrograph_names or picks.micrograph_names or [SINGLE]
    if listed is not None and names != [SINGLE]:
        names = [name for name in names if name in listed]
        what = "the picks" if reference.true.micrograph_names is None else "the reference coordinates"
        check_overlap(len(names), len(listed), what, warn=False)
    check_named(picks, len(names), "The picks")
    check_named(reference.true, len(names), "The reference coordinates")
    pairs = [(name, picks.read(name), reference.true.read(name)) for name in names]
    common = [(name, found, true) for name, found, true in pairs if found is not None and true is not None]
    check_overlap(len(common), len(names), "the picks")
    _warn_of_unmatched(picks, reference.true, names, len(common), listed)
    micrographs = []
    shapes = _read_shapes([name for name, _, _ in common], project_dir)
    sizes = listed or {}
    if names == [SINGLE] and len(sizes) == 1:
        sizes = dict.fromkeys(names, *sizes.values())
    for name, found, true in common:
        size = sizes.get(name, None if listed and names != [SINGLE] else pixel_size)
        if size is None:
            raise InputError(
                f"The pixel size of {name} is not known: give --pixel_size, or --micrographs with its list."
            )
        score = np.ones(len(found.yx), dtype=np.float32) if found.score is None else found.score
        micrographs.append(
            EvaluatedMicrograph(
                name, found.yx, score, true.yx, size, shapes.get(name), ignored_yx=reference.read_ignored(name)
            )
        )
    rng = np.random.default_rng(BOOTSTRAP_SEED)
    return evaluate_picks(
        micrographs, particle_diameter, rng, threshold=ALL_CANDIDATES if threshold is None else threshold
    )


def _warn_of_unmatched(
    picks: Coordinates, true: Coordinates, names: Sequence[str], n_common: int, listed: Mapping[str, float] | None
) -> None:
    """Tell what is not scored: a list of coordinates may leave out micrographs that have none."""
    if n_common < len(names):
        log.warning("If they were picked and nothing was found, the recall is lower than what is told.")
    if true.micrograph_names is None:
        return
    picked = {name for name in picks.micrograph_names or () if listed is None or name in listed}
    tables = [picks.read(name) for name in sorted(picked - set(true.micrograph_names))]
    n_picks = sum(len(table.yx) for table in tables if table is not None)
    if n_picks:
        log.warning(
            "%d picks on %d micrographs that the reference coordinates do not list are not scored; if there is no "
            "particle, they are wrong, and the precision is lower than what is told.",
            n_picks,
            len(tables),
        )


def _read_shapes(names: Sequence[str], project_dir: Path) -> dict[str, tuple[int, int]]:
    """Return ``(h, w)`` of those micrographs whose images are here."""
    shapes = {}
    for name in names:
        try:
            shapes[name] = read_header(project_dir / name).shape
        except InputError as error:  # the picks can be scored without their images
            log.debug("%s", error)
    return shapes
