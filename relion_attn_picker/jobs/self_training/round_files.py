"""Files by which a self-training knows what it has done, read again; what was damaged or lost since is told."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from relion_attn_picker.errors import CheckpointError, InputError
from relion_attn_picker.io.checkpoint import read_header

Record = TypeVar("Record")


def read_record(path: Path, kind: Callable[..., Record], remedy: str) -> Record:
    """Return what a file of JSON holds as a ``kind``, such as a dataclass.

    Parameters
    ----------
    path
        The file.
    kind
        Called with what the file holds by name.
    remedy
        What else can be done than to put the file back.

    Raises
    ------
    InputError
        If the file is damaged.
    """
    try:
        values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return kind(**values)
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"{path} is damaged ({error!r}): put it back, or {remedy}.") from error


def require_weights(path: Path, remedy: str) -> None:
    """Refuse to go on without the weights of a finished round; ``remedy`` as in ``read_record``.

    Raises
    ------
    InputError
        If they are not there or damaged.
    """
    try:
        read_header(path)
    except CheckpointError as error:
        raise InputError(
            f"{path}, which its round had left, is gone or damaged ({error}) Put it back, or {remedy}."
        ) from error
