"""The tables of a comparison as rows of text, the heading first. Nothing is decided here."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from relion_attn_picker.evaluation.bootstrap import Interval
from relion_attn_picker.evaluation.comparison import Difference, FigureSummary
from relion_attn_picker.evaluation.comparison_result import Comparison, ConditionRow, SetResult
from relion_attn_picker.evaluation.weighted_figures import EQUAL_PRECISION, EQUAL_RECALL, FIRST_HALF

Rows = list[list[str]]

NOTHING: Final = "–"

PICK_COLUMNS: Final = {
    "average_precision": "AP",
    "f1": "F1",
    "precision": "precision",
    "recall": "recall",
    "iou": "IoU",
    "first_half_precision": f"precision to recall {FIRST_HALF}",
    "precision_at_recall": f"precision at recall {EQUAL_RECALL}",
    "recall_at_precision": f"recall at precision {EQUAL_PRECISION}",
}
PIXEL_COLUMNS: Final = {
    "pixel_roc_auc": "ROC-AUC",
    "pixel_f1": "F1",
    "pixel_precision": "precision",
    "pixel_recall": "recall",
    "pixel_iou": "IoU",
}
WITH_INTERVAL: Final = ("average_precision", "f1", "pixel_roc_auc", "pixel_f1")
"""Figures whose interval stands in the first tables; all others have theirs in the table of differences and in JSON."""


def format_figure(value: float, digits: int = 3) -> str:
    """Return a figure, or a dash where it is undefined."""
    return f"{value:.{digits}f}" if math.isfinite(value) else NOTHING


def format_signed(value: float) -> str:
    """Return a difference with its sign."""
    return f"{value:+.3f}" if math.isfinite(value) else NOTHING


def format_interval(interval: Interval) -> str:
    """Return an interval of differences."""
    return f"{interval[0]:+.3f} to {interval[1]:+.3f}" if math.isfinite(interval[0]) else NOTHING


def _format_summary(summary: FigureSummary, with_interval: bool) -> str:
    text = format_figure(summary.value)
    if with_interval and math.isfinite(summary.interval[0]):
        text += f" ({summary.interval[0]:.3f}–{summary.interval[1]:.3f})"
    return text + (f" ±{summary.seed_spread:.3f}" if math.isfinite(summary.seed_spread) else "")


def tabulate_picks(result: SetResult) -> Rows:
    """Return the figures of the picks of every contender, with chance and the checkpoint's own threshold."""
    rows: Rows = [["", *PICK_COLUMNS.values(), "chance", "F1 at own threshold"]]
    for name, contender in result.contenders.items():
        cells = [_format_summary(contender.figures[key], key in WITH_INTERVAL) for key in PICK_COLUMNS]
        rows.append([name, *cells, format_figure(contender.chance_precision), format_figure(contender.own_f1)])
    return rows


def tabulate_pixels(result: SetResult) -> Rows:
    """Return the pixel figures of every contender."""
    rows: Rows = [["", *PIXEL_COLUMNS.values()]]
    for name, contender in result.contenders.items():
        rows.append([name, *(_format_summary(contender.figures[key], key in WITH_INTERVAL) for key in PIXEL_COLUMNS)])
    return rows


def _format_difference(difference: Difference) -> list[str]:
    relative = difference.relative
    return [
        format_signed(difference.value),
        f"{100 * relative:+.1f} %" if math.isfinite(relative) else NOTHING,
        format_interval(difference.interval),
        format_figure(difference.seed_spread),
        format_interval(difference.total_interval),
        difference.verdict.value + (", within the seed spread" if difference.is_within_seed_spread else ""),
    ]


DIFFERENCE_COLUMNS: Final = ["difference", "relative", "over micrographs", "seed spread", "with seeds", "verdict"]


def tabulate_differences(result: SetResult) -> Rows:
    """Return attention minus standard, figure by figure."""
    rows: Rows = [["", *DIFFERENCE_COLUMNS]]
    for key, label in PICK_COLUMNS.items():
        rows.append([label, *_format_difference(result.differences[key])])
    for key, label in PIXEL_COLUMNS.items():
        if key in result.differences:
            rows.append([f"pixel {label}", *_format_difference(result.differences[key])])
    return rows


def tabulate_hybrids(result: SetResult) -> Rows:
    """Return the average precision of each hybrid minus the better network's, and the settings that were chosen."""
    rows: Rows = [["", *DIFFERENCE_COLUMNS, "settings chosen"]]
    for name, difference in result.hybrids.items():
        settings = sorted(result.contenders[name].settings.items(), key=lambda item: -item[1])
        told = ", ".join(f"{setting} {100 * share:.0f} %" for setting, share in settings)
        rows.append([name, *_format_difference(difference), told])
    return rows


def tabulate_conditions(conditions: Sequence[ConditionRow]) -> Rows:
    """Return both networks' average precision in each class of a condition."""
    rows: Rows = [["from", "to", "micrographs", "attention", "standard", "difference", "with seeds", "verdict"]]
    for row in conditions:
        rows.append(
            [
                f"{row.low:.3g}",
                f"{row.high:.3g}",
                f"{row.n_micrographs}",
                _format_summary(row.attention, True),
                _format_summary(row.standard, True),
                format_signed(row.difference.value),
                format_interval(row.difference.total_interval),
                row.difference.verdict.value,
            ]
        )
    return rows


def tabulate_sizes(comparison: Comparison) -> Rows:
    """Return both networks' average precision by share of the training micrographs."""
    rows: Rows = [["share", "attention", "standard", "difference", "with seeds", "verdict"]]
    for row in comparison.sizes:
        rows.append(
            [
                f"{row.share:g}",
                _format_summary(row.attention, True),
                _format_summary(row.standard, True),
                format_signed(row.difference.value),
                format_interval(row.difference.total_interval),
                row.difference.verdict.value,
            ]
        )
    return rows


def tabulate_architectures(comparison: Comparison) -> Rows:
    """Return the parameters of both networks by width."""
    rows: Rows = [["base features", "standard, parameters", "attention, parameters", "overhead"]]
    for row in comparison.architectures:
        overhead = f"{100 * row.overhead:+.2f} %"
        rows.append([f"{row.base_features}", f"{row.standard:,}", f"{row.attention:,}", overhead])
    return rows


def tabulate_costs(comparison: Comparison) -> Rows:
    """Return what both networks cost."""
    rows: Rows = [["", "standard", "attention", "overhead", "how"]]
    for row in comparison.costs:
        rows.append([row.what, f"{row.standard:.4g}", f"{row.attention:.4g}", f"{100 * row.overhead:+.1f} %", row.how])
    return rows


def tabulate_recommendations(comparison: Comparison) -> Rows:
    """Return what to take for each aim, with the figure of every contender."""
    rows: Rows = [["aim", "take", "figure", "what each contender reaches"]]
    for each in comparison.recommendations:
        told = ", ".join(f"{name} {format_figure(value)}" for name, value in each.figures.items())
        rows.append([each.aim, each.choice, each.figure, told])
    return rows


def tabulate_auc(comparison: Comparison) -> Rows:
    """Return the ROC-AUC of the same maps from their probabilities and from their thresholded masks."""
    rows: Rows = [["set", "network", "AUC from probabilities", "AUC from the mask", "pixel recall"]]
    for each in comparison.sets:
        for name in ("attention", "standard"):
            figures = each.contenders[name].figures
            keys = ("pixel_roc_auc", "pixel_mask_auc", "pixel_recall")
            rows.append([each.name, name, *(format_figure(figures[key].value, 4) for key in keys)])
    return rows
