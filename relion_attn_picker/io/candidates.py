"""The candidates of a job: one line of JSON a micrograph, appended as soon as it is done.

A file that is only ever appended to survives a kill at any moment: at worst its last line is torn, and that
micrograph is done again. The candidates reach below the threshold, so that another threshold, border or maximum
number costs no look at any image. Only the place of each line is kept in memory.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from relion_attn_picker.micrograph import Micrograph
from relion_attn_picker.picks import FloatArray, Picks

COORDINATE_DECIMALS = 2
SCORE_DECIMALS = 4


@dataclass(frozen=True)
class CandidateRecord:
    """What a job found on one micrograph.

    Parameters
    ----------
    micrograph
        Its name as listed.
    found_with, selected_with
        Fingerprints of everything that the candidates, and the picks among them, depend on.
    image_shape
        ``(h, w)`` of the micrograph.
    n_picks, mean_score
        How many candidates became picks, and their mean score (NaN without any).
    yx, score
        All candidates, highest first: ``(n, 2)`` pixels of the micrograph, ``(n,)`` in [0, 1].
    details
        Further figures of each candidate by name, ``(n,)`` each.
    """

    micrograph: str
    found_with: str
    selected_with: str
    image_shape: tuple[int, int]
    n_picks: int
    mean_score: float
    yx: FloatArray
    score: FloatArray
    details: Mapping[str, FloatArray] = field(default_factory=dict)

    def candidates(self, micrograph: Micrograph) -> Picks:
        """Return all candidates as those of ``micrograph``."""
        return Picks(micrograph, self.yx, self.score, self.details)


def round_candidates(candidates: Picks) -> Picks:
    """Return candidates as they will be read back: so that a continued job chooses as a fresh one does."""
    return Picks(
        candidates.micrograph,
        candidates.yx.astype(np.float64).round(COORDINATE_DECIMALS).astype(np.float32),
        _round_scores(candidates.score),
        {name: _round_scores(values) for name, values in candidates.details.items()},
    )


def _round_scores(values: FloatArray) -> FloatArray:
    rounded: FloatArray = values.astype(np.float64).round(SCORE_DECIMALS).astype(np.float32)
    return rounded


class CandidateStore:
    """Reads and appends the candidates of one job; the last line of a micrograph counts."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offsets: dict[str, int] = {}
        if path.is_file():
            self._index_lines()

    def _index_lines(self) -> None:
        offset = 0
        with self._path.open("rb") as file:
            for line in file:
                with suppress(ValueError, KeyError, TypeError):  # a line torn by a kill: as if never written
                    self._offsets[json.loads(line)["micrograph"]] = offset
                offset += len(line)

    def read(self, micrograph: str) -> CandidateRecord | None:
        """Return the record of a micrograph, or ``None`` if it is not done."""
        if micrograph not in self._offsets:
            return None
        with self._path.open("rb") as file:
            file.seek(self._offsets[micrograph])
            line = json.loads(file.readline())
        names = line.pop("details", [])
        values = np.array(line.pop("candidates"), dtype=np.float32).reshape(-1, 3 + len(names))
        mean_score = line.pop("mean_score")
        return CandidateRecord(
            **{**line, "image_shape": tuple(line["image_shape"])},
            mean_score=float("nan") if mean_score is None else mean_score,
            yx=values[:, 1::-1],
            score=values[:, 2],
            details={name: values[:, 3 + place] for place, name in enumerate(names)},
        )

    def append(self, record: CandidateRecord) -> None:
        """Add the record of a micrograph; it is on its way to the disk when this returns."""
        figures_of_each = np.stack([record.score, *record.details.values()], axis=1).tolist()
        candidates = [
            [round(x, COORDINATE_DECIMALS), round(y, COORDINATE_DECIMALS)]
            + [round(each, SCORE_DECIMALS) for each in figures]
            for (y, x), figures in zip(record.yx.tolist(), figures_of_each, strict=True)
        ]
        line = json.dumps(
            {
                "micrograph": record.micrograph,
                "found_with": record.found_with,
                "selected_with": record.selected_with,
                "image_shape": record.image_shape,
                "n_picks": record.n_picks,
                "details": list(record.details),
                "mean_score": record.mean_score if record.n_picks else None,
                "candidates": candidates,
            }
        )
        with self._path.open("ab") as file:
            offset = file.tell()
            if offset and self._last_byte() != b"\n":
                file.write(b"\n")
                offset += 1
            file.write(line.encode() + b"\n")
        self._offsets[record.micrograph] = offset

    def _last_byte(self) -> bytes:
        with self._path.open("rb") as file:
            file.seek(-1, 2)
            return file.read(1)
