"""Random fields have the power that they promise."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from relion_attn_picker.simulation.chance import Chance
from relion_attn_picker.simulation.grid import Grid, fast_length
from relion_attn_picker.simulation.ice import (
    gaussian_field,
    gaussian_spectrum,
    ice_spectral_density,
    mottling,
    protein_spectral_density,
    shading,
)

GRID = Grid((128, 160), 4.0)


@pytest.mark.parametrize("pixel_size", [1.0, 5.0])
def test_white_field_has_its_density(chance: Chance, pixel_size: float) -> None:
    field = gaussian_field(Grid((128, 160), pixel_size), lambda k2: torch.full_like(k2, 7.0), chance)
    assert field.shape == (128, 160)
    assert float(field.var()) == pytest.approx(7.0 / pixel_size**2, rel=0.05)


@pytest.mark.parametrize("shape", [(16, 12), (15, 12), (16, 11), (15, 11)])
def test_spectrum_is_that_of_a_real_field(chance: Chance, shape: tuple[int, int]) -> None:
    grid = Grid(shape, 2.0)
    drawn = [gaussian_spectrum(grid, lambda k2: torch.ones_like(k2), chance) for _ in range(2000)]
    for spectrum in drawn[:5]:
        back = torch.fft.rfft2(torch.fft.irfft2(spectrum, s=shape))
        torch.testing.assert_close(back, spectrum, atol=1e-4, rtol=1e-4)
    power = torch.stack(drawn).abs().square().mean(dim=0) * 2.0**2 / (shape[0] * shape[1])
    torch.testing.assert_close(power, torch.ones_like(power), atol=0.2, rtol=0)


@pytest.mark.parametrize(
    "density",
    [
        lambda k2: protein_spectral_density(k2, 3.0, 10.0),
        lambda k2: ice_spectral_density(k2, 500.0, 40.0, 300.0, 0.08),
    ],
    ids=["protein", "water"],
)
def test_coloured_field_has_its_spectrum(chance: Chance, density: object) -> None:
    fields = [gaussian_field(GRID, density, chance).double().numpy() for _ in range(40)]  # type: ignore[arg-type]
    h, w = GRID.shape
    power = np.mean([np.abs(np.fft.fft2(field)) ** 2 for field in fields], axis=0) * 4.0**2 / (h * w)
    k = np.hypot(np.fft.fftfreq(h, 4.0)[:, None], np.fft.fftfreq(w, 4.0))
    for low, high in ((0.0, 0.01), (0.02, 0.025), (0.03, 0.035)):
        ring = (k >= low) & (k < high)
        expected = density(torch.as_tensor(k[ring] ** 2)).numpy()  # type: ignore[operator]
        assert power[ring].mean() == pytest.approx(expected.mean(), rel=0.1)


def test_unresolved_protein_follows_guinier() -> None:
    k2 = torch.tensor([0.0, 0.02**2])
    expected = [3.0, 3.0 * np.exp(-((2 * np.pi * 0.02 * 10) ** 2) / 3)]
    np.testing.assert_allclose(protein_spectral_density(k2, 3.0, 10.0), expected, rtol=1e-5)


def test_moving_water_is_blurred_at_high_frequency_only() -> None:
    k2 = torch.tensor([0.0, 1 / 30**2, 1 / 3**2])
    still = ice_spectral_density(k2, 500, 1e-6, 300, 0.08).numpy()
    moving = ice_spectral_density(k2, 500, 50, 300, 0.08).numpy()
    assert still == pytest.approx((0.0313 * 3.04) ** 2 * 0.0311 * 500 * 0.08, rel=0.02)
    assert moving[0] == pytest.approx(still[0], rel=1e-3)


@pytest.mark.parametrize("resolution", [40.0, 15.0, 6.0, 3.0])
def test_moving_water_is_the_mean_of_what_it_was_at_each_moment(resolution: float) -> None:
    exposed = np.linspace(0, 50, 801)
    moved = 1.1 / 3 * np.abs(exposed[:, None] - exposed)  # mean square along one axis, Å²
    alike = np.exp(-((2 * np.pi / resolution) ** 2) * moved / 2)  # mean of the phase factors of a Gaussian step
    expected = np.trapezoid(np.trapezoid(alike, exposed, axis=1), exposed) / 50**2
    still, moving = (
        float(ice_spectral_density(torch.tensor([resolution**-2]), 500, dose, 300, 0.08)) for dose in (1e-6, 50)
    )
    assert moving / still == pytest.approx(expected, rel=2e-3)


def test_shading_is_smooth_and_of_unit_deviation(chance: Chance) -> None:
    field = shading(GRID, chance).numpy()
    assert field.mean() == pytest.approx(0, abs=1e-5)
    assert field.std() == pytest.approx(1, abs=1e-4)
    assert max(np.abs(np.diff(field, axis=0)).max(), np.abs(np.diff(field, axis=1)).max()) < 0.2


def test_mottling_has_its_period(chance: Chance) -> None:
    power = np.abs(np.fft.fft2(mottling(Grid((256, 256), 8.0), 400.0, chance).numpy())) ** 2
    k = np.hypot(*np.meshgrid(np.fft.fftfreq(256, 8.0), np.fft.fftfreq(256, 8.0)))
    assert float((k * power).sum() / power.sum()) == pytest.approx(1 / 400, rel=0.3)


@pytest.mark.parametrize("length", [1, 32, 33, 1124, 4100])
def test_fast_length_has_small_factors_only(length: int) -> None:
    fast = fast_length(length)
    assert length <= fast <= 1.2 * length + 32
    rest = fast
    for factor in (2, 3, 5):
        while rest % factor == 0:
            rest //= factor
    assert rest == 1
    assert fast % 32 == 0
