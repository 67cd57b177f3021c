"""Picking as an external job of a running CryoSPARC, through cryosparc-tools.

The job is the one of ``jobs.picking.job``: its results are in a folder on this machine too, and the same command again
goes on with what is there. The same calls work in cryosparc-tools 4.7.1 (JSON-RPC) and 5.0.3 (REST); where the two
differ, a comment says so. Address and credentials are never arguments: cryosparc-tools takes them from the environment
(``CRYOSPARC_MASTER_HOSTNAME``, ``CRYOSPARC_BASE_PORT``, ``CRYOSPARC_EMAIL``, ``CRYOSPARC_PASSWORD``, in 4.x also
``CRYOSPARC_LICENSE_ID``; in 5.x ``CRYOSPARC_BASE_URL``) or, in 5.x, from the token of ``python -m cryosparc.tools
login``.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from http.client import HTTPException
from pathlib import Path, PurePath
from traceback import walk_tb
from typing import Any

import numpy as np

from relion_attn_picker.errors import InputError
from relion_attn_picker.inference.operating_point import OperatingPoint
from relion_attn_picker.inference.weights import describe_weights
from relion_attn_picker.io.candidates import CandidateStore
from relion_attn_picker.io.cryosparc import Table, as_columns
from relion_attn_picker.io.cryosparc_exposures import EXPOSURE_SLOTS, Exposure, Exposures, read_exposures
from relion_attn_picker.io.cryosparc_group import Result
from relion_attn_picker.io.cryosparc_picks import PICK_SLOTS, ExposurePicks, make_pick_table
from relion_attn_picker.io.mrc import read_image
from relion_attn_picker.jobs.micrograph_list import OWN_LIST, require_one
from relion_attn_picker.jobs.pick_evaluation import CANDIDATES_FILE
from relion_attn_picker.jobs.picking.job import MicrographResult
from relion_attn_picker.jobs.picking.request import JobSummary, PickingRequest
from relion_attn_picker.jobs.picking.session import run_picking_job
from relion_attn_picker.micrograph import Micrograph
from relion_attn_picker.options import PickOptions
from relion_attn_picker.pipeline import select_picks
from relion_attn_picker.relion.job import JobDirectory
from relion_attn_picker.relion.micrographs import write_micrographs
from relion_attn_picker.report.picks_image import draw_points
from relion_attn_picker.report.score_histogram import draw_score_histogram

log = logging.getLogger(__name__)

INPUT, OUTPUT = "micrographs", "picks"
MOST_LOG_LINES = 200
DRAWN_MICROGRAPHS = 3


@dataclass(frozen=True, kw_only=True)
class LiveSource:
    """Where the exposures are, and where the new job goes: ``P3``, ``W1``, ``J12``, ``exposures``.

    ``project_dir`` is the project folder as this machine sees it, ``None`` if it has the same path as on the master.
    """

    project: str
    workspace: str
    job: str
    output: str = "exposures"
    project_dir: Path | None = None


def connect() -> Any:
    """Return cryosparc-tools' client, connected by what the environment and the saved token say.

    Raises
    ------
    InputError
        If cryosparc-tools is not there, or the server refuses or cannot be reached.
    """
    try:
        from cryosparc.tools import CryoSPARC
    except ImportError as error:
        raise InputError(
            f"cryosparc-tools cannot be loaded ({error}): pip install 'cryosparc-tools~=X.Y.0', X.Y being the version "
            "of your CryoSPARC (4.7, 5.0, ...)."
        ) from error
    try:
        return CryoSPARC()
    except (AssertionError, TypeError, ValueError, RuntimeError, OSError) as error:
        cause = f" ({error.__cause__})" if error.__cause__ is not None else ""
        raise InputError(
            f"No connection to CryoSPARC: {' '.join(str(error).split())}{cause} Set CRYOSPARC_MASTER_HOSTNAME, "
            "CRYOSPARC_BASE_PORT, CRYOSPARC_EMAIL and CRYOSPARC_PASSWORD (4.x: CRYOSPARC_LICENSE_ID too; 5.x: or log "
            "in with python -m cryosparc.tools login), and see that cryosparc-tools has the version of CryoSPARC."
        ) from error


def run_live_job(
    client: Any,
    source: LiveSource,
    request: PickingRequest,
    job: JobDirectory,
    report: Callable[[int, int, MicrographResult], None],
) -> tuple[str, JobSummary]:
    """Pick the exposures of a CryoSPARC job as an external job of the same project.

    Parameters
    ----------
    client
        See ``connect``.
    source
        Exposures in, place of the job.
    request
        What to pick with; its micrographs and their folder come from CryoSPARC and are put in here.
    job
        Folder for the results on this machine.
    report
        Called after each micrograph with its number from 1, the number of all, and what came of it.

    Returns
    -------
    tuple
        Uid of the external job, and its summary.

    Raises
    ------
    InputError
        If CryoSPARC refuses a step, the exposures cannot be used, or the picking fails. The external job, once made,
        is marked as failed. Lines and plots that CryoSPARC does not take are missing there, no more.
    """
    with _told_as_input_error(f"The job {source.job} or its project {source.project}"):
        project = client.find_project(source.project)
        external = project.create_external_job(source.workspace, title=f"attnpick on {source.job}")
    with running_job(external, source):
        exposures = read_exposures(as_result(external.load_input(INPUT, slots=list(EXPOSURE_SLOTS))))
        request = _fill_request(request, exposures, source.project_dir or project_folder(project), job)
        to_cryosparc, total = EventLog(external), len(exposures.items)
        to_cryosparc.tell(f"attnpick picks {total} micrographs with {describe_weights(request.weights)}.")

        def report_both(number: int, result: MicrographResult) -> None:
            report(number, total, result)
            to_cryosparc.report(number, total, result)

        summary = run_picking_job(job, request, report_both, job.abort_requested)
        picks = read_selected_picks(job, request.micrographs, exposures.items, summary.options, summary.point)
        table = make_pick_table(picks, np.random.default_rng(), min_distance=summary.options.min_distance_or_default)
        external.save_output(OUTPUT, as_dataset(table))
        with to_cryosparc.allow_failure():
            _log_plots(external, job, request, picks, summary)
        to_cryosparc.tell(
            f"Saved {len(table)} picks on {len(picks)} micrographs, threshold {summary.point.threshold:g}."
        )
    return str(external.uid), summary


@contextmanager
def running_job(external: Any, source: LiveSource) -> Iterator[Any]:
    """Connect, start and end the external job; whatever ends the block early marks it as failed.

    ``ExternalJob.run`` of both versions would mark it as completed after Ctrl-C, and that of 4.x tells no reason.
    """
    what = f"External job {external.uid}"
    try:
        with _told_as_input_error(what):
            external.connect(INPUT, source.job, source.output, slots=list(EXPOSURE_SLOTS))
            external.add_output("particle", OUTPUT, slots=list(PICK_SLOTS))
            external.start("running")
            yield external
    except BaseException as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        try:
            EventLog(external).tell(f"attnpick failed: {reason}", level="error")
        finally:
            external.stop(error=reason)  # a text in 5.x; in 4.x only whether there is one counts
        raise
    external.stop()


@contextmanager
def _told_as_input_error(what: str) -> Iterator[None]:
    """Turn what cryosparc-tools raises into one sentence; its own errors have no common base in 4.x and 5.x."""
    try:
        yield
    except Exception as error:
        if not type(error).__module__.startswith(("cryosparc", "httpx")) and not _raised_by_client(error):
            raise
        raise InputError(f"{what}: CryoSPARC says: {' '.join(str(error).split())}") from error


def _raised_by_client(error: BaseException) -> bool:
    """Tell whether an error is cryosparc-tools' own, or a lost connection below it.

    It raises plain errors for refusals, in its innermost frame; what breaks while an answer is read, 4.x passes on.
    """
    modules = [str(frame.f_globals.get("__name__", "")) for frame, _ in walk_tb(error.__traceback__)]
    own = [module.startswith("cryosparc.") for module in modules]
    return any(own[-1:]) or (any(own) and isinstance(error, OSError | HTTPException))


def as_result(dataset: Any) -> Result:
    """Return a cryosparc-tools ``Dataset`` as columns."""
    return Result({name: np.asarray(dataset[name]) for name in dataset}, Path())


def as_dataset(table: Table) -> Any:
    """Return a table as cryosparc-tools' ``Dataset``, types and shapes of its columns kept, without rows too.

    Built field by field: ``alloc_output`` gives only the fields that the server requires, and no others can be added.
    """
    from cryosparc.dataset import Dataset

    fields = [
        (name, "O" if values.dtype.kind == "S" else values.dtype.str, *((values.shape[1:],) if values.ndim > 1 else ()))
        for name, values in as_columns(table).items()
    ]
    dataset = Dataset.allocate(len(table), fields[1:])
    for name, values in as_columns(table).items() if len(table) else ():
        dataset[name] = [text.decode() for text in values.tolist()] if values.dtype.kind == "S" else values
    return dataset


def project_folder(project: Any) -> Path:
    """Return the folder of a project of cryosparc-tools: a method in 4.x, a property in 5.x."""
    folder = project.dir
    return Path(folder if isinstance(folder, PurePath) else folder())


def _fill_request(request: PickingRequest, exposures: Exposures, folder: Path, job: JobDirectory) -> PickingRequest:
    """Put the micrographs of CryoSPARC into a request, and list them in the job's folder."""
    advice = "run this where CryoSPARC's project folder is mounted, or give --project_dir, as this machine sees it."
    require_one(folder, [exposure.path for exposure in exposures.items], advice)
    micrographs = [Micrograph(exposure.path, exposure.optics, exposure.ctf) for exposure in exposures.items]
    write_micrographs(job.path / OWN_LIST, micrographs)
    return replace(
        request, micrographs=micrographs, project_dir=folder, micrographs_star=job.output_name(job.path / OWN_LIST)
    )


