"""``attnpick train``: train a network on labelled micrographs, on simulation, or on both."""

from __future__ import annotations

import logging
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from relion_attn_picker.cli._options import LIKE_RELION, OUTPUT_NAME, precision_option, training_process_options
from relion_attn_picker.cli._plain_command import log_into
from relion_attn_picker.errors import InputError
from relion_attn_picker.options import NETWORKS, InferenceOptions
from relion_attn_picker.training_options import RECIPES, RunOptions, follow_recipe

if TYPE_CHECKING:
    from relion_attn_picker.jobs.training.labelled_data import TrainingData
    from relion_attn_picker.jobs.training.request import TrainingRequest
    from relion_attn_picker.training.fit import Progress

log = logging.getLogger(__name__)

VALIDATION_FIELDS = 12
"""Simulated micrographs to validate with where there is no real one."""


def _of_recipe(field: str, kind: Any, text: str) -> Callable[[Any], Any]:
    """Return an option whose default is the recipe's: it stands in the help for the default recipe."""
    small = RECIPES["small"]
    options: Any = small.train if hasattr(small.train, field) else small.crops
    return click.option(f"--{field}", type=kind, help=f"{text}  [small: {getattr(options, field)}]")


def recipe_option(default: str) -> Callable[[Any], Any]:
    """Return the option of the recipe, with what its help says of the ``default``."""
    return click.option(
        "--recipe",
        type=click.Choice(list(RECIPES)),
        help=f"Defaults of all options that show [small: ...].  [default: {default}]",
    )


@click.command(name="train", context_settings=LIKE_RELION)
@click.option(
    "--data",
    type=(str, str, float),
    multiple=True,
    metavar="MICS COORDS DIAMETER",
    help="Micrographs STAR, its coordinates (ManualPick, AutoPick or particles STAR), diameter in Å. Repeatable.",
)
@click.option(
    "--out",
    type=OUTPUT_NAME,
    required=True,
    help="Folder of the training; an interrupted one goes on where it stopped.",
)
@click.option(
    "--start_from",
    help="Weights to make better: a file, attention, standard, or shipped (of --variant).  [default: random ones]",
)
@recipe_option("small; with --start_from: fine_tune")
@click.option("--shorten", type=float, default=1.0, help="Divide crops, steps and intervals by this.  [default: 1]")
@click.option(
    "--hold_out",
    type=int,
    multiple=True,
    help="Keep the last N micrographs for validation; once for all sets or once for each.  [default: a fifth]",
)
@click.option("--weight", type=float, multiple=True, help="Share of the crops, once for each set.  [default: equal]")
@click.option("--simulated", type=int, default=0, help="Simulated micrographs to cut crops from.  [default: 0]")
@click.option(
    "--on_the_fly", type=float, help="Share of the crops that are simulated anew, 0 to 1.  [default: 1 without data]"
)
@click.option(
    "--validate_simulated", type=int, help="Simulated micrographs to validate with.  [default: 12 without data]"
)
@click.option(
    "--simulate_on",
    type=click.Choice(["cpu", "gpu"]),
    default="cpu",
    show_default=True,
    help="Where that is done; gpu: the one that trains.",
)
@click.option("--structures", help="Folder of bead files (*.npz) for the simulation.  [default: procedural particles]")
@click.option("--exclude", multiple=True, help="Leave out structures that this word fits. Repeatable.")
@click.option("--variant", "architecture", type=click.Choice(NETWORKS), help="[default: attention]")
@_of_recipe("base_features", int, "Width of the network, even, 8 to 64.")
@_of_recipe("steps", int, "Optimiser steps at most.")
@click.option("--epochs", type=float, help="Length in epochs of crops_per_source crops, instead of steps.")
@_of_recipe("batch_size", int, "Crops a step, of all processes together.")
@_of_recipe("input_size", int, "Side of a training crop in pixels.")
@_of_recipe("crops_per_source", int, "Crops cut from each set.")
@click.option("--diameter_px", "particle_diameter_px", type=float, help="Diameter in network pixels.  [default: 24]")
@_of_recipe("target", str, "gaussian, wide_gaussian or disc.")
@_of_recipe("loss", str, "focal or cross_entropy.")
@_of_recipe("learning_rate", float, "Highest learning rate.")
@_of_recipe("ema_decay", float, "Memory of the running mean of the weights that is kept; 0: no mean.")
@_of_recipe("scale_jitter", float, "Fraction up to which each micrograph is seen too large or too small.")
@_of_recipe("crops_per_field", int, "Crops from each field that is simulated during the training.")
@_of_recipe("degraded", float, "Share of the crops that are denoised, low-passed or equalised first.")
@_of_recipe("validate_every", int, "Steps between validations.")
@_of_recipe("patience", int, "Validations without gain before stopping.")
@click.option("--seed", type=int, default=1, show_default=True, help="Seed of everything drawn at random.")
@click.option(
    "--gpu",
    default="auto",
    show_default=True,
    help="auto (the GPU with the most free memory; with torchrun one for each process), cpu, or a GPU's number.",
)
@precision_option
@click.option("--save_every", type=float, default=60.0, show_default=True, help="Seconds between saved states.")
@training_process_options
def command(out: str, **options: Any) -> None:
    """Train a network; the best checkpoint by average precision on held-out micrographs is OUT/best.safetensors.

    The folder also gets crops.h5, options.json, train.log, curves.csv, curves.png, last.safetensors and state.pt. The
    same command again resumes. Several GPUs: torchrun --nproc_per_node=4 -m relion_attn_picker train ...
    """
    with log_into(Path(out) / "train.log", shlex.join(sys.argv)):
        from relion_attn_picker.jobs.training.job import run_training

        request = read_request(options)
        print(f"Best checkpoint: {run_training(Path(out), request, TrainingProgress(request.train.steps).report)}")


