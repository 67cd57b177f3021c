"""Cutting a picking job's candidates anew, in its place or into a new job: another cut or border, no image read.

A new job has everything that a picking job has, its candidates included, and can be cut in its turn.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from relion_attn_picker.errors import InputError, JobAborted
from relion_attn_picker.inference.operating_point import OperatingPoint, choose_point, first_point
from relion_attn_picker.io.candidates import CandidateStore
from relion_attn_picker.io.folder_lock import hold_folder
from relion_attn_picker.jobs.job_lists import write_lists
from relion_attn_picker.jobs.job_settings import JobSettings
from relion_attn_picker.jobs.pick_evaluation import (
    CANDIDATES_FILE,
    JobResults,
    evaluate_job,
)
from relion_attn_picker.jobs.picking_job import (
    FAILED_FILE,
    MicrographResult,
    describe_record,
    gather_scores,
    write_selection,
)
from relion_attn_picker.jobs.picking_request import JobSummary
from relion_attn_picker.jobs.reference import open_reference_of
from relion_attn_picker.jobs.saved_options import (
    OPTIONS_FILE,
    SavedOptions,
    has_saved_options,
    read_saved_options,
    write_saved_options,
)
from relion_attn_picker.micrograph import Micrograph
from relion_attn_picker.options import PickOptions
from relion_attn_picker.pipeline import score_floor
from relion_attn_picker.relion.job import JobDirectory
from relion_attn_picker.relion.job_files import read_failures
from relion_attn_picker.relion.micrographs import read_micrographs
from relion_attn_picker.report.evaluation import write_evaluation

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class EarlierJob:
    """A picking job to cut anew: its folder, what was saved of its options, and its list of micrographs."""

    folder: Path
    saved: SavedOptions
    micrographs: Sequence[Micrograph]

    @property
    def options(self) -> PickOptions:
        """What counted as a pick."""
        return self.saved.options

    def options_with(self, changes: Mapping[str, Any]) -> PickOptions:
        """Return the options with some of them changed: a new way to cut takes the place of the earlier one.

        Raises
        ------
        InputError
            If they cannot be meant, or need calibrated scores or candidates that this job has not.
        """
        cuts = ("threshold", "mode", "target_precision", "target_recall", "count_per_micrograph")
        kept = asdict(self.saved.options)
        if any(name in changes for name in cuts):
            kept = {name: value for name, value in kept.items() if name not in cuts} | {"fit_threshold": True}
        options = PickOptions(**kept | dict(changes))
        point = first_point(self.own_threshold, options, self.point.curve)
        lowest = float(self.point.merit(np.array([self.lowest_score], dtype=np.float32))[0])
        if options.threshold is not None and point.threshold < lowest:
            raise InputError(
                f"The threshold is {point.threshold:g}, but {self.folder} kept no candidates below {lowest:.2g}: "
                "pick again with the lower threshold."
            )
        return options

    @property
    def point(self) -> OperatingPoint:
        """The operating point that it came to."""
        return self.saved.point

    @property
    def own_threshold(self) -> float:
        """The threshold of its weights, on their scores."""
        return self.saved.own_threshold

    @property
    def picker(self) -> str:
        """What picked, in words for the user."""
        return self.saved.picker

    @property
    def lowest_score(self) -> float:
        """Candidates reach down to this score."""
        saved = self.saved
        return score_floor(saved.options) if saved.lowest_score is None else saved.lowest_score


def open_earlier_job(path: Path, pixel_size: float | None = None) -> EarlierJob:
    """Return the picking job that ``path``, its folder or one of its lists of coordinates, belongs to.

    ``pixel_size`` is Å per pixel of all micrographs, instead of what the job was given or their list says.

    Raises
    ------
    InputError
        If it is no picking job of this program, what it saved is damaged, or its list of micrographs is gone.
    """
    folder = path if path.is_dir() else path.parent
    if not has_saved_options(folder) or not (folder / CANDIDATES_FILE).is_file():
        raise InputError(
            f"{path} does not belong to a picking job of attnpick: its folder has no {OPTIONS_FILE} and "
            f"{CANDIDATES_FILE}; give the autopick.star or coords_suffix_autopick.star of one."
        )
    saved = read_saved_options(folder)
    if pixel_size is not None:
        saved = replace(saved, pixel_size=pixel_size)
    _check_current_folder(Path(saved.micrographs), folder)
    return EarlierJob(folder, saved, read_micrographs(Path(saved.micrographs), saved.pixel_size))


def _check_current_folder(micrographs_star: Path, folder: Path) -> None:
    """Refuse to cut a job from another folder than it was run in: all names in its lists are relative to that one."""
    if micrographs_star.exists():
        return
    for place in folder.absolute().parents:
        if (place / micrographs_star).is_file():
            raise InputError(
                f"{folder} was picked in the folder {place}, which its list {micrographs_star} and the names in it are "
                "relative to: go there and give the same command."
            )


@dataclass(frozen=True, kw_only=True)
class SelectionRequest:
    """What to cut anew, by which ``options``; ``reference`` coordinates to evaluate against, if any."""

    earlier: EarlierJob
    options: PickOptions
    reference: Path | None = None
    command: str = ""


def run_selection_job(
    job: JobDirectory,
    request: SelectionRequest,
    report: Callable[[int, MicrographResult], None],
    should_stop: Callable[[], bool],
) -> JobSummary:
    """Write the picks among an earlier job's candidates into ``job``, and the job's own files.

    Parameters
    ----------
    job
        The new job's folder, or the earlier job's own.
    request
        See ``SelectionRequest``.
    report, should_stop
        As for ``picking_session.run_picking_job``.

    Raises
    ------
    InputError
        If there are no candidates, or another process is at work in the folder.
    JobAborted
        If ``should_stop()`` was true; of a job that is cut in its place, what was not reached stays as it was.
    """
    with hold_folder(job.path):
        return _run_held_job(job, request, report, should_stop)


def _run_held_job(
    job: JobDirectory,
    request: SelectionRequest,
    report: Callable[[int, MicrographResult], None],
    should_stop: Callable[[], bool],
) -> JobSummary:
    earlier = request.earlier
    candidates = CandidateStore(earlier.folder / CANDIDATES_FILE)
    point = _choose_point(request, candidates)
    sizes = {micrograph.name: micrograph.optics.pixel_size for micrograph in earlier.micrographs}
    reference = None
    if request.reference is not None:
        reference = open_reference_of(request.reference, Path(), sizes)
    paths = dict(zip(sizes, job.coordinate_paths(list(sizes)), strict=True))
    store = _store_of(job, earlier, candidates)
    failed = _failed_results(earlier, candidates)
    _save_settings(job, request, point)
    results: list[MicrographResult] = []
    try:
        for result in _select_all(request, point, candidates, store, paths, should_stop):
            results.append(result)
            report(len(results), result)
    finally:
        listed = [*results, *_results_not_reached(earlier, store, results, paths), *failed]
        write_lists(job, earlier.saved.micrographs, lambda micrograph: paths[micrograph.name], listed)
    if not results:
        raise InputError(f"{earlier.folder} has no candidates of the micrographs in {earlier.saved.micrographs}.")
    if len(results) < len(sizes):
        log.warning("%d micrographs were not picked by %s and are left out.", len(sizes) - len(results), earlier.folder)
    evaluation = None
    if reference is not None:
        done = {result.micrograph.name: sizes[result.micrograph.name] for result in results}
        job_results = JobResults(store, point, request.options, done, {})
        evaluation = evaluate_job(job_results, reference, request.options.particle_diameter)
        write_evaluation(job.path, evaluation)
    computed_in = earlier.saved.computed_in or ""
    return JobSummary(results, request.options, point, evaluation, earlier.picker, computed_in=computed_in)


def _results_not_reached(
    earlier: EarlierJob, store: CandidateStore, results: Sequence[MicrographResult], paths: Mapping[str, Path]
) -> list[MicrographResult]:
    """Return what the job had picked where the selection, in its place, was stopped: that must not unlist it."""
    reached = {result.micrograph.name for result in results}
    records = [(each, store.read(each.name)) for each in earlier.micrographs if each.name not in reached]
    return [
        describe_record(micrograph, record, earlier.options, earlier.point)
        for micrograph, record in records
        if record is not None and paths[micrograph.name].exists()
    ]


def _failed_results(earlier: EarlierJob, candidates: CandidateStore) -> list[MicrographResult]:
    """Return the micrographs that the earlier job could not pick, with its reasons, to be listed again."""
    reasons = read_failures(earlier.folder / FAILED_FILE)
    failed = (each for each in earlier.micrographs if each.name in reasons and each.name not in candidates)
    return [MicrographResult(micrograph, reason=reasons[micrograph.name]) for micrograph in failed]


def _choose_point(request: SelectionRequest, candidates: CandidateStore) -> OperatingPoint:
    """Return the cut that is asked for."""
    earlier = request.earlier
    is_needed = request.options.depends_on_data_set or earlier.point.curve is not None
    scores = gather_scores(candidates, earlier.micrographs if is_needed else (), request.options)
    return choose_point(scores, earlier.own_threshold, request.options, earlier.point.curve, earlier.saved.sure_scores)


def _store_of(job: JobDirectory, earlier: EarlierJob, candidates: CandidateStore) -> CandidateStore:
    """Return where the selection is noted: the job's own candidates, or an empty store of a new job."""
    if job.path.resolve() == earlier.folder.resolve():
        return candidates
    (job.path / CANDIDATES_FILE).unlink(missing_ok=True)
    return CandidateStore(job.path / CANDIDATES_FILE)


