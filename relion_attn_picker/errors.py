"""What can go wrong through no fault of this program, and how it is told.

A ``PickerError`` is the user's to mend: the command line prints its one sentence (what, where, expected, what to do)
and no traceback. Anything else that escapes is our bug and keeps its traceback.
"""

from __future__ import annotations

from collections.abc import Callable


class PickerError(Exception):
    """Base of all errors that a user can mend."""


class InputError(PickerError):
    """A file, a table, an image or an option is not what the job needs."""


class UndecidedError(InputError):
    """What was looked at does not tell the answer; more of the same kind may."""


class CheckpointError(PickerError):
    """A file of weights cannot be used."""


class DeviceError(PickerError):
    """The device or the precision that was asked for is not there."""


class JobAborted(BaseException):
    """The user, the pipeliner or the queue asked the job to stop; not a failure.

    As with ``KeyboardInterrupt``, whoever catches ``Exception``, a library or the logging, lets it pass: a signal that
    asks for a stop raises it wherever the program is at that moment.
    """


def abort_if(should_stop: Callable[[], bool]) -> None:
    """Raise ``JobAborted`` if ``should_stop()`` is true."""
    if should_stop():
        raise JobAborted("The job was asked to stop.")
