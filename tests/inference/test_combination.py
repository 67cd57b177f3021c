"""The strategies of the hybrid against brute force, and what must be true of each of them."""

from __future__ import annotations

import json

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from relion_attn_picker.inference.combination import (
    NO_LIMIT,
    STRATEGIES,
    Combination,
    LogitScale,
    combine_maps,
    combined_map,
)
from relion_attn_picker.inference.peaks import find_peaks
from relion_attn_picker.picks import FloatArray, ProbabilityMap

FLOOR, DISTANCE = 0.05, 14.0
SCALE = LogitScale(0.8, 0.3)


def draw_maps(rng: np.random.Generator) -> tuple[ProbabilityMap, ProbabilityMap]:
    """Two maps with bumps: some at one place, some a little apart, some in one map alone; and noise."""
    y, x = np.mgrid[:120, :150]
    logits = [gaussian_filter(rng.normal(0, 4, y.shape), 2) - 3 for _ in range(2)]
    for cy, cx in rng.uniform(5, 115, (14, 2)):
        for each in logits:
            height, (dy, dx) = rng.uniform(0, 5), rng.normal(0, 1.5, 2)
            each += height * np.exp(-((y - cy - dy) ** 2 + (x - cx - dx) ** 2) / 30)
    attention, standard = (ProbabilityMap((1 / (1 + np.exp(-each))).astype(np.float32), 5.0) for each in logits)
    return attention, standard


def log_odds(p: float) -> float:
    return float(np.log(p / (1 - p)))


RULES = {
    "verify": (lambda a, s: min(a, s + 0.7), None),
    "rescue": (lambda a, s: min(a, s + 0.7), lambda a, s: s - 1.1),
    "union": (lambda a, s: a, lambda a, s: s),
    "intersection": (min, min),
}
"""Strategy → how peaks of the attention network, and of the standard network, are scored."""


def combine_by_hand(strategy: str, attention: FloatArray, standard: FloatArray, reach: float) -> NDArray[np.float64]:
    """Return ``(n, 3)`` of y, x (whole pixels) and score, highest first, by loops over pixels and pairs."""
    a = [[log_odds(float(v)) for v in row] for row in gaussian_filter(attention, 1, mode="nearest")]
    s = [[0.8 * log_odds(float(v)) + 0.3 for v in row] for row in gaussian_filter(standard, 1, mode="nearest")]
    height, width = attention.shape

    def window(y: int, x: int, radius: float) -> list[tuple[int, int]]:
        r = int(radius)
        near = ((y + dy, x + dx) for dy in range(-r, r + 1) for dx in range(-r, r + 1) if dy**2 + dx**2 <= radius**2)
        return [(i, j) for i, j in near if 0 <= i < height and 0 <= j < width]

    def peaks(table: list[list[float]]) -> list[tuple[int, int]]:
        every = [(y, x) for y in range(height) for x in range(width) if table[y][x] >= log_odds(FLOOR)]
        return [(y, x) for y, x in every if all(table[y][x] >= table[i][j] for i, j in window(y, x, 1.5))]

    def discount(y: int, x: int) -> float:
        return log_odds(2 / 3) if y in (0, height - 1) or x in (0, width - 1) else 0.0

    found = []
    of_attention, of_standard = RULES[strategy]
    for y, x in peaks(a):
        found.append((y, x, of_attention(a[y][x], max(s[i][j] for i, j in window(y, x, reach))) - discount(y, x)))
    for y, x in peaks(s) if of_standard else []:
        found.append((y, x, of_standard(max(a[i][j] for i, j in window(y, x, reach)), s[y][x]) - discount(y, x)))
    return np.array([each for each in found if each[2] >= log_odds(FLOOR)])


