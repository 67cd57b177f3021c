"""A job that cuts an earlier picking job's candidates anew: another threshold, border or maximum, no image read.

The new job has everything that a picking job has, its candidates included, and can be cut in its turn.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from relion_attn_picker import __version__
from relion_attn_picker.errors import InputError, JobAborted
from relion_attn_picker.inference.thresholds import ChosenThreshold
from relion_attn_picker.io.candidates import CandidateStore
from relion_attn_picker.job_settings import JobSettings
from relion_attn_picker.micrograph import Micrograph
from relion_attn_picker.options import PickOptions
from relion_attn_picker.pick_evaluation import CANDIDATES_FILE, OPTIONS_FILE, JobResults, evaluate_job, open_reference
from relion_attn_picker.picking_job import MicrographResult, write_lists, write_selection
from relion_attn_picker.picking_session import JobSummary
from relion_attn_picker.pipeline import score_floor
from relion_attn_picker.relion.job import JobDirectory
from relion_attn_picker.relion.micrographs import read_micrographs
from relion_attn_picker.relion.star import replace_file
from relion_attn_picker.report.evaluation import write_evaluation

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class EarlierJob:
    """A picking job to cut anew: its folder, what was saved of its options, and its list of micrographs."""

    folder: Path
    saved: dict[str, Any]
    micrographs: Sequence[Micrograph]

    @property
    def options(self) -> PickOptions:
        """What counted as a pick, with the threshold that it came to."""
        return replace(PickOptions(**self.saved["options"]), threshold=self.saved["threshold"])

    @property
    def picker(self) -> str:
        """What picked, in words for the user."""
        return str(self.saved.get("picker", Path(self.saved["weights"]).name))

    @property
    def lowest_score(self) -> float:
        """Candidates reach down to this score."""
        return float(self.saved.get("lowest_score", score_floor(PickOptions(**self.saved["options"]))))


def open_earlier_job(path: Path, pixel_size: float | None = None) -> EarlierJob:
    """Return the picking job that ``path``, its folder or one of its lists of coordinates, belongs to.

    ``pixel_size`` is Å per pixel of all micrographs, instead of what their list says.

    Raises
    ------
    InputError
        If it is no picking job of this program, or its list of micrographs is gone.
    """
    folder = path if path.is_dir() else path.parent
    if not (folder / OPTIONS_FILE).is_file() or not (folder / CANDIDATES_FILE).is_file():
        raise InputError(
            f"{path} does not belong to a picking job of attnpick: its folder has no {OPTIONS_FILE} and "
            f"{CANDIDATES_FILE}; give the autopick.star or coords_suffix_autopick.star of one."
        )
    saved = json.loads((folder / OPTIONS_FILE).read_text())
    return EarlierJob(folder, saved, read_micrographs(Path(saved["micrographs"]), pixel_size))


@dataclass(frozen=True, kw_only=True)
class SelectionRequest:
    """What to cut anew: ``options`` with a threshold; ``reference`` coordinates to evaluate against, if any."""

    earlier: EarlierJob
    options: PickOptions
    project_dir: Path = Path()
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
        The new job's folder.
    request
        See ``SelectionRequest``.
    report
        Called after each micrograph with its number from 1 and what came of it.
    should_stop
        Asked before each micrograph.

    Raises
    ------
    InputError
        If the new job is the earlier one, the threshold is lower than any candidate that was kept, or there are none.
    JobAborted
        If ``should_stop()`` was true.
    """
    earlier, threshold = request.earlier, request.options.threshold
    assert threshold is not None
    _check(job, earlier, threshold)
    sizes = {micrograph.name: micrograph.optics.pixel_size for micrograph in earlier.micrographs}
    reference = None
    if request.reference is not None:
        reference = open_reference(request.reference, request.project_dir, sizes)
    paths = dict(zip(sizes, job.coordinate_paths(list(sizes)), strict=True))
    (job.path / CANDIDATES_FILE).unlink(missing_ok=True)
    store = CandidateStore(job.path / CANDIDATES_FILE)
    _save_settings(job, request)
    results: list[MicrographResult] = []
    try:
        for result in _select_all(request, store, paths, should_stop):
            results.append(result)
            report(len(results), result)
    finally:
        write_lists(job, earlier.saved["micrographs"], lambda micrograph: paths[micrograph.name], results)
    if not results:
        raise InputError(f"{earlier.folder} has no candidates of the micrographs in {earlier.saved['micrographs']}.")
    if len(results) < len(sizes):
        log.warning("%d micrographs were not picked by %s and are left out.", len(sizes) - len(results), earlier.folder)
    evaluation = None
    if reference is not None:
        done = {result.micrograph.name: sizes[result.micrograph.name] for result in results}
        evaluation = evaluate_job(JobResults(store, threshold, done, {}), reference, request.options.particle_diameter)
        write_evaluation(job.path, evaluation)
    return JobSummary(results, ChosenThreshold(threshold, "as given"), evaluation, earlier.picker)


def _check(job: JobDirectory, earlier: EarlierJob, threshold: float) -> None:
    if job.path.resolve() == earlier.folder.resolve():
        raise InputError(f"{job.name} is itself the job to cut anew: continue it with another threshold instead.")
    if threshold < earlier.lowest_score:
        raise InputError(
            f"The threshold is {threshold:g}, but {earlier.folder} kept no candidates below {earlier.lowest_score:g}: "
            "pick again with the lower threshold."
        )


def _select_all(
    request: SelectionRequest, store: CandidateStore, paths: dict[str, Path], should_stop: Callable[[], bool]
) -> Iterator[MicrographResult]:
    """Cut one micrograph after the other, those that the earlier job has candidates of."""
    earlier = request.earlier
    candidates = CandidateStore(earlier.folder / CANDIDATES_FILE)
    settings = JobSettings(request.options, earlier.saved["weights_sha256"], earlier.saved["precision"])
    threshold = earlier.saved["threshold"]
    for micrograph in earlier.micrographs:
        if should_stop():
            raise JobAborted("The job was asked to stop.")
        record = candidates.read(micrograph.name)
        if record is None:
            continue
        record = replace(record, selected_with=settings.selected_with())
        record = write_selection(paths[micrograph.name], micrograph, record, request.options, threshold)
        store.append(record)
        yield MicrographResult(micrograph, record.n_picks, record.mean_score, skipped=True)


def _save_settings(job: JobDirectory, request: SelectionRequest) -> None:
    """Save what makes the results reproducible: the earlier job's settings, with what was changed."""
    earlier = request.earlier
    record = earlier.saved | {
        "version": __version__,
        "command": request.command,
        "threshold": request.options.threshold,
        "threshold_reason": "as given",
        "options": asdict(request.options),
        "lowest_score": earlier.lowest_score,
        "selected_from": str(earlier.folder),
    }
    replace_file(job.path / OPTIONS_FILE, json.dumps(record, indent=1) + "\n")
