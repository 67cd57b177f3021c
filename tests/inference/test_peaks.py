"""Peaks: known Gaussians in, the same peaks out."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from relion_attn_picker.inference.peaks import find_peaks
from relion_attn_picker.picks import ProbabilityMap


def gaussians(shape: tuple[int, int], yx: np.ndarray, height: np.ndarray, sigma: float) -> ProbabilityMap:
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    values = np.zeros(shape)
    for (y, x), h in zip(yx, height, strict=True):
        values = np.maximum(values, h * np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / (2 * sigma**2)))
    return ProbabilityMap(values.astype(np.float32), 5.0)


def test_known_gaussians_come_back_to_a_tenth_of_a_pixel() -> None:
    yx = np.array([[20.3, 30.7], [60.0, 41.5], [44.8, 90.1]])
    height = np.array([0.7, 0.9, 0.8])
    peaks = find_peaks(gaussians((100, 120), yx, height, 4.0), 0.3, 10)
    order = np.argsort(-height)
    np.testing.assert_allclose(peaks.yx, yx[order], atol=0.1)
    np.testing.assert_allclose(peaks.score, height[order] * 16 / 17, atol=0.02)  # smoothing by 1 px: s²/(s² + 1)
    assert peaks.pixel_size == 5.0


def test_flipped_map_gives_flipped_peaks(rng: np.random.Generator) -> None:
    values = rng.random((60, 80)).astype(np.float32)
    forward = find_peaks(ProbabilityMap(values, 1.0), 0.3, 6)
    mirrored = find_peaks(ProbabilityMap(np.ascontiguousarray(values[:, ::-1]), 1.0), 0.3, 6)
    np.testing.assert_allclose(mirrored.yx[:, 1], 79 - forward.yx[:, 1], atol=1e-3)
    np.testing.assert_allclose(mirrored.yx[:, 0], forward.yx[:, 0], atol=1e-3)


def test_minimum_distance_is_kept_and_no_candidate_is_lost_in_vain(rng: np.random.Generator) -> None:
    probability_map = ProbabilityMap(rng.random((150, 150)).astype(np.float32), 1.0)
    everything = find_peaks(probability_map, 0.1, 0)
    kept = find_peaks(probability_map, 0.1, 9)
    distances = cdist(kept.yx, kept.yx)
    np.fill_diagonal(distances, np.inf)
    assert distances.min() >= 9
    nearest = cdist(everything.yx, kept.yx).min(axis=1)
    assert nearest.max() < 9  # every candidate is a peak or lies near a higher one


def test_cutting_at_a_threshold_afterwards_is_the_same(rng: np.random.Generator) -> None:
    probability_map = ProbabilityMap(rng.random((90, 90)).astype(np.float32), 1.0)
    low, high = find_peaks(probability_map, 0.1, 8), find_peaks(probability_map, 0.55, 8)
    np.testing.assert_array_equal(low.yx[low.score >= 0.55], high.yx)


def test_flat_peak_counts_once_at_its_centre() -> None:
    values = np.zeros((40, 40), dtype=np.float32)
    values[10:15, 20:27] = 1
    peaks = find_peaks(ProbabilityMap(values, 1.0), 0.5, 0, smoothing_px=0)
    np.testing.assert_array_equal(peaks.yx, [[12, 23]])


def test_hollow_plateau_stays_on_the_plateau() -> None:
    values = np.zeros((40, 40), dtype=np.float32)
    values[10:21, 10:21] = 0.9
    values[12:19, 12:19] = 0
    ((y, x),) = find_peaks(ProbabilityMap(values, 1.0), 0.5, 0, smoothing_px=0).yx
    assert values[int(y), int(x)] == np.float32(0.9)


def test_constant_image_has_at_most_one_peak() -> None:
    assert len(find_peaks(ProbabilityMap(np.full((30, 30), 0.8, np.float32), 1.0), 0.5, 5).score) <= 1


def test_empty_map() -> None:
    peaks = find_peaks(ProbabilityMap(np.zeros((30, 30), np.float32), 1.0), 0.5, 5)
    assert peaks.yx.shape == (0, 2)
    assert peaks.score.shape == (0,)


def test_equal_peaks_are_ordered_by_place() -> None:
    yx = np.array([[40.0, 10.0], [10.0, 40.0], [10.0, 10.0]])
    peaks = find_peaks(gaussians((50, 50), yx, np.full(3, 0.9), 3.0), 0.5, 5)
    np.testing.assert_allclose(peaks.yx, [[10, 10], [10, 40], [40, 10]], atol=1e-3)


def test_peak_on_the_outline_is_found() -> None:
    probability_map = gaussians((50, 60), np.array([[0.0, 30.0], [25.0, 30.0]]), np.array([0.9, 0.8]), 3.0)
    assert len(find_peaks(probability_map, 0.5, 5).score) == 2


@pytest.mark.parametrize("place", [(0, 30), (49, 30), (25, 0), (25, 59), (0, 0), (49, 59)])
def test_odds_on_the_outline_are_halved(place: tuple[int, int]) -> None:
    values = np.zeros((50, 60), np.float32)
    values[place] = 0.8  # odds of 4
    (peak,) = find_peaks(ProbabilityMap(values, 1.0), 0.5, 5, smoothing_px=0).score
    assert peak == pytest.approx(2 / 3)  # odds of 2
    assert len(find_peaks(ProbabilityMap(values, 1.0), 0.7, 5, smoothing_px=0).score) == 0


def test_odds_one_pixel_inside_are_as_they_were() -> None:
    values = np.zeros((50, 60), np.float32)
    values[1, 58] = 0.8
    (peak,) = find_peaks(ProbabilityMap(values, 1.0), 0.5, 5, smoothing_px=0).score
    assert peak == pytest.approx(0.8)


def test_half_sure_peak_on_the_outline_gives_way_to_a_surer_one_inside() -> None:
    values = np.zeros((50, 60), np.float32)
    values[0, 30], values[4, 30] = 0.8, 0.7
    (centre,) = find_peaks(ProbabilityMap(values, 1.0), 0.5, 6, smoothing_px=0).yx
    np.testing.assert_allclose(centre, [4, 30])


def test_highest_peak_comes_first() -> None:
    yx = np.array([[10.0, 10.0], [30.0, 30.0], [10.0, 40.0]])
    peaks = find_peaks(gaussians((50, 50), yx, np.array([0.6, 0.9, 0.7]), 3.0), 0.3, 5)
    np.testing.assert_allclose(peaks.yx, [[30, 30], [10, 40], [10, 10]], atol=1e-2)


def test_ten_thousand_peaks() -> None:
    grid = np.zeros((1000, 1000), dtype=np.float32)
    grid[5::10, 5::10] = np.random.default_rng(1).uniform(0.9, 1, (100, 100))
    peaks = find_peaks(ProbabilityMap(grid, 1.0), 0.05, 9)
    assert len(peaks.score) == 10_000


@pytest.mark.parametrize("sigma", [2.0, 4.0])
def test_sub_pixel_centre_is_unbiased(sigma: float) -> None:
    for offset in np.linspace(-0.45, 0.45, 7):
        peaks = find_peaks(gaussians((41, 41), np.array([[20 + offset, 20.0]]), np.ones(1), sigma), 0.3, 5)
        assert peaks.yx[0, 0] == pytest.approx(20 + offset, abs=0.05)
        assert peaks.yx[0, 1] == pytest.approx(20.0, abs=1e-4)
