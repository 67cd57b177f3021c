"""``attnpick train``: train a network on labelled micrographs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from relion_attn_picker.cli._options import LIKE_RELION, threads_option
from relion_attn_picker.errors import InputError

if TYPE_CHECKING:
    from relion_attn_picker.training.fit import Progress


@click.command(name="train", context_settings=LIKE_RELION)
@click.option(
    "--data",
    type=(str, str, float),
    multiple=True,
    required=True,
    metavar="MICS COORDS DIAMETER",
    help="Micrographs STAR, its coordinates (ManualPick, AutoPick or particles STAR), diameter in Å. Repeatable.",
)
@click.option("--simulated", type=int, default=0, show_default=True, help="Simulated micrographs to add.")
@click.option("--structures", help="Folder of bead files (*.npz) for the simulation.  [default: procedural particles]")
@click.option("--out", required=True, help="Folder of the training; an interrupted one goes on where it stopped.")
@click.option(
    "--hold_out",
    type=int,
    multiple=True,
    help="Keep the last N micrographs for validation; once for all sets or once for each.  [default: a fifth]",
)
@click.option("--variant", type=click.Choice(["attention", "standard"]), default="attention", show_default=True)
@click.option("--base_features", type=int, default=16, show_default=True, help="Width of the network, 8 to 64.")
@click.option("--steps", type=int, default=4000, show_default=True, help="Optimiser steps at most.")
@click.option("--batch_size", type=int, default=8, show_default=True, help="Crops a step.")
@click.option("--input_size", type=int, default=128, show_default=True, help="Side of a training crop in pixels.")
@click.option("--crops_per_source", type=int, default=2000, show_default=True, help="Crops cut from each set.")
@click.option("--diameter_px", type=float, default=24.0, show_default=True, help="Particle diameter in network pixels.")
@click.option("--target", default="gaussian", show_default=True, help="gaussian, wide_gaussian or disc.")
@click.option("--loss", default="focal", show_default=True, help="focal or cross_entropy.")
@click.option("--learning_rate", type=float, default=2e-3, show_default=True, help="Highest learning rate.")
@click.option("--validate_every", type=int, default=400, show_default=True, help="Steps between validations.")
@click.option("--patience", type=int, default=6, show_default=True, help="Validations without gain before stopping.")
@click.option("--seed", type=int, default=1, show_default=True, help="Seed of everything drawn at random.")
@click.option("--gpu", default="auto", show_default=True, help="auto, cpu, or a GPU's number.")
@threads_option()
def command(data: tuple[tuple[str, str, float], ...], out: str, hold_out: tuple[int, ...], **options: Any) -> None:
    """Train a network; the best checkpoint by average precision on held-out micrographs is OUT/best.safetensors.

    The folder also gets crops.h5, options.json, curves.csv, curves.png and state.pt. The same command again resumes.
    """
    from relion_attn_picker.options import CropOptions, InferenceOptions, TrainOptions
    from relion_attn_picker.training_job import TrainingData, run_training, simulate_source

    if len(hold_out) not in (0, 1, len(data)):
        raise InputError(f"--hold_out is given {len(hold_out)} times for {len(data)} sets: once, or once for each.")
    counts = hold_out if len(hold_out) == len(data) else (hold_out or (None,)) * len(data)
    sets = [
        TrainingData(
            micrographs_star=Path(micrographs),
            coordinates=Path(coordinates),
            particle_diameter=diameter,
            hold_out=count,
        )
        for (micrographs, coordinates, diameter), count in zip(data, counts, strict=True)
    ]
    inference = InferenceOptions(gpu=options.pop("gpu"), threads=options.pop("threads"), precision="float32")
    input_size = options["input_size"]
    crops = CropOptions(
        particle_diameter_px=options.pop("diameter_px"),
        crop_size=input_size + input_size // 4,
        crops_per_source=options.pop("crops_per_source"),
        seed=options["seed"],
    )
    count, structures = options.pop("simulated"), options.pop("structures")
    simulated = simulate_source(count, structures and Path(structures), options["seed"]) if count else None
    train = TrainOptions(architecture=options.pop("variant"), **options)
    best = run_training(Path(out), sets, crops, train, inference, TrainingProgress(train.steps).report, simulated)
    print(f"Best checkpoint: {best}")


class TrainingProgress:
    """A bar on a terminal, a plain line a validation elsewhere."""

    def __init__(self, steps: int) -> None:
        self._bar: Any = click.progressbar(length=steps, label="Training") if sys.stdout.isatty() else None
        self._shown = 0

    def report(self, progress: Progress) -> None:
        """Show the step, and the figures after a validation."""
        if self._bar is not None:
            self._bar.update(progress.step - self._shown)
            self._shown = progress.step
            if progress.scores is not None:
                print()
        if progress.scores is not None:
            scores = progress.scores
            print(
                f"step {progress.step}/{progress.steps} loss {progress.loss:.4f} "
                f"AP {scores.average_precision:.3f} F1 {scores.f1:.3f} at {scores.threshold:.2f}",
                flush=True,
            )
