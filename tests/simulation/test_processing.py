"""Later programs' filters against scipy's and against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage
import torch

from relion_attn_picker.simulation import processing


@pytest.fixture
def noise(rng: np.random.Generator) -> torch.Tensor:
    return torch.as_tensor(rng.standard_normal((96, 120), dtype=np.float32)) + 5


@pytest.mark.parametrize("order", [6, 24])
def test_lowpass_halves_the_power_at_its_cutoff(order: int) -> None:
    y = torch.arange(128.0)[:, None] + torch.zeros((1, 96))
    for cycles, power in ((8, 1.0), (16, 0.5), (32, 0.0)):  # cutoff 0.25 of Nyquist is 16 cycles in 128 pixels
        wave = torch.cos(2 * np.pi * cycles * y / 128)
        filtered = processing.lowpass(wave, 0.25, order)
        assert float(filtered.var()) == pytest.approx(power * float(wave.var()), abs=2e-3)


def test_gaussian_is_scipys(noise: torch.Tensor) -> None:
    expected = scipy.ndimage.gaussian_filter(noise.numpy(), 2.0, mode="wrap", truncate=8)
    np.testing.assert_allclose(processing.gaussian(noise, 2.0), expected, atol=1e-4)


def test_median_is_scipys(noise: torch.Tensor) -> None:
    expected = scipy.ndimage.median_filter(noise.numpy(), 3, mode="mirror")
    np.testing.assert_array_equal(processing.median(noise), expected)


def test_wiener_is_lees(noise: torch.Tensor) -> None:
    values = noise.double().numpy()
    mean = scipy.ndimage.uniform_filter(values, 7, mode="nearest")
    variance = scipy.ndimage.uniform_filter(values**2, 7, mode="nearest") - mean**2
    expected = mean + (values - mean) * np.maximum(1 - variance.mean() / variance, 0)
    np.testing.assert_allclose(processing.wiener(noise, 3.0), expected, atol=1e-3)


def test_guided_filter_keeps_a_strong_edge_and_smooths_noise(noise: torch.Tensor) -> None:
    step = torch.zeros(96, 120)
    step[:, 60:] = 1000
    smooth = processing.guided(noise + step, 3.0)
    assert float(smooth[:, 70:].std()) < 0.9 * float(noise[:, 70:].std())
    assert float(smooth[:, 60].mean() - smooth[:, 59].mean()) > 2 * 1000 / 7  # a plain average leaves a seventh
    assert float(processing.guided(noise, 3.0).std()) < 0.6 * float(noise.std())


def test_equalised_noise_is_uniform_whatever_its_strength(noise: torch.Tensor) -> None:
    y = torch.linspace(1, 4, 96)[:, None]
    ranks = processing.equalise((noise - 5) * y, 10.0)
    assert float(ranks.min()) >= 0
    assert float(ranks.max()) <= 1
    for part in (ranks[:48], ranks[48:]):
        assert float(part.std()) == pytest.approx(1 / np.sqrt(12), rel=0.15)


def test_quantised_image_has_256_values(noise: torch.Tensor) -> None:
    values = processing.quantise(noise, 0.0)
    np.testing.assert_array_equal(values, values.round())
    assert (float(values.min()), float(values.max())) == (0, 255)
    assert np.corrcoef(values.ravel(), noise.ravel())[0, 1] > 0.999


def test_stretch_clips_the_share_asked_for(noise: torch.Tensor) -> None:
    values = processing.stretch(noise, 0.5, 0.05)
    assert float((values == 0).float().mean()) == pytest.approx(0.05, abs=0.01)
    assert float((values == 1).float().mean()) == pytest.approx(0.05, abs=0.01)


@pytest.mark.parametrize("name", processing.DENOISING)
def test_denoising_calms_noise_and_leaves_the_mean(name: str, noise: torch.Tensor) -> None:
    denoise, _, longest = processing.DENOISING[name]
    calm = denoise(noise, longest * 24)
    assert float(calm.std()) < 0.7 * float(noise.std())
    assert float(calm.mean()) == pytest.approx(float(noise.mean()), abs=0.05)


@pytest.mark.parametrize("name", processing.DENOISING)
def test_constant_image_stays_constant(name: str) -> None:
    flat = torch.full((40, 50), 3.0)
    torch.testing.assert_close(processing.DENOISING[name][0](flat, 2.0), flat, atol=1e-4, rtol=0)
