"""The figures of a comparison: precision-recall curves, differences, behaviour against conditions and training size."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from relion_attn_picker.evaluation.comparison import FigureSummary
from relion_attn_picker.evaluation.comparison_result import Comparison, ConditionRow, SetResult
from relion_attn_picker.options import ATTENTION, NETWORKS, STANDARD
from relion_attn_picker.report.comparison_tables import PICK_COLUMNS, PIXEL_COLUMNS
from relion_attn_picker.report.figure import make_figure, save_png

COLOURS: Final = {
    ATTENTION: "#d55e00",
    STANDARD: "#0072b2",
    "hybrid": "#000000",
    "average": "#009e73",
    "verify": "#cc79a7",
    "rescue": "#e69f00",
    "union": "#56b4e9",
    "intersection": "#999999",
}
"""Okabe and Ito's colours, which those who see no red or green can tell apart."""

STYLES: Final = {"hybrid": "--", "average": "--", "verify": "-.", "rescue": ":", "union": ":", "intersection": "-."}
DPI: Final = 100
LEAST_VIEW: Final = 0.05


def draw_comparison(folder: Path, comparison: Comparison) -> tuple[Path, ...]:
    """Draw the figures into a folder, each by rename; return those that there is something to draw for."""
    paths = [folder / "precision_recall.png", folder / "differences.png"]
    draw_curves(paths[0], comparison.sets)
    draw_differences(paths[1], comparison.sets)
    if any(each.conditions for each in comparison.sets):
        paths.append(folder / "conditions.png")
        draw_conditions(paths[-1], comparison.sets)
    if comparison.sizes:
        paths.append(folder / "training_size.png")
        draw_sizes(paths[-1], comparison)
    return tuple(paths)


def draw_curves(path: Path, sets: Sequence[SetResult]) -> None:
    """Draw the mean precision over the seeds at each recall; of both networks also the range of the seeds."""
    figure = make_figure(5.2 * len(sets), 5.0)
    panels = figure.subplots(1, len(sets), squeeze=False)[0]
    for axes, result in zip(panels, sets, strict=True):
        for name, contender in result.contenders.items():
            reached = np.isfinite(contender.curve_precision).all(axis=0)
            recall, precision = contender.curve_recall[reached], contender.curve_precision[:, reached]
            label = f"{name} {contender.figures['average_precision'].value:.3f}"
            width = 2.0 if name in NETWORKS else 1.1
            axes.plot(recall, precision.mean(axis=0), STYLES.get(name, "-"), color=COLOURS[name], lw=width, label=label)
            if name in NETWORKS:
                low, high = precision.min(axis=0), precision.max(axis=0)
                axes.fill_between(recall, low, high, color=COLOURS[name], alpha=0.15, lw=0)
        chance = result.contenders[ATTENTION].chance_precision
        if np.isfinite(chance):
            axes.axhline(chance, color="0.6", linestyle=":", label=f"random points, {chance:.3f}")
        axes.set(xlim=(0, 1.0), ylim=(_floor(result), 1.02), xlabel="recall", ylabel="precision", title=result.name)
        axes.grid(alpha=0.3)
        axes.legend(loc="lower left", fontsize="small", title="average precision")
    save_png(figure, path, DPI)


def _floor(result: SetResult) -> float:
    """Return where the axis of precision begins: a tenth below the lowest that a contender or chance comes to."""
    lowest = min(float(np.nanmin(each.curve_precision, initial=1.0)) for each in result.contenders.values())
    return max(0.0, min(lowest, float(np.nan_to_num(result.contenders[ATTENTION].chance_precision, nan=1.0))) - 0.1)


