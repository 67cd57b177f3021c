"""Random fields: structural noise of ice and of unresolved protein, and slow changes of brightness."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy.fft

from relion_attn_picker.picks import FloatArray
from relion_attn_picker.simulation.optics import phase_per_scattering, squared_frequencies

WATER_MOLECULES = 0.0311
"""Water molecules per Å³ of vitreous ice (0.93 g/cm³)."""

WATER_SCATTERING = 3.04
"""Electron scattering length of a water molecule in Å."""

WATER_MOTION = 1.1 / 3
"""Mean squared displacement of water per axis, Å² per e/Å² (McMullan et al. 2015, Ultramicroscopy 158)."""


def gaussian_field(
    shape: tuple[int, int],
    pixel_size: float,
    spectral_density: Callable[[FloatArray], FloatArray],
    rng: np.random.Generator,
) -> FloatArray:
    """Return a Gaussian random field ``(h, w)`` whose power per frequency area is ``spectral_density(k²)``.

    Its variance is the integral of the density over all frequencies (1/Å) that the grid holds.
    """
    amplitude = np.sqrt(spectral_density(squared_frequencies(shape, pixel_size, half=True))) / np.float32(pixel_size)
    spectrum = scipy.fft.rfft2(rng.standard_normal(shape, dtype=np.float32), overwrite_x=True)
    spectrum *= amplitude
    return np.asarray(scipy.fft.irfft2(spectrum, shape, overwrite_x=True), dtype=np.float32)


def ice_spectral_density(k2: FloatArray, thickness: float, dose: float, voltage: float, structure: float) -> FloatArray:
    """Return the power of the phase that ``thickness`` Å of moving water makes: rad² Å² at ``k²`` (1/Å²).

    (λγ b)² n t S₀ (1 - exp(-a)) / a with a = (2πk)² u N / 2: water moves by u per axis and dose, so that fine
    structure averages out during an exposure of N = ``dose`` e/Å²; ``structure`` is S₀, 0.04 to 0.12.
    """
    a = np.maximum(k2 * np.float32(4 * np.pi**2 * WATER_MOTION * dose / 2), np.float32(1e-6))
    power = (phase_per_scattering(voltage) * WATER_SCATTERING) ** 2 * WATER_MOLECULES * thickness * structure
    return np.asarray(-np.expm1(-a) / a * np.float32(power))


def protein_spectral_density(k2: FloatArray, power: float, radius_of_gyration: float) -> FloatArray:
    """Return the power of unresolved protein: ``power`` exp(-(2πk Rg)² / 3) at ``k²``, Guinier's law (1939)."""
    return np.asarray(np.exp(k2 * np.float32(-((2 * np.pi * radius_of_gyration) ** 2) / 3)) * np.float32(power))


def mottling(shape: tuple[int, int], pixel_size: float, period: float, rng: np.random.Generator) -> FloatArray:
    """Return a field of standard deviation 1 with patches of about ``period`` Å: the look of crystalline ice."""
    field = gaussian_field(
        shape, pixel_size, lambda k2: np.exp(-np.square(np.sqrt(k2) * period - 1) / 0.2).astype(np.float32), rng
    )
    return np.asarray((field - field.mean()) / max(float(field.std()), 1e-9), dtype=np.float32)


def shading(shape: tuple[int, int], rng: np.random.Generator, waves: int = 4) -> FloatArray:
    """Return a smooth field ``(h, w)`` of mean 0 and standard deviation 1: a sum of ``waves``² half cosines."""
    order = np.arange(waves)
    along_y, along_x = (np.cos(np.pi * order * (np.arange(n)[:, None] + 0.5) / n) for n in shape)
    strength = rng.normal(size=(waves, waves)) / (1 + np.hypot(order[:, None], order))
    field = along_y @ strength @ along_x.T
    return np.asarray((field - field.mean()) / max(field.std(), 1e-9), dtype=np.float32)
