"""What a command prints when it cannot go on: one sentence for what the user can mend, a traceback for our bugs."""

from __future__ import annotations

import errno
import sys
import traceback
from contextlib import suppress
from typing import Final

import click

from relion_attn_picker.errors import PickerError

SENTENCES: Final = {
    errno.ENOSPC: "the disk is full: free some space and continue the job",
    errno.EDQUOT: "your disk quota is used up: free some space and continue the job",
    errno.EACCES: "permission is denied: check who may read and write there",
    errno.EPERM: "permission is denied: check who may read and write there",
    errno.EROFS: "the file system is read-only: choose another folder",
    errno.EIO: "the disk or the network file system cannot be read or written: ask who runs it",
    errno.ESTALE: "the network file system has lost it: see that it is still there, and continue the job",
    errno.ETIMEDOUT: "the network file system does not answer: ask who runs it, and continue the job",
    errno.ENOTCONN: "the network file system does not answer: ask who runs it, and continue the job",
    errno.EPIPE: "whoever read the output has ended, such as head: write it into a file instead",
    errno.ENOTDIR: "a file stands where a folder is needed: move it away",
    errno.EEXIST: "a file stands where a folder is needed: move it away",
    errno.EISDIR: "a folder stands where a file is needed: move it away",
    errno.ENAMETOOLONG: "the name is too long for the file system: shorten it",
}
"""What a number of the operating system means to the user, and what to do."""

NO_MEMORY: Final = "can't allocate memory"
"""What torch says of the machine's own memory, in an error that has no type of its own."""


def explain(error: BaseException) -> str | None:
    """Return one sentence for an error that the user can mend, ``None`` for a bug."""
    if isinstance(error, PickerError):
        return str(error)
    if isinstance(error, SystemExit) and isinstance(error.__context__, BrokenPipeError):  # what click makes of it
        return f"Standard output: {SENTENCES[errno.EPIPE]}."
    if isinstance(error, click.ClickException):
        return _explain_option(error)
    if isinstance(error, ImportError) and not (error.name or "").startswith("relion_attn_picker"):
        return _explain_import(error)
    if type(error).__name__ == "OutOfMemoryError":  # torch's, which is not imported to be asked for its name
        return (
            "The memory of the GPU does not suffice: wait until other programs on it have ended, or give --gpu with "
            "another number, or --gpu cpu."
        )
    if isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and NO_MEMORY in str(error)):
        return (
            "The memory of this machine, or what a queue allows of it, does not suffice: end other programs, or ask "
            "for more; where the diameter is far too small, or the pixel size too large, images become huge."
        )
    if isinstance(error, OSError) and error.errno in SENTENCES:
        where = error.filename or ("Standard output" if error.errno == errno.EPIPE else "The job's folder")
        return f"{where}: {SENTENCES[error.errno]}."
    return None


def _explain_option(error: click.ClickException) -> str:
    message = error.format_message().rstrip(".")
    if "unexpected extra argument" in message:
        return f"{message}: put a value with blanks into double quotes."
    return f"{message}{'' if message.endswith('?') else '.'} See --help."


def _explain_import(error: ImportError) -> str:
    """Tell a package that is not there from one that is there but broken."""
    where = f"the environment of {sys.executable}"
    if isinstance(error, ModuleNotFoundError):
        return f"The Python package {error.name} is missing: install it in {where}."
    return f"The Python package {error.name or error} cannot be loaded ({error}): install it again in {where}."


def print_error(error: BaseException) -> None:
    """Print the sentence of an error, or the traceback of a bug, on stderr."""
    sentence = explain(error)
    with suppress(OSError):  # stderr may be a file on the disk that is full
        if sentence is None:
            traceback.print_exception(error)
            sentence = "This is a bug of attnpick: please report the lines above."
        print(f"ERROR: {sentence}", file=sys.stderr, flush=True)
