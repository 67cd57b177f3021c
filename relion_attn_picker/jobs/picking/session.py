"""A whole picking job or a growing session: list of micrographs in, a folder of coordinate files out.

Both the RELION External job and ``attnpick pick`` run this. What this module does not do: it parses no options and
writes no exit marker (``cli`` does).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Final

from relion_attn_picker.errors import InputError, JobAborted
from relion_attn_picker.evaluation.evaluate import Evaluation
from relion_attn_picker.inference.devices import is_on_gpu
from relion_attn_picker.inference.hybrid_folder import is_hybrid
from relion_attn_picker.inference.operating_point import DataSetScores, OperatingPoint, first_point
from relion_attn_picker.inference.predictor import load_predictor
from relion_attn_picker.inference.weights import describe_weights, find_score_models
from relion_attn_picker.io.candidates import CandidateStore
from relion_attn_picker.io.folder_lock import hold_folder
from relion_attn_picker.jobs.diameter_job import describe_estimate, load_scout
from relion_attn_picker.jobs.micrograph_list import (
    refuse_absurd_diameter,
    refuse_folder_of_micrographs,
    warn_of_enlargement,
)
from relion_attn_picker.jobs.pick_evaluation import CANDIDATES_FILE, evaluate_job
from relion_attn_picker.jobs.picking.contrast_check import ContrastCheck
from relion_attn_picker.jobs.picking.diameter_check import warn_of_another_diameter
from relion_attn_picker.jobs.picking.job import MicrographResult, PickJob, share_threads
from relion_attn_picker.jobs.picking.lists import write_lists
from relion_attn_picker.jobs.picking.logfile import write_job_logfile
from relion_attn_picker.jobs.picking.request import JobSummary, PickingRequest
from relion_attn_picker.jobs.picking.scores import all_sure_scores, fit_scores
from relion_attn_picker.jobs.picking.settings import JobSettings, digest_weights
from relion_attn_picker.jobs.pixel_size_check import PixelSizeCheck
from relion_attn_picker.jobs.reference import open_reference_of
from relion_attn_picker.jobs.saved_options import SavedOptions, read_saved_options, write_saved_options
from relion_attn_picker.micrograph import Micrograph
from relion_attn_picker.relion.job import JobDirectory
from relion_attn_picker.report.evaluation import write_evaluation

log = logging.getLogger(__name__)

DECISIVE: Final = ("weights_sha256", "precision", "own_threshold", "options")
"""What of a job's saved options its operating point depends on, beside the scores."""

REFIT_SHARE: Final = 0.1
"""A growing session fits its operating point anew when so large a part of the micrographs is new: on average, the picks
of a micrograph are then selected anew some ten times, however long the session is and in however many rounds."""


