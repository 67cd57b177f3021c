"""The command ``attnpick``: a group that imports a command only when it is called."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Final, NoReturn

import click

from relion_attn_picker import __version__
from relion_attn_picker.cli._stop_signals import hold_stop_signals

COMMANDS: Final = {
    "pick": "Pick particles on micrographs, without RELION.",
    "diameter": "Estimate the particle diameter from a few micrographs.",
    "external": "Pick particles as a RELION External job.",
    "select-external": "Cut an earlier picking job at another threshold, as a RELION External job.",
    "select": "Cut a picking job anew: another threshold, mode or target, no image read.",
    "train-external": "Train on RELION's own picks or particles, as a RELION External job.",
    "cryosparc": "Take micrographs from CryoSPARC, and give it picks.",
    "calibrate": "Make scores probabilities, and two networks one picker, from labelled micrographs.",
    "evaluate": "Score picks against the ground truth.",
    "convert": "Convert coordinates between the formats of several programs.",
    "train": "Train a network on labelled micrographs.",
    "self-train": "Train on a network's own picks on unlabelled micrographs.",
    "model": "Look into a file of weights, or make one for release.",
    "simulate": "Write a small RELION project of simulated micrographs.",
    "attention": "Show where the attention gates look, and whether they look at particles.",
    "compare": "Compare both networks, and their hybrids, on labelled micrographs.",
    "benchmark": "Measure where the time of a micrograph goes, or how fast training and simulation are.",
}
"""Name of a command, which is also its module's (``-`` as ``_``), and its short help."""

JOB_COMMANDS: Final = ("external", "select-external", "train-external")
"""Commands that RELION starts: whatever happens, their job folder gets an exit marker."""


class LazyGroup(click.Group):
    """A group whose commands are modules of this package, imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"relion_attn_picker.cli.{cmd_name.replace('-', '_')}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=LazyGroup)
@click.version_option(__version__, prog_name="attnpick")
def group() -> None:
    """Find protein particles in cryo-EM micrographs with a U-Net and an Attention U-Net.

    `attnpick COMMAND --help` tells more about each command.
    """


def main() -> None:
    """Run ``attnpick``; ``attnpick external`` and ``attnpick-external`` are the same, and so the other jobs."""
    if sys.argv[1:2] and sys.argv[1] in JOB_COMMANDS:
        run_job(sys.argv[1], sys.argv[2:])
    open_closed_streams()
    from relion_attn_picker.cli._plain_command import run_plain_command

    sys.exit(run_plain_command(group, sys.argv[1:]))


def main_external(arguments: list[str] | None = None) -> None:
    """Run the picking job."""
    run_job("external", sys.argv[1:] if arguments is None else arguments)


def main_select_external() -> None:
    """Run the job that cuts an earlier one anew."""
    run_job("select-external", sys.argv[1:])


def main_train_external() -> None:
    """Run the training job."""
    run_job("train-external", sys.argv[1:])


def run_job(name: str, arguments: list[str]) -> NoReturn:
    """Run a RELION External job; an exit marker is left in the job folder whatever happens."""
    with hold_stop_signals():
        open_closed_streams()
        from relion_attn_picker.cli._job_command import run_job_command

        command = import_module(f"relion_attn_picker.cli.{name.replace('-', '_')}").command
        sys.exit(run_job_command(command, arguments, "--o"))


def open_closed_streams() -> None:
    """Let those of stdin, stdout and stderr that were closed at the start (``>&-``, a daemon) lead to nowhere.

    Python has ``None`` for them, on which any print or flush fails, in jobs before the exit marker is written. In this
    order each gets its own number again, so that no other file is taken for it.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115  (open until the process ends)
