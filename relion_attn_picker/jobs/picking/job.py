"""Picking a list of micrographs into a job folder, micrograph by micrograph, and the lists that RELION reads.

What this module does not do: it loads no network and evaluates nothing; ``jobs.picking.session`` does.
"""

from __future__ import annotations

import logging
import math
import time
from collections import Counter
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from relion_attn_picker.errors import InputError, abort_if
from relion_attn_picker.inference.operating_point import OperatingPoint, first_point
from relion_attn_picker.inference.predictor import Predictor
from relion_attn_picker.inference.rejection import reason_name
from relion_attn_picker.io.candidates import CandidateRecord, CandidateStore, RecordSummary, round_candidates
from relion_attn_picker.io.hdf5 import write_probability_map
from relion_attn_picker.io.image_stamp import ImageStamp, is_changed, stamp_image
from relion_attn_picker.jobs.pick_evaluation import (
    CANDIDATES_FILE,
    JobResults,
    map_path,
)
from relion_attn_picker.jobs.picking.contrast_check import ContrastCheck
from relion_attn_picker.jobs.picking.settings import JobSettings
from relion_attn_picker.jobs.pixel_size_check import PixelSizeCheck
from relion_attn_picker.micrograph import Micrograph
from relion_attn_picker.options import PickOptions
from relion_attn_picker.picks import JUNK, Picks
from relion_attn_picker.pipeline import (
    PreparedMicrograph,
    find_candidates,
    prepare_micrograph,
    select_picks,
    select_rejected,
)
from relion_attn_picker.relion.job import JobDirectory
from relion_attn_picker.relion.job_files import write_picks

log = logging.getLogger(__name__)

SUMMARY_FILE = "summary.star"
FAILED_FILE = "failed_micrographs.star"
REJECTED_FILE = "rejected_candidates.star"

PREPARED_AHEAD = 2
"""Micrographs that are read and resampled while a network on the CPU works on another one."""

MOST_PREPARERS = 8
"""However many threads there are: each image that waits, or is prepared, takes up to a gigabyte."""


LOOK_AHEAD = 200
"""Micrographs after the one at hand that are searched for such as need preparing: on Continue thousands may need none,
and all of them at once would be searched before the first is told, and before a request to stop is seen."""


@dataclass(frozen=True)
class ThreadShare:
    """How many micrographs are prepared at the same time, and with how many threads each."""

    preparers: int
    threads_each: int


