"""What is made of molecules and yet is no particle: empty micelles, filaments and vesicles, as beads.

Each function returns beads: places ``(n, 2)`` in Å, excess scattering lengths ``(n,)`` in Å, and the discs that cover
them, ``(m, 3)``: centre and radius in Å.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from relion_attn_picker.simulation.chance import log_uniform
from relion_attn_picker.simulation.particles import PROTEIN_SCATTERING, Points

DETERGENT_SCATTERING = 0.035
"""Excess scattering length of detergent and lipid over water, Å per Å³: about half of protein's."""

Debris = tuple[Points, Points, Points]


def micelle(extent: tuple[float, float], rng: np.random.Generator) -> Debris:
    """Draw an empty micelle: a flat ball of detergent 60 to 80 Å across, seen from anywhere."""
    axes = 0.5 * rng.uniform(60, 80) * np.array([1.0, 1.0, rng.uniform(0.5, 0.9)])
    points = _ball(400, rng) * axes
    tilt = rng.uniform(0, np.pi)
    seen = np.column_stack([np.cos(tilt) * points[:, 0] + np.sin(tilt) * points[:, 2], points[:, 1]])
    centre = rng.uniform((0, 0), extent)
    weight = np.full(400, DETERGENT_SCATTERING * 4 / 3 * np.pi * axes.prod() / 400)
    return seen + centre, weight, np.array([[*centre, axes[0]]])


def filament(extent: tuple[float, float], rng: np.random.Generator) -> Debris:
    """Draw a fibre of protein 50 to 250 Å across that crosses much of the field, straight or winding."""
    radius, length = 0.5 * log_uniform(50, 250, rng), rng.uniform(0.3, 1.5) * max(extent)
    step = 0.4 * radius
    count = int(length / step) + 2
    heading = rng.uniform(0, 2 * np.pi) + np.cumsum(rng.normal(0, np.sqrt(step / log_uniform(1e3, 3e4, rng)), count))
    spine = rng.uniform((0, 0), extent) + np.cumsum(step * np.column_stack([np.sin(heading), np.cos(heading)]), axis=0)
    spine -= spine.mean(axis=0) - rng.uniform((0, 0), extent)
    per_step = 12
    across = np.sqrt(rng.random((count, per_step))) * np.sin(rng.uniform(0, 2 * np.pi, (count, per_step))) * radius
    normal = np.column_stack([np.cos(heading), -np.sin(heading)])
    along = rng.uniform(-step / 2, step / 2, (count, per_step, 1)) * normal[:, None, ::-1] * [-1, 1]
    points = spine[:, None] + across[..., None] * normal[:, None] + along
    filling = log_uniform(0.2, 0.8, rng)
    weight = np.full(count * per_step, filling * PROTEIN_SCATTERING * np.pi * radius**2 * step / per_step)
    return points.reshape(-1, 2), weight, np.column_stack([spine, np.full(count, 1.1 * radius)])


def vesicle(extent: tuple[float, float], rng: np.random.Generator) -> Debris:
    """Draw a closed membrane of 150 to 700 Å radius, often out of round: a ring of two leaflets 35 Å apart."""
    radius, stretch, turn = log_uniform(150, 700, rng), rng.uniform(0.7, 1.0), rng.uniform(0, np.pi)
    count = int(np.clip(4 * np.pi * radius**2 / 60, 2_000, 60_000))
    direction = rng.normal(size=(count, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    depth = radius + rng.choice([-17.5, 17.5], count)[:, None] + rng.normal(0, 3, (count, 1))
    along, across = (direction * depth)[:, 0], (direction * depth)[:, 1] * stretch
    centre = rng.uniform((0, 0), extent)
    points = np.column_stack(
        [np.cos(turn) * along - np.sin(turn) * across, np.sin(turn) * along + np.cos(turn) * across]
    )
    weight = np.full(count, DETERGENT_SCATTERING * 4 * np.pi * radius**2 * stretch * 20 / count)
    return points + centre, weight, np.array([[*centre, radius + 25]])


DEBRIS: dict[str, Callable[[tuple[float, float], np.random.Generator], Debris]] = {
    "micelles": micelle,
    "filaments": filament,
    "vesicles": vesicle,
}


def _ball(count: int, rng: np.random.Generator) -> Points:
    direction = rng.normal(size=(count, 3))
    return np.asarray(
        direction * rng.random((count, 1)) ** (1 / 3) / np.linalg.norm(direction, axis=1, keepdims=True)
    )
