"""The check of the gates: figures against closed forms, and a verdict that follows from them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import mannwhitneyu, ttest_1samp

from relion_attn_picker.evaluation.attention_check import (
    AttentionCheck,
    GateVerdict,
    LevelCheck,
    check_gates,
    describe_gate,
    measure_gate,
    rank_area,
)
from relion_attn_picker.evaluation.attention_regions import Regions


def make_regions(shape: tuple[int, int] = (6, 9), junk: bool = True) -> Regions:
    column = np.broadcast_to(np.arange(shape[1]), shape)
    return Regions(column < 3, (column >= 3) & (column < 6), (column >= 6) if junk else np.zeros(shape, dtype=bool))


def measure(
    inside: float, background: float, junk: float | None, noise: float = 0.0, seed: int = 0
) -> dict[str, float]:
    regions = make_regions(junk=junk is not None)
    values = np.where(regions.inside, inside, np.where(regions.background, background, junk or 0.0))
    values = values + noise * np.random.default_rng(seed).normal(size=values.shape)
    return {"pixel_in_diameters": 0.25, **measure_gate(values.astype(np.float32), regions)}


def check(*measured: dict[str, float]) -> LevelCheck:
    """Check one gate on as many micrographs."""
    named = {f"{number}.mrc": {"level_1": each} for number, each in enumerate(measured)}
    result = check_gates(named)
    assert isinstance(result, AttentionCheck)
    return result.levels[0]


def test_figures_of_flat_regions() -> None:
    figures = measure(0.7, 0.2, 0.4)
    expected = {
        "pixel_in_diameters": 0.25,
        "inside": 0.7,
        "background": 0.2,
        "junk": 0.4,
        "inside_minus_background": 0.5,
        "inside_minus_junk": 0.3,
        "auc_background": 1.0,
        "auc_junk": 1.0,
    }
    assert figures == pytest.approx(expected)


def test_rank_area_is_that_of_scipy(rng: np.random.Generator) -> None:
    higher, lower = (np.round(rng.normal(mean, 1, n), 1).astype(np.float32) for mean, n in ((0.3, 200), (0, 321)))
    expected = mannwhitneyu(higher, lower).statistic / (200 * 321)
    assert rank_area(higher, lower) == pytest.approx(expected)
    assert rank_area(np.ones(3, dtype=np.float32), np.ones(5, dtype=np.float32)) == 0.5


@pytest.mark.parametrize(
    ("inside", "outside", "noise", "verdict"),
    [
        (0.6, 0.3, 0.05, GateVerdict.CLAIMED),
        (0.3, 0.6, 0.05, GateVerdict.OPPOSITE),
        (0.5, 0.5, 0.2, GateVerdict.UNDECIDED),
        (0.505, 0.5, 0.001, GateVerdict.NEGLIGIBLE),
    ],
)
def test_verdict(inside: float, outside: float, noise: float, verdict: GateVerdict) -> None:
    level = check(*(measure(inside, outside, outside, noise, seed) for seed in range(6)))
    assert level.verdicts == {"background": verdict, "junk": verdict}


@pytest.mark.parametrize(
    ("differences", "verdict"),
    [
        ((0.005, 0.006, 0.004), GateVerdict.NEGLIGIBLE),  # 0.0025 to 0.0075
        ((-0.001, 0.001, 0.0), GateVerdict.NEGLIGIBLE),  # -0.0025 to 0.0025
        ((0.008, 0.010, 0.009), GateVerdict.CLAIMED),  # 0.0065 to 0.0115: it may matter
        ((-0.008, -0.010, -0.009), GateVerdict.OPPOSITE),
        ((-0.05, 0.05, 0.0), GateVerdict.UNDECIDED),
    ],
)
def test_no_difference_matters_only_where_the_whole_interval_says_so(
    differences: tuple[float, ...], verdict: GateVerdict
) -> None:
    assert check(*(measure(0.5 + each, 0.5, None) for each in differences)).verdicts["background"] is verdict


def test_background_and_junk_are_judged_apart() -> None:
    level = check(*(measure(0.5, 0.2, 0.8, 0.05, seed) for seed in range(6)))
    assert level.verdicts == {"background": GateVerdict.CLAIMED, "junk": GateVerdict.OPPOSITE}
    assert (
        describe_gate(level)
        == "level_1: against background, it does what is claimed; against junk, it does the opposite"
    )


def test_micrographs_that_disagree_give_no_verdict() -> None:
    level = check(*(measure(0.5 + 0.3 * sign, 0.5, None) for sign in (-1, 1, -1, 1, 1)))
    assert level.verdicts["background"] is GateVerdict.UNDECIDED
    low, high = level.figures["inside_minus_background"].interval
    assert low < 0 < high


def test_interval_of_a_difference_is_that_of_students_mean() -> None:
    differences = np.random.default_rng(4).normal(0.2, 0.05, 4)
    level = check(*(measure(0.5 + each, 0.5, None) for each in differences))
    figure = level.figures["inside_minus_background"]
    expected = ttest_1samp(differences, 0).confidence_interval(0.95)
    assert figure.value == pytest.approx(differences.mean(), abs=1e-6)
    assert figure.interval == pytest.approx((expected.low, expected.high), abs=1e-5)


def test_interval_of_a_share_stays_between_0_and_1() -> None:
    level = check(*(measure(inside, 0.5, None) for inside in (0.999, 0.9, 0.995)))
    low, high = level.figures["inside"].interval
    assert 0 < low < 0.9
    assert 0.965 < high < 1


def test_one_micrograph_gives_figures_and_no_verdict() -> None:
    level = check(measure(0.7, 0.2, None))
    assert level.figures["inside"].value == pytest.approx(0.7)
    assert np.isnan(level.figures["inside"].interval).all()
    assert level.verdicts == {"background": GateVerdict.UNKNOWN}
    assert describe_gate(level) == "level_1: against background, one micrograph cannot tell"


def test_micrographs_without_junk_or_background_are_left_out_of_those_figures() -> None:
    level = check(measure(0.7, 0.2, 0.4), measure(0.7, 0.3, None), measure(0.7, 0.4, 0.6))
    assert level.figures["junk"].n_micrographs == 2
    assert level.figures["junk"].value == pytest.approx(0.5)
    assert level.figures["inside_minus_junk"].value == pytest.approx(0.2)
    assert level.figures["background"].n_micrographs == 3
    assert "junk" not in check(measure(0.7, 0.3, None), measure(0.7, 0.3, None)).figures
