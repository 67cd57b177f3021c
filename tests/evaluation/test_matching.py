"""One-to-one matching against a brute-force loop and hand examples."""

from __future__ import annotations

import time

import numpy as np
import pytest

from relion_attn_picker.evaluation.matching import lie_beside, lie_on_ignored, match_picks


def match_by_brute_force(predicted_yx, score, true_yx, radius):
    """O(n m) loop over picks by descending score: {pick: particle}."""
    free, pairs = set(range(len(true_yx))), {}
    for i in sorted(range(len(score)), key=lambda i: (-score[i], i)):
        distances = {j: float(np.hypot(*(predicted_yx[i] - true_yx[j]))) for j in free}
        if distances and min(distances.values()) <= radius:
            nearest = min(distances, key=lambda j: (distances[j], j))
            pairs[i] = nearest
            free.remove(nearest)
    return pairs


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("distinct_scores", [5, 10**6])
def test_agrees_with_brute_force(seed, distinct_scores):
    rng = np.random.default_rng(seed)
    true = rng.uniform(0, 100, (80, 2))
    predicted = np.concatenate([true[:60] + rng.normal(0, 4, (60, 2)), rng.uniform(0, 100, (40, 2))])
    score = rng.integers(0, distinct_scores, 100) / distinct_scores
    match = match_picks(predicted, score, true, radius=9.0)
    assert dict(zip(match.predicted, match.true, strict=True)) == match_by_brute_force(predicted, score, true, 9.0)
    np.testing.assert_allclose(match.distance, np.hypot(*(predicted[match.predicted] - true[match.true]).T))
    assert (np.diff(score[match.predicted]) <= 0).all()


def test_duplicate_on_one_particle_is_matched_once_by_the_higher_score():
    match = match_picks(np.array([[0.0, 0.0], [0.0, 3.0]]), np.array([0.4, 0.9]), np.array([[0.0, 0.0]]), radius=5.0)
    assert match.predicted.tolist() == [1]
    assert match.distance.tolist() == [3.0]


def test_second_nearest_particle_is_taken_when_the_nearest_is_gone():
    match = match_picks(
        np.array([[0.0, 0.0], [0.0, 1.0]]), np.array([0.9, 0.8]), np.array([[0.0, 0.5], [0.0, 4.0]]), 5.0
    )
    assert match.predicted.tolist() == [0, 1]
    assert match.true.tolist() == [0, 1]


def test_equal_scores_choose_in_input_order():
    match = match_picks(np.array([[0.0, 2.0], [0.0, 0.0]]), np.array([0.5, 0.5]), np.array([[0.0, 0.0]]), radius=5.0)
    assert match.predicted.tolist() == [0]


def test_distance_equal_to_the_radius_matches_and_beyond_does_not():
    origin, one = np.zeros((1, 2)), np.ones(1)
    assert len(match_picks(origin, one, np.array([[3.0, 4.0]]), radius=5.0).true) == 1
    assert len(match_picks(origin, one, np.array([[3.0, 4.0]]), radius=4.999999).true) == 0


@pytest.mark.parametrize(("n_predicted", "n_true"), [(0, 0), (3, 0), (0, 3)])
def test_empty_inputs_give_no_pairs(n_predicted, n_true):
    match = match_picks(np.zeros((n_predicted, 2)), np.zeros(n_predicted), np.zeros((n_true, 2)), radius=5.0)
    assert match.predicted.shape == match.true.shape == match.distance.shape == (0,)


def test_nothing_within_the_radius_gives_no_pairs():
    match = match_picks(np.zeros((2, 2)), np.ones(2), np.full((2, 2), 50.0), radius=5.0)
    assert match.predicted.shape == (0,)


@pytest.mark.parametrize("seed", range(5))
def test_cutting_at_a_threshold_afterwards_equals_matching_the_cut_list(seed):
    rng = np.random.default_rng(seed)
    true, predicted = rng.uniform(0, 60, (40, 2)), rng.uniform(0, 60, (90, 2))
    score = rng.integers(0, 30, 90) / 30
    all_pairs = match_picks(predicted, score, true, radius=8.0)
    for threshold in np.unique(score):
        kept = np.flatnonzero(score >= threshold)
        cut = match_picks(predicted[kept], score[kept], true, radius=8.0)
        above = score[all_pairs.predicted] >= threshold
        assert kept[cut.predicted].tolist() == all_pairs.predicted[above].tolist()
        assert cut.true.tolist() == all_pairs.true[above].tolist()


def test_ten_thousand_picks_are_no_problem():
    rng = np.random.default_rng(0)
    true = rng.uniform(0, 8000, (10_000, 2))
    start = time.perf_counter()
    match = match_picks(true + 1.0, rng.random(10_000), true, radius=40.0)
    assert time.perf_counter() - start < 2.0
    assert len(match.true) > 9000


@pytest.mark.parametrize(
    ("predicted", "score", "radius", "message"),
    [
        (np.zeros((2, 3)), np.zeros(2), 1.0, r"predicted_yx has shape \(2, 3\): expected \(n, 2\)"),
        (np.zeros((2, 2)), np.zeros(3), 1.0, r"score has shape \(3,\): expected \(2,\)"),
        (np.zeros((2, 2)), np.array([0.0, np.nan]), 1.0, "score holds NaN"),
        (np.full((2, 2), np.inf), np.zeros(2), 1.0, "predicted_yx holds a coordinate that is not finite"),
        (np.zeros((2, 2)), np.zeros(2), 0.0, "radius is 0.0: expected a positive finite length"),
    ],
)
def test_bad_input_is_refused_with_a_reason(predicted, score, radius, message):
    with pytest.raises(ValueError, match=message):
        match_picks(predicted, score, np.zeros((1, 2)), radius)


def test_particles_choose_before_what_is_ignored():
    true, ignored = np.array([[10.0, 10.0]]), np.array([[14.0, 10.0], [90.0, 90.0]])
    picks = np.array([[12.0, 10.0], [13.0, 10.0], [89.0, 90.0], [91.0, 90.0], [50.0, 50.0]])
    score = np.array([0.9, 0.8, 0.7, 0.6, 0.5])
    assert lie_on_ignored(picks, score, true, ignored, 5.0).tolist() == [False, True, True, True, False]
    assert not lie_on_ignored(picks, score, true, np.empty((0, 2)), 5.0).any()


def test_lie_beside_agrees_with_brute_force():
    rng = np.random.default_rng(3)
    points, others = rng.uniform(0, 100, (200, 2)), rng.uniform(0, 100, (40, 2))
    distances = np.hypot(*(points[:, None] - others[None]).transpose(2, 0, 1))
    expected = distances.min(axis=1) <= 6.0
    assert 20 < expected.sum() < 180
    assert np.array_equal(lie_beside(points, others, 6.0), expected)
    assert lie_beside(np.empty((0, 2)), others, 6.0).shape == (0,)
