"""Random fields have the power that they promise."""

from __future__ import annotations

import numpy as np
import pytest

from relion_attn_picker.simulation.ice import (
    gaussian_field,
    ice_spectral_density,
    mottling,
    protein_spectral_density,
    shading,
)

SHAPE = (128, 160)


@pytest.mark.parametrize("pixel_size", [1.0, 5.0])
def test_white_field_has_its_density(rng: np.random.Generator, pixel_size: float) -> None:
    field = gaussian_field(SHAPE, pixel_size, lambda k2: np.full_like(k2, 7.0), rng)
    assert field.shape == SHAPE
    assert field.var() == pytest.approx(7.0 / pixel_size**2, rel=0.05)


def test_coloured_field_has_its_spectrum(rng: np.random.Generator) -> None:
    fields = [gaussian_field(SHAPE, 4.0, lambda k2: protein_spectral_density(k2, 3.0, 10.0), rng) for _ in range(40)]
    power = np.mean([np.abs(np.fft.fft2(field)) ** 2 for field in fields], axis=0) * 4.0**2 / (SHAPE[0] * SHAPE[1])
    ky, kx = np.fft.fftfreq(SHAPE[0], 4.0)[:, None], np.fft.fftfreq(SHAPE[1], 4.0)
    k = np.hypot(ky, kx)
    for low, high in ((0.0, 0.01), (0.02, 0.025), (0.03, 0.035)):
        ring = (k >= low) & (k < high)
        expected = 3.0 * np.exp(-((2 * np.pi * k[ring] * 10) ** 2) / 3)
        assert power[ring].mean() == pytest.approx(expected.mean(), rel=0.1)


def test_moving_water_is_blurred_at_high_frequency_only() -> None:
    k2 = np.array([0.0, 1 / 30**2, 1 / 3**2], dtype=np.float32)
    still = ice_spectral_density(k2, 500, 1e-6, 300, 0.08)
    moving = ice_spectral_density(k2, 500, 50, 300, 0.08)
    assert still == pytest.approx((0.0313 * 3.04) ** 2 * 0.0311 * 500 * 0.08, rel=0.02)
    assert moving[0] == pytest.approx(still[0], rel=1e-3)
    a = (2 * np.pi / 3) ** 2 * 1.1 / 3 * 50 / 2
    assert moving[2] / still[2] == pytest.approx((1 - np.exp(-a)) / a, rel=1e-3)


def test_shading_is_smooth_and_of_unit_deviation(rng: np.random.Generator) -> None:
    field = shading(SHAPE, rng)
    assert field.mean() == pytest.approx(0, abs=1e-5)
    assert field.std() == pytest.approx(1, abs=1e-4)
    assert max(np.abs(np.diff(field, axis=0)).max(), np.abs(np.diff(field, axis=1)).max()) < 0.2


def test_mottling_has_its_period(rng: np.random.Generator) -> None:
    field = mottling((256, 256), 8.0, 400.0, rng)
    power = np.abs(np.fft.fft2(field)) ** 2
    k = np.hypot(*np.meshgrid(np.fft.fftfreq(256, 8.0), np.fft.fftfreq(256, 8.0)))
    assert float((k * power).sum() / power.sum()) == pytest.approx(1 / 400, rel=0.3)
