"""The reliability diagram of an evaluation: of the picks near 0.8, are 80 % right?"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np

from relion_attn_picker.evaluation.reliability import Reliability
from relion_attn_picker.report.figure import make_figure, save_png

FEWEST: Final = 10
"""Candidates."""


def draw_reliability(path: Path, before: Reliability, after: Reliability) -> None:
    """Draw the share of right candidates over the mean score of each bin, of raw scores and of calibrated ones.

    Bins of fewer than ``FEWEST`` candidates, which tell nothing, are left out. Bars below tell how many candidates each
    bin of calibrated scores has.
    """
    figure = make_figure(6.0, 6.5)
    axes, counts = figure.subplots(2, 1, sharex=True, height_ratios=[4, 1])
    axes.plot([0, 1], [0, 1], color="0.6", linestyle=":", label="as promised")
    for reliability, name, marker in ((before, "network's scores", "x"), (after, "calibrated scores", "o")):
        filled = reliability.count >= FEWEST
        label = f"{name}, expected error {reliability.expected_error:.3f}" if filled.any() else f"{name}, none"
        axes.plot(reliability.promised[filled], reliability.achieved[filled], marker=marker, label=label)
    axes.set(ylim=(0, 1.02), ylabel="share of right candidates", xlim=(0, 1))
    axes.grid(alpha=0.3)
    axes.legend(loc="upper left")
    counts.bar(np.arange(10) / 10 + 0.05, after.count, width=0.09, color="0.6")
    counts.set(yscale="symlog", xlabel="score", ylabel="candidates")
    save_png(figure, path)
