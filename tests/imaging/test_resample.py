"""Fourier resampling: the right place, the right height, nothing aliased."""

from __future__ import annotations

import numpy as np
import pytest

from relion_attn_picker.imaging.resample import SamplingRatio, choose_ratio, fourier_resample, output_length

RATIOS = [SamplingRatio(25, 4), SamplingRatio(10, 3), SamplingRatio(15, 17), SamplingRatio(2, 1), SamplingRatio(1, 3)]


def gaussian(shape: tuple[int, int], y: float, x: float, sigma: float) -> np.ndarray:
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    return np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / (2 * sigma**2)).astype(np.float32)


@pytest.mark.parametrize("factor", [0.05, 0.3, 0.8828, 1.0, 2.7182818, 6.25, 41.66, 125.3])
def test_ratio_is_within_half_a_percent(factor: float) -> None:
    ratio = choose_ratio(factor)
    assert ratio.factor == pytest.approx(factor, rel=0.005)


@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize("shape", [(301, 412), (256, 257)])
def test_blob_lands_at_its_place_with_its_height(ratio: SamplingRatio, shape: tuple[int, int]) -> None:
    y, x, sigma = 0.62 * shape[0], 0.3 * shape[1], 14.0
    resampled = fourier_resample(gaussian(shape, y, x, sigma), ratio)
    assert resampled.shape == tuple(output_length(length, ratio) for length in shape)
    assert resampled.dtype == np.float32
    expected = gaussian(resampled.shape, y / ratio.factor, x / ratio.factor, sigma / ratio.factor)
    assert np.abs(resampled - expected).max() < 0.01


@pytest.mark.parametrize("ratio", RATIOS)
def test_constant_image_stays_constant(ratio: SamplingRatio) -> None:
    resampled = fourier_resample(np.full((130, 90), 7.5, dtype=np.float32), ratio)
    np.testing.assert_allclose(resampled, 7.5, rtol=1e-5)


def test_fine_texture_does_not_alias() -> None:
    columns = np.arange(400)
    image = np.tile(np.cos(2 * np.pi * 0.4 * columns), (300, 1)).astype(np.float32)
    inner = fourier_resample(image, SamplingRatio(4, 1))[10:-10, 12:-12]
    assert np.abs(inner).max() < 0.02


def test_far_edge_does_not_wrap_round() -> None:
    image = np.zeros((256, 256), dtype=np.float32)
    image[:, -20:] = 100
    resampled = fourier_resample(image, SamplingRatio(4, 1))
    assert np.abs(resampled[:, :20]).max() < 1.0


def test_flipped_image_gives_flipped_result_where_the_grid_allows(rng: np.random.Generator) -> None:
    image = rng.normal(size=(121, 161)).astype(np.float32)
    ratio = SamplingRatio(5, 1)
    forward = fourier_resample(image, ratio)
    backward = fourier_resample(np.ascontiguousarray(image[::-1, ::-1]), ratio)[::-1, ::-1]
    np.testing.assert_allclose(forward, backward, atol=0.05)


def test_ratio_one_returns_the_image_itself() -> None:
    image = np.ones((20, 30), dtype=np.float32)
    assert fourier_resample(image, SamplingRatio(1, 1)) is image
