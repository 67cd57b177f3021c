"""Random fields: structural noise of ice and of unresolved protein, and slow changes of brightness."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from relion_attn_picker.simulation.chance import Chance
from relion_attn_picker.simulation.grid import Grid
from relion_attn_picker.simulation.optics import phase_per_scattering

WATER_MOLECULES = 0.0311
"""Water molecules per Å³ of vitreous ice (0.93 g/cm³)."""

WATER_SCATTERING = 3.04
"""Electron scattering length of a water molecule in Å."""

WATER_MOTION = 1.1 / 3
"""Mean squared displacement of water per axis, Å² per e/Å² (McMullan et al. 2015, Ultramicroscopy 158)."""


def gaussian_spectrum(grid: Grid, spectral_density: Callable[[Tensor], Tensor], chance: Chance) -> Tensor:
    """Return the half Fourier transform of a Gaussian random field with ``spectral_density(k²)`` per frequency area.

    Drawn where it is needed, which saves a transform. The column of kx = 0 is its own mirror image, as that of the
    Nyquist frequency is: both come from real noise, so that the field is real.
    """
    h, w = grid.shape
    spectrum = torch.view_as_complex(chance.normal((h, w // 2 + 1, 2), grid.device)) * math.sqrt(0.5)
    own_mirror = [0, w // 2] if w % 2 == 0 else [0]
    columns = torch.fft.fft(chance.normal((len(own_mirror), h), grid.device)) / math.sqrt(h)
    for column, values in zip(own_mirror, columns, strict=True):
        spectrum[:, column] = values
    density = spectral_density(grid.squared_frequencies(half=True))
    return spectrum * torch.sqrt(density).mul_(math.sqrt(h * w) / grid.pixel_size)


def gaussian_field(grid: Grid, spectral_density: Callable[[Tensor], Tensor], chance: Chance) -> Tensor:
    """Return a Gaussian random field ``(h, w)`` whose power per frequency area is ``spectral_density(k²)``.

    Its variance is the integral of the density over all frequencies (1/Å) that the grid holds.
    """
    return grid.field_of(gaussian_spectrum(grid, spectral_density, chance))


def ice_spectral_density(k2: Tensor, thickness: float, dose: float, voltage: float, structure: float) -> Tensor:
    """Return the power of the phase that ``thickness`` Å of moving water makes: rad² Å² at ``k²`` (1/Å²).

    (λγ b)² n t S₀ · 2 (a - 1 + exp(-a)) / a² with a = (2πk)² u N / 2: water moves by u per axis and dose, so that fine
    structure averages out during an exposure of N = ``dose`` e/Å². Structures that a dose n lies between correlate by
    exp(-a n / N), and the power of their mean is the mean of that over all pairs. ``structure`` is S₀, 0.04 to 0.12.
    """
    a = (k2 * (4 * math.pi**2 * WATER_MOTION * dose / 2)).clamp_min_(1e-3)
    power = (phase_per_scattering(voltage) * WATER_SCATTERING) ** 2 * WATER_MOLECULES * thickness * structure
    return (a + torch.expm1(-a)) / a**2 * (2 * power)


def protein_spectral_density(k2: Tensor, power: float, radius_of_gyration: float) -> Tensor:
    """Return the power of unresolved protein: ``power`` exp(-(2πk Rg)² / 3) at ``k²``, Guinier's law (1939)."""
    return torch.exp(k2 * (-((2 * math.pi * radius_of_gyration) ** 2) / 3)) * power


def mottling(grid: Grid, period: float, chance: Chance) -> Tensor:
    """Return a field of standard deviation 1 with patches of about ``period`` Å: the look of crystalline ice."""
    return standardise(gaussian_field(grid, lambda k2: torch.exp(-((k2.sqrt() * period - 1) ** 2) / 0.2), chance))


def shading(grid: Grid, chance: Chance, waves: int = 4) -> Tensor:
    """Return a smooth field ``(h, w)`` of mean 0 and standard deviation 1: a sum of ``waves``² half cosines."""
    order = torch.arange(waves, device=grid.device, dtype=torch.float32)
    along_y, along_x = (
        torch.cos(math.pi / n * order * (torch.arange(n, device=grid.device)[:, None] + 0.5)) for n in grid.shape
    )
    strength = chance.normal((waves, waves), grid.device) / (1 + torch.hypot(order[:, None], order[None, :]))
    return standardise(along_y @ strength @ along_x.T)


def standardise(field: Tensor) -> Tensor:
    """Return a field of mean 0 and standard deviation 1."""
    return (field - field.mean()) / field.std().clamp_min(1e-9)
