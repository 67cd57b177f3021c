"""Counted pixels of a job: one line of JSON a micrograph, appended as soon as it is done.

As ``candidates`` for picks: a kill tears at worst the last line, and the last line of a micrograph counts.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relion_attn_picker.io.image_stamp import ImageStamp
from relion_attn_picker.io.json_lines import append_line


@dataclass(frozen=True)
class PixelRecord:
    """What was counted on one micrograph.

    Parameters
    ----------
    micrograph
        Its name as listed.
    found_with
        Fingerprint of everything that the counts depend on.
    counts
        By name of a map: pixels on particles and all others, in bins, shape ``(2, b)``.
    seconds
        What took how long, by name.
    image
        Stamp of the micrograph's file; ``None`` where it is not known.
    """

    micrograph: str
    found_with: str
    counts: Mapping[str, NDArray[np.int64]]
    seconds: Mapping[str, float]
    image: ImageStamp | None = None


class PixelStore:
    """Reads and appends the counted pixels of one job."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lines: dict[str, dict[str, Any]] = {}
        for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
            with suppress(ValueError, KeyError, TypeError):  # a line torn by a kill: as if never written
                record = json.loads(line)
                self._lines[record["micrograph"]] = record

    def read(self, micrograph: str, found_with: str) -> PixelRecord | None:
        """Return the record of a micrograph, or ``None`` if it is not done, or was done otherwise."""
        line = self._lines.get(micrograph)
        if line is None or line["found_with"] != found_with:
            return None
        counts = {name: np.array(values, dtype=np.int64) for name, values in line["counts"].items()}
        image = None if line.get("image") is None else ImageStamp(**line["image"])
        return PixelRecord(micrograph, found_with, counts, line["seconds"], image)

    def append(self, record: PixelRecord) -> None:
        """Add the record of a micrograph."""
        line = {
            "micrograph": record.micrograph,
            "found_with": record.found_with,
            "counts": {name: values.tolist() for name, values in record.counts.items()},
            "seconds": dict(record.seconds),
            "image": None if record.image is None else asdict(record.image),
        }
        append_line(self._path, line)
        self._lines[record.micrograph] = line