def draw_differences(path: Path, sets: Sequence[SetResult]) -> None:
    """Draw attention minus standard for every figure: each seed, over micrographs (thick) and with seeds (thin)."""
    keys = {**PICK_COLUMNS, **{key: f"pixel {label}" for key, label in PIXEL_COLUMNS.items()}}
    keys = {key: label for key, label in keys.items() if all(key in each.differences for each in sets)}
    figure = make_figure(2.2 + 3.4 * len(sets), 5.0)
    panels = figure.subplots(1, len(sets), squeeze=False, sharey=True)[0]
    for axes, result in zip(panels, sets, strict=True):
        for row, key in enumerate(keys):
            difference = result.differences[key]
            axes.plot(difference.total_interval, [row, row], color="0.5", lw=1.2)
            axes.plot(difference.interval, [row, row], color="0.2", lw=4, alpha=0.5, solid_capstyle="butt")
            axes.plot(difference.per_seed, [row] * len(difference.per_seed), "|", color=COLOURS[ATTENTION], ms=9)
            axes.plot(difference.value, row, "o", color=COLOURS[ATTENTION], ms=5)
        axes.axvline(0, color="k", lw=0.8)
        axes.set(title=result.name, xlabel="← standard higher   attention higher →")
        reach = max(LEAST_VIEW, max(abs(each) for each in axes.get_xlim()))
        axes.set_xlim(-reach, reach)
        axes.grid(axis="x", alpha=0.3)
    panels[0].set_yticks(range(len(keys)), list(keys.values()))
    panels[0].invert_yaxis()
    figure.suptitle(
        "dot: mean; ticks: seeds\nthick: 95 % over micrographs; thin: over micrographs and seeds", fontsize=9
    )
    save_png(figure, path, DPI)


def draw_conditions(path: Path, sets: Sequence[SetResult]) -> None:
    """Draw both networks' average precision against each condition that is known, a row of panels a set."""
    shown = [each for each in sets if each.conditions]
    columns = max(len(each.conditions) for each in shown)
    figure = make_figure(3.6 * columns, 3.0 * len(shown))
    panels = figure.subplots(len(shown), columns, squeeze=False)
    for row, result in zip(panels, shown, strict=True):
        for axes in row[len(result.conditions) :]:
            axes.set_axis_off()
        for axes, (name, classes) in zip(row, result.conditions.items(), strict=False):
            _draw_classes(axes, classes)
            axes.set(title=result.name, xlabel=name, ylabel="average precision")
    panels[0][0].legend(loc="best", fontsize="small")
    save_png(figure, path, DPI)


def _draw_classes(axes: Axes, classes: Sequence[ConditionRow]) -> None:
    width = classes[-1].high - classes[0].low
    for shift, name in ((-0.008, ATTENTION), (0.008, STANDARD)):
        middle = np.array([(row.low + row.high) / 2 for row in classes]) + shift * width
        _draw_line(axes, middle, [getattr(row, name) for row in classes], name)
    axes.grid(alpha=0.3)


def _draw_line(axes: Axes, x: NDArray[np.float64], summaries: Sequence[FigureSummary], name: str) -> None:
    """Draw means with their interval over micrographs, and each seed as a small point."""
    values = np.array([each.value for each in summaries])
    intervals = np.array([each.interval for each in summaries])
    reach = np.abs(np.stack([values - intervals[:, 0], intervals[:, 1] - values]))
    axes.errorbar(x, values, yerr=reach, fmt="o-", color=COLOURS[name], capsize=3, lw=1.4, ms=4, label=name)
    for place, each in zip(x, summaries, strict=True):
        axes.plot([place] * len(each.per_seed), each.per_seed, ".", color=COLOURS[name], ms=3, alpha=0.7)


def draw_sizes(path: Path, comparison: Comparison) -> None:
    """Draw both networks' average precision against the share of the training micrographs."""
    figure = make_figure(5.0, 4.0)
    axes = figure.add_subplot()
    shares = np.array([row.share for row in comparison.sizes])
    for name in NETWORKS:
        _draw_line(axes, shares, [getattr(row, name) for row in comparison.sizes], name)
    axes.set_xscale("log")
    axes.set_xticks(shares, [f"{share:g}" for share in shares])
    axes.set_xticks([], minor=True)
    axes.set(xlabel="share of the training micrographs", ylabel="average precision, mean over the sets")
    axes.grid(alpha=0.3)
    axes.legend(loc="best")
    save_png(figure, path, DPI)
