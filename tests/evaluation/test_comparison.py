"""Comparing two contenders: known differences are found, none is made up, and seeds and micrographs both count."""

from __future__ import annotations

import itertools
import math
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from scipy.special import logit
from sklearn.metrics import average_precision_score, roc_auc_score

from relion_attn_picker.evaluation.claims import (
    FAILS,
    HOLDS,
    PARTLY,
    UNDECIDED,
    UNTESTED,
    divide_by_condition,
    judge_amount,
    judge_higher,
    judge_together,
)
from relion_attn_picker.evaluation.comparison import (
    FigureSample,
    SeedRun,
    Verdict,
    average_samples,
    compare,
    describe_difference,
    draw_weights,
    sample_figures,
    summarize,
)
from relion_attn_picker.evaluation.cross_fitting import (
    choose_pixel_thresholds,
    choose_settings,
    choose_thresholds,
    deal_folds,
)
from relion_attn_picker.evaluation.metrics import MicrographMatches, pool_matches, score_matches
from relion_attn_picker.evaluation.pixel_histograms import count_pixels, find_best_pixel_threshold
from relion_attn_picker.evaluation.recommendation import recommend, recommend_speed
from relion_attn_picker.evaluation.weighted_figures import compute_pick_figures


def make_matches(rng: np.random.Generator, skill: float, n: int = 80) -> MicrographMatches:
    """Return candidates, half of them right, whose scores tell the better the higher the skill."""
    right = np.arange(n) < n // 2
    score = (rng.normal(0, 1, n) + skill * right).astype(np.float32)
    return MicrographMatches(score, right, np.where(right, 1.0, np.nan), n // 2 + 5)


def make_runs(seed: int, skills: tuple[float, ...], n_micrographs: int = 12) -> list[SeedRun]:
    runs = []
    for place, skill in enumerate(skills):
        rng = np.random.default_rng([seed, place])
        matches = [make_matches(rng, skill) for _ in range(n_micrographs)]
        runs.append(SeedRun(matches, [0.5] * n_micrographs))
    return runs


def sample(runs: list[SeedRun]) -> dict[str, FigureSample]:
    return sample_figures(runs, draw_weights(len(runs[0].matches), np.random.default_rng(1), 200))


def made_up(values: list[float], spread: float = 0.01) -> FigureSample:
    rng = np.random.default_rng(0)
    resampled = np.array(values)[:, None] + rng.normal(0, spread, 300)
    return FigureSample(np.array(values), resampled[None], (20,))


def test_figures_are_those_of_the_evaluation_and_of_scikit_learn() -> None:
    run = make_runs(1, (1.5,))[0]
    figures = sample([run])
    pooled = pool_matches(run.matches)
    expected = score_matches(pooled, 0.5)
    for name in ("precision", "recall", "f1", "average_precision", "best_f1"):
        assert figures[name].per_seed[0] == pytest.approx(getattr(expected, name))
    share_found = pooled.is_true_positive.sum() / pooled.n_true
    theirs = average_precision_score(pooled.is_true_positive, pooled.score) * share_found
    assert figures["average_precision"].per_seed[0] == pytest.approx(theirs)
    f1 = figures["f1"].per_seed[0]
    assert figures["iou"].per_seed[0] == pytest.approx(f1 / (2 - f1))


def test_resample_that_draws_each_micrograph_once_is_the_figure_itself() -> None:
    runs = make_runs(2, (1.0,))
    once = sample_figures(runs, np.ones((1, 12)))
    for name in ("precision", "recall", "f1", "iou"):
        assert once[name].resampled[0, 0, 0] == pytest.approx(once[name].per_seed[0])
    assert once["average_precision"].resampled[0, 0, 0] == pytest.approx(
        once["average_precision"].per_seed[0], abs=0.01
    )


def test_equal_contenders_do_not_differ() -> None:
    figures = sample(make_runs(3, (1.0, 1.0, 1.0)))
    difference = compare(figures["average_precision"], figures["average_precision"])
    assert (difference.value, difference.seed_spread, difference.verdict) == (0.0, 0.0, Verdict.UNDECIDED)
    assert "No difference in AP between a and b can be told" in describe_difference("a", "b", "AP", difference)


def test_known_difference_is_found() -> None:
    better, worse = sample(make_runs(4, (2.0, 2.0, 2.0))), sample(make_runs(4, (0.7, 0.7, 0.7)))
    difference = compare(better["average_precision"], worse["average_precision"])
    assert difference.verdict is Verdict.HIGHER
    assert difference.total_interval[0] > 0
    assert compare(worse["average_precision"], better["average_precision"]).verdict is Verdict.LOWER


def test_seeds_that_scatter_more_than_they_differ_leave_it_open() -> None:
    difference = compare(made_up([0.80, 0.90, 0.85], 0.001), made_up([0.82, 0.80, 0.84], 0.001))
    assert difference.seed_spread == pytest.approx(np.std([-0.02, 0.10, 0.01], ddof=1))
    assert difference.verdict is Verdict.SEEDS
    assert difference.is_within_seed_spread
    text = describe_difference("attention", "standard", "AP", difference)
    assert "other seeds could turn it" in text
    assert "as large as the difference" in text


def test_one_seed_cannot_tell() -> None:
    difference = compare(made_up([0.9]), made_up([0.8]))
    assert difference.verdict is Verdict.UNKNOWN
    assert math.isnan(difference.seed_spread)
    assert "cannot be known from one seed" in describe_difference("a", "b", "AP", difference)
    with pytest.raises(ValueError, match="expected the same"):
        compare(made_up([0.9]), made_up([0.8, 0.7]))


def test_summary_and_mean_over_sets() -> None:
    one, other = made_up([0.8, 0.9, 1.0]), made_up([0.4, 0.5, 0.6])
    mean = summarize(average_samples([one, other]))
    assert mean.value == pytest.approx(0.7)
    assert mean.seed_spread == pytest.approx(0.1)
    assert mean.interval[0] < 0.7 < mean.interval[1]


def make_recalls(n_micrographs: int, seed: int) -> tuple[SeedRun, NDArray[np.float64]]:
    """Return a run whose recall is the plain mean of what its micrographs have, and these."""
    found = np.random.default_rng(seed).integers(60, 100, n_micrographs)
    matches = [MicrographMatches(np.ones(n, np.float32), np.ones(n, bool), np.ones(n), 100) for n in found]
    return SeedRun(matches, [0.5] * n_micrographs), found / 100


def test_resamples_scatter_as_the_mean_of_micrographs_does() -> None:
    """The standard error of a mean is s / √n; resampling alone gives √((n - 1) / n) of it, 18 % less with three."""
    samples, variances = [], []
    for n_micrographs in (3, 12):
        run, recalls = make_recalls(n_micrographs, n_micrographs)
        weights = draw_weights(n_micrographs, np.random.default_rng(4), 20_000)
        samples.append(sample_figures([run], weights)["recall"])
        variances.append(float(np.var(recalls, ddof=1)) / n_micrographs)
        assert np.std(samples[-1].resampled) == pytest.approx(math.sqrt(variances[-1]), rel=0.03)
    mean = summarize(average_samples(samples))
    freedom = sum(variances) ** 2 / (variances[0] ** 2 / 2 + variances[1] ** 2 / 11)
    slope = 1 / (mean.value * (1 - mean.value))
    reach = stats.t.ppf(0.975, freedom) * math.sqrt(sum(variances)) / 2 * slope
    assert np.diff(logit(mean.interval)) / 2 == pytest.approx(reach, rel=0.03)


@pytest.mark.parametrize("n_micrographs", [3, 8])
def test_95_in_100_intervals_of_a_difference_hold_the_truth(n_micrographs: int) -> None:
    """Two alike contenders, each micrograph found better by either at random: the true difference is 0."""
    holding, n_sessions = 0, 400
    for session in range(n_sessions):
        weights = draw_weights(n_micrographs, np.random.default_rng(session), 200)
        first, second = (
            sample_figures([make_recalls(n_micrographs, 1000 * session + place)[0]], weights)["recall"]
            for place in (0, 1)
        )
        low, high = compare(first, second).interval
        holding += low <= 0 <= high
    assert 0.91 <= holding / n_sessions <= 0.98


def sample_mean(values: NDArray[np.float64], weights: NDArray[np.float64]) -> FigureSample:
    """Return the sample of a figure that is the plain mean of what its micrographs have."""
    n = len(values)
    resampled = np.mean(values) + math.sqrt(n / (n - 1)) * (weights @ values / n - np.mean(values))
    return FigureSample(np.array([np.mean(values)]), resampled[None, None], (n,))


@pytest.mark.parametrize(("sets", "expected"), [((3, 3), 0.965), ((3, 36), 0.924)])
def test_intervals_of_a_mean_over_sets_hold_the_truth(sets: tuple[int, int], expected: float) -> None:
    """Two alike contenders: the true difference is 0. What is expected is what Satterthwaite's t itself reaches.

    All sets draw from the same random numbers, as ``analyse_set`` does.
    """
    holding, n_sessions = 0, 2000
    for session in range(n_sessions):
        rng = np.random.default_rng([7, session])
        weights = [draw_weights(n, np.random.default_rng(session), 200) for n in sets]
        first, second = (average_samples(sample_mean(rng.normal(size=w.shape[1]), w) for w in weights) for _ in "12")
        low, high = compare(first, second).interval
        holding += low <= 0 <= high
    assert holding / n_sessions == pytest.approx(expected, abs=0.02)


def test_mean_with_a_set_of_one_micrograph_has_no_interval() -> None:
    alone = sample_figures([make_recalls(1, 1)[0]], draw_weights(1, np.random.default_rng(1), 20))["recall"]
    many = sample_figures([make_recalls(36, 2)[0]], draw_weights(36, np.random.default_rng(1), 20))["recall"]
    assert np.isnan(summarize(average_samples([alone, many])).interval).all()


def test_thresholds_and_settings_are_chosen_on_other_micrographs() -> None:
    """The last fold has a best threshold of its own, which only the others may use."""

    def two_scores(low: float, high: float) -> MicrographMatches:
        score = np.array([high] * 10 + [low] * 10, dtype=np.float32)
        right = score == np.float32(high)
        return MicrographMatches(score, right, np.where(right, 0.0, np.nan), 10)

    matches = [two_scores(0.1, 0.4) for _ in range(4)] + [two_scores(0.6, 0.9)]
    chosen = choose_thresholds(matches, 0.5)
    assert chosen[4] == pytest.approx(0.4)
    assert choose_thresholds(matches[:1], 0.5) == [0.5]
    assert np.bincount(deal_folds(12)).tolist() == [3, 3, 2, 2, 2]
    good, bad = make_runs(6, (3.0,), 5)[0].matches, make_runs(6, (0.0,), 5)[0].matches
    assert choose_settings({"bad": bad, "good": good}) == ["good"] * 5


def test_memory_of_cross_fitting_grows_with_the_micrographs_alone() -> None:
    histogram = count_pixels(np.linspace(-3, 3, 100)[None], np.arange(100)[None] > 60)
    tracemalloc.start()
    thresholds = choose_pixel_thresholds([histogram] * 3000)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert thresholds == [find_best_pixel_threshold([histogram])] * 3000
    assert peak < 40e6  # a list of the others for each micrograph takes 58 MB alone


def test_pixel_figures_against_scikit_learn(rng: np.random.Generator) -> None:
    truth = rng.random((80, 90)) < 0.3
    logits = rng.normal(0, 1, truth.shape) + 1.2 * truth
    histogram = count_pixels(logits, truth)
    threshold = find_best_pixel_threshold([histogram])
    run = SeedRun([make_matches(rng, 1.0)], [0.5], [histogram], [threshold])
    figures = sample_figures([run], np.ones((1, 1)))
    assert figures["pixel_roc_auc"].per_seed[0] == pytest.approx(roc_auc_score(truth.ravel(), logits.ravel()), abs=2e-3)
    mask = 1 / (1 + np.exp(-logits)) >= threshold
    theirs = roc_auc_score(truth.ravel(), mask.ravel())
    assert figures["pixel_mask_auc"].per_seed[0] == pytest.approx(theirs, abs=5e-3)
    f1 = figures["pixel_f1"].per_seed[0]
    assert figures["pixel_iou"].per_seed[0] == pytest.approx(f1 / (2 - f1))


def test_claims_are_judged_by_their_intervals() -> None:
    higher = compare(made_up([0.9, 0.9, 0.91]), made_up([0.5, 0.5, 0.51]))
    lower = compare(made_up([0.5, 0.5, 0.51]), made_up([0.9, 0.9, 0.91]))
    level = compare(made_up([0.5, 0.6, 0.7]), made_up([0.7, 0.6, 0.5]))
    assert [judge_higher("c", each, "g").verdict for each in (higher, lower, level, None)] == [
        HOLDS,
        FAILS,
        UNDECIDED,
        UNTESTED,
    ]
    assert judge_together("c", [higher, higher], "g").verdict == HOLDS
    assert judge_together("c", [higher, level], "g").verdict == PARTLY
    assert judge_together("c", [level, level], "g").verdict == UNDECIDED
    assert judge_together("c", [higher, lower], "g").verdict == UNDECIDED
    assert judge_together("c", [lower, level], "g").verdict == FAILS
    assert judge_together("c", [], "g").verdict == UNTESTED
    verdicts = [judge_amount("c", value, 1.0, 1.2, "g").verdict for value in (1.13, 5.0, math.nan)]
    assert verdicts == [HOLDS, FAILS, UNTESTED]


@pytest.mark.parametrize(
    ("values", "sizes"),
    [
        (np.arange(10.0), [4, 3, 3]),
        (np.array([1.0, np.nan, 2, 3, 4, 5, 6]), [3, 3]),
        (np.arange(5.0), []),
        (np.ones(12), []),
        (np.repeat([1.0, 2.0, 3.0], [4, 4, 4]), [4, 4, 4]),
        (np.repeat([1.0, 2.0, 3.0], [3, 5, 4]), [3, 5, 4]),
        (np.repeat([1.0, 2.0, 3.0], [5, 1, 6]), [6, 6]),
        (np.repeat([1.0, 2.0], [5, 7]), [5, 7]),
        (np.repeat([1.0, 2.0], [10, 2]), []),
        (np.full(3, np.nan), []),
    ],
)
def test_conditions_are_divided_evenly(values: NDArray[np.float64], sizes: list[int]) -> None:
    classes = divide_by_condition(values)
    assert [len(each.places) for each in classes] == sizes
    for lower, upper in itertools.pairwise(classes):
        assert lower.high < upper.low


def test_recommendation_prefers_one_network_where_two_gain_nothing() -> None:
    samples = {"attention": made_up([0.80, 0.82, 0.84]), "standard": made_up([0.5, 0.5, 0.5])}
    samples["average"] = made_up([0.801, 0.821, 0.843])
    advice = recommend("both alike", samples)
    assert advice.choice == "attention"
    assert "cannot be told apart here" in advice.reason
    samples["average"] = made_up([0.95, 0.96, 0.97])
    assert recommend("clean particles", samples).choice == "average"
    speed = recommend_speed({"attention": 0.2, "standard": 0.1, "any hybrid": math.nan})
    assert speed is not None
    assert speed.choice == "standard"
    assert recommend_speed({"attention": math.nan}) is None


def test_weighted_micrographs_without_particles_have_the_figures_of_the_same_drawn_out() -> None:
    """Both are without particles, and the second, which is not drawn, has the higher candidate."""
    low, high = (
        MicrographMatches(np.float32([score]), np.array([False]), np.array([np.nan]), 0) for score in (0.3, 0.9)
    )
    weighted = compute_pick_figures([low, high], [0.1, 0.1], np.array([[2.0, 0.0]]))
    drawn = compute_pick_figures([low, low], [0.1, 0.1], None)
    assert weighted["best_f1"] == drawn["best_f1"] == 0
    for name, figure in weighted.items():
        np.testing.assert_equal(figure, drawn[name], err_msg=name)


@pytest.mark.parametrize("share", [1.0, 0.75])
def test_share_that_no_resample_changes_is_not_known_for_sure(share: float) -> None:
    """As the precision of three micrographs without an error; what is right of the next one nobody knows."""
    resampled = np.full((1, 3, 300), share)
    summary = summarize(FigureSample(np.full(3, share), resampled, (3,)))
    assert summary.value == share
    assert np.isnan(summary.interval).all()


@pytest.mark.parametrize("n_micrographs", [3, 4])
def test_interval_over_micrographs_and_seeds_is_that_of_satterthwaite(n_micrographs: int) -> None:
    """Equal variances with k and 2 degrees of freedom have (a + b)² / (a²/k + b²/2) together: 4 of 2 and 2, not 2."""
    ours, theirs = (
        replace(made_up([0.80, 0.90, 0.85], spread), n_micrographs=(n_micrographs,)) for spread in (0.05, 0)
    )
    difference = compare(ours, replace(theirs, per_seed=np.full(3, 0.7)))
    resampled = (ours.resampled - theirs.resampled)[0].mean(axis=0)
    parts = {"micrographs": float(np.var(resampled, ddof=1)), "seeds": difference.seed_spread**2 / 3}
    freedom = sum(parts.values()) ** 2 / (parts["micrographs"] ** 2 / (n_micrographs - 1) + parts["seeds"] ** 2 / 2)
    low, high = difference.total_interval
    expected = stats.t.ppf(0.975, freedom) * math.sqrt(sum(parts.values()))
    assert (high - low) / 2 == pytest.approx(expected, rel=0.01)


def test_nothing_is_recommended_where_all_have_nothing() -> None:
    """As the recall at a precision of .8 of networks that were hardly trained."""
    nothing = FigureSample(np.zeros(2), np.zeros((1, 2, 50)), (10,))
    advice = recommend("complete survey", dict.fromkeys(("attention", "standard", "hybrid"), nothing))
    assert advice.choice == "none of them"
    assert advice.reason == "no contender has any recall at a precision of 0.8 here."
