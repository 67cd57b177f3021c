"""Bootstrap intervals: seeded, centred, covering, and equal to a resampling done by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from relion_attn_picker.evaluation.bootstrap import bootstrap_intervals
from relion_attn_picker.evaluation.metrics import MicrographMatches, pool_matches, score_matches


def make_micrographs(n, seed=0, n_candidates=60):
    rng = np.random.default_rng(seed)
    matches = []
    for quality in rng.uniform(0.4, 0.95, n):
        hits = rng.random(n_candidates) < quality
        score = np.clip(rng.normal(0.4 + 0.3 * hits, 0.15), 0, 1)
        matches.append(MicrographMatches(score, hits, np.where(hits, 1.0, np.nan), int(hits.sum()) + 5))
    return matches


def test_equals_a_resampling_done_by_hand():
    matches = make_micrographs(12)
    rng = np.random.default_rng(1)
    drawn = [score_matches(pool_matches([matches[i] for i in rng.integers(0, 12, 12)]), 0.5) for _ in range(2000)]
    intervals = bootstrap_intervals(matches, 0.5, np.random.default_rng(2), n_resamples=2000)
    for name in ("precision", "recall", "f1", "average_precision"):
        expected = np.percentile([getattr(scores, name) for scores in drawn], (2.5, 97.5))
        np.testing.assert_allclose(getattr(intervals, name), expected, atol=0.01)


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


def test_equal_micrographs_have_an_interval_of_no_width():
    intervals = bootstrap_intervals([make_micrographs(1)[0]] * 6, 0.5, np.random.default_rng(0))
    assert intervals.f1[0] == pytest.approx(intervals.f1[1])


def test_one_micrograph_has_no_interval():
    intervals = bootstrap_intervals(make_micrographs(1), 0.5, np.random.default_rng(0))
    assert all(math.isnan(bound) for bound in (*intervals.precision, *intervals.average_precision))


def test_no_candidates_anywhere():
    nothing = MicrographMatches(np.empty(0), np.empty(0, dtype=bool), np.empty(0), 3)
    intervals = bootstrap_intervals([nothing, nothing], 0.5, np.random.default_rng(0))
    assert intervals.recall == intervals.f1 == intervals.average_precision == (0.0, 0.0)
    assert math.isnan(intervals.precision[0])
