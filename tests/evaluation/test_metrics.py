"""Figures of picks against scikit-learn and hand examples."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import average_precision_score
from sklearn.metrics import precision_recall_curve as reference_curve

from relion_attn_picker.evaluation.metrics import (
    MicrographMatches,
    average_precision,
    match_micrograph,
    pool_matches,
    precision_recall_curve,
    score_matches,
)


def make_matches(score, is_true_positive, n_true):
    hits = np.array(is_true_positive, dtype=bool)
    return MicrographMatches(np.array(score, dtype=np.float64), hits, np.where(hits, 2.0, np.nan), n_true)


@pytest.fixture(params=[7, 10**9], ids=["many ties", "no ties"])
def labelled_scores(request):
    rng = np.random.default_rng(3)
    is_true_positive = rng.random(300) < 0.6
    score = np.floor((rng.random(300) + 0.5 * is_true_positive) * request.param) / request.param
    return score, is_true_positive


def test_average_precision_equals_scikit_learn_when_every_particle_is_found(labelled_scores):
    score, is_true_positive = labelled_scores
    expected = average_precision_score(is_true_positive, score)
    assert average_precision(score, is_true_positive, int(is_true_positive.sum())) == pytest.approx(expected)


def test_average_precision_counts_particles_never_found(labelled_scores):
    score, is_true_positive = labelled_scores
    found = int(is_true_positive.sum())
    expected = average_precision_score(is_true_positive, score) * found / (found + 50)
    assert average_precision(score, is_true_positive, found + 50) == pytest.approx(expected)


def test_curve_equals_scikit_learn(labelled_scores):
    score, is_true_positive = labelled_scores
    precision, recall, threshold = reference_curve(is_true_positive, score)
    curve = precision_recall_curve(score, is_true_positive, int(is_true_positive.sum()))
    np.testing.assert_allclose(curve.threshold, threshold[::-1])
    np.testing.assert_allclose(curve.precision, precision[-2::-1])
    np.testing.assert_allclose(curve.recall, recall[-2::-1])


def test_figures_of_a_hand_example():
    matches = make_matches([0.9, 0.8, 0.7, 0.6, 0.5], [True, False, True, True, False], n_true=5)
    scores = score_matches(matches, threshold=0.7)
    assert (scores.n_true, scores.n_predicted, scores.n_matched) == (5, 3, 2)
    assert scores.precision == pytest.approx(2 / 3)
    assert scores.recall == pytest.approx(2 / 5)
    assert scores.f1 == pytest.approx(2 * 2 / (3 + 5))
    assert scores.best_f1 == pytest.approx(2 * 3 / (4 + 5))
    assert scores.best_threshold == pytest.approx(0.6)
    assert scores.average_precision == pytest.approx((1 + 2 / 3 + 3 / 4) / 5)
    assert scores.median_distance == 2.0


def test_best_f1_equals_a_search_over_all_thresholds(labelled_scores):
    matches = make_matches(*labelled_scores, n_true=250)
    by_threshold = {t: score_matches(matches, t).f1 for t in np.unique(matches.score)}
    scores = score_matches(matches, threshold=0.5)
    assert scores.best_f1 == pytest.approx(max(by_threshold.values()))
    assert by_threshold[scores.best_threshold] == pytest.approx(scores.best_f1)


def test_f1_is_the_harmonic_mean_of_precision_and_recall(labelled_scores):
    scores = score_matches(make_matches(*labelled_scores, n_true=250), threshold=0.5)
    assert scores.f1 == pytest.approx(2 / (1 / scores.precision + 1 / scores.recall))


def test_score_equal_to_the_threshold_is_a_pick_in_float32():
    score = np.array([0.7, 0.3], dtype=np.float32)
    matches = match_micrograph(np.zeros((2, 2)), score, np.zeros((1, 2)), radius=1.0)
    assert score_matches(matches, threshold=0.7).n_predicted == 1


def test_integer_scores_are_ordered():
    matches = match_micrograph(np.zeros((2, 2)), np.array([1, 2], dtype=np.uint8), np.zeros((1, 2)), radius=1.0)
    assert score_matches(matches, threshold=2).precision == 1.0


def test_no_picks():
    scores = score_matches(make_matches([], [], n_true=4), threshold=0.5)
    assert math.isnan(scores.precision)
    assert scores.recall == scores.f1 == scores.average_precision == scores.best_f1 == 0.0
    assert math.isnan(scores.best_threshold)
    assert math.isnan(scores.median_distance)


def test_no_picks_above_the_threshold():
    scores = score_matches(make_matches([0.4], [True], n_true=1), threshold=0.5)
    assert math.isnan(scores.precision)
    assert scores.f1 == 0.0
    assert scores.best_f1 == scores.average_precision == 1.0


def test_no_ground_truth():
    scores = score_matches(make_matches([0.9], [False], n_true=0), threshold=0.5)
    assert scores.precision == scores.f1 == scores.best_f1 == 0.0
    assert math.isnan(scores.recall)
    assert math.isnan(scores.average_precision)


def test_neither_picks_nor_ground_truth():
    scores = score_matches(make_matches([], [], n_true=0), threshold=0.5)
    figures = (scores.precision, scores.recall, scores.f1, scores.average_precision, scores.best_f1)
    assert all(math.isnan(figure) for figure in figures)


def test_no_candidates_give_an_empty_curve():
    curve = precision_recall_curve(np.empty(0), np.empty(0, dtype=bool), n_true=3)
    assert curve.threshold.shape == curve.precision.shape == curve.recall.shape == (0,)


def test_pooling_equals_one_large_micrograph():
    rng = np.random.default_rng(1)
    parts, offset = [], np.array([0.0, 1000.0])
    for index in range(3):
        true, predicted = rng.uniform(0, 100, (20, 2)), rng.uniform(0, 100, (30, 2))
        parts.append((predicted + index * offset, rng.random(30), true + index * offset))
    separate = pool_matches([match_micrograph(*part, radius=8.0) for part in parts])
    together = match_micrograph(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)), radius=8.0)
    assert score_matches(separate, 0.4) == score_matches(together, 0.4)


def test_pooling_nothing():
    assert pool_matches([]).n_true == 0
    assert pool_matches([]).score.shape == (0,)


def test_candidates_on_what_is_ignored_are_left_out():
    true, ignored = np.array([[10.0, 10.0]]), np.array([[50.0, 50.0]])
    candidates, score = np.array([[51.0, 50.0], [10.0, 11.0], [80.0, 80.0]]), np.array([0.9, 0.8, 0.7])
    matches = match_micrograph(candidates, score, true, 5.0, ignored)
    assert matches.score.tolist() == [0.8, 0.7]
    assert matches.is_true_positive.tolist() == [True, False]
    assert score_matches(matches, 0.75).precision == 1.0
