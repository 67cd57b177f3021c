"""Random fields: structural noise of ice and of unresolved protein, and slow shading."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy.fft
from numpy.typing import NDArray
from scipy.ndimage import zoom

from relion_attn_picker.simulation.optics import frequencies, phase_per_scattering

FloatField = NDArray[np.float64]

WATER_MOLECULES = 0.0311
"""Water molecules per Å³ of vitreous ice (0.93 g/cm³)."""

WATER_SCATTERING = 3.04
"""Electron scattering length of a water molecule in Å."""

WATER_MOTION = 1.1 / 3
"""Mean squared displacement of water per axis, Å² per e/Å² (McMullan et al. 2015, Ultramicroscopy 158)."""


def gaussian_field(
    shape: tuple[int, int],
    pixel_size: float,
    spectral_density: Callable[[FloatField], FloatField],
    rng: np.random.Generator,
) -> FloatField:
    """Return a Gaussian random field ``(h, w)`` whose power per frequency area is ``spectral_density(k)``.

    Its variance is the integral of the density over all frequencies (1/Å) that the grid holds.
    """
    ky, kx = frequencies(shape, pixel_size)
    amplitude = np.sqrt(spectral_density(np.hypot(ky, kx))) / pixel_size
    return np.asarray(np.real(scipy.fft.ifft2(scipy.fft.fft2(rng.normal(size=shape)) * amplitude)))


def ice_spectral_density(k: FloatField, thickness: float, dose: float, voltage: float, structure: float) -> FloatField:
    """Return the power of the phase that ``thickness`` Å of moving water makes: rad² Å² at frequency ``k`` (1/Å).

    (λγ b)² n t S₀ (1 - exp(-a)) / a with a = (2πk)² u N / 2: water moves by u per axis and dose, so that fine
    structure averages out during an exposure of N = ``dose`` e/Å²; ``structure`` is S₀, 0.04 to 0.12.
    """
    a = np.square(2 * np.pi * k) * WATER_MOTION * dose / 2
    blur = np.where(a > 1e-6, -np.expm1(-a) / np.maximum(a, 1e-6), 1.0)
    power = np.square(phase_per_scattering(voltage) * WATER_SCATTERING) * WATER_MOLECULES * thickness * structure
    return np.asarray(power * blur)


def protein_spectral_density(k: FloatField, power: float, radius_of_gyration: float) -> FloatField:
    """Return the power of unresolved protein: ``power`` exp(-(2πk Rg)² / 3), Guinier's law (1939)."""
    return power * np.exp(-np.square(2 * np.pi * k * radius_of_gyration) / 3)


def shading(shape: tuple[int, int], rng: np.random.Generator, nodes: int = 4) -> FloatField:
    """Return a smooth field ``(h, w)`` of standard deviation 1: cubic interpolation of ``nodes``² random values."""
    coarse = rng.normal(size=(nodes, nodes))
    smooth = zoom(coarse, (shape[0] / nodes, shape[1] / nodes), order=3, mode="nearest", grid_mode=True)
    field = np.empty(shape)
    field[:] = smooth[: shape[0], : shape[1]]
    return np.asarray((field - field.mean()) / max(field.std(), 1e-9))
