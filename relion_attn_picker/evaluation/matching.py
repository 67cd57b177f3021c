"""One-to-one matching of picks with the ground truth.

The rule of the field: greedy by score, each pick takes the nearest particle that is still free within the match
radius, so that a second pick on the same particle is a false positive. No thresholds and no figures here: those are
``metrics``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

Points = NDArray[Any]
FloatVector = NDArray[np.float64]
IndexVector = NDArray[np.intp]

SEARCH_MARGIN = 1.0 + 1e-9  # the tree compares squares: search a hair wider, then cut at the radius itself


@dataclass(frozen=True)
class Match:
    """Pairs of a pick and a particle, by descending score of the pick; no pick and no particle occurs twice.

    Parameters
    ----------
    predicted
        Index of the pick, shape ``(k,)``.
    true
        Index of the particle in the ground truth, shape ``(k,)``.
    distance
        Distance between the two, shape ``(k,)``, in the unit of the coordinates that were matched.
    """

    predicted: IndexVector
    true: IndexVector
    distance: FloatVector


def match_picks(predicted_yx: Points, score: NDArray[Any], true_yx: Points, radius: float) -> Match:
    """Match picks with the ground truth one to one, greedily by descending score.

    Because a pick never gives its particle back to one of lower score, the pairs of the picks above any threshold are
    the same whether the list is cut before the matching or after it.

    Parameters
    ----------
    predicted_yx
        Picks, shape ``(n, 2)``, pixels of the micrograph (or Å, if the caller scales all lengths).
    score
        Score of each pick, shape ``(n,)``; among equal scores the earlier pick chooses first.
    true_yx
        Ground truth, shape ``(m, 2)``, in the unit of the picks.
    radius
        Match radius in the same unit; a distance equal to it still matches.

    Returns
    -------
    Match
        The pairs.

    Raises
    ------
    ValueError
        If the shapes do not fit, a score is NaN, a coordinate is not finite or the radius is not positive.
    """
    predicted, score = _as_points("predicted_yx", predicted_yx), np.asarray(score)
    true = _as_points("true_yx", true_yx)
    if score.shape != (len(predicted),):
        raise ValueError(f"score has shape {score.shape}: expected ({len(predicted)},).")
    if np.isnan(score).any():
        raise ValueError("score holds NaN: expected numbers that can be ordered.")
    if not 0 < radius < np.inf:
        raise ValueError(f"radius is {radius}: expected a positive finite length.")
    if len(predicted) == 0 or len(true) == 0:
        return Match(np.empty(0, np.intp), np.empty(0, np.intp), np.empty(0))
    return _take_greedily(*_pairs_within(predicted, true, radius), rank=_rank_by_score(score), n_true=len(true))


def lie_on_ignored(
    predicted_yx: Points, score: NDArray[Any], true_yx: Points, ignored_yx: Points, radius: float
) -> NDArray[np.bool_]:
    """Return which picks count neither as right nor as wrong, ``(n,)``: unmatched ones beside an ignored centre.

    As in COCO's evaluation (Lin et al. 2014, arXiv:1405.0312): true particles choose first, and any number of the picks
    left over may lie on what is ignored. Parameters as for ``match_picks``; ``ignored_yx`` has shape ``(k, 2)``.
    """
    beside = lie_beside(predicted_yx, ignored_yx, radius)
    beside[match_picks(predicted_yx, score, true_yx, radius).predicted] = False
    return beside


def lie_beside(yx: Points, others: Points, radius: float) -> NDArray[np.bool_]:
    """Return which points ``(n, 2)`` have one of ``others`` ``(k, 2)`` within the radius, ``(n,)``."""
    if not len(yx) or not len(others):
        return np.zeros(len(yx), dtype=np.bool_)
    return np.asarray(cKDTree(_as_points("others", others)).query(_as_points("yx", yx))[0] <= radius)


def _as_points(name: str, yx: Points) -> FloatVector:
    points = np.asarray(yx, dtype=np.float64)
    if points.ndim != 2 or points.shape[1] != 2:
        raise ValueError(f"{name} has shape {points.shape}: expected (n, 2).")
    if not np.isfinite(points).all():
        raise ValueError(f"{name} holds a coordinate that is not finite.")
    return points


def _rank_by_score(score: NDArray[Any]) -> IndexVector:
    """Return each pick's place in the order of choosing, shape ``(n,)``."""
    rank = np.empty(len(score), dtype=np.intp)
    rank[np.argsort(-score.astype(np.float64), kind="stable")] = np.arange(len(score))
    return rank


def _pairs_within(
    predicted: FloatVector, true: FloatVector, radius: float
) -> tuple[IndexVector, IndexVector, FloatVector]:
    """Return pick, particle and distance of every pair within the radius."""
    pairs = cKDTree(predicted).sparse_distance_matrix(cKDTree(true), radius * SEARCH_MARGIN, output_type="ndarray")
    pairs = pairs[pairs["v"] <= radius]
    return pairs["i"], pairs["j"], pairs["v"]


def _take_greedily(
    pick: IndexVector, particle: IndexVector, distance: FloatVector, rank: IndexVector, n_true: int
) -> Match:
    """Walk through the pairs by rank of the pick, then distance, then particle, and keep those still free."""
    order = np.lexsort((particle, distance, rank[pick]))
    pick_is_free, particle_is_free = [True] * len(rank), [True] * n_true
    taken = []
    for pair, i, j in zip(order.tolist(), pick[order].tolist(), particle[order].tolist(), strict=True):
        if pick_is_free[i] and particle_is_free[j]:
            pick_is_free[i] = particle_is_free[j] = False
            taken.append(pair)
    kept = np.array(taken, dtype=np.intp)
    return Match(pick[kept].astype(np.intp), particle[kept].astype(np.intp), distance[kept])
