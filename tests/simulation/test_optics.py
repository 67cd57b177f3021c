"""The lens against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from relion_attn_picker.micrograph import CtfParameters
from relion_attn_picker.simulation.grid import Grid
from relion_attn_picker.simulation.optics import (
    Optics,
    electron_wavelength,
    image_intensity,
    interaction_constant,
    phase_per_scattering,
    radiation_damage,
    relative_mean_free_path,
)

GRID = Grid((96, 128), 4.0)


def make_optics(defocus: float = 15_000.0, *, astigmatism: float = 0.0, angle: float = 0.0, **others: float) -> Optics:
    values = {"voltage": 300.0, "spherical_aberration": 2.7, "amplitude_contrast": 0.1, "envelope": 100.0} | others
    shift = values.pop("phase_shift", 0.0)
    half = astigmatism / 2
    return Optics(ctf=CtfParameters(defocus + half, defocus - half, angle, shift), **values)


def blob(strength: float) -> torch.Tensor:
    y, x = GRID.axes(40 * 4.0, 70 * 4.0)
    return strength * torch.exp(-(y**2 + x**2) / (18 * 16))


def intensity(phase: torch.Tensor, optics: Optics, absorption: float = 0.0) -> np.ndarray:
    return image_intensity(phase, optics.amplitude_of(phase) + absorption, optics, GRID).numpy()


@pytest.mark.parametrize(("voltage", "wavelength"), [(100, 0.0370), (200, 0.0251), (300, 0.0197)])
def test_wavelength_is_the_tabulated_one(voltage: float, wavelength: float) -> None:
    assert electron_wavelength(voltage) == pytest.approx(wavelength, abs=5e-5)


def test_150_angstroms_of_protein_shift_the_phase_by_a_third() -> None:
    assert phase_per_scattering(300) * 0.0724 * 150 == pytest.approx(0.34, abs=0.005)


def test_first_zero_without_aberration() -> None:
    optics = make_optics(spherical_aberration=0.0, amplitude_contrast=0.0, envelope=0.0)
    k = 1 / np.sqrt(electron_wavelength(300) * 15_000)
    length = 1000
    transfer = optics.contrast_transfer(Grid((1, length), 1 / (k * 10)))[0].numpy()  # frequency number 100 is k
    assert abs(transfer[100]) < 1e-3
    assert (transfer[1:100] < 0).all()  # underfocus: dark


def test_first_zero_with_aberration_and_amplitude_contrast() -> None:
    optics = make_optics(envelope=0.0)
    wavelength = electron_wavelength(300)
    a, b = np.pi / 2 * 2.7e7 * wavelength**3, np.pi * wavelength * 15_000
    wanted = np.pi - np.arcsin(0.1)  # b k² - a k⁴ = π - asin A
    k = np.sqrt((b - np.sqrt(b**2 - 4 * a * wanted)) / (2 * a))
    assert abs(float(optics.contrast_transfer(Grid((1, 1000), 1 / (k * 10)))[0, 100])) < 1e-3


@pytest.mark.parametrize(("angle", "along_x", "along_y"), [(0.0, 16_000, 14_000), (90.0, 14_000, 16_000)])
def test_astigmatism_has_its_axis_at_the_angle(angle: float, along_x: float, along_y: float) -> None:
    aberration = make_optics(astigmatism=2000, angle=angle).phase_aberration(Grid((64, 64), 4.0))
    np.testing.assert_allclose(aberration[0], make_optics(along_x).phase_aberration(Grid((64, 64), 4.0))[0], atol=1e-3)
    np.testing.assert_allclose(
        aberration[:, 0], make_optics(along_y).phase_aberration(Grid((64, 64), 4.0))[:, 0], atol=1e-3
    )


def test_astigmatism_at_45_degrees_splits_the_diagonals() -> None:
    aberration = make_optics(astigmatism=2000, angle=45).phase_aberration(Grid((64, 64), 4.0))
    whole, half = (make_optics(defocus).phase_aberration(Grid((64, 64), 4.0)) for defocus in (16_000, 14_000))
    assert float(aberration[5, 5]) == pytest.approx(float(whole[5, 5]), abs=1e-3)
    assert float(aberration[5, -5]) == pytest.approx(float(half[5, -5]), abs=1e-3)


@pytest.mark.parametrize("phase_shift", [0.0, 90.0])
def test_weak_phase_limit(phase_shift: float) -> None:
    optics = make_optics(astigmatism=500, angle=30, phase_shift=phase_shift)
    phase = blob(1e-3)
    transfer = optics.contrast_transfer(GRID).double().numpy()
    expected = np.real(np.fft.ifft2(np.fft.fft2(phase.double().numpy()) * transfer)) / np.cos(np.arcsin(0.1))
    np.testing.assert_allclose(intensity(phase, optics) - 1, expected, atol=0.01 * np.abs(expected).max())


def test_nothing_in_the_field_leaves_one_electron_of_each() -> None:
    np.testing.assert_allclose(intensity(blob(0.0), make_optics()), 1, atol=1e-5)


def test_absorption_takes_intensity() -> None:
    np.testing.assert_allclose(intensity(blob(0.0), make_optics(), 0.05), np.exp(-0.1), atol=1e-5)


def test_strong_object_is_dark_and_no_electron_is_negative() -> None:
    image = intensity(blob(2.0), make_optics())
    assert image[40, 70] < 0.7
    assert image.min() >= 0


@pytest.mark.parametrize(("voltage", "constant"), [(200, 7.29e-4), (300, 6.53e-4)])
def test_interaction_constant_is_the_tabulated_one(voltage: float, constant: float) -> None:
    assert interaction_constant(voltage) == pytest.approx(constant, rel=0.005)


@pytest.mark.parametrize(("resolution", "left"), [(20.0, 0.74), (10.0, 0.47)])
def test_radiation_damage_after_50_electrons(resolution: float, left: float) -> None:
    assert float(radiation_damage(torch.tensor(resolution**-2), 50.0, 300.0)) == pytest.approx(left, abs=0.005)


@pytest.mark.parametrize(("voltage", "relative"), [(100, 0.498), (200, 0.802), (300, 1.0)])
def test_mean_free_path_follows_the_square_of_the_speed(voltage: float, relative: float) -> None:
    assert relative_mean_free_path(voltage) == pytest.approx(relative, abs=0.001)


def test_radiation_damage_is_the_mean_over_the_exposure() -> None:
    critical = 0.8 * (0.245 * 15**1.665 + 2.81)  # e/Å² at 1/15 Å and 200 kV
    exposed = np.linspace(0, 40, 2001)
    expected = np.trapezoid(np.exp(-exposed / (2 * critical)), exposed) / 40
    assert float(radiation_damage(torch.tensor(15.0**-2), 40.0, 200.0)) == pytest.approx(expected, rel=2e-3)


def test_radiation_damage_spares_slow_waves_and_short_exposures() -> None:
    k2 = torch.tensor([0.0, 1e-4, 0.01, 0.04])
    damage = radiation_damage(k2, 50.0, 300.0)
    assert damage[0] == pytest.approx(1, abs=1e-3)
    assert (torch.diff(damage) < 0).all()
    torch.testing.assert_close(radiation_damage(k2, 1e-4, 300.0), torch.ones(4))
