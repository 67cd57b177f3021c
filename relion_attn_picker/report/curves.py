"""The course of a training as a picture: losses above, figures of the validation below."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from relion_attn_picker.report.figure import make_figure, save_png

STEP = "step"
LINE_STYLES = ("-", "--", ":", "-.")


def draw_training_curves(path: Path, columns: Mapping[str, Sequence[float]]) -> None:
    """Write a PNG of the curves of a training, by rename; parameters and errors as in ``plot_training_curves``."""
    save_png(plot_training_curves(columns), path)


def plot_training_curves(columns: Mapping[str, Sequence[float]]) -> Figure:
    """Return a figure of the curves of a training.

    Parameters
    ----------
    columns
        ``step``, and any number of columns as long as it; those with ``loss`` in their name go to the upper panel, the
        others, figures in [0, 1], to the lower. NaN where a column was not measured at a step. A figure has one colour,
        in the mean and in each set (``SET: FIGURE``); a column that is the same as one before it, as the only set's is
        as the mean, is left out.

    Raises
    ------
    ValueError
        If ``step`` is missing or a column is not as long as it.
    """
    if STEP not in columns:
        raise ValueError(f"The columns are {', '.join(columns) or 'none'}: expected {STEP} among them.")
    table = {name: np.asarray(values, dtype=np.float64) for name, values in columns.items()}
    steps = table.pop(STEP)
    for name, values in table.items():
        if values.shape != steps.shape:
            raise ValueError(f"Column {name} has {len(values)} values: expected {len(steps)}, one a step.")
    figure = make_figure(10.0, 6.0)
    upper, lower = figure.subplots(2, 1, sharex=True)
    _draw_panel(upper, steps, {name: values for name, values in table.items() if "loss" in name}, "loss")
    _draw_panel(lower, steps, {name: values for name, values in table.items() if "loss" not in name}, "validation")
    figures = [value for name, values in table.items() if "loss" not in name for value in values if np.isfinite(value)]
    lower.set_ylim(np.floor(10 * min(figures, default=0.0)) / 10, 1)
    lower.set_xlabel("step")
    return figure


def _draw_panel(axes: Axes, steps: NDArray[np.float64], curves: Mapping[str, NDArray[np.float64]], label: str) -> None:
    drawn: list[NDArray[np.float64]] = []
    colours: dict[str, str] = {}
    styles: dict[str, str] = {}
    for name, values in curves.items():
        if any(np.array_equal(values, other, equal_nan=True) for other in drawn):
            continue
        drawn.append(values)
        data_set, _, figure = name.rpartition(": ")
        known = np.isfinite(values)
        axes.plot(
            steps[known],
            values[known],
            color=colours.setdefault(figure, f"C{len(colours)}"),
            linestyle=styles.setdefault(data_set, LINE_STYLES[len(styles) % len(LINE_STYLES)]),
            marker="." if known.sum() < 50 else "",
            linewidth=1.0 if data_set else 1.8,
            label=name.replace("_", " ").replace("f1", "F1"),
        )
    axes.set_ylabel(label)
    axes.grid(alpha=0.3)
    if curves:
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize="small")
