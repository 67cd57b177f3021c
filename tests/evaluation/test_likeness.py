"""Candidates that do not look like the surest ones lose score."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit, logit

from relion_attn_picker.evaluation.likeness import LEAST_SURE, Likeness, Sighting, fit_likeness
from relion_attn_picker.evaluation.metrics import average_precision
from relion_attn_picker.picks import FloatArray

MIDDLE = np.array([-2.0, -0.8, 0.3])
SCATTER = np.array([0.3, 0.2, 0.1])


def draw(rng: np.random.Generator, middle: FloatArray | np.ndarray, score: FloatArray | np.ndarray) -> Sighting:
    """Return candidates with these scores that look like ``middle``."""
    appearance = middle + SCATTER * rng.normal(size=(len(score), 3))
    return Sighting(np.asarray(score, dtype=np.float32), appearance.astype(np.float32))


def join(*parts: Sighting) -> Sighting:
    return Sighting(np.concatenate([each.score for each in parts]), np.concatenate([each.appearance for each in parts]))


def at_least_half(score: FloatArray) -> np.ndarray:
    return score >= 0.5


@pytest.fixture
def micrographs(rng: np.random.Generator) -> list[Sighting]:
    """Particles, and fainter noise that scores nearly as high."""
    return [
        join(draw(rng, MIDDLE, rng.uniform(0.4, 0.9, 80)), draw(rng, MIDDLE / 4, rng.uniform(0.2, 0.6, 120)))
        for _ in range(6)
    ]


@pytest.fixture
def likeness(micrographs: list[Sighting]) -> Likeness:
    found = fit_likeness(micrographs, at_least_half)
    assert found is not None
    return found


def test_learns_the_middle_and_the_scatter_of_the_surest(likeness: Likeness) -> None:
    """A few of the surest are noise: medians hardly mind."""
    np.testing.assert_allclose(likeness.middle, MIDDLE, atol=0.1)
    np.testing.assert_allclose(likeness.spread, SCATTER, rtol=0.4)
    assert likeness.usual == pytest.approx(1.54, abs=0.15)  # median of the chi distribution with 3 degrees of freedom


def test_tells_particles_from_what_scores_as_high(micrographs: list[Sighting], likeness: Likeness) -> None:
    is_right = np.tile(np.arange(200) < 80, 6)
    before = np.concatenate([each.score for each in micrographs])
    after = np.concatenate([likeness.correct(each) for each in micrographs])
    precisions = [average_precision(score, is_right, 480) for score in (before, after)]
    assert precisions[1] > 0.97 > 0.93 > precisions[0]


def test_typical_candidate_keeps_its_place(micrographs: list[Sighting], likeness: Likeness) -> None:
    """The median of the surest scores stays where it was, so that thresholds mean what they meant."""
    sure = np.concatenate([each.score >= likeness.sure_score for each in micrographs])
    before = np.concatenate([each.score for each in micrographs])[sure]
    after = np.concatenate([likeness.correct(each) for each in micrographs])[sure]
    assert np.median(after) == pytest.approx(np.median(before), abs=0.03)


def test_micrograph_of_lower_contrast_is_judged_by_its_own(rng: np.random.Generator, likeness: Likeness) -> None:
    """Many sure candidates tell what particles look like there; one alone does not."""
    paler = MIDDLE + np.array([0.9, 0.3, 0.1])
    many, one = draw(rng, paler, np.full(150, 0.8)), draw(rng, paler, np.full(1, 0.8))
    assert np.median(likeness.correct(many)) > 0.78
    assert likeness.correct(one)[0] < 0.78


def test_refused_candidates_are_no_example(rng: np.random.Generator, likeness: Likeness) -> None:
    particles, junk = draw(rng, MIDDLE, np.full(20, 0.8)), draw(rng, 3 * MIDDLE, np.full(60, 0.9))
    is_junk = np.arange(80) >= 20
    both = join(particles, junk)
    expected = likeness.correct(particles)
    np.testing.assert_allclose(likeness.correct(both, is_junk)[:20], expected, atol=1e-6)
    assert np.median(likeness.correct(both)[:20]) < np.median(expected) - 0.1


def test_loss_is_bounded(micrographs: list[Sighting], likeness: Likeness) -> None:
    """What is as like as usual loses nothing, and nothing loses more than a logit."""
    exact = Sighting(np.full(1, 0.3, dtype=np.float32), np.array([likeness.middle], dtype=np.float32))
    assert likeness.correct(exact)[0] == pytest.approx(0.3)
    for each in micrographs:
        loss = logit(each.score) - logit(likeness.correct(each))
        assert loss.min() >= -1e-5
        assert 0.99 < loss.max() < 1.01
    unlike = Sighting(np.full(1, 0.3, dtype=np.float32), np.full((1, 3), 3, dtype=np.float32))
    assert likeness.correct(unlike)[0] == pytest.approx(expit(logit(0.3) - 1))


def test_dead_pixel_is_as_far_as_any(likeness: Likeness) -> None:
    far = np.array([[-50.0, MIDDLE[1], MIDDLE[2]], [-5000.0, MIDDLE[1], MIDDLE[2]]], dtype=np.float32)
    scores = likeness.correct(Sighting(np.full(2, 0.5, dtype=np.float32), far))
    assert scores[0] == scores[1] < 0.3
    assert np.isfinite(scores).all()


@pytest.mark.parametrize("n_likely", [0, 5, int(LEAST_SURE / 0.7) - 3])
def test_too_few_tell_nothing(rng: np.random.Generator, n_likely: int) -> None:
    few = join(draw(rng, MIDDLE, rng.uniform(0.5, 0.9, n_likely)), draw(rng, MIDDLE, np.full(300, 0.2)))
    assert fit_likeness([few], at_least_half) is None
    assert fit_likeness([], at_least_half) is None


def test_sample_without_any_scatter(rng: np.random.Generator) -> None:
    """Copies of one particle, on a micrograph without noise."""
    copies = Sighting(np.full(100, 0.8, dtype=np.float32), np.tile(MIDDLE.astype(np.float32), (100, 1)))
    likeness = fit_likeness([copies], at_least_half)
    assert likeness is not None
    np.testing.assert_allclose(likeness.correct(copies), 0.8, atol=1e-3)


def test_saved_and_read_again(likeness: Likeness) -> None:
    assert Likeness.from_dict(likeness.to_dict()) == likeness


@pytest.mark.parametrize(
    "change", [{"middle": [0, 0]}, {"precision": [[1, 0], [0, 1]]}, {"spread": [0.1, 0, 0.1]}, {"usual": None}]
)
def test_damaged_record(likeness: Likeness, change: dict[str, object]) -> None:
    with pytest.raises((ValueError, TypeError)):
        Likeness.from_dict(likeness.to_dict() | change)
    with pytest.raises(KeyError):
        Likeness.from_dict({})
    with pytest.raises(ValueError, match="spread is"):
        replace(likeness, spread=(0.1, -0.1, 0.1))
