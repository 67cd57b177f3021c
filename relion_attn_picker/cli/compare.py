"""``attnpick compare``: the Attention U-Net and the standard U-Net side by side on labelled micrographs."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any, Final

import click
from click.core import ParameterSource

from relion_attn_picker.cli import train
from relion_attn_picker.cli._options import LIKE_RELION, OUTPUT_NAME
from relion_attn_picker.cli._plain_command import log_into
from relion_attn_picker.errors import InputError
from relion_attn_picker.options import NETWORKS, InferenceOptions

NOT_OURS: Final = ("data", "out", "start_from", "architecture", "seed", "recipe")
"""Options of ``attnpick train`` that mean something else here: both architectures start anew with seeds 1, 2, ..., so
that the recipe's default is one."""

OF_EVERY_RUN: Final = ("gpu", "precision", "threads", "workers", "save_every")
"""Options of ``attnpick train`` that say how networks run, whether they are trained here or not."""

SAY_THAT_NETWORKS_ARE_TRAINED: Final = ("train_data", "simulated", "on_the_fly")


@click.command(
    name="compare",
    context_settings=LIKE_RELION,
    params=[each for each in train.command.params if each.name not in NOT_OURS],
)
@train.recipe_option("small")
@click.option(
    "--data",
    type=(str, str, float),
    multiple=True,
    metavar="MICS COORDS DIAMETER",
    help="Labelled set to compare on: micrographs STAR, coordinates, diameter in Å. Repeatable.",
)
@click.option(
    "--out",
    type=OUTPUT_NAME,
    required=True,
    help="Folder of the report; an interrupted comparison goes on, a finished one is redrawn.",
)
@click.option(
    "--attention",
    multiple=True,
    metavar="FILE",
    help="Attention checkpoint, or the folder of its training, once for each seed: 3 or more tell seeds apart.  "
    "[default: the released pair]",
)
@click.option("--standard", multiple=True, metavar="FILE", help="Standard checkpoint, as many, in the same order.")
@click.option(
    "--last",
    type=int,
    multiple=True,
    help="Compare on the last N micrographs only, for all sets or once for each.  [default: all]",
)
@click.option(
    "--train_data",
    type=(str, str, float),
    multiple=True,
    metavar="MICS COORDS DIAMETER",
    help="Train both networks on this instead (and as --simulated, --structures, ... say). Repeatable.",
)
@click.option("--seeds", type=int, default=3, show_default=True, help="Trainings of each network.")
@click.option(
    "--sizes",
    default="1",
    show_default=True,
    help='Shares of the training micrographs, 1 among them, such as "0.1 0.3 1".',
)
@click.option(
    "--costs/--no_costs",
    default=True,
    show_default=True,
    help="Measure time and memory at this and at the study's width as well (some minutes).",
)
def command(out: str, data: tuple[tuple[str, str, float], ...], **options: Any) -> None:
    """Compare both networks, and every way to combine them, on labelled micrographs.

    Give checkpoints, or --train_data to train both on the same crops with the same schedule and seeds; the released
    pair is compared if you give neither. OUT gets comparison.md, comparison.json and figures: which network is better,
    how sure that is, and what to take for clean particles, a complete survey, or speed.
    """
    from relion_attn_picker.training.distributed import require_one_process

    require_one_process("compare")
    with log_into(Path(out) / "compare.log", shlex.join(sys.argv)):
        from relion_attn_picker.inference.weights import find_weights
        from relion_attn_picker.jobs.comparison.job import ComparisonRequest, run_comparison

        plan = _read_plan(options)
        given = {name: [Path(each) for each in options.pop(name)] for name in NETWORKS}
        if plan is None and not any(given.values()):
            given = {name: [find_weights(name, None)] for name in NETWORKS}
        request = ComparisonRequest(
            data=train.labelled_sets(data, _check_last(options.pop("last")), (), "--last"),
            **given,
            inference=InferenceOptions(gpu=options["gpu"], threads=options["threads"], precision=options["precision"]),
            measure_costs=options.pop("costs"),
            command=shlex.join(["attnpick", *sys.argv[1:]]),
            training=plan,
        )
        steps = 0 if request.training is None else request.training.training.train.steps
        comparison = run_comparison(Path(out), request, lambda: train.TrainingProgress(steps).report)
        for each in comparison.recommendations:
            print(f"For {each.aim}, take {each.choice}: {each.reason}")
        print(f"Written: {out}/comparison.md, {out}/comparison.json and figures")


def _check_last(counts: tuple[int, ...]) -> tuple[int, ...]:
    for count in counts:
        if count < 1:
            raise InputError(f"--last is {count}: expected 1 or more micrographs to compare on.")
    return counts


def _read_plan(options: dict[str, Any]) -> Any:
    """Return how both networks are trained; ``None`` if nothing to train on is given."""
    data, seeds, sizes = options.pop("train_data"), options.pop("seeds"), options.pop("sizes")
    if not data and not options["simulated"] and options["on_the_fly"] is None:
        _refuse_idle_options()
        return None
    from relion_attn_picker.jobs.comparison.training import TrainingPlan

    request = train.read_request({**options, "data": data, "start_from": None, "architecture": None, "seed": 1})
    return TrainingPlan(training=request, seeds=seeds, shares=_read_shares(sizes))


def _refuse_idle_options() -> None:
    """Refuse options of a training where there is none: they would have no effect."""
    context = click.get_current_context()
    ours = {each.name for each in train.command.params} - {*NOT_OURS, *OF_EVERY_RUN, *SAY_THAT_NETWORKS_ARE_TRAINED}
    of_training = ours | {"recipe", "seeds", "sizes"}
    for each in context.command.params:
        is_given = context.get_parameter_source(str(each.name)) is ParameterSource.COMMANDLINE
        if each.name in of_training and is_given:
            raise InputError(
                f"{each.opts[0]} is for networks that are trained here: give --train_data, --simulated or --on_the_fly "
                "too, or leave it out."
            )


def _read_shares(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(word) for word in text.replace(",", " ").split())
    except ValueError:
        raise InputError(
            f'--sizes is {text!r}: expected shares of the training micrographs, such as "0.1 0.3 1".'
        ) from None
