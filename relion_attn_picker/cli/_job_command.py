"""Running a command as a job: whatever happens, its folder gets exactly one exit marker, and it is written last.

RELION believes the marker and ignores the exit code; other pipeliners do the opposite. Both always agree here.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from types import FrameType
from typing import Final, NoReturn

import click

from relion_attn_picker.cli._errors import print_error
from relion_attn_picker.cli._plain_command import set_up_logging
from relion_attn_picker.cli._stop_signals import STOP_SIGNALS
from relion_attn_picker.errors import InputError, JobAborted, PickerError
from relion_attn_picker.io.folder_lock import hold_folder
from relion_attn_picker.relion.job import JobDirectory, Outcome

YES: Final = {"yes", "true", "1"}
NO: Final = {"no", "false", "0"}


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
        command.main(["--help"], prog_name=f"attnpick {command.name}", standalone_mode=False)
        return 0
    try:
        job = JobDirectory.open(_value_of(folder_option, arguments))
    except (PickerError, OSError) as error:
        print_error(error)
        return 1
    return guard_job(job, lambda: command.main(read_gui_arguments(command, arguments), standalone_mode=False, obj=job))


def guard_job(job: JobDirectory, work: Callable[[], object]) -> int:
    """Do the ``work`` of a job, leave its one exit marker, and return the exit code that goes with it.

    Where another process is at work in the folder, nothing is done, and the marker is left to that one.
    """
    with ExitStack() as held:
        try:
            held.enter_context(hold_folder(job.path))
            job.remove_markers()
        except InputError as error:
            print_error(error)
            return 1
        return _guard_held_job(job, work)


def _guard_held_job(job: JobDirectory, work: Callable[[], object]) -> int:
    stop = StopSignal()
    outcome = Outcome.FAILURE
    try:
        stop.listen()
        work()
        outcome = Outcome.SUCCESS
    except BaseException as error:  # bugs, a missing torch and even SystemExit must leave a marker
        if stop.received is not None or isinstance(error, (JobAborted, KeyboardInterrupt, click.Abort)):
            outcome = Outcome.ABORTED
            _print_aborted(stop.received or str(error))
        else:
            print_error(error)
    finally:
        stop.ignore()
        _flush_stdout()
        outcome = _finish(job, outcome)
    return outcome.exit_code


class StopSignal:
    """Turns the signals that ask a job to stop into ``JobAborted``, and remembers that one came.

    The memory is needed because a library that was at work may turn the exception into one of its own.
    """

    def __init__(self) -> None:
        self.received: str | None = None

    def listen(self) -> None:
        """Take over the signals, except those that whoever started this process wants ignored (nohup, ``&``).

        One that came while they were held (``hold_stop_signals``) is heard now.
        """
        for number in STOP_SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._abort)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)

    def ignore(self) -> None:
        """Let nothing interrupt the end of the job."""
        for number in STOP_SIGNALS:
            signal.signal(number, signal.SIG_IGN)

    def _abort(self, number: int, frame: FrameType | None) -> NoReturn:
        self.ignore()
        self.received = f"The job got the signal {signal.Signals(number).name}."
        raise JobAborted(self.received)


def _print_aborted(reason: str) -> None:
    with suppress(OSError):  # stderr may be a file on a disk that is full
        print(f"Aborted. {reason} What is done is kept: the same job again goes on.", file=sys.stderr, flush=True)


def _flush_stdout() -> None:
    """Write out what is left of stdout; if its disk is full, drop it, so that Python does not fail on it at its end."""
    try:
        sys.stdout.flush()
    except OSError:
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115  (open until the process ends)


def _finish(job: JobDirectory, outcome: Outcome) -> Outcome:
    """Leave the marker; return the outcome, which is a failure if there is no room for even that."""
    try:
        job.finish(outcome)
    except OSError as error:
        print_error(error)
        return Outcome.FAILURE
    return outcome


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

    ``-`` and ``_`` in names are alike; switches may be followed by Yes or No; an option whose value field was left
    empty in the GUI is told, instead of swallowing the next option.

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
            elif word and not word.startswith("--"):
                raise InputError(f"The option {name} is a switch, and its value is {word!r}: expected Yes or No.")
            result.append(name if word not in NO else switches[name])
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


def _known_options(command: click.Command) -> tuple[dict[str, str], set[str]]:
    """Return each switch with what says the opposite, and the names of the options with a value."""
    switches: dict[str, str] = {}
    valued: set[str] = set()
    for parameter in command.params:
        if not isinstance(parameter, click.Option):
            continue
        if not parameter.is_flag:
            valued.update(parameter.opts)
        for names, others in ((parameter.opts, parameter.secondary_opts), (parameter.secondary_opts, parameter.opts)):
            if parameter.is_flag and others:
                switches |= dict.fromkeys(names, others[0])
    return switches, valued
