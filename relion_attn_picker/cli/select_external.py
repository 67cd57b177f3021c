"""``attnpick select-external``: cutting an earlier picking job anew, as a RELION External job (3.1, 4.0 and 5.0)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from relion_attn_picker.cli._options import LIKE_RELION, OUTPUT_NAME, given_changes, refuse_inputs, selection_options
from relion_attn_picker.errors import InputError


@click.command(name="select-external", context_settings=LIKE_RELION)
@click.option("--o", "folder", type=OUTPUT_NAME, required=True, help="The job's folder; RELION gives it.")
@click.option("--in_coords", required=True, help="The list of coordinates of a picking job; 'Input coordinates'.")
@selection_options
@click.option("--j", "threads", type=int, hidden=True, expose_value=False)
@refuse_inputs("in_movies", "in_mics", "in_parts", "in_3dref", "in_mask", purpose="selecting picks")
@click.pass_obj
def command(
    job: Any, /, folder: str, in_coords: str, reference: str | None, pixel_size: float | None, **changes: Any
) -> None:
    """Cut an earlier picking job anew, without picking again.

    In RELION's GUI: job type External, field 'External executable' the full path of `attnpick-select-external`, field
    'Input coordinates' the autopick.star (4.0, 5.0) or coords_suffix_autopick.star (3.1) of a picking job of attnpick,
    and on the tab Params the label `threshold`, or `mode`, `target_precision`, `target_recall`, `count_per_micrograph`.
    """
    job.refuse_tomography()
    given = given_changes(changes)
    from relion_attn_picker.cli._picking import build_selection, select_into_job

    if Path(in_coords).resolve() in (job.path.resolve(), *(path.resolve() for path in job.path.glob("*.star"))):
        raise InputError(f"{job.name} is itself the job to cut anew: use attnpick select, or continue it.")
    select_into_job(job, build_selection(in_coords, reference, pixel_size, given))
