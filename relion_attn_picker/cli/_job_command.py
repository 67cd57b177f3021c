"""Running a command as a job: whatever happens, its folder gets exactly one exit marker, and it is written last.

RELION believes the marker and ignores the exit code; other pipeliners do the opposite. Both always agree here.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import NoReturn

import click

from relion_attn_picker.cli._errors import print_error
from relion_attn_picker.cli._plain_command import set_up_logging
from relion_attn_picker.errors import InputError, JobAborted, PickerError
from relion_attn_picker.relion.job import JobDirectory, Outcome

YES = {"yes", "true", "1"}
NO = {"no", "false", "0"}


def run_job_command(command: click.Command, arguments: list[str], folder_option: str) -> int:
    """Parse and run ``command`` for the job folder behind ``folder_option``; return the exit code.

    Parameters
    ----------
    command
        Gets the ``JobDirectory`` as its context's object.
    arguments
        The command line after the program's name, in RELION's form.
    folder_option
        ``"--o"`` or ``"--out"``.
    """
    set_up_logging()
    if "--help" in arguments:
        command.main(["--help"], standalone_mode=False)
        return 0
    try:
        job = JobDirectory.open(_value_of(folder_option, arguments))
    except (PickerError, OSError) as error:
        print_error(error)
        return 1
    return guard_job(job, lambda: command.main(read_gui_arguments(command, arguments), standalone_mode=False, obj=job))


def guard_job(job: JobDirectory, work: Callable[[], object]) -> int:
    """Do the ``work`` of a job, leave its one exit marker, and return the exit code that goes with it."""
    outcome = Outcome.FAILURE
    try:
        signal.signal(signal.SIGTERM, _abort)
        work()
        outcome = Outcome.SUCCESS
    except (JobAborted, KeyboardInterrupt) as error:
        outcome = Outcome.ABORTED
        print(f"Aborted. {error}", file=sys.stderr, flush=True)
    except BaseException as error:  # bugs, a missing torch and even SystemExit must leave a marker
        print_error(error)
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        sys.stdout.flush()
        job.finish(outcome)
    return outcome.exit_code


def _abort(number: int, frame: FrameType | None) -> NoReturn:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise JobAborted("The job got the signal SIGTERM.")


def _value_of(option: str, arguments: list[str]) -> str:
    """Return the value of an option before anything else is parsed, so that any later error finds the job folder."""
    for position, argument in enumerate(arguments):
        name, equals, value = argument.partition("=")
        if name == option:
            value = value if equals else "".join(arguments[position + 1 : position + 2])
            if value and not value.startswith("--"):
                return value
    raise InputError(f"The option {option} with the job's folder is missing: give {option} FOLDER.")


def read_gui_arguments(command: click.Command, arguments: list[str]) -> list[str]:
    """Turn a command line as RELION's GUI composes it into one that click reads as it is meant.

    ``-`` and ``_`` in names are alike; switches may be followed by Yes or No; an option whose value field was left empty
    in the GUI is told, instead of swallowing the next option.

    Raises
    ------
    InputError
        If an option that needs a value has none.
    """
    switches, valued = _known_options(command)
    result: list[str] = []
    rest = list(arguments)
    while rest:
        argument = rest.pop(0)
        name = "--" + argument[2:].replace("-", "_") if argument.startswith("--") and "=" not in argument else argument
        if name in switches:
            word = rest[0].lower() if rest else ""
            if word in YES | NO:
                rest.pop(0)
            result.append(name if word not in NO else "--no_" + name[2:])
        elif name in valued:
            if not rest or rest[0].startswith("--"):
                found = f"the next option, {rest[0]}, follows" if rest else "the command ends there"
                raise InputError(
                    f"The option {name} has no value ({found}): fill in its value field in the GUI, or empty its "
                    "label field."
                )
            result += [name, rest.pop(0)]
        else:
            result.append(name)
    return result


def _known_options(command: click.Command) -> tuple[set[str], set[str]]:
    """Return the names of the switches and of the options with a value."""
    switches: set[str] = set()
    valued: set[str] = set()
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            (switches if parameter.is_flag else valued).update(parameter.opts)
    return switches, valued