@pytest.mark.parametrize("strategy", RULES)
def test_scores_agree_with_brute_force(strategy: str, rng: np.random.Generator) -> None:
    attention, standard = draw_maps(rng)
    combination = Combination(strategy, margin=0.7, handicap=1.1, standard_scale=SCALE, reach_px=4.5)
    found = combine_maps(attention, standard, combination, FLOOR, min_distance_px=0).peaks
    expected = combine_by_hand(strategy, attention.values, standard.values, 4.5)
    expected = expected[np.argsort(-expected[:, 2])]
    assert len(expected) > 20
    np.testing.assert_allclose(found.score, 1 / (1 + np.exp(-expected[:, 2])), atol=1e-5)
    nearest = np.linalg.norm(found.yx[:, None] - expected[None, :, :2], axis=2).min(axis=1)
    assert nearest.max() <= 0.75


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_highest_of_near_peaks_survives(strategy: str, rng: np.random.Generator) -> None:
    maps, combination = draw_maps(rng), Combination(strategy, margin=0.7, handicap=1.1, standard_scale=SCALE)
    every = combine_maps(*maps, combination, FLOOR, min_distance_px=0).peaks
    kept: list[int] = []
    for index, place in enumerate(every.yx):
        if all(np.linalg.norm(place - every.yx[other]) >= DISTANCE for other in kept):
            kept.append(index)
    found = combine_maps(*maps, combination, FLOOR, DISTANCE).peaks
    assert 8 < len(kept) < len(every.yx)
    np.testing.assert_array_equal(found.yx, every.yx[kept])
    np.testing.assert_array_equal(found.score, every.score[kept])


def test_average_has_the_peaks_of_the_mean_of_logits(rng: np.random.Generator) -> None:
    attention, standard = draw_maps(rng)
    found = combine_maps(attention, standard, Combination("average", weight=0.3, standard_scale=SCALE), FLOOR, DISTANCE)
    a, s = (np.log(p / (1 - p)) for p in (gaussian_filter(m.values, 1, mode="nearest") for m in (attention, standard)))
    mean = 0.3 * a + 0.7 * (0.8 * s + 0.3)
    expected = find_peaks(ProbabilityMap(1 / (1 + np.exp(-mean)), 5.0), FLOOR, DISTANCE, smoothing_px=0)
    np.testing.assert_allclose(found.peaks.yx, expected.yx, atol=1e-3)
    np.testing.assert_allclose(found.peaks.score, expected.score, atol=1e-5)


@pytest.mark.parametrize(
    ("combination", "member"),
    [
        (Combination("average", weight=1.0), 0),
        (Combination("average", weight=0.0), 1),
        (Combination("verify", margin=NO_LIMIT), 0),
        (Combination("rescue", margin=NO_LIMIT, handicap=NO_LIMIT), 0),
    ],
)
def test_a_mute_network_leaves_the_other_alone(combination: Combination, member: int, rng: np.random.Generator) -> None:
    maps = draw_maps(rng)
    alone = find_peaks(maps[member], FLOOR, DISTANCE)
    found = combine_maps(*maps, combination, FLOOR, DISTANCE).peaks
    np.testing.assert_allclose(found.yx, alone.yx, atol=1e-3)
    np.testing.assert_allclose(found.score, alone.score, rtol=1e-5)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_two_equal_networks_are_one(strategy: str, rng: np.random.Generator) -> None:
    attention, _ = draw_maps(rng)
    alone = find_peaks(attention, FLOOR, DISTANCE)
    found = combine_maps(attention, attention, Combination(strategy), FLOOR, DISTANCE)
    np.testing.assert_allclose(found.peaks.yx, alone.yx, atol=1e-3)
    np.testing.assert_allclose(found.peaks.score, alone.score, rtol=1e-4)
    assert (found.attention >= 0.9999 * alone.score).all()  # the highest nearby, a neighbour's flank included
    assert (found.standard >= 0.9999 * alone.score).all()


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_lower_floor_only_adds_peaks(strategy: str, rng: np.random.Generator) -> None:
    maps, combination = draw_maps(rng), Combination(strategy, margin=0.7, handicap=1.1, standard_scale=SCALE)
    low = combine_maps(*maps, combination, 0.02, DISTANCE).peaks
    high = combine_maps(*maps, combination, 0.3, DISTANCE).peaks
    assert 0 < len(high.score) < len(low.score)
    np.testing.assert_array_equal(low.yx[low.score >= 0.3], high.yx)
    assert (np.diff(low.score) <= 0).all()


