"""Cutting a picking job's candidates anew, in its place or into a new job: another cut or border, no image read but
the few that the logfile shows.

A new job has everything that a picking job has, its candidates included, and can be cut in its turn.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from relion_attn_picker.errors import InputError, JobAborted, abort_if
from relion_attn_picker.inference.operating_point import DataSetScores, OperatingPoint
from relion_attn_picker.io.candidates import CandidateStore
from relion_attn_picker.io.folder_lock import hold_folder
from relion_attn_picker.jobs.micrograph_list import find_project_dir
from relion_attn_picker.jobs.pick_evaluation import CANDIDATES_FILE, JobResults, evaluate_job
from relion_attn_picker.jobs.picking.earlier_job import EarlierJob
from relion_attn_picker.jobs.picking.job import (
    FAILED_FILE,
    MicrographResult,
    describe_record,
    write_selection,
)
from relion_attn_picker.jobs.picking.lists import write_lists
from relion_attn_picker.jobs.picking.logfile import write_job_logfile
from relion_attn_picker.jobs.picking.request import JobSummary
from relion_attn_picker.jobs.picking.scores import FittedScores, gather_scores
from relion_attn_picker.jobs.picking.settings import JobSettings
from relion_attn_picker.jobs.reference import open_reference_of
from relion_attn_picker.jobs.saved_options import (
    has_saved_options,
    read_saved_options,
    write_saved_options,
)
from relion_attn_picker.micrograph import Micrograph
from relion_attn_picker.options import PickOptions
from relion_attn_picker.relion.job import JobDirectory
from relion_attn_picker.relion.job_files import read_failures
from relion_attn_picker.report.evaluation import write_evaluation

log = logging.getLogger(__name__)


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
        As for ``jobs.picking.session.run_picking_job``.

    Raises
    ------
    InputError
        If there are no candidates, or another process is at work in the folder.
    JobAborted
        If ``should_stop()`` was true; a job that is cut in its place then stays as it was.
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
    candidates = _open_candidates(earlier)
    scores = _gather_scores(request, candidates)
    fitted = FittedScores(scores, earlier.point.likeness, earlier.point.curve, earlier.saved.sure_scores)
    point = fitted.choose_point(earlier.own_threshold, request.options)
    sizes = {micrograph.name: micrograph.optics.pixel_size for micrograph in earlier.micrographs}
    reference = None if request.reference is None else open_reference_of(request.reference, Path(), sizes)
    paths = dict(zip(sizes, job.coordinate_paths(list(sizes)), strict=True))
    is_in_place = job.path.resolve() == earlier.folder.resolve()
    store = candidates if is_in_place else _empty_store(job)
    results = _cut_all(job, request, _Cut(earlier, candidates, store, paths), point, report, should_stop)
    if len(results) < len(sizes):
        log.warning("%d micrographs were not picked by %s and are left out.", len(sizes) - len(results), earlier.folder)
    project_dir = find_project_dir(Path(earlier.saved.micrographs), list(sizes))
    write_job_logfile(job, results, store, request.options, point, project_dir, scores.score)
    evaluation = None
    if reference is not None:
        done = {result.micrograph.name: sizes[result.micrograph.name] for result in results}
        job_results = JobResults(store, point, request.options, done, {})
        evaluation = evaluate_job(job_results, reference, request.options.particle_diameter)
        write_evaluation(job.path, evaluation)
    computed_in = earlier.saved.computed_in or ""
    return JobSummary(results, request.options, point, evaluation, earlier.picker, computed_in=computed_in)


def _open_candidates(earlier: EarlierJob) -> CandidateStore:
    """Return an earlier job's candidates.

    Raises
    ------
    InputError
        If it has none on the micrographs of its list.
    """
    candidates = CandidateStore(earlier.folder / CANDIDATES_FILE)
    if not any(micrograph.name in candidates for micrograph in earlier.micrographs):
        raise InputError(
            f"{earlier.folder} has no candidates of the micrographs in {earlier.saved.micrographs}: give the job that "
            "picked them, or pick again."
        )
    _warn_of_mixed_candidates(earlier, candidates)
    return candidates


def _cut_all(
    job: JobDirectory,
    request: SelectionRequest,
    cut: _Cut,
    point: OperatingPoint,
    report: Callable[[int, MicrographResult], None],
    should_stop: Callable[[], bool],
) -> list[MicrographResult]:
    """Cut all micrographs, save the settings and write the job's lists, also where it is stopped; return the results.

    Raises
    ------
    JobAborted
        As soon as ``should_stop()`` is true; what was cut in the earlier job's place is then put back.
    """
    earlier = request.earlier
    failed = _failed_results(earlier, cut.candidates)
    if not cut.is_in_place:
        _save_settings(job, request, point)
    results: list[MicrographResult] = []
    try:
        for result in cut.all(request.options, point, should_stop):
            results.append(result)
            report(len(results), result)
        if cut.is_in_place:
            _save_settings(job, request, point)
    except JobAborted:
        if cut.is_in_place:
            cut.put_back()
            results.clear()
        raise
    finally:
        listed = [*results, *_results_not_reached(earlier, cut.store, results, cut.paths), *failed]
        write_lists(job, earlier.saved.micrographs, lambda micrograph: cut.paths[micrograph.name], listed)
    return results


def _warn_of_mixed_candidates(earlier: EarlierJob, candidates: CandidateStore) -> None:
    """Tell of a job that was stopped while it picked all again: no single cut belongs to candidates of two settings."""
    known = ((each.optics.index, candidates.summary(each.name)) for each in earlier.micrographs)
    settings = {(group, summary.found_with) for group, summary in known if summary is not None}
    if len(settings) > len({group for group, _ in settings}):
        log.warning(
            "%s was stopped while its micrographs were picked again with other settings or weights: some of its "
            "candidates are of the earlier ones; continue it before it is cut.",
            earlier.folder,
        )


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


def _gather_scores(request: SelectionRequest, candidates: CandidateStore) -> DataSetScores:
    """Return the scores that the cut depends on, and that the logfile shows; none where they are not asked for."""
    earlier = request.earlier
    is_needed = request.options.depends_on_data_set or earlier.point.curve is not None
    micrographs = earlier.micrographs if is_needed else ()
    return gather_scores(candidates, micrographs, request.options, earlier.point.likeness)


def _empty_store(job: JobDirectory) -> CandidateStore:
    """Return where the selection of a new job is noted, without what an earlier run of it left.

    RELION 3.1 extracts by the coordinate files in the folder, whether they are listed or not.

    Raises
    ------
    InputError
        If the folder is a picking job's own: its candidates would be lost.
    """
    if has_saved_options(job.path) and not _is_selection(job.path):
        raise InputError(
            f"{job.name} holds a picking job, whose candidates would be lost: give the selection another folder."
        )
    path = job.path / CANDIDATES_FILE
    for name in CandidateStore(path).names():
        job.coordinate_paths([name])[0].unlink(missing_ok=True)
    path.unlink(missing_ok=True)
    return CandidateStore(path)


def _is_selection(folder: Path) -> bool:
    """Tell whether a job's candidates are another's; a picking job that was cut in its place has its own."""
    source = read_saved_options(folder).selected_from
    return source is not None and Path(source).resolve() != folder.resolve()


@dataclass(frozen=True)
class _Cut:
    """Cuts the micrographs of an earlier job that it has candidates of.

    ``store`` is where the selection is noted: the ``candidates`` where the job is cut in its place; ``paths``
    has the coordinate file of each micrograph.
    """

    earlier: EarlierJob
    candidates: CandidateStore
    store: CandidateStore
    paths: Mapping[str, Path]

    @property
    def is_in_place(self) -> bool:
        """Whether the earlier job is cut in its own folder."""
        return self.store is self.candidates

    def all(
        self, options: PickOptions, point: OperatingPoint, should_stop: Callable[[], bool]
    ) -> Iterator[MicrographResult]:
        """Cut one micrograph after the other.

        Raises
        ------
        JobAborted
            As soon as ``should_stop()`` is true.
        """
        for micrograph in self.earlier.micrographs:
            abort_if(should_stop)
            if (result := self._one(micrograph, options, point)) is not None:
                yield result

    def put_back(self) -> None:
        """Cut as the earlier job did, in its place, whatever was cut otherwise."""
        earlier = self.earlier
        selected_with = self._selected_with(earlier.options, earlier.point)
        known = ((each, self.candidates.summary(each.name)) for each in earlier.micrographs)
        for micrograph, summary in known:
            if summary is not None and summary.selected_with != selected_with:
                self._one(micrograph, earlier.options, earlier.point)

    def _one(self, micrograph: Micrograph, options: PickOptions, point: OperatingPoint) -> MicrographResult | None:
        if self.is_in_place:  # for a stop between the file and the note of what is in it
            self.candidates.deselect(micrograph.name)
        record = self.candidates.read(micrograph.name)
        if record is None:
            return None
        record = replace(record, selected_with=self._selected_with(options, point))
        record = write_selection(self.paths[micrograph.name], micrograph, record, options, point)
        (self.store.note_selection if self.is_in_place else self.store.append)(record)
        return describe_record(micrograph, record, options, point)

    def _selected_with(self, options: PickOptions, point: OperatingPoint) -> str:
        saved = self.earlier.saved
        return JobSettings(options, saved.weights_sha256, saved.precision, point=point).selected_with()


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
