"""Intervals over micrographs: seeded, centred, covering, and equal to a resampling done by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import expit, logit
from scipy.stats import binomtest

from relion_attn_picker.evaluation.bootstrap import bootstrap_intervals, count_interval, share_interval
from relion_attn_picker.evaluation.metrics import MicrographMatches, pool_matches, score_matches


def make_micrographs(n, seed=0, n_candidates=60):
    rng = np.random.default_rng(seed)
    matches = []
    for quality in rng.uniform(0.4, 0.95, n):
        hits = rng.random(n_candidates) < quality
        score = np.clip(rng.normal(0.4 + 0.3 * hits, 0.15), 0, 1)
        matches.append(MicrographMatches(score, hits, np.where(hits, 1.0, np.nan), int(hits.sum()) + 5))
    return matches


FIGURES = ("precision", "recall", "f1", "average_precision")


def draw_by_hand(matches, n_resamples, seed=1):
    n, rng = len(matches), np.random.default_rng(seed)
    return [score_matches(pool_matches([matches[i] for i in rng.integers(0, n, n)]), 0.5) for _ in range(n_resamples)]


def test_few_micrographs_equal_a_resampling_done_by_hand():
    """On the logit scale the interval reaches t times the corrected standard error to both sides of the figure."""
    matches = make_micrographs(12)
    pooled, drawn = score_matches(pool_matches(matches), 0.5), draw_by_hand(matches, 2000)
    intervals = bootstrap_intervals(matches, 0.5, np.random.default_rng(2), n_resamples=2000)
    for name in FIGURES:
        value = getattr(pooled, name)
        error = np.std([getattr(scores, name) for scores in drawn]) * np.sqrt(12 / 11)
        reach = 2.2010 * error / (value * (1 - value))  # the table's t for 11 degrees of freedom
        expected = logit(value) - reach, logit(value) + reach
        np.testing.assert_allclose(getattr(intervals, name), expit(expected), atol=0.01)


def test_many_micrographs_have_the_percentiles_of_a_resampling_done_by_hand():
    matches = make_micrographs(150)
    drawn = draw_by_hand(matches, 1000)
    intervals = bootstrap_intervals(matches, 0.5, np.random.default_rng(2), n_resamples=2000)
    for name in FIGURES:
        expected = np.percentile([getattr(scores, name) for scores in drawn], (2.5, 97.5))
        np.testing.assert_allclose(getattr(intervals, name), expected, atol=0.005)


@pytest.mark.parametrize("n", [3, 4, 8, 16])
def test_95_in_100_intervals_hold_the_truth(n):
    """The truth is what 3,000 micrographs of the kind give; percentiles held its F1 in 71 of 100 cases at n = 3."""
    truth = score_matches(pool_matches(make_micrographs(3000, seed=99)), 0.5)
    holding = dict.fromkeys(FIGURES, 0)
    n_sessions = 400
    for session in range(n_sessions):
        intervals = bootstrap_intervals(
            make_micrographs(n, seed=[n, session]), 0.5, np.random.default_rng(session), n_resamples=200
        )
        for name in FIGURES:
            low, high = getattr(intervals, name)
            holding[name] += low <= getattr(truth, name) <= high
    for name, count in holding.items():
        assert 0.90 <= count / n_sessions <= 0.99, name


def make_sure_micrographs(n, rng):
    """20 picks each, of which .97 are right, and .97 of the particles found."""
    hits = rng.random((n, 20)) < 0.97
    missed = rng.binomial(20, 0.03, n)
    return [
        MicrographMatches(np.full(20, 0.9), each, np.where(each, 1.0, np.nan), int(each.sum() + number))
        for each, number in zip(hits, missed, strict=True)
    ]


def test_intervals_hold_the_truth_where_hardly_a_pick_is_wrong():
    """Three such micrographs often show no error at all, which made an interval of no width."""
    holding, n_sessions = dict.fromkeys(("precision", "recall", "f1"), 0), 400
    for session in range(n_sessions):
        matches = make_sure_micrographs(3, np.random.default_rng([3, session]))
        intervals = bootstrap_intervals(matches, 0.5, np.random.default_rng(session), n_resamples=200)
        for name in holding:
            low, high = getattr(intervals, name)
            holding[name] += low <= 0.97 <= high
    for name, count in holding.items():
        assert count / n_sessions >= 0.92, name


@pytest.mark.parametrize(("n_right", "n_all"), [(60, 60), (57, 60), (0, 60)])
def test_interval_by_counts_of_many_micrographs_is_that_of_the_binomial_test(n_right, n_all):
    exact = binomtest(n_right, n_all).proportion_ci(0.95, "exact")
    assert count_interval(n_right, n_all, 1e6) == pytest.approx((exact.low, exact.high), abs=1e-4)
    low, high = count_interval(n_right, n_all, 2)
    assert low <= exact.low <= exact.high <= high
    assert high - low > exact.high - exact.low


@pytest.mark.parametrize(("value", "error"), [(1.0, 0.1), (0.0, 0.1), (0.5, 0.0), (0.5, 1e-17), (0.5, math.nan)])
def test_share_without_a_scatter_has_no_interval(value, error):
    assert np.isnan(share_interval(value, error, 5)).all()


def test_interval_of_a_share_stays_between_0_and_1():
    matches = [MicrographMatches(np.ones(9), np.arange(9) < right, np.ones(9), 9) for right in (9, 9, 7)]
    low, high = bootstrap_intervals(matches, 0.5, np.random.default_rng(0)).precision
    assert 0 < low < 25 / 27 < high < 1


def test_same_seed_gives_the_same_interval():
    matches = make_micrographs(5)
    first, second = (bootstrap_intervals(matches, 0.5, np.random.default_rng(7), 250) for _ in range(2))
    assert first == second


def test_interval_brackets_the_pooled_figure_despite_quantised_scores():
    matches = make_micrographs(20, n_candidates=400)
    intervals = bootstrap_intervals(matches, 0.5, np.random.default_rng(0))
    pooled = score_matches(pool_matches(matches), 0.5)
    for name in ("precision", "recall", "f1", "average_precision"):
        low, high = getattr(intervals, name)
        assert low < getattr(pooled, name) < high


def test_equal_micrographs_have_the_interval_of_their_counts():
    """What no resample changes is not sure; F1 lies between precision and recall, average precision is no count."""
    matches = [make_micrographs(1)[0]] * 6
    intervals, pooled = (
        bootstrap_intervals(matches, 0.5, np.random.default_rng(0)),
        score_matches(pool_matches(matches), 0.5),
    )
    assert intervals.precision == count_interval(pooled.n_matched, pooled.n_predicted, 5)
    assert intervals.recall == count_interval(pooled.n_matched, pooled.n_true, 5)
    assert intervals.f1[0] < pooled.f1 < intervals.f1[1]
    assert math.isnan(intervals.average_precision[0])


def test_one_micrograph_has_no_interval():
    intervals = bootstrap_intervals(make_micrographs(1), 0.5, np.random.default_rng(0))
    assert all(math.isnan(bound) for bound in (*intervals.precision, *intervals.average_precision))


def test_no_candidates_anywhere():
    nothing = MicrographMatches(np.empty(0), np.empty(0, dtype=bool), np.empty(0), 3)
    intervals = bootstrap_intervals([nothing, nothing], 0.5, np.random.default_rng(0))
    assert intervals.recall[0] == intervals.f1[0] == 0.0
    assert 0.459 < intervals.recall[1] < intervals.f1[1] < 1  # of 6 particles on any number of micrographs: 0.459
    assert math.isnan(intervals.precision[0])
    assert math.isnan(intervals.average_precision[0])
