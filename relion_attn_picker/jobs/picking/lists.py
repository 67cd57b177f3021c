"""The lists of a picking job that RELION and people read: all coordinate files, counts, failures, rejections, plots."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from relion_attn_picker.inference.rejection import reason_name
from relion_attn_picker.jobs.picking.job import FAILED_FILE, REJECTED_FILE, SUMMARY_FILE, MicrographResult
from relion_attn_picker.micrograph import Micrograph
from relion_attn_picker.picks import JUNK, Picks
from relion_attn_picker.relion.job import JobDirectory
from relion_attn_picker.relion.job_files import (
    RejectedPoints,
    write_coordinate_index,
    write_coords_suffix,
    write_failures,
    write_rejected,
    write_summary,
)
from relion_attn_picker.relion.labels import INDEX_FILE, LOGFILE, SUFFIX_FILE
from relion_attn_picker.report.evaluation import remove_evaluation
from relion_attn_picker.report.logfile import write_logfile

log = logging.getLogger(__name__)


def write_lists(
    job: JobDirectory,
    micrographs_star: str,
    coordinate_path: Callable[[Micrograph], Path],
    results: Sequence[MicrographResult],
) -> None:
    """Write what RELION reads of the job as a whole; after an abort too, for what was done until then.

    An evaluation of other picks, which an earlier run left, is removed.
    """
    before = _read_lists(job)
    done = [result for result in results if result.reason is None]
    picked = [result for result in done if result.n_picks]
    failed = [result for result in results if result.reason is not None]
    write_coordinate_index(
        job.path / INDEX_FILE,
        [result.micrograph.name for result in done],
        [job.output_name(coordinate_path(result.micrograph)) for result in done],
    )
    write_coords_suffix(job.path / SUFFIX_FILE, micrographs_star)
    write_summary(
        job.path / SUMMARY_FILE,
        [result.micrograph.name for result in picked],
        [result.mean_score for result in picked],
        [result.n_picks for result in picked],
    )
    if _read_lists(job) != before and remove_evaluation(job.path):
        log.info(" The evaluation of what was picked before is removed; with reference coordinates there is a new one.")
    write_failures(
        job.path / FAILED_FILE,
        [result.micrograph.name for result in failed],
        [result.reason or "" for result in failed],
    )
    write_rejected(job.path / REJECTED_FILE, [_rejected_rows(r.rejected) for r in done if r.rejected is not None])
    write_logfile(job.path / LOGFILE, [result.n_picks for result in done], [result.mean_score for result in done])
    job.write_output_nodes()


def _read_lists(job: JobDirectory) -> list[bytes]:
    """Return the lists that are different wherever picks are: micrographs, and each one's number and mean score."""
    paths = [job.path / name for name in (INDEX_FILE, SUMMARY_FILE)]
    return [path.read_bytes() if path.is_file() else b"" for path in paths]


def _rejected_rows(rejected: Picks) -> RejectedPoints:
    names = [reason_name(code) for code in rejected.details.get(JUNK, ())]
    return RejectedPoints(rejected.micrograph.name, rejected.yx, rejected.score, names)
