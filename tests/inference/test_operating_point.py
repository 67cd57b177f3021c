"""Cuts by what calibrated scores promise, against counting."""

from __future__ import annotations

import numpy as np
import pytest

from relion_attn_picker.errors import InputError
from relion_attn_picker.evaluation.calibration import adapt
from relion_attn_picker.evaluation.score_curve import ScoreCurve
from relion_attn_picker.inference import operating_point
from relion_attn_picker.inference.operating_point import (
    LEAST_PRECISION,
    LITTLE,
    SURE,
    DataSetScores,
    OperatingPoint,
    expect,
    first_point,
)
from relion_attn_picker.inference.weights import find_score_models, find_weights
from relion_attn_picker.options import PickOptions
from relion_attn_picker.picks import FloatArray

AREA = 2000.0
"""Of the micrographs, in areas of a particle."""

CURVE = ScoreCurve((0.1, 0.9), (0.05, 0.95))


def choose_point(
    score: FloatArray,
    n_micrographs: int,
    own_threshold: float,
    given: PickOptions,
    curve: ScoreCurve | None,
    sure_scores: tuple[float, float] | None = None,
    area: float = AREA,
) -> OperatingPoint:
    scores = DataSetScores(score, n_micrographs, area)
    return operating_point.choose_point(scores, own_threshold, given, curve, sure_scores)


def options(**given: object) -> PickOptions:
    return PickOptions(particle_diameter=100, **given)  # type: ignore[arg-type]


@pytest.fixture
def score(rng: np.random.Generator) -> FloatArray:
    return np.concatenate([rng.beta(6, 2, 400), rng.beta(1, 6, 1500)]).astype(np.float32)


def promised(score: FloatArray, point: OperatingPoint) -> tuple[float, float]:
    """Return precision and recall by summing over the candidates one after the other."""
    merit = [float(CURVE.probability(np.array([each]))[0]) for each in score]
    kept = [each for each in merit if each >= point.threshold]
    return sum(kept) / len(kept), sum(kept) / sum(merit)


@pytest.mark.parametrize("target", [0.5, 0.7, 0.85])
def test_target_precision_is_the_lowest_cut_that_promises_it(score: FloatArray, target: float) -> None:
    point = choose_point(score, 5, 0.4, options(target_precision=target), CURVE)
    precision, recall = promised(score, point)
    assert precision >= target
    assert point.expected is not None
    assert (point.expected.precision, point.expected.recall) == pytest.approx((precision, recall), abs=1e-4)
    lower = OperatingPoint(point.threshold - 0.01, "")
    assert promised(score, lower)[0] < target


def test_target_recall_is_the_highest_cut_that_promises_it(score: FloatArray) -> None:
    point = choose_point(score, 5, 0.4, options(target_recall=0.8), CURVE)
    assert promised(score, point)[1] >= 0.8
    assert promised(score, OperatingPoint(point.threshold + 0.01, ""))[1] < 0.8


def test_impossible_target_gives_the_best_and_says_so(score: FloatArray) -> None:
    point = choose_point(score, 5, 0.4, options(target_precision=0.999), CURVE)
    assert "no cut is expected to reach a precision of 0.999: the best that can be had is 0.9" in point.reason
    best = float(CURVE.probability(score).max())
    assert promised(score, point)[0] == pytest.approx(best - 0.01, abs=1e-3)
    assert (CURVE.probability(score) >= point.threshold).sum() > 10, "the best of all is that of a single pick"


def test_modes_trade_precision_for_recall(score: FloatArray) -> None:
    points = [choose_point(score, 5, 0.4, options(mode=mode), CURVE) for mode in ("precision", "balanced", "recall")]
    figures = [promised(score, point) for point in points]
    assert [p for p, _ in figures] == sorted((p for p, _ in figures), reverse=True)
    assert [r for _, r in figures] == sorted(r for _, r in figures)


