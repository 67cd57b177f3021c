"""Scores become probabilities: on the labelled sets, and on sets whose scores have drifted."""

from __future__ import annotations

import json

import numpy as np
import pytest
from numpy.typing import NDArray

from relion_attn_picker.errors import InputError
from relion_attn_picker.evaluation.calibration import adapt, average_by_rank
from relion_attn_picker.evaluation.reliability import measure_reliability
from relion_attn_picker.evaluation.score_curve import ScoreCurve
from relion_attn_picker.evaluation.score_model import MIN_OF_A_KIND, Sample, ScoreModel, fit_score_model
from relion_attn_picker.inference.operating_point import expect
from relion_attn_picker.inference.weights import find_score_models, find_weights
from relion_attn_picker.options import SCORE_FLOOR

WRONG_PER_AREA = 0.45
"""Wrong candidates in the area of a particle, about as many as networks give."""


def draw(rng: np.random.Generator, centre: float, n_right: int = 600, n_wrong: int = 900) -> Sample:
    """Return right scores round ``centre`` logits and exponentially rarer wrong ones, as networks give them."""
    right = centre - rng.gumbel(0, 0.3, n_right)
    wrong = np.log(SCORE_FLOOR / (1 - SCORE_FLOOR)) + rng.exponential(0.9, n_wrong)
    x = np.concatenate([right, wrong])
    is_right = np.arange(len(x)) < n_right
    return Sample((1 / (1 + np.exp(-x))).astype(np.float32), is_right, n_wrong / WRONG_PER_AREA)


@pytest.fixture
def model(rng: np.random.Generator) -> ScoreModel:
    return fit_score_model([draw(rng, centre) for centre in (-0.2, 0.2, 0.5, 0.8, 1.2)])


def error(probability: NDArray[np.float32], sample: Sample) -> float:
    kept = sample.score >= SCORE_FLOOR
    return measure_reliability(probability[kept], sample.is_right[kept]).expected_error


def adapted(model: ScoreModel, sample: Sample) -> NDArray[np.float32]:
    """Return the probabilities of a sample's candidates as a job sees them, without their truth."""
    return adapt(model, sample.score, sample.area).probability(sample.score)


@pytest.mark.parametrize("centre", [-0.4, 0.5, 1.4])
@pytest.mark.parametrize("n_right", [60, 600, 3000])
def test_adapted_probabilities_come_true_on_drifted_sets(
    model: ScoreModel, rng: np.random.Generator, centre: float, n_right: int
) -> None:
    sample = draw(rng, centre, n_right)
    assert error(adapted(model, sample), sample) < 0.05


def test_one_curve_for_all_sets_does_not(model: ScoreModel, rng: np.random.Generator) -> None:
    low, high = draw(rng, -0.4), draw(rng, 1.4)
    fixed = [error(model.curve().probability(sample.score), sample) for sample in (low, high)]
    own = [error(adapted(model, sample), sample) for sample in (low, high)]
    assert max(fixed) > 2 * max(own)


def test_probabilities_rise_with_the_score(model: ScoreModel, rng: np.random.Generator) -> None:
    score = np.linspace(0.01, 0.999, 500, dtype=np.float32)
    sample = draw(rng, 0.3)
    for curve in (model.curve(), adapt(model, sample.score, sample.area)):
        probability = curve.probability(score)
        assert np.all(np.diff(probability) > 0)
        assert 0 <= probability.min() <= probability.max() < 1


def test_noise_alone_promises_little(model: ScoreModel, rng: np.random.Generator) -> None:
    sample = draw(rng, 0.5, n_right=0, n_wrong=2000)
    assert adapted(model, sample).sum() < 0.02 * len(sample.score)


def draw_hump(rng: np.random.Generator, centre: float, n_right: int, n_wrong: int = 3000) -> Sample:
    """Return a sample whose wrong scores have a hump, as where noise is as strong as faint particles are."""
    drawn, height = draw(rng, centre, n_right, 0), 1.35 * rng.weibull(2.2, n_wrong)
    wrong = 1 / (1 + np.exp(-(np.log(SCORE_FLOOR / (1 - SCORE_FLOOR)) + height)))
    score = np.concatenate([drawn.score, wrong.astype(np.float32)])
    return Sample(score, np.arange(len(score)) < n_right, n_wrong / WRONG_PER_AREA)


def test_a_hump_of_noise_is_no_heap_of_faint_particles(rng: np.random.Generator) -> None:
    """On a nearly empty sample hardly any is promised; where faint particles lie behind the hump, they are."""
    steady = [draw(rng, centre) for centre in (-0.5, 0.2, 0.8, 1.2)]
    humps = [draw_hump(rng, centre, 600) for centre in (-0.8, -0.3, 0.5, 1.0)]
    model, nearly_empty, faint = fit_score_model([*steady, *humps]), draw_hump(rng, 0.6, 25), draw_hump(rng, -0.5, 1500)
    assert adapted(model, nearly_empty).sum() < 0.16 * len(nearly_empty.score)
    assert adapted(model, faint)[faint.is_right].mean() > 0.6
    assert error(adapted(model, faint), faint) < 0.06


def test_dirt_on_a_large_area_is_no_faint_particles(model: ScoreModel, rng: np.random.Generator) -> None:
    """The same candidates mean particles where they lie close, and little where their number is that of noise."""
    sample = draw(rng, -1.3, n_right=900)
    close, far = (adapt(model, sample.score, area).probability(sample.score).sum() for area in (2000, 12_000))
    assert far < 0.25 * close


