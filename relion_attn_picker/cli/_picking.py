"""What ``attnpick external`` and ``attnpick pick`` share: building the request, running it, telling how it goes."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from relion_attn_picker.cli._options import PickingChoices
from relion_attn_picker.errors import JobAborted
from relion_attn_picker.inference.rejection import describe_reason
from relion_attn_picker.inference.weights import describe_weights, find_weights
from relion_attn_picker.io.candidates import CandidateStore
from relion_attn_picker.jobs.diameter_job import SAMPLE, estimate_once
from relion_attn_picker.jobs.micrograph_list import ListedMicrographs
from relion_attn_picker.jobs.pick_evaluation import CANDIDATES_FILE
from relion_attn_picker.jobs.picking.job import FAILED_FILE, REJECTED_FILE, MicrographResult, count_rejected
from relion_attn_picker.jobs.picking.request import JobSummary, PickingRequest
from relion_attn_picker.jobs.picking.session import PickingSession, run_picking_job
from relion_attn_picker.jobs.picking.watching import GrowingList, WatchOptions, watch
from relion_attn_picker.micrograph import Micrograph
from relion_attn_picker.relion.job import JobDirectory
from relion_attn_picker.relion.labels import LOGFILE
from relion_attn_picker.report.evaluation import format_evaluation

if TYPE_CHECKING:
    from relion_attn_picker.jobs.cryosparc.job import LiveSource
    from relion_attn_picker.jobs.picking.selection import SelectionRequest

BOX_DIAMETERS: Final = (1.5, 2.0)
"""Boxes that people extract, in particle diameters: the signal that defocus spreads lies round the particle."""


def pick_into_job(
    job: JobDirectory,
    micrographs: Sequence[Micrograph],
    micrographs_star: str,
    project_dir: Path,
    reference: Path | None,
    choices: PickingChoices,
    *,
    show_bar: bool = False,
) -> None:
    """Pick ``micrographs`` into ``job``; tell the progress by plain lines, or by a bar for a person at a terminal."""
    request = build_request(micrographs, micrographs_star, project_dir, reference, choices, job)
    print(f" Picking {len(micrographs)} micrographs with {describe_weights(request.weights)} ...", flush=True)
    print(describe_scale(micrographs, request.options.particle_diameter), flush=True)
    if request.options.depends_on_data_set and len(micrographs) > 1:
        print(" The threshold is chosen from the scores of all: until then, counts are provisional.", flush=True)
    with ProgressBar(len(micrographs)) if show_bar else ProgressLines(len(micrographs)) as progress:
        summary = run_picking_job(job, request, progress.report, job.abort_requested)
    print_summary(job, summary)


def watch_into_job(
    job: JobDirectory, inputs: Sequence[str], choices: PickingChoices, every: float, idle: float | None
) -> None:
    """Pick a growing list of micrographs into ``job`` until nothing new comes, or until it is told to stop."""
    options = WatchOptions(every=every, idle=idle)
    sessions: list[_WatchedSession] = []

    def start(listed: ListedMicrographs) -> _WatchedSession:
        request = build_request(listed.micrographs, listed.star_path, listed.project_dir, None, choices, job)
        print(f" Watching, with {describe_weights(request.weights)} ...", flush=True)
        print(describe_scale(listed.micrographs, request.options.particle_diameter), flush=True)
        sessions.append(_WatchedSession(job, request))
        return sessions[0]

    try:
        picked = set(CandidateStore(job.path / CANDIDATES_FILE).names())
        growing = GrowingList(inputs, choices.pixel_size, job.path, picked)
        least = SAMPLE if choices.estimate_diameter else 1
        watch(growing, start, options, job.abort_requested, least=least)
    except JobAborted:
        if sessions:
            print(" Watching has ended. The same command without --watch picks what is left,", end="")
            print(" and chooses the threshold from the scores of all micrographs.", flush=True)
        raise
    print_summary(job, sessions[0].finish(job.abort_requested))


class _WatchedSession:
    """A picking session that tells what each round brings."""

    def __init__(self, job: JobDirectory, request: PickingRequest) -> None:
        self._job = job
        self._session = PickingSession(job, request)
        self.forget, self.finish = self._session.forget, self._session.finish

    def pick(self, micrographs: Sequence[Micrograph]) -> None:
        """Pick what is new."""
        progress = ProgressLines(self._session.count_left(micrographs))
        self._session.pick(micrographs, progress.report, self._job.abort_requested, more_to_come=True)


def build_request(
    micrographs: Sequence[Micrograph],
    micrographs_star: str,
    project_dir: Path,
    reference: Path | None,
    choices: PickingChoices,
    job: JobDirectory,
) -> PickingRequest:
    """Return what ``job`` is asked to do, its diameter estimated if the user chose so."""
    weights = find_weights(choices.variant, choices.weights)
    options, estimate = choices.pick, None
    if choices.estimate_diameter:
        estimate = estimate_once(job.path, micrographs, project_dir, weights, choices.inference, job.abort_requested)
        options = replace(options, particle_diameter=estimate.diameter)
    return PickingRequest(
        micrographs=micrographs,
        project_dir=project_dir,
        micrographs_star=micrographs_star,
        weights=weights,
        options=options,
        inference=choices.inference,
        write_maps=choices.write_maps,
        max_failures=choices.max_failures,
        reference=reference,
        diameter_estimate=estimate,
        pixel_size=choices.pixel_size,
        command=shlex.join(sys.argv),
    )


def build_selection(
    earlier_job: str, reference: str | None, pixel_size: float | None, changes: dict[str, Any]
) -> SelectionRequest:
    """Return what is asked of cutting an earlier job anew; what is wrong with it is told before any file changes."""
    from relion_attn_picker.jobs.picking.earlier_job import open_earlier_job
    from relion_attn_picker.jobs.picking.selection import SelectionRequest

    earlier = open_earlier_job(Path(earlier_job), pixel_size)
    return SelectionRequest(
        earlier=earlier,
        options=earlier.options_with(changes),
        reference=None if reference is None else Path(reference),
        command=shlex.join(sys.argv),
    )


def select_into_job(job: JobDirectory, request: SelectionRequest) -> None:
    """Cut the candidates of an earlier job anew into ``job``, which may be the same."""
    from relion_attn_picker.jobs.picking.selection import run_selection_job

    print(f" Selecting among the candidates of {request.earlier.folder} ...", flush=True)
    with ProgressLines(len(request.earlier.micrographs), "selected anew") as progress:
        summary = run_selection_job(job, request, progress.report, job.abort_requested)
    print_summary(job, summary)


def describe_scale(micrographs: Sequence[Micrograph], diameter: float) -> str:
    """Return a line by which a wrong pixel size or diameter (Å) is seen, with boxes to extract: even, in pixels."""
    sizes = sorted({micrograph.optics.pixel_size for micrograph in micrographs})
    if len(sizes) > 1:
        widths = f"{diameter / sizes[-1]:.0f} to {diameter / sizes[0]:.0f}"
        return f" Particles of {diameter:g} Å are {widths} pixels of {sizes[-1]:g} to {sizes[0]:g} Å wide."
    pixels = diameter / sizes[0]
    boxes = " to ".join(str(2 * round(factor * pixels / 2)) for factor in BOX_DIAMETERS)
    return f" Particles of {diameter:g} Å are {pixels:.0f} pixels of {sizes[0]:g} Å wide; usual boxes: {boxes} pixels."


class ProgressBar:
    """A bar that fills up, with the time that is left; failures stand on lines of their own above it."""

    def __init__(self, total: int) -> None:
        self._bar = click.progressbar(length=total, label="Picking", file=sys.stdout, item_show_func=_describe)

    def __enter__(self) -> ProgressBar:
        self._bar.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        self._bar.render_finish()

    def report(self, number: int, result: MicrographResult) -> None:
        """Move the bar by one micrograph."""
        if result.reason is not None:
            print(flush=True)
            _warn_of_failure(result)
        self._bar.update(1, result)


def _describe(result: MicrographResult | None) -> str:
    if result is None:
        return ""
    return f"{Path(result.micrograph.name).name} " + (f"{result.n_picks} picks" if result.reason is None else "FAILED")


def _warn_of_failure(result: MicrographResult) -> None:
    print(f"WARNING: {result.micrograph.name} is left out: {result.reason}", file=sys.stderr, flush=True)


class ProgressLines:
    """One plain line a micrograph, and after the first one an estimate of the time for all.

    Those that needed no look, on Continue perhaps thousands, have one line where they follow each other; ``no_look``
    says what was done with them.
    """

    def __init__(self, total: int, no_look: str = "done before") -> None:
        self._total = total
        self._no_look = no_look
        self._estimated = False
        self._first_untold = 0
        self._untold: list[MicrographResult] = []

    def __enter__(self) -> ProgressLines:
        return self

    def __exit__(self, *exception: object) -> None:
        self._tell_untold()

    def report(self, number: int, result: MicrographResult) -> None:
        """Print what came of one micrograph; failures go to stderr as well."""
        if result.reason is None and result.skipped:
            self._first_untold = self._first_untold if self._untold else number
            self._untold.append(result)
            if number == self._total:
                self._tell_untold()
            return
        self._tell_untold()
        name = Path(result.micrograph.name).name
        if result.reason is not None:
            print(f"{self._counter(number)} {name} FAILED", flush=True)
            _warn_of_failure(result)
            return
        print(f"{self._counter(number)} {name} {result.n_picks} picks {result.seconds:.2f} s", flush=True)
        if not self._estimated and number < self._total:
            self._estimated = True
            rest = (self._total - number) * result.seconds
            print(f" About {format_duration(rest)} for the other {self._total - number} micrographs.", flush=True)

    def _counter(self, number: int) -> str:
        return f"{number:>{len(str(self._total))}}/{self._total}"

    def _tell_untold(self) -> None:
        if not self._untold:
            return
        first, last = self._first_untold, self._first_untold + len(self._untold) - 1
        names = [Path(self._untold[place].micrograph.name).name for place in (0, -1)]
        which = f"{self._counter(first)} {names[0]}"
        if first < last:
            which = f"{first}-{last}/{self._total} {names[0]} to {names[1]}"
        n_picks = sum(result.n_picks for result in self._untold)
        print(f"{which} {n_picks} picks {self._no_look}", flush=True)
        self._untold.clear()


def format_duration(seconds: float) -> str:
    """Return a duration as people say it: ``42 s``, ``12 min``, ``3.5 h``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def pick_live(job: JobDirectory, source: LiveSource, request: PickingRequest) -> None:
    """Pick as an external job of CryoSPARC, with plain lines here and in CryoSPARC's own log."""
    from relion_attn_picker.jobs.cryosparc.job import connect, run_live_job

    lines: list[ProgressLines] = []

    def report(number: int, total: int, result: MicrographResult) -> None:
        if not lines:
            lines.append(ProgressLines(total))
        lines[0].report(number, result)

    uid, summary = run_live_job(connect(), source, request, job, report)
    print_summary(job, summary)
    print(f" In CryoSPARC: job {uid} of {source.project}", flush=True)


