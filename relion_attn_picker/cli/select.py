"""``attnpick select``: cutting a picking job anew where it stands."""

from __future__ import annotations

from typing import Any

import click

from relion_attn_picker.cli._options import LIKE_RELION, OUTPUT_NAME, given_changes, selection_options


@click.command(name="select", context_settings=LIKE_RELION)
@click.argument("job", type=OUTPUT_NAME)
@selection_options
def command(job: str, reference: str | None, pixel_size: float | None, **changes: Any) -> int:
    """Cut the picking job in the folder JOB anew: its STAR files and logfile are written again, and nothing is picked.

    Give one of --threshold, --mode, --target_precision, --target_recall and --count_per_micrograph, or another --border
    or --max_picks, or --reject_junk or --keep_junk. What the figures of merit promise at the new cut is printed; with
    --reference, what comes of it too.
    """
    given = given_changes(changes)
    from relion_attn_picker.cli._job_command import guard_job
    from relion_attn_picker.cli._picking import build_selection, select_into_job
    from relion_attn_picker.relion.job import JobDirectory
    from relion_attn_picker.relion.paths import job_name

    request = build_selection(job, reference, pixel_size, given)
    directory = JobDirectory.open(job_name(request.earlier.folder))
    return guard_job(directory, lambda: select_into_job(directory, request))