def bump(*centres: tuple[int, int], height: float = 0.9) -> ProbabilityMap:
    """A map of 0.001 with a bump of ``height`` at each centre."""
    y, x = np.mgrid[:60, :100]
    values = np.full(y.shape, 0.001)
    for cy, cx in centres:
        values = np.maximum(values, height * np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / 40))
    return ProbabilityMap(values.astype(np.float32), 5.0)


def test_each_peak_says_which_network_saw_it() -> None:
    attention, standard = bump((30, 20), (30, 50)), bump((30, 52), (30, 80))
    found = combine_maps(attention, standard, Combination("union"), FLOOR, DISTANCE)
    columns = np.rint(found.peaks.yx[:, 1]).astype(int)
    seen = zip((found.attention > 0).tolist(), (found.standard > 0).tolist(), strict=True)
    assert dict(zip(columns, seen, strict=True)) == {20: (True, False), 50: (True, True), 80: (False, True)}
    assert found.attention[columns == 80] == 0
    assert found.standard[columns == 20] == 0


@pytest.mark.parametrize(
    ("strategy", "columns"),
    [("verify", [50]), ("rescue", [50, 80]), ("intersection", [50]), ("union", [20, 50, 80])],
)
def test_who_may_propose_and_who_must_confirm(strategy: str, columns: list[int]) -> None:
    attention, standard = bump((30, 20), (30, 50)), bump((30, 50), (30, 80))
    combination = Combination(strategy, margin=1.0, handicap=1.0)
    found = combine_maps(attention, standard, combination, FLOOR, DISTANCE).peaks.yx
    assert sorted(np.rint(found[:, 1]).astype(int).tolist()) == columns


def test_map_of_a_rule_is_the_rule_at_each_pixel(rng: np.random.Generator) -> None:
    attention, standard = draw_maps(rng)
    values = combined_map(attention, standard, Combination("verify", margin=0.7, standard_scale=SCALE)).values
    for y, x in rng.integers(0, 120, (20, 2)):
        a, s = log_odds(float(attention.values[y, x])), 0.8 * log_odds(float(standard.values[y, x])) + 0.3
        assert log_odds(float(values[y, x])) == pytest.approx(min(a, s + 0.7), abs=1e-4)


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_saturated_maps_give_finite_scores(strategy: str, value: float) -> None:
    flat = ProbabilityMap(np.full((20, 20), value, np.float32), 5.0)
    found = combine_maps(flat, flat, Combination(strategy), FLOOR, DISTANCE)
    assert len(found.peaks.score) == int(value)
    assert np.isfinite(found.peaks.score).all()
    assert np.isfinite(found.standard).all()


def test_combination_travels_through_json() -> None:
    combination = Combination("rescue", 0.4, 1.5, 2.0, LogitScale(1.2, -0.5), 6.0)
    assert Combination.from_dict(json.loads(json.dumps(combination.to_dict()))) == combination


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"strategy": "vote"}, "'vote': expected one of average, verify, rescue, union, intersection"),
        ({"strategy": "average", "weight": 1.5}, "weight is 1.5: expected 0 to 1"),
        ({"strategy": "verify", "margin": float("nan")}, "margin is nan: expected 0 to 30"),
    ],
)
def test_absurd_combination_is_refused(fields: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Combination(**fields)  # type: ignore[arg-type]


def test_maps_of_two_images_are_refused() -> None:
    small = ProbabilityMap(np.zeros((10, 10), np.float32), 5.0)
    with pytest.raises(ValueError, match="expected those of one image"):
        combine_maps(small, ProbabilityMap(small.values, 6.0), Combination("average"), FLOOR, DISTANCE)
