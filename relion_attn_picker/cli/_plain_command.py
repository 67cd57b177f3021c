"""Running a command that is no job: its errors become one sentence and an exit code."""

from __future__ import annotations

import logging
import sys

import click

from relion_attn_picker.cli._errors import print_error
from relion_attn_picker.errors import JobAborted


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


def run_plain_command(command: click.Command, arguments: list[str]) -> int:
    """Run ``command`` and return its exit code: 0, 1 for an error, 2 for an interruption or a wrong option."""
    set_up_logging()
    try:
        result = command.main(arguments, prog_name="attnpick", standalone_mode=False)
    except (JobAborted, KeyboardInterrupt, click.Abort):
        print("Stopped.", file=sys.stderr)
        return 2
    except click.UsageError as error:
        error.show()
        return 2
    except Exception as error:  # every kind is told apart in print_error; none is swallowed
        print_error(error)
        return 1
    return result if isinstance(result, int) else 0
