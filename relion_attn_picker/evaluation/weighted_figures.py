"""Figures of picks and of pixels on any weighting of the micrographs: all of them once, or as a bootstrap drew them.

Two contenders are compared on the same draws, so that what a hard micrograph does to both cancels in the difference.
One row of a table is one figure; a table is read with weights ``(r, m)``, how often each of ``m`` micrographs counts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from relion_attn_picker.evaluation.bootstrap import FloatTable, count_by_level
from relion_attn_picker.evaluation.matching import FloatVector
from relion_attn_picker.evaluation.metrics import MicrographMatches
from relion_attn_picker.evaluation.pixel_histograms import PixelHistogram, bin_of

EQUAL_RECALL: Final = 0.7
"""Recall at which precisions are compared."""

EQUAL_PRECISION: Final = 0.8
"""Precision at which recalls are compared."""

FIRST_HALF: Final = 0.5
"""Recall up to which the surest picks reach."""


@dataclass(frozen=True)
class PickCounts:
    """Counts on ``r`` weightings: ``(r,)`` at the operating threshold, ``(r, k)`` cumulated from the highest level."""

    n_predicted: FloatVector
    n_matched: FloatVector
    n_true: FloatVector
    candidates: FloatTable
    found: FloatTable

    @property
    def curve_precision(self) -> FloatTable:
        """Precision at each level; a level above all candidates has 0, and adds no recall."""
        return np.nan_to_num(_divide(self.found, self.candidates))

    @property
    def curve_recall(self) -> FloatTable:
        """Recall at each level."""
        return _divide(self.found, self.n_true[:, None])


@dataclass(frozen=True)
class PixelCountTable:
    """Counts on ``r`` weightings: pixels at the operating threshold ``(r,)``, and in each bin of logit ``(r, b)``."""

    true_positive: FloatVector
    false_positive: FloatVector
    positives: FloatTable
    negatives: FloatTable

    @property
    def n_positive(self) -> FloatVector:
        """Pixels on particles."""
        return np.asarray(self.positives.sum(axis=1))

    @property
    def n_negative(self) -> FloatVector:
        """All other pixels."""
        return np.asarray(self.negatives.sum(axis=1))


def _divide(numerator: NDArray[Any], denominator: NDArray[Any]) -> NDArray[np.float64]:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(numerator / denominator, dtype=np.float64)


def _average_precision(counts: PickCounts, reach: float = 1.0) -> FloatVector:
    """Return the mean precision over recalls from 0 to ``reach``, step by step; a recall not reached counts 0."""
    steps = np.diff(np.minimum(counts.curve_recall, reach), axis=1, prepend=0.0)
    return np.asarray(np.sum(steps * counts.curve_precision, axis=1) / reach)


def _best_f1(counts: PickCounts) -> FloatVector:
    f1 = _divide(2 * counts.found, counts.candidates + counts.n_true[:, None])
    return np.asarray(np.fmax.reduce(f1, axis=1))  # without particles, levels above all candidates have none


def _precision_at_recall(counts: PickCounts) -> FloatVector:
    reached = counts.curve_recall >= EQUAL_RECALL
    precision = np.where(reached, counts.curve_precision, -1.0).max(axis=1)
    return np.where(reached.any(axis=1), precision, np.nan)


def _recall_at_precision(counts: PickCounts) -> FloatVector:
    precise = counts.curve_precision >= EQUAL_PRECISION
    return np.asarray(np.where(precise, counts.curve_recall, 0.0).max(axis=1))


PICK_FIGURES: Final[dict[str, Callable[[PickCounts], FloatVector]]] = {
    "average_precision": _average_precision,
    "f1": lambda counts: _divide(2 * counts.n_matched, counts.n_predicted + counts.n_true),
    "precision": lambda counts: _divide(counts.n_matched, counts.n_predicted),
    "recall": lambda counts: _divide(counts.n_matched, counts.n_true),
    "iou": lambda counts: _divide(counts.n_matched, counts.n_predicted + counts.n_true - counts.n_matched),
    "best_f1": _best_f1,
    "first_half_precision": lambda counts: _average_precision(counts, FIRST_HALF),
    "precision_at_recall": _precision_at_recall,
    "recall_at_precision": _recall_at_precision,
}
"""Name → figure of the picks. ``precision_at_recall`` is NaN where the recall is not reached, ``recall_at_precision`` 0
where the precision is not; ``iou`` is that of two sets of points, matched pairs over all distinct ones."""


def _roc_auc(counts: PixelCountTable) -> FloatVector:
    below = np.cumsum(counts.negatives, axis=1) - counts.negatives
    wins = np.sum(counts.positives * (below + counts.negatives / 2), axis=1)
    return _divide(wins, counts.n_positive * counts.n_negative)


def _pixel_precision(counts: PixelCountTable) -> FloatVector:
    return _divide(counts.true_positive, counts.true_positive + counts.false_positive)


def _pixel_recall(counts: PixelCountTable) -> FloatVector:
    return _divide(counts.true_positive, counts.n_positive)


def _mask_auc(counts: PixelCountTable) -> FloatVector:
    """Return the ROC-AUC of the thresholded mask: two line segments, hence (recall + specificity) / 2."""
    specificity = 1 - _divide(counts.false_positive, counts.n_negative)
    return np.asarray((_pixel_recall(counts) + specificity) / 2)


PIXEL_FIGURES: Final[dict[str, Callable[[PixelCountTable], FloatVector]]] = {
    "pixel_roc_auc": _roc_auc,
    "pixel_f1": lambda counts: _divide(
        2 * counts.true_positive, counts.true_positive + counts.false_positive + counts.n_positive
    ),
    "pixel_precision": _pixel_precision,
    "pixel_recall": _pixel_recall,
    "pixel_iou": lambda counts: _divide(counts.true_positive, counts.false_positive + counts.n_positive),
    "pixel_mask_auc": _mask_auc,
}
"""Name → figure of the pixels. ``pixel_mask_auc`` is shown to be compared with ``pixel_roc_auc``, and is no merit."""


def compute_pick_figures(
    matches: Sequence[MicrographMatches], thresholds: Sequence[float], weights: FloatTable | None
) -> dict[str, FloatVector]:
    """Compute every figure of the picks.

    Parameters
    ----------
    matches, thresholds
        One of each a micrograph: its candidates, and the operating threshold there.
    weights
        How often each micrograph counts, shape ``(r, m)``; ``None``: all once, at every distinct score.

    Returns
    -------
    dict
        Name → ``(r,)``, or ``(1,)`` without weights; NaN where a figure is undefined.
    """
    is_pick = [each.score >= threshold for each, threshold in zip(matches, thresholds, strict=True)]
    counts = np.array(
        [
            (kept.sum(), each.is_true_positive[kept].sum(), each.n_true)
            for each, kept in zip(matches, is_pick, strict=True)
        ],
        dtype=np.float64,
    )
    if weights is None:
        candidates, matched = _count_exactly(matches)
        weighted, by_level = counts.sum(axis=0, keepdims=True), (candidates, matched)
    else:
        candidates, matched = count_by_level(matches)
        weighted, by_level = weights @ counts, (weights @ candidates, weights @ matched)
    n_predicted, n_matched, n_true = weighted.T
    cumulated = [np.cumsum(each, axis=1) for each in by_level]
    table = PickCounts(n_predicted, n_matched, n_true, cumulated[0], cumulated[1])
    return {name: figure(table) for name, figure in PICK_FIGURES.items()}


def _count_exactly(matches: Sequence[MicrographMatches]) -> tuple[FloatTable, FloatTable]:
    """Count all micrographs together at every distinct score, highest first, ``(1, k)``."""
    score = np.concatenate([each.score for each in matches])
    found = np.concatenate([each.is_true_positive for each in matches])
    _, level = np.unique(-score.astype(np.float64), return_inverse=True)
    n_levels = max(1, int(level.max(initial=-1)) + 1)
    candidates = np.bincount(level, minlength=n_levels).astype(np.float64)
    return candidates[None], np.bincount(level, weights=found, minlength=n_levels).astype(np.float64)[None]


def compute_pixel_figures(
    histograms: Sequence[PixelHistogram], thresholds: Sequence[float], weights: FloatTable | None
) -> dict[str, FloatVector]:
    """Compute every figure of the pixels; as ``compute_pick_figures``, the thresholds rounded to a bin of logit."""
    cuts = [bin_of(threshold) for threshold in thresholds]
    at_cut = np.array(
        [(each.positives[cut:].sum(), each.negatives[cut:].sum()) for each, cut in zip(histograms, cuts, strict=True)],
        dtype=np.float64,
    )
    used = np.ones((1, len(histograms))) if weights is None else weights
    positives = used @ np.stack([each.positives for each in histograms]).astype(np.float64)
    negatives = used @ np.stack([each.negatives for each in histograms]).astype(np.float64)
    true_positive, false_positive = (used @ at_cut).T
    table = PixelCountTable(true_positive, false_positive, positives, negatives)
    return {name: figure(table) for name, figure in PIXEL_FIGURES.items()}
