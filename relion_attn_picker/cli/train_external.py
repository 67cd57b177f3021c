"""``attnpick train-external``: training as a RELION External job (3.1, 4.0 and 5.0)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from relion_attn_picker.cli._options import (
    LIKE_RELION,
    OUTPUT_NAME,
    gpu_option,
    precision_option,
    refuse_inputs,
    training_process_options,
)
from relion_attn_picker.errors import InputError
from relion_attn_picker.options import NETWORKS, InferenceOptions
from relion_attn_picker.training_options import RECIPES, RunOptions, follow_recipe

if TYPE_CHECKING:
    from relion_attn_picker.jobs.training.external import TrainingSummary
    from relion_attn_picker.relion.job import JobDirectory

RECIPE = "fine_tune"
FINE_TUNE = RECIPES[RECIPE]


@click.command(name="train-external", context_settings=LIKE_RELION)
@click.option("--o", "folder", type=OUTPUT_NAME, required=True, help="The job's folder; RELION gives it.")
@click.option("--in_mics", required=True, help="Micrographs STAR file; the field 'Input micrographs'.")
@click.option("--in_coords", help="ManualPick or AutoPick coordinates to learn from; 'Input coordinates'.")
@click.option("--in_parts", help="Or particles, as after Class2D and Select; 'Input particles'.")
@click.option("--diameter", type=float, required=True, help="Particle diameter in Å; the one thing to know.")
@click.option(
    "--weights",
    "--start_from",
    "weights",
    default="shipped",
    show_default=True,
    help="Weights to make better: shipped, a file, or the folder of an earlier training job.",
)
@click.option(
    "--variant",
    type=click.Choice(NETWORKS),
    help="Which of the shipped weights.  [default: attention]",
)
@click.option(
    "--hold_out", type=int, help="Keep the last N labelled micrographs for validation.  [default: a fifth, at most 24]"
)
@click.option("--steps", type=int, help=f"Training steps at most.  [default: {FINE_TUNE.train.steps}]")
@click.option("--batch_size", type=int, help=f"Crops a step.  [default: {FINE_TUNE.train.batch_size}]")
@click.option("--crops", type=int, help=f"Crops to cut.  [default: {FINE_TUNE.crops.crops_per_source}]")
@click.option("--learning_rate", type=float, help=f"Highest one.  [default: {FINE_TUNE.train.learning_rate:g}]")
@click.option(
    "--validate_every", type=int, help=f"Steps between validations.  [default: {FINE_TUNE.train.validate_every}]"
)
@click.option(
    "--patience", type=int, help=f"Validations without gain before stopping.  [default: {FINE_TUNE.train.patience}]"
)
@click.option("--seed", type=int, default=1, show_default=True, help="Seed of everything drawn at random.")
@gpu_option
@precision_option
@training_process_options
@refuse_inputs("in_movies", "in_3dref", "in_mask", purpose="training")
@click.pass_obj
def command(
    job: Any, /, folder: str, in_mics: str, in_coords: str | None, in_parts: str | None, **options: Any
) -> None:
    """Train on RELION's own picks or particles, as a RELION External job.

    In RELION's GUI: job type External, field 'External executable' the full path of `attnpick-train-external`, field
    'Input micrographs' a micrographs STAR file, one of the fields 'Input coordinates' and 'Input particles', and on the
    tab Params the label `diameter` with the particle diameter in Å. The job's folder then goes into the field of the
    label `weights` of a picking job. Continue goes on with a training that was stopped.
    """
    job.refuse_tomography()
    if (in_coords is None) == (in_parts is None):
        how = "neither is given" if in_coords is None else "both are given"
        raise InputError(f"A training learns from 'Input coordinates' or from 'Input particles', and {how}: fill one.")
    _train(job, Path(in_mics), Path(in_coords or in_parts or ""), options)


def _train(job: JobDirectory, micrographs_star: Path, coordinates: Path, given: dict[str, Any]) -> None:
    inference = InferenceOptions(gpu=given["gpu"], threads=given["threads"], precision=given["precision"])
    run = RunOptions(workers=given["workers"])
    from relion_attn_picker.cli.train import TrainingProgress
    from relion_attn_picker.jobs.training.external import ExternalTrainingRequest, run_training_job
    from relion_attn_picker.jobs.training.labelled_data import TrainingData
    from relion_attn_picker.training.starting import find_start, own_options

    start_from = find_start(given["weights"], given["variant"])
    of_weights = {"architecture": given["variant"], "base_features": None, "particle_diameter_px": None}
    wanted = own_options(start_from, {**given, **of_weights, "crops_per_source": given["crops"]})
    crops, train = follow_recipe(RECIPE, wanted)
    data = TrainingData(
        micrographs_star=micrographs_star,
        coordinates=coordinates,
        particle_diameter=given["diameter"],
        hold_out=given["hold_out"],
    )
    request = ExternalTrainingRequest(
        data=data, start_from=start_from, crops=crops, train=train, inference=inference, run=run
    )
    print(f" Training from {start_from.name} ...", flush=True)
    print_summary(job, run_training_job(job, request, TrainingProgress(train.steps).report, job.abort_requested))


def print_summary(job: JobDirectory, summary: TrainingSummary) -> None:
    """Print what a training reached on the micrographs that it did not see."""
    from relion_attn_picker.relion.labels import LOGFILE

    print(f" Trained on {summary.n_trained_on} micrographs; {summary.n_held_out} were held out. On these:")
    for name, before, after in zip(("average precision", "best F1"), summary.before, summary.after, strict=True):
        print(f"   {name:<18} before {before:.3f}   after {after:.3f}")
    if summary.has_gained:
        print(f" Put this into the field of the label `weights` of a picking job: {job.output_name(summary.best)}")
    else:
        print(" Pick with the weights that it started from: no step made them better")
    print(f" Done! Written: {job.output_name(job.path / LOGFILE)} ", flush=True)
