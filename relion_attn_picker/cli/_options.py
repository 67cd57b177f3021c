"""Options that several commands share. Click only; everything else is imported where it is used."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Final, TypeVar

import click

from relion_attn_picker.options import MIN_DISTANCE_DIAMETERS

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


LIKE_RELION: Final = {"token_normalize_func": lambda name: name.replace("-", "_"), "max_content_width": 110}
"""Context settings of commands whose options may be written with ``-`` or with ``_``."""


def usable_cores() -> int:
    """Return how many CPU cores this process may use: a queue may allow fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def threads_option() -> Callable[[Decorated], Decorated]:
    """Return the decorator with ``--j``."""
    return click.option("--j", "threads", type=int, default=usable_cores, help="CPU threads.  [default: all cores]")


def picking_options(function: Decorated) -> Decorated:
    """Decorate a command with the options of a picking job."""
    options = [
        click.option("--diameter", type=float, required=True, help="Particle diameter in Å; the one thing to know."),
        click.option(
            "--variant",
            type=click.Choice(["attention", "standard"]),
            help="Which network: attention (precise) or standard (finds almost everything).  [default: attention]",
        ),
        click.option("--threshold", type=float, help="Lowest score of a pick, 0 to 1.  [default: the weights' own]"),
        click.option(
            "--min_distance",
            type=float,
            help=f"Smallest distance between picks in Å.  [default: {MIN_DISTANCE_DIAMETERS} diameters]",
        ),
        click.option(
            "--border", type=float, default=0.0, show_default=True, help="Leave out picks this near to the edge, in Å."
        ),
        click.option("--max_picks", type=int, help="Keep at most this many picks a micrograph.  [default: all]"),
        click.option(
            "--gpu", default="auto", show_default=True, help="auto (a GPU if there is one), cpu, or a GPU's number."
        ),
        click.option("--weights", type=str, help="File of weights.  [default: the released ones of the variant]"),
        click.option(
            "--pixel_size", "--angpix", type=float, help="Å per pixel, if the STAR file has none or a wrong one."
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
    for option in reversed(options):
        function = option(function)
    return function
