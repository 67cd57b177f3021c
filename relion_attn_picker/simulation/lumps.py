"""Lumps of ice and ethane on the surface: domes and crystals, from larger than particles to smaller."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from relion_attn_picker.simulation.chance import log_uniform
from relion_attn_picker.simulation.films import Layer
from relion_attn_picker.simulation.grid import Grid
from relion_attn_picker.simulation.optics import interaction_constant

ICE_POTENTIAL = 4.5
"""Mean inner potential of water ice in V."""

FACETED = 0.3
"""Share of the lumps that are crystals with straight sides."""

FRINGED = 0.4
"""Share of the large lumps with bend fringes."""


@dataclass(frozen=True)
class Lump:
    """One lump: radius and height in Å, and Å of it that let 1/e of the electrons through."""

    radius: float
    height: float
    absorption_length: float


def draw_lump(rng: np.random.Generator) -> Lump:
    """Draw a lump of ice or ethane: radius lognormal round 350 Å, height 0.4 to 1.4 radii.

    Crystals scatter electrons beyond the aperture: they are darker than the 3950 Å of amorphous ice make them.
    """
    radius = float(np.clip(rng.lognormal(np.log(350), 0.6), 120, 2000))
    return Lump(radius, radius * rng.uniform(0.4, 1.4), log_uniform(1000, 4000, rng))


def draw_speck(particle_diameter: float, particle_phase: float, voltage: float, rng: np.random.Generator) -> Lump:
    """Draw a speck as large as particles: 40 to 150 Å across, or 0.3 to 1.2 particle diameters.

    Parameters
    ----------
    particle_diameter
        Å.
    particle_phase
        Mean phase of a particle within its disc, rad. A speck has 0.3 to 6 times this contrast, but not the size and
        the contrast of a particle at once: that no one could tell apart.
    voltage
        kV.
    rng
        Draws the speck.
    """
    size, contrast = 1.0, 1.0
    while 0.7 < size < 1.3 and 0.5 < contrast < 2:
        relative, absolute = log_uniform(0.3, 1.2, rng), log_uniform(40, 150, rng) / particle_diameter
        size = relative if rng.random() < 0.6 else absolute
        contrast = log_uniform(0.3, 6, rng)
    height = 2 * contrast * particle_phase / (interaction_constant(voltage) * ICE_POTENTIAL)
    return Lump(size * particle_diameter / 2, height, log_uniform(1000, 4000, rng))


def add_lump(layer: Layer, lump: Lump, grid: Grid, voltage: float, rng: np.random.Generator) -> None:
    """Put a lump with an irregular rim somewhere into a layer, in place."""
    centre = rng.uniform((0, 0), grid.extent)
    low, high = (
        np.clip(((centre + side * 1.8 * lump.radius) / grid.pixel_size).astype(int) + more, 0, grid.shape)
        for side, more in ((-1, 0), (1, 2))
    )
    part = Grid((int(high[0] - low[0]), int(high[1] - low[1])), grid.pixel_size, grid.device)
    if 0 in part.shape:
        return
    y, x = part.axes(*(centre - low * grid.pixel_size))
    height = lump.height * _profile(y / lump.radius, x / lump.radius, rng)
    window = slice(low[0], high[0]), slice(low[1], high[1])
    layer.phase[window] += height * (interaction_constant(voltage) * ICE_POTENTIAL)
    layer.absorption[window] += height * _fringes(y, x, lump, rng) / (2 * lump.absorption_length)
    layer.mask[window] |= height > 0


def _profile(y: Tensor, x: Tensor, rng: np.random.Generator) -> Tensor:
    """Return the relative height, 0 to 1, of a dome or a crystal of about unit radius."""
    stretch, turn = rng.uniform(0.6, 1.0), rng.uniform(0, np.pi)
    along, across = np.cos(turn) * x + np.sin(turn) * y, (np.cos(turn) * y - np.sin(turn) * x) / stretch
    if rng.random() < FACETED:
        angles = np.sort(rng.uniform(0, 2 * np.pi, int(rng.integers(4, 8)))) + rng.uniform(0, 0.3)
        from_middle = [(np.cos(a) * along + np.sin(a) * across) / rng.uniform(0.6, 1.0) for a in angles]
        inside = (1 - torch.stack([*from_middle, torch.hypot(along, across) / 1.4]).amax(dim=0)).clamp_min(0)
        return (inside / rng.uniform(0.1, 0.6)).clamp_max(1)
    angle = torch.atan2(across, along)
    rim = 1 + torch.zeros_like(angle)
    for number in (2, 3, 5, 7, 11):
        rim += rng.normal(0, 0.25 / number) * torch.cos(number * angle + rng.uniform(0, 6.28))
    depth = (1 - (torch.hypot(along, across) / rim.clamp(0.4, 1.7)) ** 2).clamp_min(0)
    return depth ** rng.uniform(0.3, 0.9)


def _fringes(y: Tensor, x: Tensor, lump: Lump, rng: np.random.Generator) -> Tensor | float:
    """Return factors round 1 on a lump's absorption: dark bands where a bent crystal meets Bragg's condition."""
    if lump.radius < 200 or rng.random() > FRINGED:
        return 1.0
    turn, period, bend = rng.uniform(0, np.pi), lump.radius * rng.uniform(0.15, 0.5), rng.uniform(-0.5, 0.5)
    along, across = np.cos(turn) * x + np.sin(turn) * y, np.cos(turn) * y - np.sin(turn) * x
    return 1 + rng.uniform(0.3, 0.9) * torch.cos(
        2 * np.pi * (along + bend * across**2 / lump.radius) / period + rng.uniform(0, 6.28)
    )
