"""The precision-recall curve of an evaluation, as a table and as a picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from relion_attn_picker.evaluation.evaluate import Evaluation
from relion_attn_picker.evaluation.metrics import PickingScores, PrecisionRecallCurve
from relion_attn_picker.replacing import replacing
from relion_attn_picker.report.figure import make_figure, save_png

MOST_CURVE_POINTS = 5000  # millions of candidates make a curve of millions of points that nobody can tell apart


def write_precision_recall(path: Path, evaluation: Evaluation) -> None:
    """Write the pooled curve as CSV, ``threshold,precision,recall``, highest threshold first, at most 5000 rows."""
    curve = _thin_curve(evaluation.curve)
    table = np.stack([curve.threshold, curve.precision, curve.recall], axis=1)
    with replacing(path) as partial:
        np.savetxt(partial, table, fmt="%.6g", delimiter=",", header="threshold,precision,recall", comments="")


def draw_precision_recall(path: Path, evaluation: Evaluation) -> None:
    """Draw the pooled curve at the headline match radius, with the operating point and the best F1."""
    curve = _thin_curve(evaluation.curve)
    figure = make_figure(6.0, 5.5)
    axes = figure.add_subplot()
    pooled = evaluation.headline.pooled
    label = f"average precision {pooled.average_precision:.3f}"
    recall, precision = np.append(0.0, curve.recall), np.append(curve.precision[:1], curve.precision)
    axes.plot(recall[: len(precision)], precision, drawstyle="steps-pre", label=label)  # the area is the sum of steps
    _mark_points(axes, pooled, curve)
    if evaluation.chance_precision is not None:
        axes.axhline(evaluation.chance_precision, color="0.6", linestyle=":", label="as many random picks")
    axes.set(xlim=(0, 1.02), ylim=(0, 1.02), xlabel="recall", ylabel="precision", aspect="equal")
    axes.set_title(f"match radius {evaluation.headline.match_radius:.4g} Å, {pooled.n_true} particles")
    axes.grid(alpha=0.3)
    axes.legend(loc="lower left")
    save_png(figure, path)


def _mark_points(axes: Axes, pooled: PickingScores, curve: PrecisionRecallCurve) -> None:
    if np.isfinite([pooled.precision, pooled.recall]).all():
        axes.plot(pooled.recall, pooled.precision, "o", label=f"operating threshold, F1 {pooled.f1:.3f}")
    if np.isfinite(pooled.best_threshold):
        nearest = int(np.argmin(np.abs(curve.threshold - pooled.best_threshold)))
        label = f"threshold {pooled.best_threshold:.3g}, best F1 {pooled.best_f1:.3f}"
        axes.plot(curve.recall[nearest], curve.precision[nearest], "x", label=label)


def _thin_curve(curve: PrecisionRecallCurve) -> PrecisionRecallCurve:
    """Keep at most ``MOST_CURVE_POINTS`` points, evenly by rank, the first and the last among them."""
    n = len(curve.threshold)
    if n <= MOST_CURVE_POINTS:
        return curve
    kept = np.linspace(0, n - 1, MOST_CURVE_POINTS).round().astype(np.intp)
    return PrecisionRecallCurve(curve.threshold[kept], curve.precision[kept], curve.recall[kept])
