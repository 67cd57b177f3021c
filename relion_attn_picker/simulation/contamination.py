"""What lies on micrographs beside particles: a carbon edge, ice, small specks, aggregates.

Each function returns phases in rad ``(h, w)`` to add to the exit wave's, and where it is junk.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from relion_attn_picker.simulation.ice import gaussian_field
from relion_attn_picker.simulation.optics import phase_per_scattering

FloatField = NDArray[np.float64]
BoolField = NDArray[np.bool_]

CARBON_POTENTIAL = 9.1
"""Mean inner potential of amorphous carbon in V, as cisTEM's simulator takes it (Himes & Grigorieff 2021)."""

ICE_POTENTIAL = 4.5
"""Mean inner potential of water ice in V."""


def interaction_constant(voltage: float) -> float:
    """Return the phase per projected potential, rad/(V Å): 6.53e-4 at 300 kV.

    λγ / (h² / 2π m e) = λγ / 47.878 V Å².
    """
    return phase_per_scattering(voltage) / 47.878


def carbon_edge(
    shape: tuple[int, int], pixel_size: float, voltage: float, rng: np.random.Generator
) -> tuple[FloatField, BoolField]:
    """Draw the rim of a hole in a carbon film of 100 to 300 Å across one side of the field."""
    extent = np.array(shape) * pixel_size
    radius = rng.uniform(5_000, 9_000)
    direction = rng.uniform(0, 2 * np.pi)
    inside = rng.uniform(0.15, 0.45) * extent.min()
    centre = extent / 2 + (inside - radius) * np.array([np.sin(direction), np.cos(direction)])
    y, x = np.arange(shape[0])[:, None] * pixel_size, np.arange(shape[1])[None, :] * pixel_size
    depth = np.hypot(y - centre[0], x - centre[1]) - radius
    depth += 30 * gaussian_filter(rng.normal(size=shape), 12) * 40
    cover = 1 / (1 + np.exp(-depth / rng.uniform(15, 60)))
    thickness = rng.uniform(100, 300)
    grain = gaussian_field(
        shape,
        pixel_size,
        lambda k: np.square(phase_per_scattering(voltage) * 2.51) * 0.09 * thickness * rng.uniform(0.1, 1.0) + 0 * k,
        rng,
    )
    return cover * (interaction_constant(voltage) * CARBON_POTENTIAL * thickness + grain), cover > 0.5


def ice_blobs(
    shape: tuple[int, int],
    pixel_size: float,
    voltage: float,
    count: int,
    radius: tuple[float, float],
    rng: np.random.Generator,
) -> tuple[FloatField, BoolField]:
    """Draw ``count`` irregular domes of surface ice with radii (Å) drawn log-uniformly from a range."""
    phase = np.zeros(shape)
    junk = np.zeros(shape, dtype=bool)
    for _ in range(count):
        size = float(np.exp(rng.uniform(*np.log(radius))))
        centre = rng.uniform((0, 0), shape) * pixel_size
        y = np.arange(shape[0])[:, None] * pixel_size - centre[0]
        x = np.arange(shape[1])[None, :] * pixel_size - centre[1]
        angle = np.arctan2(y, x)
        rim = size * (1 + sum(rng.normal(0, 0.12) * np.cos(n * angle + rng.uniform(0, 6.28)) for n in (2, 3, 5)))
        height = size * rng.uniform(0.4, 1.4) * np.sqrt(np.clip(1 - np.square(np.hypot(y, x) / rim), 0, None))
        phase += interaction_constant(voltage) * ICE_POTENTIAL * height
        junk |= height > 0
    return phase, junk
