"""Files of one line of JSON a record that are only ever appended to: at worst, a kill tears the last line."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def append_line(path: Path, record: Mapping[str, Any]) -> int:
    """Add a record at the end of a file, on a line of its own even after a torn one; return where its line begins.

    The file is made if absent; the place is in bytes.
    """
    line = json.dumps(record).encode() + b"\n"
    with path.open("ab") as file:
        start = file.tell()
        if start and _last_byte(path) != b"\n":
            file.write(b"\n")
            start += 1
        file.write(line)
    return start


def _last_byte(path: Path) -> bytes:
    with path.open("rb") as file:
        file.seek(-1, 2)
        return file.read(1)
