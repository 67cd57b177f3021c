"""Running a command that is no job: its errors become one sentence and an exit code."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from io import TextIOWrapper
from pathlib import Path

import click

from relion_attn_picker import __version__
from relion_attn_picker.cli._errors import print_error
from relion_attn_picker.errors import JobAborted
from relion_attn_picker.io.output_folder import make_folder


def set_up_logging() -> None:
    """Send plain information to stdout and warnings to stderr."""
    information = logging.StreamHandler(sys.stdout)
    information.addFilter(lambda record: record.levelno < logging.WARNING)
    warnings = logging.StreamHandler(sys.stderr)
    warnings.setLevel(logging.WARNING)
    warnings.setFormatter(logging.Formatter("WARNING: %(message)s"))
    logger = logging.getLogger("relion_attn_picker")
    logger.handlers = [information, warnings]
    logger.setLevel(logging.INFO)
    logger.propagate = False


class _LogFile(logging.FileHandler):
    """A file that is opened, and its folder made, with the first line that goes into it."""

    def __init__(self, path: Path, command_line: str) -> None:
        super().__init__(path, encoding="utf-8", delay=True)
        self._first_line = f"\n{datetime.now():%Y-%m-%d %H:%M:%S} attnpick {__version__}: {command_line}\n"
        self.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))

    def _open(self) -> TextIOWrapper:
        make_folder(Path(self.baseFilename).parent)
        file = super()._open()
        file.write(self._first_line)
        return file


@contextmanager
def log_into(path: Path, command_line: str) -> Iterator[None]:
    """Add what a command tells to the file ``path`` as well; of several processes (``torchrun``) only rank 0 tells."""
    logger = logging.getLogger("relion_attn_picker")
    if os.environ.get("RANK", "0") != "0":
        logger.setLevel(logging.WARNING)
        yield
        return
    handler = _LogFile(path, command_line)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        handler.close()


def run_plain_command(command: click.Command, arguments: list[str]) -> int:
    """Run ``command`` and return its exit code: 0, 1 for an error, 2 for an interruption or a wrong option."""
    set_up_logging()
    try:
        result = command.main(arguments, prog_name="attnpick", standalone_mode=False)
    except (JobAborted, KeyboardInterrupt, click.Abort):
        print("Stopped. What can go on does so with the same command.", file=sys.stderr)
        return 2
    except click.UsageError as error:
        error.show()
        return 2
    except Exception as error:  # every kind is told apart in print_error; none is swallowed
        print_error(error)
        return 1
    return result if isinstance(result, int) else 0
