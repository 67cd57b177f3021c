"""``attnpick evaluate``: score picks against the ground truth."""

from __future__ import annotations

from pathlib import Path

import click

from relion_attn_picker.cli._options import LIKE_RELION, OUTPUT_NAME


@click.command(name="evaluate", context_settings=LIKE_RELION)
@click.argument("picks")
@click.argument("truth")
@click.option("--diameter", type=float, required=True, help="Particle diameter in Å; picks match within half of it.")
@click.option("--micrographs", help="Micrographs STAR file with the pixel sizes.  [default: the picking job's own]")
@click.option("--pixel_size", "--angpix", type=float, help="Å per pixel of all micrographs, whatever a list says.")
@click.option(
    "--threshold",
    type=float,
    help="Lowest score that counts as a pick; of a job of attnpick above 0 and below 1.  [default: the job's, or none]",
)
@click.option(
    "--last", type=int, help="Only the last N micrographs of the list: those that train --hold_out keeps out."
)
@click.option(
    "--out", type=OUTPUT_NAME, help="Folder for evaluation.json, evaluation.star and the precision-recall curve."
)
def command(
    picks: str,
    truth: str,
    diameter: float,
    micrographs: str | None,
    pixel_size: float | None,
    threshold: float | None,
    last: int | None,
    out: str | None,
) -> None:
    """Score PICKS against TRUTH: precision, recall, F1, average precision, localisation error.

    Each may be a job folder, an autopick.star, a coords_suffix_*.star, a particles STAR file, or the coordinates of one
    micrograph. Of a job of attnpick, the candidates below its threshold are used too.
    """
    from relion_attn_picker.io.output_folder import check_place, make_folder
    from relion_attn_picker.jobs.pick_evaluation import evaluate_files
    from relion_attn_picker.report.evaluation import format_evaluation, write_evaluation

    if out is not None:
        check_place(Path(out))
    evaluation = evaluate_files(
        Path(picks),
        Path(truth),
        diameter,
        pixel_size=pixel_size,
        micrographs_star=None if micrographs is None else Path(micrographs),
        threshold=threshold,
        last=last,
    )
    print(format_evaluation(evaluation))
    if out is not None:
        make_folder(Path(out))
        for path in write_evaluation(Path(out), evaluation):
            print(f"Written: {path}")
