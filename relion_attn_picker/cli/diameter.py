"""``attnpick diameter``: estimate the particle diameter from a few micrographs."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from relion_attn_picker.cli._options import LIKE_RELION, OUTPUT_NAME, check_pixel_size, gpu_option, threads_option
from relion_attn_picker.errors import InputError
from relion_attn_picker.io.output_folder import check_folder
from relion_attn_picker.options import NETWORKS, InferenceOptions

if TYPE_CHECKING:
    from relion_attn_picker.inference.diameter import ScaleEvidence


@click.command(name="diameter", context_settings=LIKE_RELION)
@click.argument("inputs", nargs=-1, required=True, metavar="MICROGRAPHS...")
@click.option("--count", type=int, default=6, show_default=True, help="Look at so many micrographs of the list.")
@click.option(
    "--out",
    type=OUTPUT_NAME,
    metavar="PNG",
    help="Picture of the scores at each diameter, and of the average particle.",
)
@click.option("--pixel_size", "--angpix", type=float, help="Å per pixel, if the files have none or a wrong one.")
@click.option("--variant", type=click.Choice(NETWORKS), help="Which network.  [default: attention]")
@click.option(
    "--weights", help="File of weights, or the folder of a training.  [default: the released ones of the variant]"
)
@gpu_option
@click.option("--precision", default="auto", show_default=True, help="float32, bfloat16, or auto.")
@threads_option()
def command(
    inputs: tuple[str, ...],
    count: int,
    out: str | None,
    pixel_size: float | None,
    variant: str | None,
    weights: str | None,
    gpu: str,
    precision: str,
    threads: int,
) -> None:
    """Estimate the particle diameter on MICROGRAPHS: one micrographs STAR file, or MRC files and patterns.

    The network looks at a few micrographs as if the particles had one diameter after another, from 40 to 800 Å; its
    scores are highest near the right one. The answer has its uncertainty (one standard deviation). Where there is no
    clear answer, none is given.
    """
    if count < 1:
        raise InputError(f"The number of micrographs to look at is {count}: expected 1 or more, such as 6.")
    check_pixel_size(pixel_size)
    if out is not None and Path(out).suffix.lower() != ".png":
        raise InputError(f"The picture would go to {out}: expected a name that ends in .png.")
    if out is not None and not Path(out).parent.is_dir():
        raise InputError(f"There is no folder {Path(out).parent} for the picture: make it, or give another.")
    if out is not None:
        check_folder(Path(out).parent)
    import numpy as np

    from relion_attn_picker.inference.diameter import estimate_diameter
    from relion_attn_picker.inference.weights import find_weights
    from relion_attn_picker.jobs.diameter_job import SEED, gather_evidence, load_scout
    from relion_attn_picker.jobs.micrograph_list import list_micrographs
    from relion_attn_picker.jobs.pixel_size_check import PixelSizeCheck

    inference = InferenceOptions(gpu=gpu, precision=precision, threads=threads)
    path = find_weights(variant, None if weights is None else Path(weights))
    with tempfile.TemporaryDirectory() as folder:
        listed = list_micrographs(inputs, pixel_size, Path(folder))
    evidence = gather_evidence(
        listed.micrographs, listed.project_dir, load_scout(path, inference), count, pixel_size_check=PixelSizeCheck()
    )
    print_evidence(evidence)
    estimate = estimate_diameter(evidence, np.random.default_rng(SEED))
    print(f"Particle diameter: {estimate}")
    if out is not None:
        from relion_attn_picker.report.diameter import draw_diameter

        draw_diameter(Path(out), evidence, estimate)
        print(f"Written: {out}")


def print_evidence(evidence: ScaleEvidence) -> None:
    """Print the evidence at each diameter that was tried."""
    import numpy as np
    from scipy.special import expit

    from relion_attn_picker.inference.diameter import CLEAR_SCORE, DIAMETERS

    print(f"{'diameter':>8}  {'best scores':>11}  {f'candidates over {CLEAR_SCORE:g}':>19}")
    for diameter, response, n_clear in zip(DIAMETERS, evidence.curve, evidence.n_clear, strict=True):
        if np.isfinite(response):
            print(f"{diameter:>6.0f} Å  {expit(response):>11.2f}  {n_clear:>19}")
