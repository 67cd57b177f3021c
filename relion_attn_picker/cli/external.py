"""``attnpick external``: picking as a RELION External job (3.1, 4.0 and 5.0)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from relion_attn_picker.cli._options import LIKE_RELION, OUTPUT_NAME, check_choices, picking_options, refuse_inputs


@click.command(name="external", context_settings=LIKE_RELION)
@click.option("--o", "folder", type=OUTPUT_NAME, required=True, help="The job's folder; RELION gives it.")
@click.option("--in_mics", required=True, help="Micrographs STAR file; the field 'Input micrographs'.")
@click.option("--in_coords", help="Reference coordinates to evaluate the picks against; 'Input coordinates'.")
@picking_options
@refuse_inputs("in_movies", "in_parts", "in_3dref", "in_mask", purpose="picking")
@click.pass_obj
def command(job: Any, /, folder: str, in_mics: str, in_coords: str | None, **options: Any) -> None:
    """Pick particles as a RELION External job.

    In RELION's GUI: job type External, field 'External executable' the full path of `attnpick-external`, field 'Input
    micrographs' a micrographs STAR file, and on the tab Params the label `diameter` with the particle diameter in Å.
    Every option below can be a label there; `-` and `_` in names are alike.
    """
    job.refuse_tomography()
    choices = check_choices(**options)
    from relion_attn_picker.relion.micrographs import read_micrographs

    micrographs = read_micrographs(Path(in_mics), choices.pixel_size)
    from relion_attn_picker.cli._picking import pick_into_job

    pick_into_job(job, micrographs, in_mics, Path(), None if in_coords is None else Path(in_coords), choices)
