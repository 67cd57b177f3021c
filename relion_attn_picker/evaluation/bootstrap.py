"""95 % intervals over micrographs: how far the figures would move with other micrographs of the same session.

Whole micrographs are drawn, not picks, because the picks of one micrograph share its ice, defocus and contamination
(the cluster bootstrap: Davison & Hinkley, Bootstrap Methods and their Application, 1997, section 3.8). The percentiles
of the resamples are no 95 % interval where micrographs are few: over 3 they hold the truth 7 times in 10. So the
resamples give the standard error alone, which is too small by √((n - 1) / n) (Efron & Tibshirani, An Introduction to
the Bootstrap, 1993, chapter 6), and its reach is Student's t with n - 1 degrees of freedom (Cameron & Miller, J. Human
Resources 50 (2015) 317-372, section VI). Figures that are shares have it on the logit scale, as proportions of cluster
samples do (Korn & Graubard, Analysis of Health Surveys, 1999): near 1 the downward reach is the longer one. With many
micrographs all of this comes to the percentiles.

Where every pick is right, or all micrographs are alike, no resample changes the figure, which does not mean that it is
sure: shares of counts then have the binomial interval of ``count_interval``, and other figures none.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit
from scipy.stats import beta
from scipy.stats import t as student_t

from relion_attn_picker.evaluation.matching import FloatVector
from relion_attn_picker.evaluation.metrics import MicrographMatches, PickingScores, pool_matches, score_matches

FloatTable = NDArray[np.float64]
Interval = tuple[float, float]

QUANTILE = 0.975  # of Student's t: the reach of a 95 % interval
LARGEST_ROUNDING = 1e-9  # a standard error below this is that of resamples which are all the same
SCORE_LEVELS = 256  # the average precision of a resample is computed on this many levels of equal numbers of candidates
NO_INTERVAL: Interval = (math.nan, math.nan)
RESAMPLES_AT_ONCE = 100  # bounds the memory of 20,000 micrographs to some 20 MB


@dataclass(frozen=True)
class ScoreIntervals:
    """95 % intervals (low, high) of the pooled figures; NaN where they are not known.

    That is with fewer than two micrographs, and of an average precision that no resample changes.
    """

    precision: Interval
    recall: Interval
    f1: Interval
    average_precision: Interval


def bootstrap_intervals(
    matches: Sequence[MicrographMatches], threshold: float, rng: np.random.Generator, n_resamples: int = 1000
) -> ScoreIntervals:
    """Compute 95 % intervals of pooled precision, recall, F1 and average precision.

    Parameters
    ----------
    matches
        One entry a micrograph.
    threshold
        Operating point, as in ``metrics.score_matches``.
    rng
        Source of the resamples: the same seed gives the same interval.
    n_resamples
        Number of resamples.

    Returns
    -------
    ScoreIntervals
        By ``share_interval``; resamples in which a figure is undefined are left out of its interval. Where these tell
        nothing, by ``count_interval``.
    """
    n = len(matches)
    if n < 2:
        return ScoreIntervals(NO_INTERVAL, NO_INTERVAL, NO_INTERVAL, NO_INTERVAL)
    counts = np.array([_count(each, threshold) for each in matches])
    candidates, matched = count_by_level(matches)
    resampled = [
        _score_resamples(draws.astype(np.float64), counts, candidates, matched)
        for draws in draw_micrographs(n, n_resamples, rng)
    ]
    pooled = score_matches(pool_matches(matches), threshold)
    values = (pooled.precision, pooled.recall, pooled.f1, pooled.average_precision)
    errors = [standard_error(column) * bootstrap_correction(n) for column in np.concatenate(resampled).T]
    intervals = [share_interval(value, error, n - 1) for value, error in zip(values, errors, strict=True)]
    pairs = zip(intervals, _count_intervals(pooled, n - 1), strict=True)
    return ScoreIntervals(*(other if math.isnan(interval[0]) else interval for interval, other in pairs))


def draw_micrographs(n: int, n_resamples: int, rng: np.random.Generator) -> Iterator[NDArray[np.int64]]:
    """Draw n micrographs with replacement, often: tables ``(r, n)`` of how many times each was drawn."""
    for start in range(0, n_resamples, RESAMPLES_AT_ONCE):
        yield rng.multinomial(n, np.full(n, 1 / n), size=min(RESAMPLES_AT_ONCE, n_resamples - start))


def _count(matches: MicrographMatches, threshold: float) -> tuple[int, int, int]:
    is_pick = matches.score >= threshold
    return int(is_pick.sum()), int(matches.is_true_positive[is_pick].sum()), matches.n_true


def count_by_level(
    matches: Sequence[MicrographMatches], most_levels: int = SCORE_LEVELS
) -> tuple[FloatTable, FloatTable]:
    """Count candidates and matched candidates of each micrograph at each score level, highest level first.

    Returns
    -------
    tuple of ndarray, shape ``(m, k)``
        Where there are more than ``most_levels`` distinct scores, levels of about equal numbers of candidates.
    """
    pooled = pool_matches(matches)
    owner = np.repeat(np.arange(len(matches)), [len(each.score) for each in matches])
    distinct = np.unique(pooled.score)
    if len(distinct) > most_levels:
        distinct = np.unique(np.quantile(pooled.score, np.linspace(0, 1, most_levels), method="lower"))
    level = len(distinct) - np.searchsorted(distinct, pooled.score, side="right")
    shape = (len(matches), max(len(distinct), 1))
    cell = np.ravel_multi_index((owner, level), shape)
    n_cells = shape[0] * shape[1]
    candidates: FloatTable = np.bincount(cell, minlength=n_cells).astype(np.float64)
    matched: FloatTable = np.bincount(cell, weights=pooled.is_true_positive, minlength=n_cells).astype(np.float64)
    return candidates.reshape(shape), matched.reshape(shape)


def _score_resamples(draws: FloatTable, counts: FloatTable, candidates: FloatTable, matched: FloatTable) -> FloatTable:
    """Return precision, recall, F1 and average precision of each resample, shape ``(r, 4)``."""
    n_predicted, n_matched, n_true = (draws @ counts).T
    n_candidates = np.cumsum(draws @ candidates, axis=1)
    n_found = np.cumsum(draws @ matched, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        level_precision = np.nan_to_num(n_found / n_candidates)  # a level above all drawn candidates adds no recall
        gained = np.diff(n_found, axis=1, prepend=0.0)
        return np.stack(
            [
                n_matched / n_predicted,
                n_matched / n_true,
                2 * n_matched / (n_predicted + n_true),
                np.sum(gained * level_precision, axis=1) / n_true,
            ],
            axis=1,
        )


def standard_error(resampled: FloatVector) -> float:
    """Return the standard deviation of resampled values ``(r,)``, those not finite left out; NaN of fewer than two."""
    finite = resampled[np.isfinite(resampled)]
    return float(np.std(finite, ddof=1)) if finite.size > 1 else math.nan


def bootstrap_correction(n_micrographs: int) -> float:
    """Return √(n / (n - 1)), the factor by which resamples of n micrographs scatter too little; 1 for a single one."""
    return math.sqrt(n_micrographs / (n_micrographs - 1)) if n_micrographs > 1 else 1.0


def t_interval(value: float, error: float, dof: float) -> Interval:
    """Return the 95 % interval of a value with a standard error of ``dof`` degrees of freedom, NaN if unknown."""
    if not (math.isfinite(value) and math.isfinite(error)):
        return NO_INTERVAL
    reach = float(student_t.ppf(QUANTILE, dof)) * error
    return value - reach, value + reach


def share_interval(value: float, error: float, dof: float) -> Interval:
    """Return the 95 % interval of a figure between 0 and 1, symmetric on the logit scale; NaN where it is not known.

    The standard error there is that of the figure over its slope, p (1 - p) (the delta method). A figure of 0 or 1 has
    none, and of one that no resample changes nothing is known.
    """
    if not (0 < value < 1 and error > LARGEST_ROUNDING):
        return NO_INTERVAL
    low, high = t_interval(float(logit(value)), error / (value * (1 - value)), dof)
    return float(expit(low)), float(expit(high))


def count_interval(n_right: int, n_all: int, dof: float) -> Interval:
    """Return the 95 % interval of a share of counts in which the micrographs do not differ; NaN of no counts.

    Clopper & Pearson (Biometrika 26 (1934) 404-413), on fewer trials: as many as have with the normal distribution the
    reach that all have with Student's t (Korn & Graubard, Survey Methodology 24 (1998) 193-201). So that three
    micrographs without an error do not promise as much as thirty with as many picks.
    """
    if not n_all:
        return NO_INTERVAL
    share = (student_t.ppf(QUANTILE, math.inf) / student_t.ppf(QUANTILE, dof)) ** 2
    right, wrong = n_right * share, (n_all - n_right) * share
    low = float(beta.ppf(1 - QUANTILE, right, wrong + 1)) if right else 0.0
    high = float(beta.ppf(QUANTILE, right + 1, wrong)) if wrong else 1.0
    return low, high


def _count_intervals(pooled: PickingScores, dof: float) -> tuple[Interval, Interval, Interval, Interval]:
    """Return intervals of precision, recall, F1 and average precision by counts; the last is no share of any.

    F1 is 2 J / (1 + J) of J, the matched pairs over all distinct points.
    """
    matched, distinct = pooled.n_matched, pooled.n_predicted + pooled.n_true - pooled.n_matched
    low, high = count_interval(matched, distinct, dof)
    return (
        count_interval(matched, pooled.n_predicted, dof),
        count_interval(matched, pooled.n_true, dof),
        (2 * low / (1 + low), 2 * high / (1 + high)),
        NO_INTERVAL,
    )
