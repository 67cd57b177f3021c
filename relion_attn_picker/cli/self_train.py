"""``attnpick self-train``: go on training with a network's own picks on unlabelled micrographs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from relion_attn_picker.cli import train
from relion_attn_picker.cli._options import LIKE_RELION
from relion_attn_picker.errors import InputError
from relion_attn_picker.options import SelfTrainingOptions

if TYPE_CHECKING:
    from relion_attn_picker.report.self_training import RoundRecord

DEFAULTS = SelfTrainingOptions()


@click.command(name="self-train", context_settings=LIKE_RELION, params=[*train.command.params])
@click.option(
    "--unlabelled",
    type=(str, float),
    multiple=True,
    metavar="MICS DIAMETER",
    help="Micrographs STAR without labels, diameter in Å of the particle on them. Repeatable.",
)
@click.option("--teacher", help="Weights to begin with.  [default: a supervised round, as `attnpick train` does it]")
@click.option("--rounds", type=int, default=DEFAULTS.rounds, show_default=True, help="Rounds of self-training.")
@click.option(
    "--positive", type=float, default=DEFAULTS.positive, show_default=True, help="From here upwards: a particle."
)
@click.option(
    "--negative", type=float, default=DEFAULTS.negative, show_default=True, help="Below: ground. Between: ignored."
)
@click.option(
    "--scale",
    default=DEFAULTS.scale,
    show_default=True,
    help="What the two are measured on: score, or calibrated: the teacher's own default threshold reads 0.5.",
)
@click.option("--start", default=DEFAULTS.start, show_default=True, help="A student starts from: teacher or fresh.")
@click.option(
    "--tolerance",
    type=float,
    default=DEFAULTS.tolerance,
    show_default=True,
    help="A student may be worse by this in average precision and F1, and is still kept.",
)
@click.option("--pictures", type=int, default=DEFAULTS.pictures, show_default=True, help="Micrographs drawn a round.")
def command(unlabelled: tuple[tuple[str, float], ...], teacher: str | None, **options: Any) -> None:
    """Train in rounds: a teacher picks on unlabelled micrographs, a student learns from its surest picks.

    A student is trained on the labelled sets, the pseudo-labels and the simulation, and is judged on the micrographs
    held out of the labelled sets: it becomes the next teacher only if it is not worse. Every round has a folder in OUT
    with its pseudo-labels as STAR files and pictures; OUT/rounds.md is the table, OUT/best.safetensors the network
    kept. The same command again resumes; more --rounds may be asked for.
    """
    from relion_attn_picker.self_training_job import run_self_training
    from relion_attn_picker.self_training_request import SelfTrainingRequest, UnlabelledData

    own = {name: options.pop(name) for name in list(options) if hasattr(DEFAULTS, name)}
    out = Path(options.pop("out"))
    request = SelfTrainingRequest(
        unlabelled=[UnlabelledData(Path(micrographs), diameter) for micrographs, diameter in unlabelled],
        teacher=None if teacher is None else Path(teacher),
        options=SelfTrainingOptions(**own),
        **_read_training(**options),
    )
    steps = request.train.steps
    records = run_self_training(out, request, lambda: train.TrainingProgress(steps).report, _show)
    kept = [record.iteration for record in records if record.kept]
    print(f"Best checkpoint: {out / 'best.safetensors'}, of round {kept[-1]}")


def _show(records: Sequence[RoundRecord]) -> None:
    from relion_attn_picker.report.self_training import format_rounds

    print(f"\n{format_rounds(records)}\n", flush=True)


def _read_training(
    data: tuple[tuple[str, str, float], ...], hold_out: tuple[int, ...], **options: Any
) -> dict[str, Any]:
    """Return the options that ``attnpick train`` has too as fields of a ``SelfTrainingRequest``."""
    from relion_attn_picker.options import CropOptions, InferenceOptions, TrainOptions
    from relion_attn_picker.training_job import TrainingData, simulate_source

    if len(hold_out) not in (0, 1, len(data)):
        raise InputError(f"--hold_out is given {len(hold_out)} times for {len(data)} sets: once, or once for each.")
    counts = hold_out if len(hold_out) == len(data) else (hold_out or (None,)) * len(data)
    labelled = [
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
    training = TrainOptions(architecture=options.pop("variant"), **options)
    return {"labelled": labelled, "crops": crops, "train": training, "inference": inference, "simulated": simulated}