@pytest.mark.parametrize(("mode", "beta"), [("precision", 0.5), ("balanced", 1.0), ("recall", 2.0)])
def test_mode_is_the_highest_f_measure(score: FloatArray, mode: str, beta: float) -> None:
    def f_measure(point: OperatingPoint) -> float:
        precision, recall = promised(score, point)
        return (1 + beta**2) * precision * recall / (beta**2 * precision + recall)

    best = f_measure(choose_point(score, 5, 0.4, options(mode=mode), CURVE))
    others = [f_measure(OperatingPoint(threshold, "")) for threshold in np.arange(0.05, 0.9, 0.02)]
    assert best >= max(others) - 1e-4


def test_count_is_a_mean_over_the_micrographs(score: FloatArray) -> None:
    point = choose_point(score, 10, 0.4, options(count_per_micrograph=7), None)
    assert (score >= point.threshold).sum() == pytest.approx(70, abs=1)


def test_count_is_kept_where_the_curve_hardly_rises(score: FloatArray) -> None:
    score = np.unique(score)
    flat = ScoreCurve((0.1, 0.5, 0.9), (0.05, 0.9757, 0.97575))
    point = choose_point(score, 10, 0.4, options(count_per_micrograph=7), flat)
    assert (flat.probability(score) >= point.threshold).sum() == pytest.approx(70, abs=2)


def test_target_is_kept_where_figures_of_merit_are_tiny() -> None:
    """80 sure particles, and ever more noise of a probability that four decimals cannot tell apart."""
    steep = ScoreCurve((0.3, 0.5, 0.9), (0.0001, 0.0002, 0.99))
    score = np.concatenate([np.full(80, 0.9), np.linspace(0.5, 0.3, 400)]).astype(np.float32)
    point = choose_point(score, 5, 0.4, options(target_precision=0.8), steep)
    assert point.expected is not None
    assert point.expected.precision >= 0.8
    assert (steep.probability(score) >= point.threshold).sum() == pytest.approx(99, abs=1)


TIED = np.repeat(np.float32([0.9, 0.5, 0.1]), [10, 10, 30])
"""Scores of a network that is sure of nearly everything, as four digits tell them."""


@pytest.mark.parametrize(
    ("given", "n_picks", "words"),
    [
        ({"target_precision": 0.85}, 10, "an expected precision of 0.85"),
        ({"target_recall": 0.65}, 20, "an expected recall of 0.65"),
        ({"count_per_micrograph": 2}, 10, "2 picks a micrograph on average"),
        ({"count_per_micrograph": 3.2}, 20, "4 picks a micrograph on average, as near to 3.2 as candidates of equal"),
        ({"count_per_micrograph": 6}, 20, "4 picks a micrograph on average, as near to 6 as"),
        ({"count_per_micrograph": 11}, 50, "there are only 10 a micrograph, not 11"),
    ],
)
def test_equal_scores_are_taken_together(given: dict[str, float], n_picks: int, words: str) -> None:
    curve = ScoreCurve((0.1, 0.5, 0.9), (0.05, 0.5, 0.9))
    point = choose_point(TIED, 5, 0.4, options(**given), curve)
    assert (curve.probability(TIED) >= point.threshold).sum() == n_picks
    assert words in point.reason
    assert point.expected is not None
    if "target_precision" in given:
        assert point.expected.precision >= given["target_precision"]


def test_given_threshold_stays_with_what_it_promises(score: FloatArray) -> None:
    point = choose_point(score, 5, 0.4, options(threshold=0.6), CURVE)
    assert (point.threshold, point.reason) == (0.6, "as given")
    assert point.expected is not None
    assert point.expected.precision == pytest.approx(promised(score, point)[0], abs=1e-4)


