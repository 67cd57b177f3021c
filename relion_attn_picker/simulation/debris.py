"""What is made of molecules and yet is no particle: empty micelles, filaments and vesicles, as beads.

Each function returns beads: places ``(n, 2)`` in Å, excess scattering lengths ``(n,)`` in Å, and the discs that cover
them, ``(m, 3)``: centre and radius in Å.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.spatial.transform import Rotation

from relion_attn_picker.simulation.chance import log_uniform
from relion_attn_picker.simulation.particles import PROTEIN_SCATTERING, Points

DETERGENT_SCATTERING = 0.035
"""Excess scattering length of detergent and lipid over water, Å per Å³: about half of protein's."""

LEAFLET = 25.0
"""Å of lipid that a membrane holds, both leaflets together."""

BEADS_PER_STEP = 24
"""Beads round a fibre at each step along it."""

Debris = tuple[Points, Points, Points]


def micelle(extent: tuple[float, float], rng: np.random.Generator) -> Debris:
    """Draw an empty micelle: a flat ball of detergent 60 to 80 Å across, seen from anywhere."""
    axes = 0.5 * rng.uniform(60, 80) * np.array([1.0, 1.0, rng.uniform(0.5, 0.9)])
    points = _ball(400, rng) * axes
    seen = Rotation.random(random_state=rng).apply(points)[:, :2]
    centre = rng.uniform((0, 0), extent)
    weight = np.full(400, DETERGENT_SCATTERING * 4 / 3 * np.pi * axes.prod() / 400)
    return seen + centre, weight, np.array([[*centre, axes[0]]])


def filament(extent: tuple[float, float], rng: np.random.Generator) -> Debris:
    """Draw a fibre of protein 50 to 250 Å across through much of the field: straight or winding, full or hollow."""
    radius, length = 0.5 * log_uniform(50, 250, rng), rng.uniform(0.3, 1.5) * max(extent)
    step = 0.15 * radius
    count = int(length / step) + 2
    heading = rng.uniform(0, 2 * np.pi) + np.cumsum(rng.normal(0, np.sqrt(step / log_uniform(1e3, 3e4, rng)), count))
    along = np.column_stack([np.sin(heading), np.cos(heading)])
    spine = np.cumsum(step * along, axis=0)
    spine += rng.uniform((0, 0), extent) - spine.mean(axis=0)
    depth = np.sqrt(rng.uniform(rng.choice([0.0, 0.6]) ** 2, 1, (count, BEADS_PER_STEP))) * radius
    turns = 2 * np.pi * (np.arange(BEADS_PER_STEP) + rng.random((count, 1))) / BEADS_PER_STEP
    across = (depth * np.sin(turns))[..., None] * (along[:, None, ::-1] * [-1, 1])
    points = spine[:, None] + across + rng.uniform(-step / 2, step / 2, (count, BEADS_PER_STEP, 1)) * along[:, None]
    filling = log_uniform(0.1, 0.6, rng)
    weight = np.full(count * BEADS_PER_STEP, filling * PROTEIN_SCATTERING * np.pi * radius**2 * step / BEADS_PER_STEP)
    return points.reshape(-1, 2), weight, np.column_stack([spine, np.full(count, 1.1 * radius)])[::5]


def vesicle(extent: tuple[float, float], rng: np.random.Generator) -> Debris:
    """Draw a closed membrane of 150 to 700 Å radius, often out of round: a ring of two leaflets 35 Å apart."""
    radius, stretch, turn = log_uniform(150, 700, rng), rng.uniform(0.7, 1.0), rng.uniform(0, np.pi)
    count = int(np.clip(4 * np.pi * radius**2 / 60, 2_000, 60_000))
    depth = radius + rng.choice([-17.5, 17.5], count)[:, None] + rng.normal(0, 3, (count, 1))
    along, across = (_sphere(count) * depth).T * [[1], [stretch]]
    centre = rng.uniform((0, 0), extent)
    points = np.column_stack(
        [np.cos(turn) * along - np.sin(turn) * across, np.sin(turn) * along + np.cos(turn) * across]
    )
    weight = np.full(count, DETERGENT_SCATTERING * 4 * np.pi * radius**2 * stretch * LEAFLET / count)
    return points + centre, weight, np.array([[*centre, radius + LEAFLET]])


DEBRIS: dict[str, Callable[[tuple[float, float], np.random.Generator], Debris]] = {
    "micelles": micelle,
    "filaments": filament,
    "vesicles": vesicle,
}


def _ball(count: int, rng: np.random.Generator) -> Points:
    direction = rng.normal(size=(count, 3))
    return np.asarray(direction * rng.random((count, 1)) ** (1 / 3) / np.linalg.norm(direction, axis=1, keepdims=True))


def _sphere(count: int) -> Points:
    """Return the projection ``(n, 2)`` of points spread evenly over a unit sphere, along a spiral of golden angles."""
    height = (2 * np.arange(count) + 1) / count - 1
    turns = np.pi * (3 - np.sqrt(5)) * np.arange(count)
    return np.column_stack([height, np.sqrt(1 - height**2) * np.cos(turns)])
