"""The threshold follows the gap in a data set's scores, and only a real one."""

from __future__ import annotations

import numpy as np
import pytest

from relion_attn_picker.inference.thresholds import choose_threshold


def scores(rng: np.random.Generator, *heaps: tuple[int, float, float]) -> np.ndarray:
    """Scores whose logits are heaps of (number, mean, standard deviation)."""
    logits = np.concatenate([rng.normal(mean, spread, number) for number, mean, spread in heaps])
    return (1 / (1 + np.exp(-logits))).astype(np.float32)


def logit(score: float) -> float:
    return float(np.log(score / (1 - score)))


@pytest.mark.parametrize("drift", [-1.0, -0.5, 0.0, 0.6])
def test_threshold_follows_the_particles(drift: float, rng: np.random.Generator) -> None:
    """With two normal heaps of equal width and size the densities cross half-way between their means."""
    found = choose_threshold(scores(rng, (3000, drift - 1.5, 0.5), (3000, drift + 1.0, 0.5)), 0.4)
    assert logit(found.value) == pytest.approx((drift - 0.25 + logit(0.4)) / 2, abs=0.13)
    assert "gap in the scores" in found.reason


def test_noise_alone_keeps_the_default(rng: np.random.Generator) -> None:
    found = choose_threshold(scores(rng, (20_000, -3.0, 0.8)), 0.4)
    assert found.value == 0.4
    assert "no gap" in found.reason


def test_a_handful_of_high_scores_is_no_heap(rng: np.random.Generator) -> None:
    assert choose_threshold(scores(rng, (3000, -3.0, 0.4), (60, 1.0, 0.3)), 0.4).value == 0.4


def test_a_second_heap_of_noise_is_not_taken_for_particles(rng: np.random.Generator) -> None:
    assert choose_threshold(scores(rng, (3000, -3.0, 0.3), (3000, -1.2, 0.2)), 0.4).value == 0.4


def test_shallow_dip_is_no_gap(rng: np.random.Generator) -> None:
    """Of two heaps that run into one another the density hardly falls between them: a cut there would be chance."""
    heaps = (60_000, -0.85, 0.8), (60_000, 1.12, 0.8)
    assert choose_threshold(scores(rng, *heaps), 0.4).value == 0.4


def test_gap_below_two_heaps_under_the_default(rng: np.random.Generator) -> None:
    """Both are of noise where the default is right: particles score above it."""
    assert choose_threshold(scores(rng, (3000, -2.0, 0.2), (3000, -0.9, 0.2)), 0.4).value == 0.4


def test_gap_far_from_the_default_is_not_believed(rng: np.random.Generator) -> None:
    assert choose_threshold(scores(rng, (3000, 0.5, 0.4), (3000, 3.5, 0.4)), 0.3).value == 0.3


def test_no_candidates_keep_the_default() -> None:
    assert choose_threshold(np.zeros(0, dtype=np.float32), 0.35).value == 0.35
