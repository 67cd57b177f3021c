"""Options that several commands share. Click only; everything else is imported where it is used."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from relion_attn_picker.errors import InputError
from relion_attn_picker.options import (
    MIN_DISTANCE_DIAMETERS,
    MODES,
    VARIANTS,
    InferenceOptions,
    PickOptions,
    check_output_name,
    cores_of_process,
)
from relion_attn_picker.training_options import MAX_WORKERS

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


LIKE_RELION: Final = {"token_normalize_func": lambda name: name.replace("-", "_"), "max_content_width": 110}
"""Context settings of commands whose options may be written with ``-`` or with ``_``."""


class OutputName(click.types.StringParamType):
    """The type of every option or argument that says where results go: text, but not blank."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        text: str = super().convert(value, param, ctx)
        what = param.opts[0] if isinstance(param, click.Option) else param.human_readable_name if param else "The name"
        check_output_name(text, what)
        return text


OUTPUT_NAME: Final = OutputName()

GPU_HELP: Final = "auto (the GPU with the most free memory, if there is one), cpu, or a GPU's number"


def add_options(function: Decorated, options: Sequence[Callable[[Decorated], Decorated]]) -> Decorated:
    """Decorate a command with options, which its help lists in this order."""
    for option in reversed(options):
        function = option(function)
    return function


def gpu_option(function: Decorated) -> Decorated:
    """Decorate a command with ``--gpu``."""
    return click.option("--gpu", default="auto", show_default=True, help=f"{GPU_HELP}.")(function)


def precision_option(function: Decorated) -> Decorated:
    """Decorate a command with ``--precision``."""
    option = click.option("--precision", default="auto", show_default=True, help="auto, float32 or bfloat16.")
    return option(function)


def threads_option(text: str = "CPU threads.  [default: all cores]") -> Callable[[Decorated], Decorated]:
    """Return the decorator with ``--j``."""
    return click.option("--j", "threads", type=int, default=cores_of_process, help=text)


def training_process_options(function: Decorated) -> Decorated:
    """Decorate a command with ``--workers`` and ``--j`` of a training, which several processes may run together."""
    workers = click.option(
        "--workers",
        type=int,
        help="Processes that make batches, for each process of torchrun; 0: a thread.  [default: 0 on a CPU; on a GPU "
        f"all cores but one, at most {MAX_WORKERS}, shared among the processes of torchrun]",
    )
    return workers(
        threads_option("CPU threads of each process of torchrun.  [default: all cores, shared among them]")(function)
    )


NAMED_THRESHOLDS: Final = ("auto", "weights")
"""Thresholds that are no number: fitted to the data set's scores, or as the checkpoint has it."""


AUTO_DIAMETER: Final = "auto"
STAND_IN_DIAMETER: Final = 150.0
"""Å: what stands for the diameter until it is estimated, so that all other options are checked at once."""


@dataclass(frozen=True)
class PickingChoices:
    """What the user chose with ``picking_options``, checked before anything heavy is imported.

    With ``estimate_diameter`` the diameter in ``pick`` is a stand-in that ``build_request`` replaces.
    """

    pick: PickOptions
    estimate_diameter: bool
    inference: InferenceOptions
    variant: str | None
    weights: Path | None
    pixel_size: float | None
    write_maps: bool
    max_failures: int | None


def check_choices(
    *,
    diameter: str,
    threshold: str,
    min_distance: float | None,
    border: float | None,
    max_picks: int | None,
    gpu: str,
    precision: str,
    threads: int,
    variant: str | None,
    weights: str | None,
    pixel_size: float | None,
    write_maps: bool,
    max_failures: int | None,
    mode: str = "balanced",
    target_precision: float | None = None,
    target_recall: float | None = None,
    reject_junk: bool = True,
) -> PickingChoices:
    """Return the values of ``picking_options`` as what the library takes.

    Raises
    ------
    InputError
        If one of them cannot be meant.
    """
    check_pixel_size(pixel_size)
    if max_failures is not None and max_failures < 0:
        raise InputError(f"The maximum number of failures is {max_failures}: expected 0 or more.")
    return PickingChoices(
        PickOptions(
            particle_diameter=STAND_IN_DIAMETER if diameter == AUTO_DIAMETER else _read_diameter(diameter),
            threshold=None if threshold in NAMED_THRESHOLDS else _read_threshold(threshold),
            fit_threshold=threshold == "auto",
            min_distance=min_distance,
            border=border,
            max_picks=max_picks,
            mode=mode,
            target_precision=target_precision,
            target_recall=target_recall,
            reject_junk=reject_junk,
        ),
        diameter == AUTO_DIAMETER,
        InferenceOptions(gpu=gpu, precision=precision, threads=threads),
        variant,
        None if weights is None else Path(weights),
        pixel_size,
        write_maps,
        max_failures,
    )