def read_request(given: dict[str, Any]) -> TrainingRequest:
    """Return what the options of ``attnpick train`` but for ``--out`` ask for."""
    from relion_attn_picker.jobs.training.request import TrainingRequest
    from relion_attn_picker.jobs.training.simulated_data import (
        open_simulation,
        place_simulation,
        simulate_on_the_fly,
        simulate_source,
    )

    inference = InferenceOptions(gpu=given["gpu"], threads=given["threads"], precision=given["precision"])
    run = RunOptions(workers=given["workers"], save_every=given["save_every"])
    sets = labelled_sets(given["data"], given["hold_out"], given["weight"])
    start_from = None
    if given["start_from"] is not None:
        from relion_attn_picker.training.starting import find_start, own_options

        start_from = find_start(given["start_from"], given["architecture"])
        given = own_options(start_from, given)
    recipe = given["recipe"] or ("small" if start_from is None else "fine_tune")
    crops, train = follow_recipe(recipe, given, given["shorten"])
    structures = given["structures"]
    device = place_simulation(given["simulate_on"], given["gpu"])
    simulation = open_simulation(None if structures is None else Path(structures), train.seed, given["exclude"], device)
    count, share, n_validation = given["simulated"], given["on_the_fly"], given["validate_simulated"]
    for name in ("simulated", "validate_simulated"):
        if (given[name] or 0) < 0:
            raise InputError(f"--{name} is {given[name]}: expected 0 micrographs or more.")
    if share is not None and not 0 <= share <= 1:
        raise InputError(f"--on_the_fly is {share:g}: expected 0 to 1, the share of the crops that are simulated anew.")
    other_weights = sum(each.weight for each in sets) + (1.0 if count else 0.0)
    share = (0.0 if other_weights else 1.0) if share is None else share
    n_validation = (0 if sets else VALIDATION_FIELDS) if n_validation is None else n_validation
    if structures is not None and not (count or share or n_validation):
        raise InputError("--structures is for simulated micrographs: give --simulated or --on_the_fly too.")
    return TrainingRequest(
        crops=crops,
        train=train,
        inference=inference,
        data=sets,
        sources=[simulate_source(simulation, count)] if count else [],
        fields=simulate_on_the_fly(simulation, share, other_weights) if share else None,
        validation=[simulate_source(simulation, n_validation, "validation")] if n_validation else [],
        start_from=start_from,
        run=run,
    )


def labelled_sets(
    data: tuple[tuple[str, str, float], ...],
    hold_out: tuple[int, ...],
    weight: tuple[float, ...],
    hold_out_name: str = "--hold_out",
) -> list[TrainingData]:
    """Return the sets of a repeatable option; ``hold_out`` and ``weight`` once for all or once for each.

    ``hold_out_name`` is the option that ``hold_out`` comes from.
    """
    from relion_attn_picker.jobs.training.labelled_data import TrainingData

    if hold_out and not data:
        raise InputError(f"{hold_out_name} is for labelled micrographs, and there are none: leave it out.")
    if len(hold_out) not in (0, 1, len(data)):
        raise InputError(
            f"{hold_out_name} is given {len(hold_out)} times for {len(data)} sets: once, or once for each."
        )
    if len(weight) not in (0, len(data)):
        raise InputError(f"--weight is given {len(weight)} times for {len(data)} sets: once for each, or not at all.")
    counts = hold_out if len(hold_out) == len(data) else (hold_out or (None,)) * len(data)
    return [
        TrainingData(
            micrographs_star=Path(micrographs),
            coordinates=Path(coordinates),
            particle_diameter=diameter,
            hold_out=count,
            weight=share,
        )
        for (micrographs, coordinates, diameter), count, share in zip(
            data, counts, weight or (1.0,) * len(data), strict=True
        )
    ]


class TrainingProgress:
    """A bar on a terminal, and a plain line a validation."""

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
            log.info(
                "step %d/%d loss %.4f AP %.3f F1 %.3f at %.2f",
                progress.step,
                progress.steps,
                progress.loss,
                scores.average_precision,
                scores.f1,
                scores.threshold,
            )
