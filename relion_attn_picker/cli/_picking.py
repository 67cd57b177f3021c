"""What ``attnpick external`` and ``attnpick pick`` share: building the request, running it, telling how it goes."""

from __future__ import annotations

import logging
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from relion_attn_picker.errors import InputError
from relion_attn_picker.inference.weights import find_weights
from relion_attn_picker.micrograph import Micrograph
from relion_attn_picker.options import InferenceOptions, PickOptions
from relion_attn_picker.picking_job import JobSummary, MicrographResult, PickingRequest, run_picking_job
from relion_attn_picker.relion.job import JobDirectory
from relion_attn_picker.report.evaluation import format_evaluation

log = logging.getLogger(__name__)


def pick_into_job(
    job: JobDirectory,
    micrographs: Sequence[Micrograph],
    micrographs_star: str,
    project_dir: Path,
    reference: Path | None,
    *,
    variant: str | None,
    weights: str | None,
    gpu: str,
    precision: str,
    threads: int,
    write_maps: bool,
    max_failures: int | None,
    **pick_options: Any,
) -> None:
    """Pick ``micrographs`` into ``job`` with the options of ``cli._options.picking_options``."""
    request = PickingRequest(
        micrographs=micrographs,
        project_dir=project_dir,
        micrographs_star=micrographs_star,
        weights=find_weights(variant, None if weights is None else Path(weights)),
        options=PickOptions(particle_diameter=pick_options.pop("diameter"), **pick_options),
        inference=InferenceOptions(gpu=gpu, precision=precision, threads=threads),
        write_maps=write_maps,
        max_failures=max_failures,
        reference=reference,
        command=shlex.join(sys.argv),
    )
    if max_failures is not None and max_failures < 0:
        raise InputError(f"The maximum number of failures is {max_failures}: expected 0 or more.")
    progress = ProgressLines(len(micrographs))
    print(f" Picking {len(micrographs)} micrographs with {request.weights.name} ...", flush=True)
    summary = run_picking_job(job, request, progress.report, job.abort_requested)
    print_summary(job, summary)


class ProgressLines:
    """One plain line a micrograph, and after the first one an estimate of the time for all."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._estimated = False

    def report(self, number: int, result: MicrographResult) -> None:
        """Print what came of one micrograph; failures go to stderr as well."""
        name = Path(result.micrograph.name).name
        counter = f"{number:>{len(str(self._total))}}/{self._total}"
        if result.reason is not None:
            print(f"{counter} {name} FAILED", flush=True)
            print(f"WARNING: {result.micrograph.name} is left out: {result.reason}", file=sys.stderr, flush=True)
            return
        how = "done before" if result.skipped else f"{result.seconds:.2f} s"
        print(f"{counter} {name} {result.n_picks} picks {how}", flush=True)
        if not self._estimated and not result.skipped and number < self._total:
            self._estimated = True
            rest = (self._total - number) * result.seconds
            print(f" About {format_duration(rest)} for the other {self._total - number} micrographs.", flush=True)


def format_duration(seconds: float) -> str:
    """Return a duration as people say it: ``42 s``, ``12 min``, ``3.5 h``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def print_summary(job: JobDirectory, summary: JobSummary) -> None:
    """Print the figures of a finished job in RELION's words."""
    done = [result for result in summary.results if result.reason is None]
    failed = len(summary.results) - len(done)
    total = sum(result.n_picks for result in done)
    print(f" Total number of particles from {len(done)} micrographs is {total}")
    print(f" i.e. on average there were {round(total / max(1, len(done)))} particles per micrograph")
    print(f" at a threshold of {summary.threshold:g}")
    if failed:
        print(f" {failed} micrographs could not be picked: see {job.output_name(job.path / 'failed_micrographs.star')}")
    if summary.evaluation is not None:
        print(format_evaluation(summary.evaluation))
    print(f" Done! Written: {job.output_name(job.path / 'logfile.pdf')} ", flush=True)
