"""``attnpick self-train``: go on training with a network's own picks on unlabelled micrographs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from relion_attn_picker.cli import train
from relion_attn_picker.cli._options import LIKE_RELION
from relion_attn_picker.training_options import SelfTrainingOptions

if TYPE_CHECKING:
    from relion_attn_picker.report.self_training import RoundRecord

DEFAULTS = SelfTrainingOptions()

NOT_OURS: Final = ("start_from", "validate_simulated", "recipe")
"""Options of ``attnpick train`` that have no place here: ``--teacher`` and ``--start`` say what trainings start from,
so that the recipe's default is one, and rounds are judged on true labels alone."""


@click.command(
    name="self-train",
    context_settings=LIKE_RELION,
    params=[each for each in train.command.params if each.name not in NOT_OURS],
)
@train.recipe_option("small")
@click.option(
    "--unlabelled",
    type=(str, float),
    multiple=True,
    metavar="MICS DIAMETER",
    help="Micrographs STAR without labels, diameter in Å of the particle on them. Repeatable.",
)
@click.option(
    "--teacher",
    help="Weights to begin with: a file, attention, standard, or shipped (of --variant).  [default: a supervised "
    "round, as `attnpick train` does it]",
)
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
    from relion_attn_picker.jobs.self_training.job import run_self_training
    from relion_attn_picker.jobs.self_training.request import SelfTrainingRequest, UnlabelledData
    from relion_attn_picker.model_spec import BEST_NAME
    from relion_attn_picker.training.distributed import require_one_process
    from relion_attn_picker.training.starting import find_start

    require_one_process("self-train")
    own = {name: options.pop(name) for name in list(options) if hasattr(DEFAULTS, name)}
    out = Path(options.pop("out"))
    training = train.read_request({**dict.fromkeys(NOT_OURS), **options})
    request = SelfTrainingRequest(
        unlabelled=[UnlabelledData(Path(micrographs), diameter) for micrographs, diameter in unlabelled],
        teacher=None if teacher is None else find_start(teacher, options["architecture"]),
        options=SelfTrainingOptions(**own),
        training=training,
    )
    steps = training.train.steps
    records = run_self_training(out, request, lambda: train.TrainingProgress(steps).report, _show)
    kept = [record.iteration for record in records if record.kept]
    print(f"Best checkpoint: {out / BEST_NAME}, of round {kept[-1]}")


def _show(records: Sequence[RoundRecord]) -> None:
    from relion_attn_picker.report.self_training import format_rounds

    print(f"\n{format_rounds(records)}\n", flush=True)
