"""The rounds of a self-training as a table (Markdown, CSV) and as a picture, and the scores of a teacher's candidates.

One ``RoundRecord`` is one row. What this module does not do: it decides nothing.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from relion_attn_picker.replacing import replace_file, replacing
from relion_attn_picker.report.figure import make_figure, save_png
from relion_attn_picker.report.markdown import format_table

TABLE_NAME = "rounds.md"
CSV_NAME = "rounds.csv"
PICTURE_NAME = "rounds.png"

CURVES = {"average_precision": "average precision", "best_f1": "best F1", "f1": "F1 at the threshold"}
HEADINGS = (
    "round",
    "teacher",
    "particle from",
    "ignored from",
    "micrographs",
    "pseudo-labels",
    "ignored",
    "average precision",
    "best F1",
    "F1",
    "threshold",
    "kept",
)
NOTHING = "–"
SET_SEPARATOR = ": "
"""Figures of one held-out set are named ``SET: figure``; those without are means over the sets."""


@dataclass(frozen=True, kw_only=True)
class RoundRecord:
    """What came of one round.

    Parameters
    ----------
    iteration
        0 for the supervised round.
    teacher
        Iteration of the teacher; ``None`` for the supervised round.
    kept
        Whether its network became the next teacher.
    remark
        Why it was kept or not, for people.
    positive, negative
        The two thresholds, as scores of the teacher.
    n_micrographs, n_positive, n_ignored
        Unlabelled micrographs with pseudo-labels, their pseudo-labels, and the ignored candidates on them.
    figures
        Held-out figures by name; those of one set are named ``SET: figure``. Empty if no network was trained.
    """

    iteration: int
    teacher: int | None
    kept: bool
    remark: str
    positive: float | None = None
    negative: float | None = None
    n_micrographs: int = 0
    n_positive: int = 0
    n_ignored: int = 0
    figures: dict[str, float] = field(default_factory=dict)


def write_rounds(folder: Path, records: Sequence[RoundRecord]) -> None:
    """Write ``rounds.md``, ``rounds.csv`` and ``rounds.png``, each by rename."""
    replace_file(folder / TABLE_NAME, format_rounds(records) + "\n")
    write_rounds_csv(folder / CSV_NAME, records)
    draw_rounds(folder / PICTURE_NAME, records)


LIMIT: Final = (
    "Rounds are judged on the labelled micrographs that were held out, and on nothing else: whether the pseudo-labels "
    "are particles, their pictures show."
)


def format_rounds(records: Sequence[RoundRecord]) -> str:
    """Return the rounds as a Markdown table that also reads well in a terminal, and a line on each round's verdict."""
    lines = format_table([HEADINGS, *(_format_row(record) for record in records)])
    names = _set_names(records)
    if len(names) > 1:
        lines += ["", "The figures are means over the held-out sets; average precision, best F1 and F1 of each:", ""]
        rows = [[f"{record.iteration}", *(_format_set(record, name) for name in names)] for record in records]
        lines += format_table([["round", *names], *rows])
    lines += ["", *(f"- round {record.iteration}: {record.remark}" for record in records)]
    if any(record.n_positive for record in records):
        lines += ["", LIMIT]
    return "\n".join(lines)


def _format_row(record: RoundRecord) -> list[str]:
    is_first = record.teacher is None
    counts = (record.n_micrographs, record.n_positive, record.n_ignored)
    return [
        f"{record.iteration}",
        NOTHING if is_first else f"{record.teacher}",
        _format(record.positive),
        _format(record.negative),
        *(NOTHING if is_first else f"{count}" for count in counts),
        *(_format(record.figures.get(name)) for name in CURVES),
        _format(record.figures.get("threshold"), 2),
        "yes" if record.kept else "no",
    ]


def _format_set(record: RoundRecord, name: str) -> str:
    return " / ".join(_format(record.figures.get(f"{name}{SET_SEPARATOR}{figure}")) for figure in CURVES)


def _set_names(records: Sequence[RoundRecord]) -> list[str]:
    names = [name for record in records for name in record.figures if SET_SEPARATOR in name]
    return list(dict.fromkeys(name.rpartition(SET_SEPARATOR)[0] for name in names))


def _format(value: float | None, digits: int = 3) -> str:
    return NOTHING if value is None else f"{value:.{digits}f}"


def write_rounds_csv(path: Path, records: Sequence[RoundRecord]) -> None:
    """Write one row a round, a column for each field and for each figure; empty where there is none."""
    rows = [_to_row(record) for record in records]
    names = list(dict.fromkeys(name for row in rows for name in row))
    with replacing(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=names)
        writer.writeheader()
        writer.writerows(rows)


def _to_row(record: RoundRecord) -> dict[str, object]:
    row = dict(vars(record))
    figures: dict[str, float] = row.pop("figures")
    remark = row.pop("remark")
    return {**row, **figures, "remark": remark}


def draw_rounds(path: Path, records: Sequence[RoundRecord]) -> None:
    """Draw the held-out figures over the rounds; rounds that were not kept are hollow and off the line."""
    trained = [record for record in records if record.figures]
    figure = make_figure(6.0, 4.0)
    axes = figure.add_subplot()
    for name, label in CURVES.items():
        kept = [(record.iteration, record.figures[name]) for record in trained if record.kept]
        lost = [(record.iteration, record.figures[name]) for record in trained if not record.kept]
        (line,) = axes.plot(*_columns(kept), "o-", label=label)
        axes.plot(*_columns(lost), "o", color=line.get_color(), markerfacecolor="none")
    axes.set_xticks([record.iteration for record in records])
    axes.set(xlabel="round", ylabel="held-out micrographs")
    axes.grid(alpha=0.3)
    axes.legend(loc="best", title="hollow: not kept" if any(not record.kept for record in trained) else None)
    save_png(figure, path)


def _columns(points: Sequence[tuple[int, float]]) -> NDArray[Any]:
    return np.array(points, dtype=np.float64).reshape(-1, 2).T


def draw_scores(path: Path, scores: NDArray[Any], positive: float, negative: float) -> None:
    """Draw the histogram of a teacher's candidates, ``scores`` ``(n,)``, with the two thresholds between its parts."""
    figure = make_figure(6.0, 3.5)
    axes = figure.add_subplot()
    axes.hist(scores, bins=np.linspace(0, 1, 51).tolist(), color="0.6")
    axes.axvspan(negative, positive, color="#ffd030", alpha=0.25, label=f"ignored: {negative:.3f} to {positive:.3f}")
    axes.axvline(positive, color="#40c060", linewidth=2, label=f"pseudo-labels: from {positive:.3f}")
    axes.set(xlim=(0, 1), xlabel="score of the teacher", ylabel="candidates")
    if len(scores):
        axes.set_yscale("log")
    axes.legend(loc="best")
    save_png(figure, path)
