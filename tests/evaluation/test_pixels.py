"""Pixel figures against scikit-learn; discs against their definition."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix, roc_auc_score

from relion_attn_picker.evaluation.matching import match_picks
from relion_attn_picker.evaluation.pixels import PixelCounts, covered_fraction, draw_discs, expect_random_matches


@pytest.fixture
def maps():
    """Three probability maps of different shape with truth, probabilities crowded near 0 as networks give them."""
    rng = np.random.default_rng(5)
    made = []
    for shape in ((60, 80), (33, 47), (90, 20)):
        truth = draw_discs(shape, rng.uniform(0, 60, (12, 2)), 6.0)
        probability = 1 / (1 + np.exp(-(rng.normal(-7, 2, shape) + 3 * truth)))
        made.append((probability.astype(np.float32), truth))
    return made


def count_pixels(maps, threshold=0.01):
    counts = PixelCounts(threshold)
    for probability, truth in maps:
        counts.add(probability, truth)
    return counts.scores()


def flatten(maps):
    return (np.concatenate([each[i].ravel() for each in maps]) for i in (0, 1))


def test_confusion_figures_equal_scikit_learn(maps):
    probability, truth = flatten(maps)
    _, false_alarm, miss, hit = confusion_matrix(truth, probability >= 0.01).ravel()
    scores = count_pixels(maps)
    assert scores.precision == hit / (hit + false_alarm)
    assert scores.recall == hit / (hit + miss)
    assert scores.iou == hit / (hit + false_alarm + miss)


def test_roc_auc_equals_scikit_learn(maps):
    probability, truth = flatten(maps)
    assert count_pixels(maps).roc_auc == pytest.approx(roc_auc_score(truth, probability), abs=1e-3)


def test_roc_auc_of_few_distinct_probabilities_counts_ties_as_half():
    rng = np.random.default_rng(0)
    truth = rng.random((50, 50)) < 0.3
    probability = rng.integers(0, 4, (50, 50)) / 3
    assert count_pixels([(probability, truth)]).roc_auc == pytest.approx(
        roc_auc_score(truth.ravel(), probability.ravel())
    )


def test_iou_follows_from_f1(maps):
    scores = count_pixels(maps)
    assert scores.iou == pytest.approx(scores.f1 / (2 - scores.f1))


def test_perfect_map():
    truth = draw_discs((40, 40), np.array([[20.0, 20.0]]), 8.0)
    scores = count_pixels([(truth.astype(np.float32), truth)])
    assert scores.precision == scores.recall == scores.f1 == scores.iou == scores.roc_auc == 1.0


def test_no_particles_leave_recall_and_roc_auc_undefined():
    scores = count_pixels([(np.full((5, 5), 0.2), np.zeros((5, 5), dtype=bool))])
    assert scores.precision == 0.0
    assert math.isnan(scores.recall)
    assert math.isnan(scores.roc_auc)


def test_no_maps_at_all():
    scores = PixelCounts(0.5).scores()
    assert math.isnan(scores.f1)
    assert math.isnan(scores.iou)


@pytest.mark.parametrize("value", [-0.1, 1.1, np.nan])
def test_values_that_are_no_probabilities_are_refused(value):
    with pytest.raises(ValueError, match=r"values outside \[0, 1\] or NaN"):
        PixelCounts(0.5).add(np.array([[0.5, value]]), np.zeros((1, 2), dtype=bool))


def test_shapes_that_differ_are_refused():
    with pytest.raises(ValueError, match=r"map has shape \(2, 3\), the truth \(3, 2\)"):
        PixelCounts(0.5).add(np.zeros((2, 3)), np.zeros((3, 2), dtype=bool))


def test_discs_follow_their_definition():
    yx = np.array([[5.3, 8.1], [-2.0, 3.0], [29.0, 41.5], [200.0, 200.0], [12.0, -500.0]])
    rows, columns = np.mgrid[:30, :40]
    expected = (np.hypot(rows[..., None] - yx[:, 0], columns[..., None] - yx[:, 1]) <= 5.0).any(axis=-1)
    np.testing.assert_array_equal(draw_discs((30, 40), yx, 5.0), expected)


def test_no_discs():
    assert not draw_discs((10, 12), np.empty((0, 2)), 3.0).any()


def test_covered_fraction_of_one_disc():
    fraction = covered_fraction((2000, 1000), np.array([[1000.0, 500.0]]), radius=200.0)
    assert fraction == pytest.approx(math.pi * 200**2 / (2000 * 1000), rel=0.02)


def test_covered_fraction_equals_the_hits_of_random_points():
    rng = np.random.default_rng(0)
    true = rng.uniform(0, 1000, (60, 2))
    thrown = rng.uniform(0, 1000, (20_000, 2))
    hit = (np.hypot(*(thrown[:, None] - true).T) <= 50.0).any(axis=0).mean()
    assert covered_fraction((1000, 1000), true, 50.0) == pytest.approx(hit, abs=0.015)


@pytest.mark.parametrize("n_picks", [1, 40, 150, 600])
def test_random_matches_are_those_of_the_matcher(n_picks):
    """On particles as crowded as on real micrographs: discs of 30 px cover half of it, some reach beyond the edge."""
    rng = np.random.default_rng(n_picks)
    lattice = np.stack(np.meshgrid(np.arange(13), np.arange(13)), axis=-1).reshape(-1, 2) * 70.0 + 50
    true = lattice + rng.uniform(-12, 12, lattice.shape)
    n_throws = 4000 // n_picks + 40
    matched = [
        len(match_picks(rng.uniform(-0.5, 949.5, (n_picks, 2)), np.ones(n_picks), true, 30.0).true)
        for _ in range(n_throws)
    ]
    expected = expect_random_matches(n_picks, len(true), covered_fraction((950, 950), true, 30.0))
    assert expected / n_picks == pytest.approx(np.mean(matched) / n_picks, abs=0.02)


def test_random_matches_without_particles():
    assert expect_random_matches(5, 0, 0.0) == 0