def run_picking_job(
    job: JobDirectory,
    request: PickingRequest,
    report: Callable[[int, MicrographResult], None] = lambda number, result: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> JobSummary:
    """Pick all micrographs of ``request`` into ``job`` and write the job's own files.

    Parameters
    ----------
    job
        The job folder.
    request
        See ``PickingRequest``.
    report
        Called after each micrograph with its number from 1 and what came of it.
    should_stop
        Asked before each micrograph.

    Raises
    ------
    InputError
        If all micrographs failed, or more than ``request.max_failures``, or another process is at work in the folder.
    JobAborted
        If ``should_stop()`` was true; the files of the micrographs done until then are written.
    """
    with hold_folder(job.path):
        session = PickingSession(job, request)
        session.pick(request.micrographs, report, should_stop)
        return session.finish()


class PickingSession:
    """A picking job whose list may grow: the network is loaded once, and what is done is not done again.

    Parameters
    ----------
    job, request
        As for ``run_picking_job``, but whoever makes the session holds the folder (``io.folder_lock``). Of
        ``request.micrographs`` only the names that the reference lists are looked at.
    """

    def __init__(self, job: JobDirectory, request: PickingRequest) -> None:
        refuse_folder_of_micrographs(job.path, request.micrographs, request.project_dir)
        self._job = job
        self._reference = None
        if request.reference is not None:
            sizes = {micrograph.name: micrograph.optics.pixel_size for micrograph in request.micrographs}
            self._reference = open_reference_of(request.reference, request.project_dir, sizes)
        self._share = share_threads(request.inference.threads, is_on_gpu(request.inference.gpu))
        inference = replace(request.inference, threads=self._share.threads_each)
        self._predictor = load_predictor(request.weights, inference)
        options = request.options.with_border(self._predictor.header.label_margin)
        self._learnt_border = 0.0 if request.options.border is not None else options.border or 0.0
        self._request = request = replace(request, options=options)
        self._score_models = find_score_models(request.weights)
        curve = None if self._score_models is None else self._score_models.own.curve()
        self._sure_scores = all_sure_scores(self._score_models)[0]
        self._settings = JobSettings(
            request.options,
            digest_weights(request.weights),
            request.inference.precision,
            request.write_maps,
            first_point(self._own_threshold, request.options, curve),
        )
        self._results: dict[str, MicrographResult] = {}
        self._computed_before: str | None = None
        self._settings = replace(self._settings, point=self._find_saved_point() or self._point)
        self._contrast_check = ContrastCheck(self._predictor, request.options)
        self._pixel_size_check = PixelSizeCheck()
        self._store = CandidateStore(job.path / CANDIDATES_FILE)
        self._picking: PickJob | None = None
        self._micrographs: Sequence[Micrograph] = ()
        self._picked_since_fit: int | None = None
        self._scores: DataSetScores | None = None
        self._save_settings()

    def forget(self, names: Iterable[str]) -> None:
        """Let ``pick`` look at these again."""
        for name in names:
            self._results.pop(name, None)

    def count_left(self, micrographs: Sequence[Micrograph]) -> int:
        """Return how many of a list ``pick`` would look at."""
        return sum(micrograph.name not in self._results for micrograph in micrographs)

    def pick(
        self,
        micrographs: Sequence[Micrograph],
        report: Callable[[int, MicrographResult], None],
        should_stop: Callable[[], bool],
        *,
        more_to_come: bool = False,
    ) -> None:
        """Pick those of a list that this session has not done, and write the lists of all that are done.

        All picks are selected by one operating point. It is fitted to all scores at the end, and the picks of all
        micrographs are then selected anew; if there is ``more_to_come``, only where a part of ``REFIT_SHARE`` of the
        micrographs is new since the last time, so that a long session does not rewrite everything in each round.
        ``finish`` makes up for it.

        Raises
        ------
        JobAborted
            If ``should_stop()`` was true; the lists are written all the same.
        """
        if not self._micrographs:
            refuse_absurd_diameter(micrographs, self._request.project_dir, self._request.options.particle_diameter)
            header = self._predictor.header
            warn_of_enlargement(micrographs, self._request.options.particle_diameter, header.particle_diameter_px)
            self._refuse_to_lose_picks(micrographs)
            self._check_diameter(micrographs, should_stop)
        self._micrographs = micrographs
        picking = self._picking = self._make_picking()
        done_before = set(self._results)
        try:
            for number, result in enumerate(picking.run(should_stop, done_before), start=1):
                self._results[result.micrograph.name] = result
                if self._picked_since_fit is not None:
                    self._picked_since_fit += 1
                report(number, result)
            if not more_to_come or self._is_fit_due():
                self._fit_point(should_stop)
        finally:
            self._write_lists()

    def _refuse_to_lose_picks(self, micrographs: Sequence[Micrograph]) -> None:
        """Refuse to pick all again, and to withdraw what was picked, while no image is there, as of a lost disk.

        Raises
        ------
        InputError
            If none is there, and picks of other settings or weights are.
        """
        if any((self._request.project_dir / each.name).exists() for each in micrographs):
            return
        known = ((each, self._store.summary(each.name)) for each in micrographs)
        n_lost = sum(
            summary is not None and summary.found_with != self._settings.found_with(each) for each, summary in known
        )
        if n_lost:
            first = self._request.project_dir / micrographs[0].name
            raise InputError(
                f"None of the {len(micrographs)} micrographs is there, the first {first}: see that their disk is "
                f"mounted. What other settings or weights picked on {n_lost} of them stays as it is."
            )

    def _check_diameter(self, micrographs: Sequence[Micrograph], should_stop: Callable[[], bool]) -> None:
        """Warn of a wrong diameter where the job begins, or begins anew with another, unless it was estimated."""
        if self._has_begun(micrographs) or self._request.diameter_estimate is not None:
            return
        scout = self._predictor
        if is_hybrid(self._request.weights):
            scout = load_scout(
                self._request.weights, replace(self._request.inference, threads=self._share.threads_each)
            )
        diameter = self._request.options.particle_diameter
        warn_of_another_diameter(micrographs, self._request.project_dir, diameter, scout, should_stop)

    def _has_begun(self, micrographs: Sequence[Micrograph]) -> bool:
        """Tell whether any of a list was picked before with what is asked for now."""
        known = ((each, self._store.summary(each.name)) for each in micrographs)
        return any(
            summary is not None and summary.found_with == self._settings.found_with(each) for each, summary in known
        )

    def _make_picking(self) -> PickJob:
        return PickJob(
            self._job,
            self._micrographs,
            self._request.project_dir,
            self._predictor,
            self._settings,
            self._store,
            self._contrast_check,
            self._pixel_size_check,
            self._share.preparers,
        )

    def _write_lists(self) -> None:
        assert self._picking is not None
        missing = self._picking.earlier_results([m for m in self._micrographs if m.name not in self._results])
        known = self._results | {result.micrograph.name: result for result in missing}
        listed = [known[m.name] for m in self._micrographs if m.name in known]
        write_lists(self._job, self._request.micrographs_star, self._picking.coordinate_path, listed)

    def _listed_results(self) -> list[MicrographResult]:
        """Return what came of the list, in its order: one that is watched may have lost what was picked of it."""
        return [self._results[each.name] for each in self._micrographs if each.name in self._results]

    def _is_fit_due(self) -> bool:
        new = self._picked_since_fit
        return new is None or new >= REFIT_SHARE * len(self._results)

    def _fit_point(self, should_stop: Callable[[], bool]) -> None:
        """Choose the operating point from all scores of the data set, and select the picks anew; no image is read.

        A stop on the way puts the picks back that were selected anew, so that all have the scale of one point.
        """
        self._picked_since_fit = 0
        if not self._depends_on_scores:
            return
        results = self._listed_results()
        done = [result.micrograph for result in results if result.reason is None]
        fitted = fit_scores(self._store, done, self._request.options, self._score_models, self._own_threshold)
        self._scores = fitted.scores
        point = fitted.choose_point(self._own_threshold, self._request.options)
        before, self._settings = self._settings, replace(self._settings, point=point)
        try:
            picking = self._make_picking()
            selected = picking.select_again(results, should_stop)
        except JobAborted:
            self._settings = before
            self._make_picking().select_again(results)
            raise
        self._picking, self._sure_scores = picking, fitted.sure_scores
        self._results |= {result.micrograph.name: result for result in selected}
        self._save_settings()

    @property
    def _depends_on_scores(self) -> bool:
        """Whether the operating point follows from the scores of all micrographs together."""
        return self._request.options.depends_on_data_set or self._score_models is not None

    def _find_saved_point(self) -> OperatingPoint | None:
        """Return the operating point that an earlier run of this job came to, if it was asked for the same."""
        try:
            saved = read_saved_options(self._job.path)
        except InputError:  # none, or another version's: as if never picked
            return None
        self._computed_before = saved.computed_in
        asked = self._describe(saved.point)
        same = saved.sure_scores in all_sure_scores(self._score_models) and all(
            getattr(saved, name) == getattr(asked, name) for name in DECISIVE
        )
        if saved.selected_from is not None and not same:
            log.info(" What attnpick select had cut here is cut again as it is asked for now.")
        if not (self._depends_on_scores and same):
            return None
        self._sure_scores = saved.sure_scores
        return saved.point

    def _describe(self, point: OperatingPoint) -> SavedOptions:
        estimate = self._request.diameter_estimate
        return SavedOptions(
            command=self._request.command,
            micrographs=self._request.micrographs_star,
            weights=str(self._request.weights),
            picker=describe_weights(self._request.weights),
            weights_sha256=self._settings.weights_digest,
            precision=self._settings.precision,
            options=self._settings.options,
            point=point,
            own_threshold=self._own_threshold,
            sure_scores=self._sure_scores,
            diameter_estimate=None if estimate is None else describe_estimate(estimate, self._request.micrographs),
            pixel_size=self._request.pixel_size,
            computed_in=self._find_computed_in(),
        )

    def _find_computed_in(self) -> str | None:
        """Return the precision that the networks ran in, in this run or, if all was done before, in an earlier one."""
        has_computed = any(not result.skipped and result.reason is None for result in self._results.values())
        return self._predictor.precision if has_computed else self._computed_before

    def _save_settings(self) -> None:
        """Save what makes the results reproducible, beside them."""
        write_saved_options(self._job.path, self._describe(self._point))

    @property
    def _own_threshold(self) -> float:
        return self._predictor.header.calibration.threshold

    @property
    def _point(self) -> OperatingPoint:
        assert self._settings.point is not None
        return self._settings.point

    def finish(self, should_stop: Callable[[], bool] = lambda: False) -> JobSummary:
        """Return what came of everything, evaluated if there is a reference.

        Raises
        ------
        InputError
            If all micrographs failed, or more than the request allows.
        JobAborted
            If ``should_stop()`` was true while picks were selected anew; see ``pick``.
        """
        if self._picked_since_fit:
            self._fit_point(should_stop)
            self._write_lists()
        results = self._listed_results()
        _check_failures(results, self._request.max_failures)
        evaluation = self._evaluate([result.micrograph for result in results if result.reason is None])
        write_job_logfile(
            self._job,
            [result for result in results if result.reason is None],
            self._store,
            self._request.options,
            self._point,
            self._request.project_dir,
            None if self._scores is None else self._scores.score,
        )
        picker = describe_weights(self._request.weights)
        self._save_settings()
        self._pixel_size_check.remind()
        if self._scores is not None and sum(result.n_picks for result in results) > self._scores.area:
            log.warning(
                "As discs of the diameter the picks would cover more than all of the area: the weights do not seem to "
                "know the particle, or the diameter or the pixel size is wrong."
            )
        return JobSummary(
            results,
            self._request.options,
            self._point,
            evaluation,
            picker,
            self._learnt_border,
            self._find_computed_in() or "",
        )

    def _evaluate(self, done: Sequence[Micrograph]) -> Evaluation | None:
        """Score the picks against the reference, if there is one; if it went bad since the job began, only tell so."""
        if self._reference is None or self._picking is None:
            return None
        results = self._picking.results_of(done, self._point)
        try:
            evaluation = evaluate_job(results, self._reference, self._request.options.particle_diameter)
        except InputError as error:
            log.warning("The picks are not evaluated: %s", error)
            return None
        write_evaluation(self._job.path, evaluation)
        return evaluation


def _check_failures(results: Sequence[MicrographResult], max_failures: int | None) -> None:
    failed = [result for result in results if result.reason is not None]
    if not failed:
        return
    if len(failed) == len(results):
        raise InputError(f"None of the {len(results)} micrographs could be picked; the first: {failed[0].reason}")
    if max_failures is not None and len(failed) > max_failures:
        raise InputError(
            f"{len(failed)} of {len(results)} micrographs could not be picked, more than the {max_failures} that "
            f"--max_failures allows; the first: {failed[0].reason} All are in failed_micrographs.star."
        )
