"""``attnpick attention``: where the attention gates look, and whether they look at particles."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from relion_attn_picker.cli._options import LIKE_RELION, OUTPUT_NAME, check_pixel_size, gpu_option, threads_option
from relion_attn_picker.errors import InputError

if TYPE_CHECKING:
    from relion_attn_picker.jobs.attention.job import SeenMicrograph


@click.command(name="attention", context_settings=LIKE_RELION)
@click.argument("micrograph")
@click.option("--diameter", type=float, required=True, help="Particle diameter in Å.")
@click.option("--out", type=OUTPUT_NAME, required=True, help="Folder for the pictures and maps.")
@click.option("--count", type=int, default=1, show_default=True, help="Look at the first N micrographs of the list.")
@click.option(
    "--window",
    type=int,
    nargs=4,
    metavar="X Y W H",
    help="Only this part: left and upper edge, width and height in micrograph pixels.  [default: all]",
)
@click.option("--coordinates", help="Picks to draw as circles: a job's folder or a STAR file.")
@click.option("--truth", help="True coordinates: check whether the gates favour particles, with intervals.")
@click.option("--junk", help="Folder of junk masks for the check.  [default: Junk/ beside the truth, if there]")
@click.option(
    "--weights",
    help="Weights of an attention network; of a hybrid's folder, its attention network.  [default: the released ones]",
)
@click.option("--pixel_size", "--angpix", type=float, help="Å per pixel, if the file has none or a wrong one.")
@gpu_option
@threads_option()
def command(
    micrograph: str,
    diameter: float,
    out: str,
    count: int,
    window: tuple[int, int, int, int] | None,
    coordinates: str | None,
    truth: str | None,
    junk: str | None,
    weights: str | None,
    pixel_size: float | None,
    gpu: str,
    threads: int,
) -> None:
    """Show what the four attention gates let through on MICROGRAPH: an MRC file, a pattern, or a micrographs STAR file.

    OUT gets a picture a micrograph (the gates' α over the image, 0 to 1), attention.h5 (the maps as the network has
    them) and an MRC file a level, which lies over the micrograph. With --truth, attention.md tells whether α is higher
    on particles than on background and on junk; take --count 5 or more.
    """
    check_pixel_size(pixel_size)
    if junk is not None and truth is None:
        raise InputError("--junk is for the check of the gates: give --truth too.")
    from relion_attn_picker.gate_maps import Window
    from relion_attn_picker.inference.attention import find_attention, load_attention
    from relion_attn_picker.jobs.attention.job import AttentionRequest, list_attention_micrographs, run_attention
    from relion_attn_picker.options import InferenceOptions, PickOptions
    from relion_attn_picker.report.attention_check import format_attention_check

    checkpoint = find_attention(None if weights is None else Path(weights))
    micrographs, project_dir = list_attention_micrographs(micrograph, pixel_size, count)
    request = AttentionRequest(
        micrographs=micrographs,
        project_dir=project_dir,
        weights=checkpoint,
        particle_diameter=PickOptions(particle_diameter=diameter).particle_diameter,
        window=None if window is None else Window(*window),
        coordinates=None if coordinates is None else Path(coordinates),
        truth=None if truth is None else Path(truth),
        junk=None if junk is None else Path(junk),
        command=shlex.join(["attnpick", *sys.argv[1:]]),
    )
    network = load_attention(checkpoint, InferenceOptions(gpu=gpu, threads=threads))
    check = run_attention(Path(out), request, network, _print_seen)
    if check is not None:
        print(format_attention_check(check))
    print(f"Written: {out}/attention.h5, pictures and MRC files" + ("" if check is None else f", {out}/attention.md"))


def _print_seen(seen: SeenMicrograph) -> None:
    """Print one line a micrograph."""
    means = ", ".join(f"{gate.name} {gate.values.mean():.2f}" for gate in seen.gates)
    print(f"{Path(seen.micrograph.name).name}: mean α of {means}", flush=True)
