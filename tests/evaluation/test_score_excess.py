"""What exceeds the noise, against counting by hand."""

from __future__ import annotations

import numpy as np
import pytest

from relion_attn_picker.evaluation.score_excess import (
    EDGES,
    MARGIN,
    MIDDLES,
    NOISE_SCORE,
    FloatVector,
    count_scores,
    excess_probability,
    logit,
    measure_noise,
)
from relion_attn_picker.options import SCORE_FLOOR

AREA = 3000.0
NOISE = tuple((0.04 * np.exp(-np.arange(len(MIDDLES)) / 14)).tolist())
FAINT = logit(np.array([NOISE_SCORE]))[0] > MIDDLES


def expected(area: float = AREA) -> FloatVector:
    return np.array(NOISE) * area


def bump(height: float, score: float) -> FloatVector:
    """Return the numbers of particles that score about this."""
    return height * np.exp(-0.5 * ((MIDDLES - logit(np.array([score]))[0]) / 0.3) ** 2)


def test_counts() -> None:
    count = count_scores(np.array([0.01, SCORE_FLOOR, 0.5, 0.5, 0.99], dtype=np.float32))
    assert count.sum() == 4
    assert count[np.searchsorted(EDGES, 0.0, side="right") - 1] == 2


def test_noise_is_a_density(rng: np.random.Generator) -> None:
    scores = [rng.uniform(0.05, 0.9, n).astype(np.float32) for n in (4000, 1000)]
    noise = measure_noise([(scores[0], 2000.0), (scores[1], 1000.0)])
    assert sum(noise) == pytest.approx((2.0 + 1.0) / 2, rel=0.01)


@pytest.mark.parametrize("score", [0.25, 0.4, 0.7])
@pytest.mark.parametrize("factor", [1.5, 3.0, 20.0])
def test_share_of_what_is_not_noise(score: float, factor: float) -> None:
    place = int(np.searchsorted(MIDDLES, logit(np.array([score]))[0]))
    count = expected() * np.where(np.arange(len(MIDDLES)) >= place, factor, 1.0)
    probability = excess_probability(NOISE, count, AREA)
    np.testing.assert_allclose(probability[place + 10 :], 1 - MARGIN / factor, atol=1e-3)
    assert probability[: place - 10].max() < 1e-3
    assert np.all(np.diff(probability) >= -1e-9)


def test_noise_alone_promises_nothing(rng: np.random.Generator) -> None:
    for _ in range(20):
        count = rng.poisson(expected()).astype(float)
        promised = (excess_probability(NOISE, count, AREA) * count).sum()
        assert promised < 0.01 * count.sum()


def test_noisier_images_have_more_of_all_noise() -> None:
    """What tells is the number of candidates that score too low for any particle."""
    assert (excess_probability(NOISE, 1.6 * expected(), AREA) < 0.01).all()
    quiet = excess_probability(NOISE, 1.6 * expected() * ~FAINT + expected() * FAINT, AREA)
    assert quiet.max() == pytest.approx(1 - MARGIN / 1.6, abs=0.02)


def test_crowded_particles_leave_less_room_for_noise() -> None:
    """That is no reason to expect less of it among what scores high: dirt is not noise."""
    count = 0.3 * expected() * FAINT + 3 * expected() * ~FAINT
    assert excess_probability(NOISE, count, AREA).max() == pytest.approx(1 - MARGIN / 3, abs=0.02)


def test_same_candidates_on_more_area_mean_less() -> None:
    count = expected() + bump(60, 0.4)
    sums = [(excess_probability(NOISE, count, area) * count).sum() for area in (AREA, 2 * AREA, 8 * AREA)]
    assert sums == sorted(sums, reverse=True)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("score", [0.06, 0.5, 0.99])
def test_one_candidate(score: float) -> None:
    probability = excess_probability(NOISE, count_scores(np.array([score], dtype=np.float32)), 50.0)
    assert np.isfinite(probability).all() and 0 <= probability.min() <= probability.max() <= 1
