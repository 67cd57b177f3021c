"""``attnpick pick``: the picking job for people without RELION."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from relion_attn_picker.cli._options import LIKE_RELION, picking_options


@click.command(name="pick", context_settings=LIKE_RELION)
@click.argument("inputs", nargs=-1, required=True, metavar="MICROGRAPHS...")
@click.option("--out", required=True, help="Folder for the results; made if absent, continued if it holds some.")
@click.option("--reference", "--in_coords", "reference", help="Reference coordinates to evaluate the picks against.")
@picking_options
def command(inputs: tuple[str, ...], out: str, reference: str | None, pixel_size: float | None, **options: Any) -> int:
    """Pick particles on MICROGRAPHS: one micrographs STAR file, or MRC files and patterns such as 'mics/*.mrc'.

    Writes the same files as the RELION job. Run again with the same folder, it picks only what is new or changed.
    """
    from relion_attn_picker.cli._job_command import guard_job
    from relion_attn_picker.relion.job import JobDirectory

    job = JobDirectory.open(out)

    def work() -> None:
        from relion_attn_picker.cli._picking import check_pixel_size, pick_into_job
        from relion_attn_picker.micrograph_list import list_micrographs

        listed = list_micrographs(inputs, check_pixel_size(pixel_size), job.path)
        pick_into_job(
            job,
            listed.micrographs,
            listed.star_path,
            listed.project_dir,
            None if reference is None else Path(reference),
            show_bar=sys.stdout.isatty(),
            **options,
        )

    return guard_job(job, work)