@pytest.mark.parametrize("n", [1, 5, 40])
def test_few_candidates_are_enough_for_a_curve(model: ScoreModel, rng: np.random.Generator, n: int) -> None:
    sample = draw(rng, 0.5, n_right=n, n_wrong=2 * n)
    assert adapted(model, sample)[:n].mean() > adapted(model, sample)[n:].mean()


@pytest.mark.parametrize("probability", [0.1, 0.5, 0.9])
def test_score_of_a_probability(model: ScoreModel, probability: float) -> None:
    score = np.array([model.score_at(probability)], dtype=np.float32)
    assert model.probability(score)[0] == pytest.approx(probability, abs=1e-5)


def test_nothing_to_adapt_to(model: ScoreModel) -> None:
    assert adapt(model, np.zeros(0, dtype=np.float32), 100.0) == model.curve()


def test_round_trip_through_json(model: ScoreModel) -> None:
    again = ScoreModel.from_dict(json.loads(json.dumps(model.to_dict())))
    score = np.linspace(0.05, 0.95, 50, dtype=np.float32)
    np.testing.assert_allclose(again.probability(score), model.probability(score))
    np.testing.assert_allclose(
        adapt(again, score, 100).probability(score), adapt(model, score, 100).probability(score), atol=1e-3
    )


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("gap", [(0.2, 0.8), (0.06, 0.07), (0.9, 0.97)])
def test_scores_that_tell_all_right_from_all_wrong(gap: tuple[float, float], rng: np.random.Generator) -> None:
    """The likeliest curve is then a step: it is as steep as a curve can be that still orders the scores."""
    right, wrong = rng.uniform(gap[1], 0.99, 60), rng.uniform(SCORE_FLOOR, gap[0], 200)
    score, is_right = np.concatenate([right, wrong]).astype(np.float32), np.arange(260) < 60
    model = fit_score_model([Sample(score, is_right, 500.0)])
    curve = model.curve()
    assert adapt(model, np.empty(0, np.float32), 500.0) == curve
    saved = ScoreCurve.from_dict(json.loads(json.dumps(curve.to_dict())))
    np.testing.assert_allclose(saved.value, curve.value, atol=1e-4)
    if gap == (0.2, 0.8):
        assert curve.probability(score[is_right]).min() > 0.99
        assert curve.probability(score[~is_right]).max() < 0.01


@pytest.mark.filterwarnings("error")
def test_scores_of_two_values_alone() -> None:
    model = fit_score_model([Sample(np.repeat(np.float32([1.0, 0.05]), 30), np.arange(60) < 30, 100.0)])
    assert ScoreCurve.from_dict(model.curve().to_dict())


@pytest.mark.parametrize("variant", ["attention", "standard", "hybrid"])
def test_curves_of_released_weights_can_be_saved(variant: str) -> None:
    """A job saves one before it has looked at anything, and in the end if it finds nothing."""
    models = find_score_models(find_weights(variant, None))
    assert models is not None and models.corrected is not None
    for model in (models.own, models.corrected):
        curve = ScoreCurve.from_dict(json.loads(json.dumps(model.curve().to_dict())))
        np.testing.assert_allclose(curve.value, model.curve().value, atol=3e-6)


def test_too_few_labels(rng: np.random.Generator) -> None:
    with pytest.raises(InputError, match=rf"give 7 right or wrong .* expected {MIN_OF_A_KIND} or more of each"):
        fit_score_model([draw(rng, 0.5, n_right=7)])


def test_misshapen_model_is_refused(model: ScoreModel) -> None:
    with pytest.raises(ValueError, match="arrays have"):
        ScoreModel.from_dict(model.to_dict() | {"mean": [0.0]})


@pytest.mark.parametrize("median", [5.0, 7.0, 9.0])
def test_networks_that_are_sure_of_nearly_all_are_calibrated_too(median: float) -> None:
    """Long trainings on one protein score its particles .99 to .9999."""
    rng = np.random.default_rng(0)

    def draw_sure(shift: float) -> Sample:
        x = np.concatenate([rng.normal(median + shift, 0.8, 800), -2.94 + rng.exponential(1.5, 1500)])
        return Sample((1 / (1 + np.exp(-x))).round(4).astype(np.float32), np.arange(2300) < 800, 3000.0)

    sure = fit_score_model([draw_sure(shift) for shift in (-0.3, 0.0, 0.3)])
    sample = draw_sure(0.0)
    merit = adapt(sure, sample.score, sample.area).probability(sample.score)
    expected = expect(merit)
    best = int(np.argmax(expected.f_measure(1.0)))
    picked = merit >= expected.probability[best]
    assert expected.precision[best] > 0.95
    assert sample.is_right[picked].mean() == pytest.approx(expected.precision[best], abs=0.02)
    assert sample.is_right[picked].sum() > 780


def test_mean_of_what_both_kinds_of_scores_tell(model: ScoreModel, rng: np.random.Generator) -> None:
    """Of curves that agree it is what they say, whatever the scale of the second scores; else it lies between them."""
    sample = draw(rng, 0.5)
    curve = adapt(model, sample.score, sample.area)
    same = average_by_rank(curve, sample.score, curve, sample.score)
    np.testing.assert_allclose(same.probability(sample.score), curve.probability(sample.score), atol=0.02)
    lower = (sample.score**2).astype(np.float32)  # of the same rank
    second = adapt(model, lower, sample.area)
    both = average_by_rank(curve, sample.score, second, lower).probability(lower)
    apart = np.sort([curve.probability(sample.score), second.probability(lower)], axis=0)
    assert (apart[1] - apart[0]).max() > 0.1
    assert ((both >= apart[0] - 0.02) & (both <= apart[1] + 0.02)).all()
    order = np.argsort(lower)
    assert (np.diff(both[order]) >= 0).all()