def _select_all(
    request: SelectionRequest,
    point: OperatingPoint,
    candidates: CandidateStore,
    store: CandidateStore,
    paths: dict[str, Path],
    should_stop: Callable[[], bool],
) -> Iterator[MicrographResult]:
    """Cut one micrograph after the other, those that the earlier job has candidates of."""
    earlier = request.earlier
    settings = JobSettings(request.options, earlier.saved.weights_sha256, earlier.saved.precision, point=point)
    for micrograph in earlier.micrographs:
        if should_stop():
            raise JobAborted("The job was asked to stop.")
        record = candidates.read(micrograph.name)
        if record is None:
            continue
        record = replace(record, selected_with=settings.selected_with())
        record = write_selection(paths[micrograph.name], micrograph, record, request.options, point)
        (store.note_selection if store is candidates else store.append)(record)
        yield describe_record(micrograph, record, request.options, point)


def _save_settings(job: JobDirectory, request: SelectionRequest, point: OperatingPoint) -> None:
    """Save what makes the results reproducible: the earlier job's settings, with what was changed."""
    earlier = request.earlier
    saved = replace(
        earlier.saved,
        command=request.command,
        point=point,
        options=request.options,
        lowest_score=earlier.lowest_score,
        selected_from=str(earlier.folder),
    )
    write_saved_options(job.path, saved)
