"""The candidates of a job: one line of JSON a micrograph, appended as soon as it is done.

A file that is only ever appended to survives a kill at any moment: at worst its last line is torn, and that
micrograph is done again. The candidates reach below the threshold, so that another threshold, border or maximum
number costs no look at any image. Only the place of each line, and what is no candidate in it, is kept in memory.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relion_attn_picker.io.json_lines import append_line
from relion_attn_picker.micrograph import Micrograph
from relion_attn_picker.picks import JUNK, FloatArray, Picks, is_junk, lies_inside

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
    image_time, image_size, image_digest
        Of the micrograph's file before it was read, as far as that is known (``io.image_stamp``).
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
    image_time: float | None = None
    image_size: int | None = None
    image_digest: str | None = None

    def candidates(self, micrograph: Micrograph) -> Picks:
        """Return all candidates as those of ``micrograph``."""
        return Picks(micrograph, self.yx, self.score, self.details)

    def without_junk(self) -> CandidateRecord:
        """Return the record with only those candidates that have no reason to be rejected."""
        return self._take(~is_junk(self.score, self.details))

    def with_scores(self, score: FloatArray) -> CandidateRecord:
        """Return the record with other scores ``(n,)`` of its candidates, and these again highest first."""
        return replace(self, score=score)._take(np.argsort(-score, kind="stable"))

    def inside(self, border: float) -> CandidateRecord:
        """Return the record with only those candidates that are at least ``border`` pixels away from the edge."""
        return self._take(lies_inside(self.yx, self.image_shape, border))

    def first(self, count: int | None) -> CandidateRecord:
        """Return the record with at most ``count`` candidates, the highest; ``None`` keeps all."""
        return self._take(slice(count))

    def _take(self, kept: NDArray[np.bool_] | NDArray[np.intp] | slice) -> CandidateRecord:
        details = {name: values[kept] for name, values in self.details.items()}
        return replace(self, yx=self.yx[kept], score=self.score[kept], details=details)


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


@dataclass(frozen=True)
class RecordSummary:
    """What a record says but for its candidates: see ``CandidateRecord``.

    ``highest_junk`` is the highest score of a candidate that has a reason to be rejected; ``None``: none has.
    """

    found_with: str
    selected_with: str
    image_shape: tuple[int, int]
    n_picks: int
    mean_score: float
    image_time: float | None
    image_size: int | None
    image_digest: str | None
    highest_junk: float | None

    @classmethod
    def of_line(cls, line: Mapping[str, Any]) -> RecordSummary:
        """Return the summary of a line with candidates."""
        height, width = line["image_shape"]
        names = line.get("details", [])
        junk = 3 + names.index(JUNK) if JUNK in names else None
        return cls(
            line["found_with"],
            line["selected_with"],
            (height, width),
            line["n_picks"],
            _read_mean(line["mean_score"]),
            line.get("image_time"),
            line.get("image_size"),
            line.get("image_digest"),
            None if junk is None else max((each[2] for each in line["candidates"] if each[junk] > 0), default=None),
        )

    def reselected(self, line: Mapping[str, Any]) -> RecordSummary:
        """Return the summary after another selection among the same candidates."""
        return replace(
            self,
            selected_with=line["selected_with"],
            n_picks=line["n_picks"],
            mean_score=_read_mean(line["mean_score"]),
        )


def _read_mean(stored: float | None) -> float:
    return float("nan") if stored is None else float(stored)


def _selection_of(record: CandidateRecord) -> dict[str, Any]:
    return {
        "micrograph": record.micrograph,
        "selected_with": record.selected_with,
        "n_picks": record.n_picks,
        "mean_score": record.mean_score if record.n_picks else None,
    }


class CandidateStore:
    """Reads and appends the candidates of one job; the last line of a micrograph counts.

    A line without candidates says that other picks were selected among those of the line before, or that the micrograph
    is forgotten.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[str, tuple[int, RecordSummary]] = {}
        if path.is_file():
            self._index_lines()

    def _index_lines(self) -> None:
        offset = 0
        with self._path.open("rb") as file:
            for line in file:
                with suppress(ValueError, KeyError, TypeError):  # a line torn by a kill: as if never written
                    self._index_line(json.loads(line), offset)
                offset += len(line)

    def _index_line(self, line: dict[str, Any], offset: int) -> None:
        name = line["micrograph"]
        if line.get("forgotten"):
            self._known.pop(name, None)
        elif "candidates" in line:
            self._known[name] = offset, RecordSummary.of_line(line)
        elif name in self._known:
            self._note(line)

    def _note(self, line: Mapping[str, Any]) -> None:
        offset, summary = self._known[line["micrograph"]]
        self._known[line["micrograph"]] = offset, summary.reselected(line)

    def __contains__(self, micrograph: str) -> bool:
        return micrograph in self._known

    def summary(self, micrograph: str) -> RecordSummary | None:
        """Return the record of a micrograph but for its candidates, from memory; ``None`` if it is not done."""
        known = self._known.get(micrograph)
        return None if known is None else known[1]

    def read(self, micrograph: str) -> CandidateRecord | None:
        """Return the record of a micrograph, or ``None`` if it is not done."""
        if micrograph not in self._known:
            return None
        offset, summary = self._known[micrograph]
        with self._path.open("rb") as file:
            file.seek(offset)
            line = json.loads(file.readline())
        names = line.get("details", [])
        values = np.array(line["candidates"], dtype=np.float32).reshape(-1, 3 + len(names))
        return CandidateRecord(
            micrograph=micrograph,
            found_with=summary.found_with,
            selected_with=summary.selected_with,
            image_shape=summary.image_shape,
            n_picks=summary.n_picks,
            mean_score=summary.mean_score,
            image_time=summary.image_time,
            image_size=summary.image_size,
            image_digest=summary.image_digest,
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
        found = {
            "found_with": record.found_with,
            "image_shape": record.image_shape,
            "image_time": record.image_time,
            "image_size": record.image_size,
            "image_digest": record.image_digest,
            "details": list(record.details),
            "candidates": candidates,
        }
        line = _selection_of(record) | found
        self._known[record.micrograph] = append_line(self._path, line), RecordSummary.of_line(line)

    def note_selection(self, record: CandidateRecord) -> None:
        """Add that other picks were selected among the candidates that are known of a micrograph."""
        line = _selection_of(record)
        append_line(self._path, line)
        if record.micrograph in self:
            self._note(line)

    def names(self) -> list[str]:
        """Return the names of all micrographs that are done."""
        return list(self._known)

    def deselect(self, micrograph: str) -> None:
        """Add that the picks of a micrograph are to be selected anew, unless that is so already."""
        summary = self.summary(micrograph)
        if summary is not None and summary.selected_with:
            mean_score = summary.mean_score if summary.n_picks else None
            line = {"micrograph": micrograph, "selected_with": "", "n_picks": summary.n_picks, "mean_score": mean_score}
            append_line(self._path, line)
            self._note(line)

    def forget(self, micrograph: str) -> None:
        """Add that nothing is known of a micrograph any more; one that is not done needs no such line."""
        if micrograph in self:
            append_line(self._path, {"micrograph": micrograph, "forgotten": True})
            self._known.pop(micrograph)
