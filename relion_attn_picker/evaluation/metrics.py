"""Figures of picks: precision, recall, F1, average precision, localisation error.

Matching is done once for all candidates of a micrograph (``match_micrograph``); every figure at any threshold follows
from the result, and pooling over micrographs is concatenation (``pool_matches``).

Empty cases, decided once: precision without picks and recall without ground truth are NaN; F1 is 2 TP / (picks +
particles), hence 0 when only one of the two is there and NaN when both are absent; average precision is NaN without
ground truth and 0 without picks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relion_attn_picker.evaluation.matching import FloatVector, Points, lie_on_ignored, match_picks

BoolVector = NDArray[np.bool_]


@dataclass(frozen=True)
class MicrographMatches:
    """What became of every candidate of one micrograph (or of several, pooled).

    Parameters
    ----------
    score
        Score of each candidate, shape ``(n,)``.
    is_true_positive
        Whether the candidate was matched with a particle, shape ``(n,)``.
    distance
        Distance to that particle, shape ``(n,)``, NaN where there is none; the unit of the match radius.
    n_true
        Number of particles in the ground truth.
    """

    score: NDArray[Any]
    is_true_positive: BoolVector
    distance: FloatVector
    n_true: int

    def take(self, kept: BoolVector) -> MicrographMatches:
        """Return the matches of only those candidates that are ``kept``, ``(n,)``; all particles still count."""
        return MicrographMatches(self.score[kept], self.is_true_positive[kept], self.distance[kept], self.n_true)


@dataclass(frozen=True)
class PrecisionRecallCurve:
    """Precision and recall of the candidates at or above each distinct score, highest threshold first; all ``(k,)``."""

    threshold: FloatVector
    precision: FloatVector
    recall: FloatVector


@dataclass(frozen=True)
class PickingScores:
    """Figures of picks at one threshold and one match radius.

    ``average_precision``, ``best_f1`` and ``best_threshold`` look at all candidates, the rest at those at or above the
    threshold. ``median_distance`` is in the unit of the match radius.
    """

    precision: float
    recall: float
    f1: float
    average_precision: float
    best_f1: float
    best_threshold: float
    median_distance: float
    n_true: int
    n_predicted: int
    n_matched: int


def match_micrograph(
    predicted_yx: Points, score: NDArray[Any], true_yx: Points, radius: float, ignored_yx: Points | None = None
) -> MicrographMatches:
    """Match all candidates of one micrograph but those on what is ignored; parameters as in ``matching``."""
    if ignored_yx is not None:
        kept = ~lie_on_ignored(predicted_yx, score, true_yx, ignored_yx, radius)
        predicted_yx, score = predicted_yx[kept], score[kept]
    match = match_picks(predicted_yx, score, true_yx, radius)
    distance = np.full(len(score), np.nan)
    distance[match.predicted] = match.distance
    if not np.issubdtype(score.dtype, np.floating):
        score = score.astype(np.float64)
    return MicrographMatches(score, np.isfinite(distance), distance, len(true_yx))


def pool_matches(matches: Sequence[MicrographMatches]) -> MicrographMatches:
    """Pool the candidates of several micrographs, as if all lay on one; none at all give an empty one."""
    return MicrographMatches(
        np.concatenate([np.empty(0, np.float32), *(each.score for each in matches)]),
        np.concatenate([np.empty(0, np.bool_), *(each.is_true_positive for each in matches)]),
        np.concatenate([np.empty(0), *(each.distance for each in matches)]),
        sum(each.n_true for each in matches),
    )


def score_matches(matches: MicrographMatches, threshold: float) -> PickingScores:
    """Compute the figures of picks.

    Parameters
    ----------
    matches
        All candidates, those below the threshold included if best F1 and average precision shall see them.
    threshold
        Operating point: a candidate whose score is at least this is a pick.

    Returns
    -------
    PickingScores
        See the module's docstring for empty cases.
    """
    is_pick = matches.score >= threshold
    n_predicted, n_matched = int(is_pick.sum()), int(matches.is_true_positive[is_pick].sum())
    distance = matches.distance[is_pick & matches.is_true_positive]
    best_f1, best_threshold = _find_best_f1(matches)
    return PickingScores(
        precision=divide(n_matched, n_predicted),
        recall=divide(n_matched, matches.n_true),
        f1=divide(2 * n_matched, n_predicted + matches.n_true),
        average_precision=average_precision(matches.score, matches.is_true_positive, matches.n_true),
        best_f1=best_f1,
        best_threshold=best_threshold,
        median_distance=float(np.median(distance)) if distance.size else float("nan"),
        n_true=matches.n_true,
        n_predicted=n_predicted,
        n_matched=n_matched,
    )


def precision_recall_curve(score: NDArray[Any], is_true_positive: BoolVector, n_true: int) -> PrecisionRecallCurve:
    """Compute precision and recall at every distinct score.

    Parameters
    ----------
    score
        Scores of the candidates, shape ``(n,)``.
    is_true_positive
        Whether each was matched, shape ``(n,)``.
    n_true
        Number of particles in the ground truth, those that no candidate found included; 0 makes every recall NaN.

    Returns
    -------
    PrecisionRecallCurve
        One point for each distinct score, empty without candidates.
    """
    threshold, n_predicted, n_matched = _count_at_distinct_scores(score, is_true_positive)
    recall = n_matched / n_true if n_true else np.full(len(threshold), np.nan)
    return PrecisionRecallCurve(threshold, n_matched / n_predicted, recall)


def average_precision(score: NDArray[Any], is_true_positive: BoolVector, n_true: int) -> float:
    """Compute the area under the precision-recall curve, Σ (R_k - R_(k-1)) P_k with R_0 = 0.

    The step-wise sum of scikit-learn's ``average_precision_score``, without interpolation, except that the recall
    counts particles that no candidate found: a picker that stops early is not rewarded. NaN without ground truth; 0
    without candidates. Parameters as in ``precision_recall_curve``.
    """
    if n_true == 0:
        return float("nan")
    curve = precision_recall_curve(score, is_true_positive, n_true)
    return float(np.sum(np.diff(curve.recall, prepend=0.0) * curve.precision))


def divide(numerator: float, denominator: float) -> float:
    """Divide; NaN where there is nothing to divide by."""
    return numerator / denominator if denominator else float("nan")


def _count_at_distinct_scores(
    score: NDArray[Any], is_true_positive: BoolVector
) -> tuple[FloatVector, FloatVector, FloatVector]:
    """Return each distinct score, highest first, with the candidates and the matched ones at or above it."""
    order = np.argsort(-score, kind="stable")
    ordered = score[order]
    last_of_its_score = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True)[: len(ordered)])
    n_predicted = last_of_its_score.astype(np.float64) + 1
    n_matched = np.cumsum(is_true_positive[order], dtype=np.float64)[last_of_its_score]
    return ordered[last_of_its_score].astype(np.float64), n_predicted, n_matched


def _find_best_f1(matches: MicrographMatches) -> tuple[float, float]:
    """Return the highest F1 of any threshold and that threshold (the highest such; NaN if no F1 exceeds 0)."""
    threshold, n_predicted, n_matched = _count_at_distinct_scores(matches.score, matches.is_true_positive)
    if not matches.is_true_positive.any():
        return divide(0, len(threshold) + matches.n_true), float("nan")
    f1 = 2 * n_matched / (n_predicted + matches.n_true)
    best = int(np.argmax(f1))
    return float(f1[best]), float(threshold[best])
