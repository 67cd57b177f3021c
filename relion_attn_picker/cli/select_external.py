"""``attnpick select-external``: cutting an earlier picking job anew, as a RELION External job (3.1, 4.0 and 5.0)."""

from __future__ import annotations

import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from relion_attn_picker.cli._options import LIKE_RELION, refuse_inputs
from relion_attn_picker.errors import InputError


@click.command(name="select-external", context_settings=LIKE_RELION)
@click.option("--o", "folder", required=True, help="The job's folder; RELION gives it.")
@click.option("--in_coords", required=True, help="The list of coordinates of a picking job; 'Input coordinates'.")
@click.option("--threshold", type=float, help="Lowest score of a pick, 0 to 1.  [default: the earlier job's]")
@click.option("--border", type=float, help="Leave out picks this near to the edge, in Å.  [default: as earlier]")
@click.option("--max_picks", type=int, help="Keep at most this many picks a micrograph.  [default: as earlier]")
@click.option("--reference", help="Reference coordinates to evaluate the picks against.")
@click.option("--pixel_size", "--angpix", type=float, help="Å per pixel, if the micrographs' STAR file has none.")
@click.option("--j", "threads", type=int, hidden=True, expose_value=False)
@refuse_inputs("in_movies", "in_mics", "in_parts", "in_3dref", "in_mask", purpose="selecting picks")
@click.pass_obj
def command(
    job: Any, /, folder: str, in_coords: str, reference: str | None, pixel_size: float | None, **changes: Any
) -> None:
    """Cut an earlier picking job at another threshold, without reading an image.

    In RELION's GUI: job type External, field 'External executable' the full path of `attnpick-select-external`, field
    'Input coordinates' the autopick.star (4.0, 5.0) or coords_suffix_autopick.star (3.1) of a picking job of attnpick,
    and on the tab Params the label `threshold`.
    """
    job.refuse_tomography()
    given = {name: value for name, value in changes.items() if value is not None}
    if not given:
        raise InputError("Nothing is to be changed: give --threshold, --border or --max_picks.")
    from relion_attn_picker.cli._picking import ProgressLines, print_summary
    from relion_attn_picker.selection_job import SelectionRequest, open_earlier_job, run_selection_job

    earlier = open_earlier_job(Path(in_coords), pixel_size)
    request = SelectionRequest(
        earlier=earlier,
        options=replace(earlier.options, **given),
        reference=None if reference is None else Path(reference),
        command=shlex.join(sys.argv),
    )
    print(f" Selecting among the candidates of {earlier.folder} ...", flush=True)
    report = ProgressLines(len(earlier.micrographs)).report
    print_summary(job, run_selection_job(job, request, report, job.abort_requested))
