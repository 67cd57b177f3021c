"""How strong a particle stands out, and how much noise brings it to a wanted ratio."""

from __future__ import annotations

import math

import numpy as np
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor

from relion_attn_picker.simulation.conditions import Conditions
from relion_attn_picker.simulation.grid import Grid
from relion_attn_picker.simulation.ice import ice_spectral_density, protein_spectral_density
from relion_attn_picker.simulation.optics import (
    Optics,
    phase_per_scattering,
    radiation_damage,
    relative_mean_free_path,
)
from relion_attn_picker.simulation.particles import BeadParticle
from relion_attn_picker.simulation.projection import Copies, blank, blur_transfer, scattering_spectrum, splat_copies

SNR_PIXELS = 24
"""Pixels per diameter at which ``Conditions.snr`` is meant."""

VIEWS = 3

LEAST_COUNTING = 0.1
"""Share of the noise that is at least that of counting: where water alone makes more, the ratio is not reached."""

ABSORPTION_LENGTH = 3950.0
"""Å of ice that let 1/e of the electrons through at 300 kV (Rice et al. 2018, J. Struct. Biol. 204)."""


def specimen_transfer(k2: Tensor, bead_radius: float, conditions: Conditions, grid: Grid) -> Tensor:
    """Return what makes the specimen's phase out of splatted beads (Å per pixel): blur, radiation damage and λγ."""
    damage = radiation_damage(k2, conditions.dose, conditions.voltage)
    scale = phase_per_scattering(conditions.voltage) / grid.pixel_size**2
    return blur_transfer(k2, bead_radius).mul_(damage).mul_(scale)


def water_density(k2: Tensor, conditions: Conditions) -> Tensor:
    """Return the power of moving water under the conditions; see ``ice.ice_spectral_density``."""
    return ice_spectral_density(
        k2, conditions.ice_thickness, conditions.dose, conditions.voltage, conditions.ice_structure
    )


def particle_phase(particle: BeadParticle, voltage: float) -> float:
    """Return the mean phase in rad of a particle within its disc."""
    return phase_per_scattering(voltage) * float(particle.weight.sum()) / (np.pi / 4 * particle.diameter**2)


def choose_noise_gain(
    particle: BeadParticle, optics: Optics, conditions: Conditions, rng: np.random.Generator
) -> float:
    """Return the factor on the variance of counting that brings a particle to ``conditions.snr``.

    Signal: mean square of the weak image of some views within the particle's disc. Noise: its power per frequency
    area, averaged over the band of a picker with ``SNR_PIXELS`` pixels per diameter; unresolved protein grows with the
    noise of counting, moving water does not.
    """
    side = 3 * SNR_PIXELS
    grid = Grid((side, side), particle.diameter / SNR_PIXELS)
    middle = np.array([[side / 2, side / 2]])
    y, x = grid.axes(*(middle[0] * grid.pixel_size))
    disc = torch.hypot(y, x) <= particle.diameter / 2
    transfer, k2 = optics.contrast_transfer(grid), grid.squared_frequencies()
    half = slice(side // 2 + 1)
    specimen = specimen_transfer(k2[:, half], particle.bead_radius, conditions, grid) * transfer[:, half]
    powers = []
    for rotation in Rotation.random(VIEWS, random_state=rng):
        total = blank(grid)
        splat_copies(total, particle, Copies(middle, Rotation.concatenate([rotation]), np.ones(1)), grid)
        image = grid.field_of(scattering_spectrum(total, grid) * specimen)
        powers.append(float(image[disc].square().mean()))
    water = float((water_density(k2, conditions) * transfer**2).mean())
    protein = protein_spectral_density(k2, conditions.protein_noise / 4, conditions.protein_noise_radius)
    wanted = float(np.mean(powers)) * grid.pixel_size**2 / conditions.snr
    counting = max(wanted - water, LEAST_COUNTING * wanted)
    electrons = conditions.dose * conditions.efficiency * ice_transmission(conditions)
    return electrons * counting / (1 + float((protein * transfer**2).mean()))


def ice_transmission(conditions: Conditions) -> float:
    """Return the share of the electrons that ice of the conditions' thickness lets through to the image."""
    length = ABSORPTION_LENGTH * relative_mean_free_path(conditions.voltage)
    return math.exp(-conditions.ice_thickness / length)