def check_pixel_size(pixel_size: float | None) -> None:
    """Refuse a pixel size, if one is given, that no image has.

    Raises
    ------
    InputError
        If it is not a number above 0.
    """
    if pixel_size is not None and not 0 < pixel_size < math.inf:
        raise InputError(f"The pixel size is {pixel_size:g}: expected Å per pixel, more than 0, such as 1.35.")


def _read_diameter(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise InputError(f"The particle diameter is {text!r}: expected auto, or a number of Å, such as 150.") from None


def _read_threshold(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise InputError(
            f"The threshold is {text!r}: expected auto, weights, or a number above 0 and below 1, such as 0.3."
        ) from None


def cut_options(default_mode: str | None = "balanced") -> list[Callable[[Decorated], Decorated]]:
    """Return the options by which a threshold is chosen from calibrated scores."""
    return [
        click.option(
            "--mode",
            type=click.Choice(MODES),
            default=default_mode,
            help="What an automatic threshold favours: precision (clean particles), balanced, or recall (a complete "
            "survey); the job tells what it expects. Where that is little, as without particles, the first two pick "
            f"only what would be sure elsewhere.  [default: {default_mode or 'as earlier'}]",
        ),
        click.option("--target_precision", type=float, help="Instead: the expected precision to cut at, such as 0.9."),
        click.option("--target_recall", type=float, help="Instead: the expected recall to cut at, such as 0.95."),
    ]


def junk_option(default: bool | None) -> Callable[[Decorated], Decorated]:
    """Return the decorator with the switch of the rejection; ``None`` leaves it as it was."""
    return click.option(
        "--reject_junk/--keep_junk",
        default=default,
        help="Leave out candidates in strips without data, on aggregates and on lumps of ice, and list them with the "
        f"reason in rejected_candidates.star.  [default: {'as earlier' if default is None else 'reject_junk'}]",
    )


def _running_options(hide_pixel_size: bool) -> list[Callable[[Decorated], Decorated]]:
    """Return the options of a picking job that say with what it runs, on what, and what it leaves."""
    return [
        click.option(
            "--gpu",
            default="auto",
            show_default=True,
            help=f"{GPU_HELP}; picking uses one GPU.",
        ),
        click.option(
            "--weights",
            type=str,
            help="File of weights, or the folder of a training; of a hybrid, the folder that attnpick calibrate wrote."
            "  [default: the released ones of the variant]",
        ),
        click.option(
            *("--pixel_size", "--angpix"),
            type=float,
            hidden=hide_pixel_size,
            help="Å per pixel, if the STAR file has none or a wrong one.",
        ),
        click.option(
            "--write_maps/--no_write_maps", help="Keep each micrograph's probability map (HDF5).  [default: no]"
        ),
        click.option(
            "--max_failures",
            type=int,
            help="Fail if more micrographs than this cannot be picked.  [default: only if all cannot]",
        ),
        click.option(
            "--precision",
            default="auto",
            show_default=True,
            help="float32, bfloat16, or auto: bfloat16 where the device is faster with it and the picks agree.",
        ),
        threads_option(),
    ]


def picking_options(function: Decorated) -> Decorated:
    """Decorate a command with the options of a picking job."""
    told = "Particle diameter in Å; the one thing to know. auto: estimated from a few micrographs first."
    return _decorate_for_picking(function, told)


def live_picking_options(function: Decorated) -> Decorated:
    """Decorate a command with those of a job whose micrographs CryoSPARC lists; what it refuses is not in its help."""
    return _decorate_for_picking(function, "Particle diameter in Å; the one thing to know.", hide_pixel_size=True)


def _decorate_for_picking(function: Decorated, diameter_help: str, *, hide_pixel_size: bool = False) -> Decorated:
    options = [
        click.option("--diameter", required=True, help=diameter_help),
        click.option(
            "--variant",
            type=click.Choice(VARIANTS),
            help="Which network: attention (a U-Net with gates), standard (one without, a little faster), or hybrid: "
            "both, combined as validation has shown best, in twice the time.  [default: attention]",
        ),
        click.option(
            "--threshold",
            default="auto",
            show_default=True,
            help="Lowest figure of merit of a pick, above 0 and below 1; auto: chosen from the scores of all "
            "micrographs by --mode; weights: the weights' own.",
        ),
        *cut_options(),
        click.option(
            "--min_distance",
            type=float,
            help=f"Smallest distance between picks in Å.  [default: {MIN_DISTANCE_DIAMETERS} diameters]",
        ),
        click.option(
            "--border",
            type=float,
            help="Leave out picks this near to the edge, in Å.  [default: 0, or as near as the labels came that the "
            "weights were trained on]",
        ),
        click.option("--max_picks", type=int, help="Keep at most this many picks a micrograph.  [default: all]"),
        junk_option(default=True),
        *_running_options(hide_pixel_size),
    ]
    return add_options(function, options)


def selection_options(function: Decorated) -> Decorated:
    """Decorate a command with the options by which an earlier job is cut anew."""
    options = [
        click.option("--threshold", type=float, help="Lowest figure of merit of a pick, above 0 and below 1."),
        *cut_options(default_mode=None),
        click.option(
            "--count_per_micrograph",
            type=float,
            help="Instead: cut where there are so many picks a micrograph on average (one cut for all; no cap).",
        ),
        click.option(
            "--border", type=float, help="Leave out picks this near to the edge, in Å.  [default: as earlier]"
        ),
        click.option("--max_picks", type=int, help="Keep at most so many picks a micrograph.  [default: as earlier]"),
        junk_option(default=None),
        click.option("--reference", help="Reference coordinates to evaluate the picks against."),
        click.option(
            "--pixel_size",
            "--angpix",
            type=float,
            help="Å per pixel, if the micrographs' STAR file has none.  [default: as earlier]",
        ),
    ]
    return add_options(function, options)


def given_changes(changes: dict[str, Any]) -> dict[str, Any]:
    """Return those of the ``selection_options`` that were given.

    Raises
    ------
    InputError
        If none was.
    """
    given = {name: value for name, value in changes.items() if value is not None}
    if not given:
        raise InputError(
            "Nothing is to be changed: give --threshold, --mode, --target_precision, --target_recall, "
            "--count_per_micrograph, --border, --max_picks, --reject_junk or --keep_junk."
        )
    return given


EXTERNAL_INPUTS: Final = {
    "in_movies": ("--in_movies",),
    "in_mics": ("--in_mics",),
    "in_parts": ("--in_parts",),
    "in_coords": ("--in_coords",),
    "in_3dref": ("--in_3dref", "--in_3Dref"),
    "in_mask": ("--in_mask",),
}
"""What RELION puts on the command line of an External job for its input fields."""


def refuse_inputs(*names: str, purpose: str) -> Callable[[Decorated], Decorated]:
    """Return the decorator with inputs of the External job that are of no use for a ``purpose``, and are refused."""

    def refuse(context: click.Context, option: click.Parameter, value: str | None) -> None:
        if value is not None:
            raise InputError(f"The option {option.opts[0]} is not for {purpose}: empty that field of the job.")

    def decorate(function: Decorated) -> Decorated:
        for name in names:
            hidden = click.option(*EXTERNAL_INPUTS[name], name, hidden=True, expose_value=False, callback=refuse)
            function = hidden(function)
        return click.option("--pipeline_control", hidden=True, expose_value=False)(function)

    return decorate
