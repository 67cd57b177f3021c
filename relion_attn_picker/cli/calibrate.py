"""``attnpick calibrate``: making scores probabilities, and two networks one picker, from labelled micrographs."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

import click

from relion_attn_picker.cli._options import LIKE_RELION, OUTPUT_NAME, gpu_option, precision_option, threads_option
from relion_attn_picker.errors import InputError


@click.command(name="calibrate", context_settings=LIKE_RELION)
@click.option(
    "--out", type=OUTPUT_NAME, required=True, help="Folder of the hybrid: both checkpoints and calibration.json."
)
@click.option("--attention", help="Checkpoint of the attention network.  [default: the released one]")
@click.option("--standard", help="Checkpoint of the standard network.  [default: the released one]")
@click.option(
    "--data",
    type=(str, str, float),
    multiple=True,
    metavar="MICS COORDS DIAMETER",
    help="Labelled micrographs that the networks were not trained on, as for attnpick train. Repeatable.",
)
@click.option(
    "--last",
    type=int,
    multiple=True,
    help="Only the last N micrographs, for all sets or once for each.  [default: all]",
)
@click.option("--simulated", type=int, default=0, show_default=True, help="Simulated sessions of two micrographs each.")
@click.option("--structures", help="Folder of bead files (*.npz) for the simulation.  [default: procedural particles]")
@click.option("--exclude", multiple=True, help="Leave out structures that this word fits. Repeatable.")
@click.option("--seed", type=int, default=1, show_default=True, help="Seed of the simulation.")
@gpu_option
@precision_option
@threads_option()
def command(out: str, attention: str | None, standard: str | None, **options: Any) -> None:
    """Calibrate a pair of networks: scores become probabilities, and the best way to combine both is chosen.

    Afterwards `attnpick pick --weights OUT` picks with the hybrid, and OUT/attention.safetensors alone has calibrated
    scores too. The table is measured on other micrographs than its settings are chosen on.
    """
    from relion_attn_picker.inference.predictor import load_pair
    from relion_attn_picker.inference.weights import find_weights
    from relion_attn_picker.io.checkpoint import read_header
    from relion_attn_picker.io.output_folder import check_place
    from relion_attn_picker.jobs.calibration.job import calibrate, make_hybrid_folder
    from relion_attn_picker.jobs.calibration.sets import CalibrationSets
    from relion_attn_picker.options import InferenceOptions
    from relion_attn_picker.report.calibration import format_calibration

    given = {"attention": attention, "standard": standard}
    checkpoints = {name: find_weights(None, Path(path or name)) for name, path in given.items()}
    for name, path in checkpoints.items():
        if (held := read_header(path).spec.architecture) != name:
            raise InputError(f"--{name} is {path}, which holds the network {held!r}: give weights of {name!r}.")
    inference = InferenceOptions(gpu=options["gpu"], precision=options["precision"], threads=options["threads"])
    sets = CalibrationSets(
        data=options["data"],
        last=options["last"],
        simulated=options["simulated"],
        structures=options["structures"],
        exclude=options["exclude"],
        seed=options["seed"],
    )
    check_place(Path(out))
    made_with = {"command": shlex.join(["attnpick", *sys.argv[1:]])}
    calibration = calibrate(load_pair(checkpoints, inference), checkpoints, sets.read(), made_with)
    make_hybrid_folder(Path(out), checkpoints, calibration)
    print(format_calibration(calibration))
    print(f"Written: {Path(out) / 'calibration.json'}")
    hybrid, alone = (shlex.quote(str(path)) for path in (out, Path(out) / "attention.safetensors"))
    print(f"Pick with --weights {hybrid}, or with one network alone: --weights {alone}")
