"""``attnpick pick``: the picking job for people without RELION."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from relion_attn_picker.cli._options import LIKE_RELION, OUTPUT_NAME, check_choices, picking_options
from relion_attn_picker.errors import InputError


@click.command(name="pick", context_settings=LIKE_RELION)
@click.argument("inputs", nargs=-1, required=True, metavar="MICROGRAPHS...")
@click.option(
    "--out", type=OUTPUT_NAME, required=True, help="Folder for the results; made if absent, continued if it holds some."
)
@click.option("--reference", "--in_coords", "reference", help="Reference coordinates to evaluate the picks against.")
@click.option("--watch", type=float, metavar="SECONDS", help="Look for new micrographs this often.  [default: once]")
@click.option("--idle", type=float, metavar="SECONDS", help="End when nothing new came for so long.  [default: never]")
@picking_options
def command(
    inputs: tuple[str, ...],
    out: str,
    reference: str | None,
    watch: float | None,
    idle: float | None,
    **options: Any,
) -> int:
    """Pick particles on MICROGRAPHS: one micrographs STAR file, or MRC files and patterns such as 'mics/*.mrc'.

    Writes the same files as the RELION job. Run again with the same folder, it picks only what is new or changed. With
    --watch it goes on until it is stopped (Ctrl-C keeps everything); files that are still being written have to wait. A
    threshold that follows from all scores is then brought up to date whenever a tenth of the micrographs is new, at the
    end of --idle, and when the command is given again.
    """
    from relion_attn_picker.cli._job_command import guard_job
    from relion_attn_picker.relion.job import JobDirectory

    job = JobDirectory.open(out)

    def work() -> None:
        choices = check_choices(**options)
        if watch is not None:
            if reference is not None:
                raise InputError("--watch cannot evaluate a growing list: leave out --reference, evaluate afterwards.")
            from relion_attn_picker.cli._picking import watch_into_job

            return watch_into_job(job, inputs, choices, watch, idle)
        if idle is not None:
            raise InputError("--idle says when --watch ends: give --watch too.")
        from relion_attn_picker.jobs.micrograph_list import list_micrographs

        listed = list_micrographs(inputs, choices.pixel_size, job.path)
        from relion_attn_picker.cli._picking import pick_into_job

        pick_into_job(
            job,
            listed.micrographs,
            listed.star_path,
            listed.project_dir,
            None if reference is None else Path(reference),
            choices,
            show_bar=sys.stdout.isatty(),
        )
        return None

    return guard_job(job, work)