def test_picks_that_are_left_out_as_too_many_are_not_promised(score: FloatArray) -> None:
    """Of the candidates of two micrographs, equally good, only the 50 best of each may be picks."""
    one = np.sort(score)[::-1]
    is_kept = np.tile(np.arange(len(one)) < 50, 2)
    scores = DataSetScores(np.tile(one, 2), 2, AREA, is_kept)
    point = operating_point.choose_point(scores, 0.4, options(threshold=0.6, max_picks=50), CURVE)
    merit = CURVE.probability(one).astype(np.float64)
    assert point.expected is not None
    assert point.expected.precision == pytest.approx(merit[:50].mean())
    assert point.expected.recall == pytest.approx(merit[:50].sum() / merit.sum())
    higher = operating_point.choose_point(scores, 0.4, options(threshold=float(merit[19]), max_picks=50), CURVE)
    assert higher.expected is not None
    assert higher.expected.recall == pytest.approx(merit[:20].sum() / merit.sum())


def test_weights_own_threshold_is_carried_to_figures_of_merit() -> None:
    assert first_point(0.5, options(fit_threshold=False), CURVE).threshold == pytest.approx(0.5)
    assert first_point(0.1, options(), CURVE).threshold == pytest.approx(0.05)
    uncalibrated = first_point(0.3, options(), None)
    assert (uncalibrated.threshold, uncalibrated.curve) == (pytest.approx(0.3), None)


@pytest.mark.parametrize("given", [{"mode": "recall"}, {"target_precision": 0.9}, {"target_recall": 0.9}])
def test_promises_need_calibrated_scores(score: FloatArray, given: dict[str, object]) -> None:
    with pytest.raises(InputError, match="needs calibrated scores"):
        choose_point(score, 5, 0.4, options(**given), None)


@pytest.mark.parametrize("given", [{}, {"mode": "precision"}, {"target_recall": 0.5}, {"count_per_micrograph": 3}])
def test_no_candidates(given: dict[str, object]) -> None:
    nothing = np.zeros(0, dtype=np.float32)
    point = choose_point(nothing, 2, 0.4, options(**given), CURVE)
    assert 0 < point.threshold < 1
    assert point.expected is not None
    assert np.isnan(point.expected.precision)
    assert len(expect(nothing).precision) == 0


@pytest.fixture
def noise(rng: np.random.Generator) -> FloatArray:
    """Scores of a data set with nothing to pick: on ``WIDE`` what they promise would cover a fiftieth."""
    return np.asarray(rng.beta(1, 6, 1500), dtype=np.float32)


SURE_SCORES = (0.6, 0.75)
"""``noise`` has 0.4 % of its candidates above the first."""


def cut_score(score: FloatArray, point: OperatingPoint) -> float:
    """Return the lowest score that is a pick."""
    return float(score[point.merit(score) >= point.threshold].min())


WIDE = 20_000.0


@pytest.mark.parametrize("mode", ["precision", "balanced"])
def test_cut_is_raised_where_little_is_promised(noise: FloatArray, mode: str) -> None:
    usual = choose_point(noise, 5, 0.4, options(mode=mode), CURVE, area=WIDE)
    raised = choose_point(noise, 5, 0.4, options(mode=mode), CURVE, SURE_SCORES, WIDE)
    assert usual.threshold < raised.threshold == pytest.approx(float(CURVE.probability(np.array([0.75]))[0]))
    covered = CURVE.probability(noise).sum() / WIDE
    assert f"little or nothing to pick: what the scores promise would cover {covered:.1%} of their" in raised.reason
    assert raised.expected is None


def test_cut_is_raised_less_where_some_are_sure(noise: FloatArray) -> None:
    some = np.concatenate([noise, np.linspace(0.62, 0.7, 30, dtype=np.float32)])
    point = choose_point(some, 5, 0.4, options(), CURVE, SURE_SCORES, WIDE)
    assert cut_score(some, point) == pytest.approx(0.6, abs=0.02)