class EventLog:
    """Tells CryoSPARC how a job goes: every failure, and of the rest no more lines than can be read.

    The job does not depend on it: the first line or plot that fails is warned of here, and the job goes on.
    """

    def __init__(self, external: Any) -> None:
        self._external = external
        self._has_failed = False

    @contextmanager
    def allow_failure(self) -> Iterator[None]:
        """Let the block fail by what CryoSPARC refuses, or by an image that is gone since it was picked."""
        try:
            with _told_as_input_error("The event log"):
                yield
        except InputError as error:
            if not self._has_failed:
                sentence = str(error).removesuffix(".")
                log.warning("%s; the job goes on, more lines or plots may be missing in CryoSPARC.", sentence)
            self._has_failed = True

    def tell(self, text: str, level: str = "text") -> None:
        """Add a line; its level is ``text``, ``warning`` or ``error``."""
        with self.allow_failure():
            self._external.log(text, level=level)

    def report(self, number: int, total: int, result: MicrographResult) -> None:
        """Tell what came of one micrograph."""
        counter = f"{number}/{total} {Path(result.micrograph.name).name}"
        if result.reason is not None:
            self.tell(f"{counter} is left out: {result.reason}", level="warning")
        elif number % max(1, total // MOST_LOG_LINES) == 0 or number == total:
            self.tell(f"{counter} {result.n_picks} picks")


def read_selected_picks(
    job: JobDirectory,
    micrographs: Sequence[Micrograph],
    exposures: Sequence[Exposure],
    options: PickOptions,
    point: OperatingPoint,
) -> list[ExposurePicks]:
    """Return the picks of a job as they were found: the fractions of a pixel that its STAR files have not.

    Raises
    ------
    InputError
        If an image had another shape than its exposure.
    """
    store = CandidateStore(job.path / CANDIDATES_FILE)
    picks = []
    for micrograph, exposure in zip(micrographs, exposures, strict=True):
        record = store.read(micrograph.name)
        if record is None:
            continue
        if record.image_shape != exposure.shape:
            raise InputError(
                f"{exposure.path} in {CANDIDATES_FILE} has {record.image_shape[1]}×{record.image_shape[0]} pixels, "
                f"but CryoSPARC says {exposure.shape[1]}×{exposure.shape[0]}: it is another file."
            )
        candidates = record.candidates(micrograph)
        chosen = select_picks(candidates, record.image_shape, options, point)
        picks.append(ExposurePicks(exposure, chosen.yx, chosen.score))
    return picks


def _log_plots(
    external: Any, job: JobDirectory, request: PickingRequest, picks: Sequence[ExposurePicks], summary: JobSummary
) -> None:
    """Show the first micrographs with their picks and what was rejected, and all scores, in CryoSPARC's event log."""
    rejected = {result.micrograph.name: result.rejected for result in summary.results}
    for number, entry in enumerate(picks[:DRAWN_MICROGRAPHS], start=1):
        path = job.path / f"picks_{number}.png"
        diameter = request.options.particle_diameter / entry.exposure.optics.pixel_size
        points = {"pick": entry.yx}
        if left_out := rejected.get(str(entry.exposure.path)):
            points["rejected"] = left_out.yx
        draw_points(read_image(request.project_dir / entry.exposure.path), points, path, diameter)
        external.log_plot(str(path), f"{len(entry.yx)} picks on {Path(entry.exposure.path).name}")
    scores = np.concatenate([np.zeros(0), *(entry.score for entry in picks if entry.score is not None)])
    draw_score_histogram(job.path / "scores.png", scores, summary.point.threshold)
    external.log_plot(str(job.path / "scores.png"), "Scores of all picks")
