"""What is in the field: particles with their truth, and everything else that is made of beads."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from relion_attn_picker.simulation.conditions import Conditions
from relion_attn_picker.simulation.debris import DEBRIS
from relion_attn_picker.simulation.films import Hole
from relion_attn_picker.simulation.grid import Grid
from relion_attn_picker.simulation.particles import BeadParticle, Points
from relion_attn_picker.simulation.placement import (
    draw_rotations,
    place_aggregate,
    place_lattice,
    place_particles,
    too_close,
)
from relion_attn_picker.simulation.projection import Copies, blank, splat_broken, splat_copies, splat_points

RING_WIDTH = 1.5
"""Width in particle diameters of the ring in which particles gather at a film's edge."""

FREE_STEPS = 64
"""Places along each side at which it is looked whether a film is there."""

PARTABLE = 0.5
"""Two centres nearer than this many diameters cannot be told apart."""


@dataclass(frozen=True)
class Placed:
    """Particles of the field: centres ``(n, 2)`` in pixels, and which are broken or beneath another, ``(n,)``."""

    yx: Points
    broken: NDArray[np.bool_]
    overlapped: NDArray[np.bool_]


def place_specimen(
    particle: BeadParticle, grid: Grid, hole: Hole | None, conditions: Conditions, rng: np.random.Generator
) -> Placed:
    """Place the particles of one field; none on a film unless it is carbon that bears particles."""
    diameter_px = particle.diameter / grid.pixel_size
    bare_film = not (conditions.carbon and conditions.particles_on_carbon)
    slope = rng.normal(size=2) / np.array(grid.shape)

    def acceptance(yx: Points) -> Points:
        uphill = (yx - np.array(grid.shape) / 2) @ slope * conditions.density_gradient
        chance = np.clip(1 - conditions.density_gradient / 2 + uphill, 0.02, 1)
        if hole is None:
            return np.asarray(chance)
        beyond = _beyond_rim(hole, yx, grid)
        from_rim = (beyond / particle.diameter + 0.5) / RING_WIDTH
        away = 1 - conditions.rim_ring * (1 - np.exp(-(from_rim**2)))
        return np.asarray(np.where(beyond > 0, 0.0 if bare_film else 1.0, away * chance))

    free = _free_share(hole, grid) if bare_film and hole is not None else 1.0
    coverage, separation = conditions.coverage, conditions.min_separation
    if conditions.lattice:
        yx = place_lattice(grid.shape, diameter_px, coverage, separation, rng)
        yx = yx[rng.random(len(yx)) < acceptance(yx)]
    else:
        yx = place_particles(
            grid.shape, diameter_px, coverage * free, separation, conditions.clustering, rng, acceptance
        )
    extra = place_particles(
        grid.shape, diameter_px, conditions.second_layer * coverage * free, 0.6, 0.0, rng, acceptance
    )
    yx = np.concatenate([yx, extra])
    return Placed(yx, rng.random(len(yx)) < conditions.damaged, too_close(yx, PARTABLE * diameter_px))


def splat_specimen(
    particle: BeadParticle, placed: Placed, junk: Tensor, grid: Grid, conditions: Conditions, rng: np.random.Generator
) -> Tensor:
    """Return all beads of the field splatted; where aggregates and debris lie is added to ``junk``, in place."""
    diameter_px = particle.diameter / grid.pixel_size
    clumped = [place_aggregate(grid.shape, diameter_px, rng) for _ in range(conditions.aggregates)]
    clumps = np.concatenate([*clumped, np.empty((0, 2))])
    mark_discs(junk, np.column_stack([clumps, np.full(len(clumps), diameter_px / 2)]))
    yx = np.concatenate([placed.yx, clumps])
    broken = np.concatenate([placed.broken, np.zeros(len(clumps), dtype=bool)])
    rotations = draw_rotations(len(yx), conditions.preferred, rng)
    strength = np.clip(1 + conditions.contrast_spread * rng.normal(size=len(yx)), 0.4, 1.8)
    total = blank(grid)
    if len(yx):
        splat_copies(total, particle, Copies(yx[~broken], rotations[~broken], strength[~broken]), grid)
        cuts = particle.diameter * rng.uniform(0.0, 0.3, int(broken.sum()))
        splat_broken(total, particle, Copies(yx[broken], rotations[broken], strength[broken]), cuts, grid)
    for name, draw in DEBRIS.items():
        for _ in range(getattr(conditions, name)):
            places, weight, discs = draw(grid.extent, rng)
            splat_points(total, places, weight, grid)
            mark_discs(junk, discs / grid.pixel_size)
    return total


def mark_discs(mask: Tensor, discs: Points) -> None:
    """Set a mask ``(h, w)`` within discs ``(n, 3)``: centre y, x and radius in pixels, in place."""
    for y, x, radius in discs:
        rows, columns = (
            slice(max(0, int(middle - radius)), max(0, int(middle + radius) + 2)) for middle in (float(y), float(x))
        )
        window = mask[rows, columns]
        down = torch.arange(window.shape[0], device=mask.device)[:, None] + (rows.start - y)
        right = torch.arange(window.shape[1], device=mask.device)[None, :] + (columns.start - x)
        window |= down**2 + right**2 <= radius**2


def values_at(mask: Tensor, yx: Points) -> NDArray[np.bool_]:
    """Return a mask's values at the pixels nearest to ``yx`` ``(n, 2)``."""
    inside = np.clip(np.rint(yx).astype(int), 0, np.array(mask.shape) - 1)
    return np.asarray(mask[inside[:, 0], inside[:, 1]].cpu().numpy())


def _free_share(hole: Hole, grid: Grid) -> float:
    """Return the share of the field that no film covers."""
    along = [(np.arange(FREE_STEPS) + 0.5) * (n / FREE_STEPS) for n in grid.shape]
    places = np.stack(np.meshgrid(*along, indexing="ij"), axis=-1).reshape(-1, 2)
    return float((_beyond_rim(hole, places, grid) <= 0).mean())


def _beyond_rim(hole: Hole, yx: Points, grid: Grid) -> Points:
    y, x = torch.as_tensor(yx * grid.pixel_size).T
    return np.asarray(hole.beyond_rim(y, x).numpy())