def print_summary(job: JobDirectory, summary: JobSummary) -> None:
    """Print the figures of a finished job in RELION's words."""
    done = [result for result in summary.results if result.reason is None]
    failed = len(summary.results) - len(done)
    total = sum(result.n_picks for result in done)
    print(f" Total number of particles from {len(done)} micrographs is {total}")
    print(f" i.e. on average there were {round(total / max(1, len(done)))} particles per micrograph")
    point = summary.point
    computed = f" in {summary.computed_in}" if summary.computed_in else ""
    print(f" by {summary.picker}{computed}, at a threshold of {point.threshold:g}: {point.reason}")
    if point.likeness is not None:
        print(" scores corrected by likeness: what looks unlike the surest candidates of this job lost up to one logit")
    is_raised = point.curve is not None and point.expected is None
    if done and not total:
        print(" No pick is left: if there are particles, look at the diameter, the pixel size and the border first")
    elif is_raised:
        print(" If there are particles, look at the diameter and the pixel size first: attnpick diameter estimates one")
    if done and is_raised:
        print(" If they are faint, --mode recall picks more of them, and more dirt")
    if point.expected is not None and total:
        precision, recall = point.expected.precision, point.expected.recall
        print(f" expected of these picks: precision {precision:.2f}, recall {recall:.2f} of the particles seen at all")
    rejected = count_rejected(summary.results)
    if rejected:
        where = job.output_name(job.path / REJECTED_FILE)
        print(f" rejected, although above the threshold (see {where}; --keep_junk keeps them):")
        for name, count in rejected.items():
            print(f"  {count} {name}: {describe_reason(name)}")
    if summary.learnt_border:
        print(
            f" left out within {summary.learnt_border:g} Å of the edges, as in the labels that the weights learnt from"
        )
        print(" (--border 0 picks there too)")
    if failed:
        print(f" {failed} micrographs could not be picked: see {job.output_name(job.path / FAILED_FILE)}")
    if summary.evaluation is not None:
        print(format_evaluation(summary.evaluation))
    print(f" Done! Written: {job.output_name(job.path / LOGFILE)} ", flush=True)
