"""``attnpick pick``: the picking job for people without RELION."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from relion_attn_picker.cli._options import LIKE_RELION, check_choices, picking_options


@click.command(name="pick", context_settings=LIKE_RELION)
@click.argument("inputs", nargs=-1, required=True, metavar="MICROGRAPHS...")
@click.option("--out", required=True, help="Folder for the results; made if absent, continued if it holds some.")
@click.option("--reference", "--in_coords", "reference", help="Reference coordinates to evaluate the picks against.")
@picking_options
def command(inputs: tuple[str, ...], out: str, reference: str | None, **options: Any) -> int:
    """Pick particles on MICROGRAPHS: one micrographs STAR file, or MRC files and patterns such as 'mics/*.mrc'.

    Writes the same files as the RELION job. Run again with the same folder, it picks only what is new or changed.
    """
    from relion_attn_picker.cli._job_command import guard_job
    from relion_attn_picker.relion.job import JobDirectory

    job = JobDirectory.open(out)

    def work() -> None:
        choices = check_choices(**options)
        from relion_attn_picker.micrograph_list import list_micrographs

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

    return guard_job(job, work)
