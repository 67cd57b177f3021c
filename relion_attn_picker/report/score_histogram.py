"""The scores of a job's picks as a picture: where a threshold would cut."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from relion_attn_picker.report.figure import make_figure, save_png


def draw_score_histogram(path: Path, scores: NDArray[Any], threshold: float) -> None:
    """Write a PNG of the histogram of scores, in [0, 1], with the threshold they were chosen by."""
    figure = make_figure(8.0, 4.0)
    axes = figure.add_subplot()
    axes.hist(scores, bins=50, range=(0, 1), color="#4070c0")
    axes.axvline(threshold, color="0.4", linestyle="--", label=f"threshold {threshold:g}")
    axes.set_title(f"{len(scores)} picks")
    axes.set_xlabel("score (ncc_score, power)")
    axes.set_ylabel("number of picks")
    axes.legend(loc="upper left")
    save_png(figure, path)