def share_threads(threads: int, on_gpu: bool) -> ThreadShare:
    """Return what CPU ``threads`` are for: with a network on a GPU, preparing images is all that they have to do."""
    if not on_gpu:
        return ThreadShare(PREPARED_AHEAD, threads)
    preparers = min(max(PREPARED_AHEAD, threads // 2), MOST_PREPARERS)
    return ThreadShare(preparers, min(2, max(1, threads // preparers)))


@dataclass(frozen=True)
class MicrographResult:
    """One line of a job's table: ``reason`` says why a micrograph failed, ``skipped`` that it was done before.

    ``rejected`` has the candidates that would be picks but for a reason to reject them.
    """

    micrograph: Micrograph
    n_picks: int = 0
    mean_score: float = math.nan
    seconds: float = 0.0
    skipped: bool = False
    reason: str | None = None
    rejected: Picks | None = None


class PickJob:
    """Picks a list of micrographs into a job folder; what an earlier run of the same job did is kept.

    Parameters
    ----------
    job
        The job folder.
    micrographs
        As listed.
    project_dir
        The folder that the micrographs' names are relative to.
    predictor
        Built once, used for all.
    settings
        See ``JobSettings``.
    store, contrast_check, pixel_size_check
        Those of a session that goes on with another list; made anew if not given.
    preparers
        Micrographs that are prepared at the same time; see ``share_threads``.

    Raises
    ------
    InputError
        If a name would be written outside the job folder, or two names to the same file.
    """

    def __init__(
        self,
        job: JobDirectory,
        micrographs: Sequence[Micrograph],
        project_dir: Path,
        predictor: Predictor,
        settings: JobSettings,
        store: CandidateStore | None = None,
        contrast_check: ContrastCheck | None = None,
        pixel_size_check: PixelSizeCheck | None = None,
        preparers: int = PREPARED_AHEAD,
    ) -> None:
        self._job = job
        self._micrographs = micrographs
        self._project_dir = project_dir
        self._predictor = predictor
        self._settings = settings
        self._contrast_check = contrast_check or ContrastCheck(predictor, settings.options)
        self._pixel_size_check = pixel_size_check or PixelSizeCheck()
        names = [micrograph.name for micrograph in micrographs]
        self._paths = dict(zip(names, job.coordinate_paths(names), strict=True))
        self._preparers = preparers
        self._told_of_other_settings = False
        self._stamps: dict[str, ImageStamp | None] = {}
        self._fingerprints: dict[float, str] = {}
        self._selected_with = settings.selected_with()
        own_threshold = predictor.header.calibration.threshold
        self._point = settings.point or first_point(own_threshold, settings.options, None)
        self.store = CandidateStore(job.path / CANDIDATES_FILE) if store is None else store
        self._deselect_overwritten()

    def _deselect_overwritten(self) -> None:
        """Let the picks of an earlier list be written anew, when it is picked again, where this list takes their files.

        MotionCorr/job002/Movies/a.mrc and MotionCorr/job005/Movies/a.mrc, say, have one coordinate file.
        """
        taken = set(self._paths.values())
        for name in self.store.names():
            if name not in self._paths and not taken.isdisjoint(self._job.coordinate_paths([name])):
                self.store.deselect(name)

    def run(
        self, should_stop: Callable[[], bool] = lambda: False, left_out: Container[str] = ()
    ) -> Iterator[MicrographResult]:
        """Pick one micrograph after the other, and yield what came of each, in the order of the list.

        Those whose names are in ``left_out`` are not looked at.

        Raises
        ------
        JobAborted
            As soon as ``should_stop()`` is true; everything done until then is kept.
        """
        with ThreadPoolExecutor(max_workers=self._preparers) as pool:
            waiting: dict[str, Future[PreparedMicrograph]] = {}
            wanted = [m for m in self._micrographs if m.name not in left_out]
            n_searched = 0
            try:
                for position, micrograph in enumerate(wanted):
                    abort_if(should_stop)
                    reach = min(len(wanted), position + 1 + LOOK_AHEAD)
                    while len(waiting) <= self._preparers and n_searched < reach:
                        following = wanted[n_searched]
                        n_searched += 1
                        if not self._has_candidates(following):
                            waiting[following.name] = pool.submit(self._prepare, following)
                    yield self._pick_or_reuse(micrograph, waiting.pop(micrograph.name, None))
            finally:
                pool.shutdown(wait=True, cancel_futures=True)

    def _pick_or_reuse(self, micrograph: Micrograph, future: Future[PreparedMicrograph] | None) -> MicrographResult:
        start = time.perf_counter()
        try:
            result = self._pick(micrograph, future) if future else self._reuse(micrograph)
        except InputError as error:
            self._withdraw(micrograph)
            return MicrographResult(micrograph, reason=str(error))
        return replace(result, seconds=time.perf_counter() - start)

    def _withdraw(self, micrograph: Micrograph) -> None:
        """Remove what a run with other settings picked on a micrograph that cannot be picked any more.

        RELION 3.1 extracts by the coordinate files in the folder, whether they are listed or not.
        """
        self._paths[micrograph.name].unlink(missing_ok=True)
        self._map_path(micrograph).unlink(missing_ok=True)
        self.store.forget(micrograph.name)

    def _describe(self, micrograph: Micrograph, record: CandidateRecord) -> MicrographResult:
        return describe_record(micrograph, record, self._settings.options, self._point)

    def _describe_known(self, micrograph: Micrograph) -> MicrographResult:
        """Return what came of a micrograph that was done before; its candidates are read only if some are rejected."""
        summary = self.store.summary(micrograph.name)
        if summary is None or self._rejects_some(summary):
            record = self.store.read(micrograph.name)
            assert record is not None
            return self._describe(micrograph, record)
        none = Picks(micrograph, np.zeros((0, 2), dtype=np.float32), np.zeros(0, dtype=np.float32))
        return MicrographResult(micrograph, summary.n_picks, summary.mean_score, skipped=True, rejected=none)

    def _rejects_some(self, summary: RecordSummary) -> bool:
        """Tell whether a candidate may be rejected that would be a pick otherwise, as far as scores tell."""
        if not self._settings.options.reject_junk or summary.highest_junk is None:
            return False
        highest = self._point.merit(np.array([summary.highest_junk], dtype=np.float32))  # likeness only lowers it
        return bool(highest[0] >= self._point.threshold)

    def _found_with(self, micrograph: Micrograph) -> str:
        """Return ``JobSettings.found_with``, which depends on the pixel size alone, computed once for each."""
        pixel_size = micrograph.optics.pixel_size
        if pixel_size not in self._fingerprints:
            self._fingerprints[pixel_size] = self._settings.found_with(micrograph)
        return self._fingerprints[pixel_size]

    def _has_candidates(self, micrograph: Micrograph) -> bool:
        known = self.store.summary(micrograph.name)
        if known is None:
            return False
        if known.found_with != self._found_with(micrograph):
            if not self._told_of_other_settings:
                log.info(" There are picks with other settings or weights: their micrographs are picked again.")
            self._told_of_other_settings = True
            return False
        path = self._project_dir / micrograph.name
        if is_changed(path, known.image_time, known.image_size, known.image_digest):
            log.info(" %s was written anew after it was picked: it is picked again.", micrograph.name)
            return False
        return not self._settings.write_maps or self._map_path(micrograph).exists()

    def _prepare(self, micrograph: Micrograph) -> PreparedMicrograph:
        self._stamps[micrograph.name] = stamp_image(self._project_dir / micrograph.name)
        self._pixel_size_check.look_at(micrograph, self._project_dir / micrograph.name)
        return prepare_micrograph(micrograph, self._project_dir, self._predictor, self._settings.options)

    def _pick(self, micrograph: Micrograph, future: Future[PreparedMicrograph]) -> MicrographResult:
        prepared = future.result()
        answer = self._predictor.answer(prepared.image)
        candidates = find_candidates(answer, prepared, self._settings.options, self._settings.score_floor)
        if not self._pixel_size_check.found_any:  # what is seen at a wrong scale says nothing of the contrast
            self._contrast_check.look_at(prepared, candidates)
        if self._settings.write_maps:
            path = self._map_path(micrograph)
            path.parent.mkdir(parents=True, exist_ok=True)
            write_probability_map(path, answer.probability_map)
        else:  # an earlier run's shows what other settings gave
            self._map_path(micrograph).unlink(missing_ok=True)
        record = self._select(round_candidates(candidates), prepared.image_shape)
        return replace(self._describe(micrograph, record), skipped=False)

    def _reuse(self, micrograph: Micrograph) -> MicrographResult:
        """Keep the picks of an earlier run, or select them anew from its candidates without reading the image."""
        if self._is_selected(micrograph):
            return self._describe_known(micrograph)
        self.store.deselect(micrograph.name)  # for a stop between the file and the note of what is in it
        record = self.store.read(micrograph.name)
        assert record is not None
        record = self._write(micrograph, record)
        self.store.note_selection(record)
        return self._describe(micrograph, record)

    def _is_selected(self, micrograph: Micrograph) -> bool:
        """Tell whether the picks of a micrograph are there as this job's settings select them."""
        known = self.store.summary(micrograph.name)
        is_same = known is not None and known.selected_with == self._selected_with
        return is_same and self._paths[micrograph.name].exists()

    def _select(self, candidates: Picks, image_shape: tuple[int, int]) -> CandidateRecord:
        """Write the picks among new candidates, then the record that says so: in this order, for a kill in between."""
        micrograph = candidates.micrograph
        stamp = self._stamps.get(micrograph.name)
        record = CandidateRecord(
            micrograph=micrograph.name,
            found_with=self._found_with(micrograph),
            selected_with="",
            image_shape=image_shape,
            n_picks=0,
            mean_score=math.nan,
            yx=candidates.yx,
            score=candidates.score,
            details=candidates.details,
            image_time=None if stamp is None else stamp.time,
            image_size=None if stamp is None else stamp.size,
            image_digest=None if stamp is None else stamp.digest,
        )
        record = self._write(micrograph, record)
        self.store.append(record)
        return record

    def _write(self, micrograph: Micrograph, record: CandidateRecord) -> CandidateRecord:
        """Write the picks among the candidates of a record, and return the record of it."""
        record = replace(record, selected_with=self._selected_with)
        return write_selection(self._paths[micrograph.name], micrograph, record, self._settings.options, self._point)

    def select_again(
        self, results: Sequence[MicrographResult], should_stop: Callable[[], bool] = lambda: False
    ) -> list[MicrographResult]:
        """Return the results with the picks that this job's threshold selects; no image is read.

        Those whose picks are the same stay as they are.

        Raises
        ------
        JobAborted
            As soon as ``should_stop()`` is true.
        """
        selected = []
        for result in results:
            abort_if(should_stop)
            if result.reason is None and not self._is_selected(result.micrograph):
                described = self._reuse(result.micrograph)
                result = replace(described, seconds=result.seconds, skipped=result.skipped)
            selected.append(result)
        return selected

    def earlier_results(self, micrographs: Sequence[Micrograph]) -> list[MicrographResult]:
        """Return what earlier runs picked on micrographs that this one did not reach: an abort must not unlist them."""
        return [
            self._describe_known(micrograph)
            for micrograph in micrographs
            if micrograph.name in self.store and self._paths[micrograph.name].exists()
        ]

    def coordinate_path(self, micrograph: Micrograph) -> Path:
        """Return the path of a micrograph's coordinate file."""
        return self._paths[micrograph.name]

    def _map_path(self, micrograph: Micrograph) -> Path:
        return map_path(self._paths[micrograph.name])

    def results_of(self, micrographs: Sequence[Micrograph], point: OperatingPoint) -> JobResults:
        """Return what the evaluation needs to know of these micrographs."""
        maps = {m.name: self._map_path(m) for m in micrographs} if self._settings.write_maps else {}
        pixel_sizes = {m.name: m.optics.pixel_size for m in micrographs}
        return JobResults(self.store, point, self._settings.options, pixel_sizes, maps)


def write_selection(
    path: Path, micrograph: Micrograph, record: CandidateRecord, options: PickOptions, point: OperatingPoint
) -> CandidateRecord:
    """Write the picks among the candidates of a record to ``path``, and return the record with their figures."""
    picks = select_picks(record.candidates(micrograph), record.image_shape, options, point)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_picks(path, picks.yx, picks.score, record.image_shape)
    return replace(record, n_picks=len(picks), mean_score=float(picks.score.mean()) if len(picks) else math.nan)


def describe_record(
    micrograph: Micrograph, record: CandidateRecord, options: PickOptions, point: OperatingPoint
) -> MicrographResult:
    """Return what came of a micrograph that was done before, from its record."""
    rejected = select_rejected(record.candidates(micrograph), record.image_shape, options, point)
    return MicrographResult(micrograph, record.n_picks, record.mean_score, skipped=True, rejected=rejected)


def count_rejected(results: Sequence[MicrographResult]) -> Mapping[str, int]:
    """Return how many candidates were rejected for each reason, by its name; only reasons that occurred."""
    rejected = [result.rejected for result in results if result.rejected is not None]
    codes = [code for picks in rejected for code in picks.details.get(JUNK, ())]
    return Counter(reason_name(code) for code in sorted(codes))