@pytest.mark.parametrize(("factor", "is_raised"), [(0.99, True), (1.01, False)])
def test_cut_is_raised_where_the_particles_would_cover_little(
    noise: FloatArray, factor: float, is_raised: bool
) -> None:
    some = np.concatenate([noise, np.linspace(0.5, 0.8, 300, dtype=np.float32)])
    area = float(CURVE.probability(some).sum()) / (factor * LITTLE)
    usual = choose_point(some, 5, 0.4, options(), CURVE, area=area)
    point = choose_point(some, 5, 0.4, options(), CURVE, SURE_SCORES, area)
    assert (point.threshold > usual.threshold) == is_raised
    assert (point == usual) != is_raised


def test_border_that_leaves_no_place_is_no_lack_of_particles() -> None:
    point = choose_point(np.zeros(0, dtype=np.float32), 5, 0.4, options(), CURVE, SURE_SCORES, 0.0)
    assert "no candidate" in point.reason


@pytest.mark.parametrize("n_sure", [0, 300])
def test_cut_is_raised_where_it_would_be_hardly_precise(noise: FloatArray, n_sure: int) -> None:
    """Many candidates, each with a small probability, promise as many particles as a few sure ones."""
    some = np.concatenate([noise, np.full(n_sure, 0.5, dtype=np.float32)])
    area = float(CURVE.probability(some).sum()) / (2 * LITTLE)
    usual = choose_point(some, 5, 0.4, options(), CURVE, area=area)
    point = choose_point(some, 5, 0.4, options(), CURVE, SURE_SCORES, area)
    assert usual.expected is not None
    is_raised = usual.expected.precision < LEAST_PRECISION
    assert is_raised == (n_sure == 0)
    assert (point != usual) == is_raised
    if is_raised:
        told = f"of the picks of the best cut {usual.expected.precision:.0%} would be right; picks must score as what"
        assert f"{told} is right with {SURE[0]:g} elsewhere" in point.reason


def test_a_raised_cut_may_leave_nothing(noise: FloatArray) -> None:
    point = choose_point(noise, 5, 0.4, options(), CURVE, (0.98, 0.99), WIDE)
    assert not (point.merit(noise) >= point.threshold).any()


def test_a_lower_sure_score_lowers_nothing(noise: FloatArray) -> None:
    """The doubt is told all the same, and nothing is promised."""
    usual = choose_point(noise, 5, 0.4, options(), CURVE, area=WIDE)
    point = choose_point(noise, 5, 0.4, options(), CURVE, (0.01, 0.02), WIDE)
    assert point.threshold == usual.threshold
    assert point.reason.startswith(f"{usual.reason}, but these micrographs seem to hold little or nothing")
    assert point.expected is None


@pytest.mark.parametrize("given", [{"mode": "recall"}, {"target_recall": 0.9}, {"threshold": 0.2}])
def test_what_is_asked_for_is_not_raised(noise: FloatArray, given: dict[str, object]) -> None:
    usual = choose_point(noise, 5, 0.4, options(**given), CURVE, area=WIDE)
    assert choose_point(noise, 5, 0.4, options(**given), CURVE, SURE_SCORES, WIDE) == usual


def test_a_nearly_empty_clean_session_is_not_taken_for_a_sea_of_faint_particles() -> None:
    """As the released network scored five simulated micrographs with 22 particles: all else is a hump of noise."""
    count = [368, 455, 483, 549, 511, 425, 356, 272, 239, 137, 87, 73, 45, 31, 17, 11, 5, 1, 8, 9, 5]
    edges = [*np.arange(0.05, 0.5, 0.025), 0.5, 0.6, 0.7, 0.8]
    bins = zip(edges[:-1], edges[1:], count, strict=True)
    score = np.concatenate([np.linspace(low, high, n, endpoint=False) for low, high, n in bins]).astype(np.float32)
    models = find_score_models(find_weights("attention", None))
    assert models is not None
    model = models.own
    sure_scores = (model.score_at(SURE[0]), model.score_at(SURE[1]))
    curve = adapt(model, score, 5332)
    point = choose_point(score, 5, 0.38, options(), curve, sure_scores, 5332)
    assert 10 <= (point.merit(score) >= point.threshold).sum() <= 30
