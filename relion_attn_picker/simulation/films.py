"""Support films at the edge of a hole: amorphous carbon and polycrystalline gold."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from relion_attn_picker.simulation.chance import Chance, log_uniform
from relion_attn_picker.simulation.grid import Grid
from relion_attn_picker.simulation.ice import gaussian_field, protein_spectral_density, standardise
from relion_attn_picker.simulation.optics import interaction_constant, phase_per_scattering

CARBON_POTENTIAL = 9.1
"""Mean inner potential of amorphous carbon in V, as cisTEM's simulator takes it (Himes & Grigorieff 2021)."""

CARBON_SCATTERING = 2.51
"""Electron scattering length of a carbon atom in Å (Kirkland 2010, appendix C)."""

CARBON_ATOMS = 0.09
"""Carbon atoms per Å³ of an amorphous film of 1.8 g/cm³."""

CARBON_ABSORPTION = 2000.0
"""Å of carbon that let 1/e of the electrons through: films of 100 to 300 Å darken by 5 to 14 %, as films do."""

GOLD_POTENTIAL = 25.0
"""Mean inner potential of gold in V, of which published values lie between 21 and 30."""


@dataclass(frozen=True)
class Layer:
    """Something in the way of the electrons: phase in rad, absorption as an exponent, and where it lies, ``(h, w)``."""

    phase: Tensor
    absorption: Tensor
    mask: Tensor


@dataclass(frozen=True)
class Hole:
    """A round hole with an uneven rim: centre and radius in Å, ``waves`` of the rim (number, height in Å, turn)."""

    centre: tuple[float, float]
    radius: float
    waves: tuple[tuple[int, float, float], ...]

    def beyond_rim(self, y: Tensor, x: Tensor) -> Tensor:
        """Return how far in Å the places (y, x) in Å lie beyond the rim; negative in the hole."""
        dy, dx = y - self.centre[0], x - self.centre[1]
        beyond = torch.hypot(dy, dx) - self.radius
        angle = torch.atan2(dy, dx)
        for number, height, turn in self.waves:
            beyond += height * torch.cos(number * angle + turn)
        return beyond


def draw_hole(extent: tuple[float, float], rng: np.random.Generator) -> Hole:
    """Draw a hole of 1 to 1.8 µm whose rim crosses a field of ``extent`` (Å)."""
    radius, direction = rng.uniform(5_000, 9_000), rng.uniform(0, 2 * np.pi)
    from_middle = rng.uniform(0.1, 0.48) * min(extent) - radius
    centre = extent[0] / 2 + from_middle * np.sin(direction), extent[1] / 2 + from_middle * np.cos(direction)
    roughness = log_uniform(50, 300, rng)
    waves = tuple((n, float(rng.normal(0, roughness / n)), float(rng.uniform(0, 6.28))) for n in (7, 19, 43, 97))
    return Hole((float(centre[0]), float(centre[1])), float(radius), waves)


def carbon_film(hole: Hole, grid: Grid, voltage: float, chance: Chance) -> Layer:
    """Draw a carbon film of 100 to 300 Å round a hole, with a sharp or a soft edge."""
    thickness, disorder = chance.rng.uniform(100, 300), chance.rng.uniform(0.1, 1.0)
    cover, mask = _cover(hole, grid, log_uniform(4, 100, chance.rng))
    power = (phase_per_scattering(voltage) * CARBON_SCATTERING) ** 2 * CARBON_ATOMS * thickness * disorder
    grain = gaussian_field(grid, lambda k2: torch.full_like(k2, power), chance)
    film = interaction_constant(voltage) * CARBON_POTENTIAL * thickness
    return Layer(cover * (grain + film), cover * (thickness / (2 * CARBON_ABSORPTION)), mask)


def gold_film(hole: Hole, grid: Grid, voltage: float, chance: Chance) -> Layer:
    """Draw a gold film of 300 to 500 Å, which lets 15 to 30 % of the electrons through, in grains of 50 to 200 Å."""
    thickness, transmission = chance.rng.uniform(300, 500), chance.rng.uniform(0.15, 0.3)
    cover, mask = _cover(hole, grid, log_uniform(4, 30, chance.rng))
    grain_radius = chance.rng.uniform(20, 80)
    grains = standardise(gaussian_field(grid, lambda k2: protein_spectral_density(k2, 1.0, grain_radius), chance))
    uneven = (1 + chance.rng.uniform(0.03, 0.12) * grains).clamp_min(0.2)
    film = interaction_constant(voltage) * GOLD_POTENTIAL * thickness
    return Layer(cover * uneven * film, cover * uneven * (-math.log(transmission) / 2), mask)


FILMS = {"carbon": carbon_film, "gold": gold_film}


def _cover(hole: Hole, grid: Grid, softness: float) -> tuple[Tensor, Tensor]:
    """Return the share of the film's thickness, 0 in the hole to 1, over a rim of some 4 ``softness`` (Å)."""
    beyond = hole.beyond_rim(*grid.axes())
    return torch.sigmoid(beyond / softness), beyond > 0
