"""What a command prints when it cannot go on: one sentence for what the user can mend, a traceback for our bugs."""

from __future__ import annotations

import errno
import sys
import traceback

import click

from relion_attn_picker.errors import PickerError

PLACES = {
    errno.ENOSPC: "the disk is full: free some space and continue the job",
    errno.EDQUOT: "your disk quota is used up: free some space and continue the job",
    errno.EACCES: "permission is denied: check who may read and write there",
    errno.EROFS: "the file system is read-only: choose another folder",
}


def explain(error: BaseException) -> str | None:
    """Return one sentence for an error that the user can mend, ``None`` for a bug."""
    if isinstance(error, PickerError):
        return str(error)
    if isinstance(error, click.ClickException):
        return f"{error.format_message()} See --help."
    if isinstance(error, ModuleNotFoundError) and not (error.name or "").startswith("relion_attn_picker"):
        return f"The Python package {error.name} is missing: install it in the environment of {sys.executable}."
    if isinstance(error, OSError) and error.errno in PLACES:
        where = error.filename or "The job's folder"
        return f"{where}: {PLACES[error.errno]}."
    return None


def print_error(error: BaseException) -> None:
    """Print the sentence of an error, or the traceback of a bug, on stderr."""
    sentence = explain(error)
    if sentence is None:
        traceback.print_exception(error)
        sentence = "This is a bug of attnpick: please report the lines above."
    print(f"ERROR: {sentence}", file=sys.stderr, flush=True)
