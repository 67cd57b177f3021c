"""What lies on micrographs beside particles: the carbon film, blobs and specks of ice.

Each function returns phases in rad ``(h, w)`` to add to the exit wave's, and where it is junk.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from relion_attn_picker.picks import FloatArray
from relion_attn_picker.simulation.ice import gaussian_field
from relion_attn_picker.simulation.optics import phase_per_scattering

BoolArray = NDArray[np.bool_]

CARBON_POTENTIAL = 9.1
"""Mean inner potential of amorphous carbon in V, as cisTEM's simulator takes it (Himes & Grigorieff 2021)."""

CARBON_SCATTERING = 2.51
"""Electron scattering length of a carbon atom in Å (Kirkland 2010, appendix C)."""

CARBON_ATOMS = 0.09
"""Carbon atoms per Å³ of an amorphous film of 1.8 g/cm³."""

ICE_POTENTIAL = 4.5
"""Mean inner potential of water ice in V."""


def interaction_constant(voltage: float) -> float:
    """Return the phase per projected potential, rad/(V Å): 6.53e-4 at 300 kV.

    λγ / (h² / 2π m e) = λγ / 47.878 V Å².
    """
    return phase_per_scattering(voltage) / 47.878


def carbon_edge(
    shape: tuple[int, int], pixel_size: float, voltage: float, rng: np.random.Generator
) -> tuple[FloatArray, BoolArray]:
    """Draw the rim of a hole of 1 to 1.8 µm in a carbon film of 100 to 300 Å across one side of the field."""
    extent = np.array(shape) * pixel_size
    radius = rng.uniform(5_000, 9_000)
    direction = rng.uniform(0, 2 * np.pi)
    from_middle = rng.uniform(0.15, 0.45) * float(extent.min())
    centre = extent / 2 + (from_middle - radius) * np.array([np.sin(direction), np.cos(direction)])
    y, x = _offsets(shape, pixel_size, centre)
    angle = np.arctan2(y, x)
    beyond_rim = np.hypot(y, x) - np.float32(radius)
    for waves in (7, 19, 43):
        beyond_rim += np.float32(rng.normal(0, 200 / waves)) * np.cos(waves * angle + np.float32(rng.uniform(0, 6.28)))
    cover = 1 / (1 + np.exp(-np.clip(beyond_rim / np.float32(rng.uniform(15, 60)), -30, 30)))
    thickness, disorder = rng.uniform(100, 300), rng.uniform(0.1, 1.0)
    power = (phase_per_scattering(voltage) * CARBON_SCATTERING) ** 2 * CARBON_ATOMS * thickness * disorder
    grain = gaussian_field(shape, pixel_size, lambda k2: np.full_like(k2, power), rng)
    film = np.float32(interaction_constant(voltage) * CARBON_POTENTIAL * thickness)
    return np.asarray(cover * (film + grain)), cover > 0.5


def ice_blobs(
    shape: tuple[int, int],
    pixel_size: float,
    voltage: float,
    count: int,
    radius: tuple[float, float],
    rng: np.random.Generator,
) -> tuple[FloatArray, BoolArray]:
    """Draw ``count`` irregular domes of surface ice with radii (Å) drawn log-uniformly from a range."""
    phase = np.zeros(shape, dtype=np.float32)
    junk = np.zeros(shape, dtype=bool)
    for _ in range(count):
        size = float(np.exp(rng.uniform(*np.log(radius))))
        centre = rng.uniform((0, 0), shape)
        corner = np.clip((centre - 1.6 * size / pixel_size).astype(int), 0, shape)
        end = np.clip((centre + 1.6 * size / pixel_size).astype(int) + 2, 0, shape)
        window = np.s_[corner[0] : end[0], corner[1] : end[1]]
        height = _dome(tuple(end - corner), pixel_size, (centre - corner) * pixel_size, size, rng)
        phase[window] += np.float32(interaction_constant(voltage) * ICE_POTENTIAL) * height
        junk[window] |= height > 0
    return phase, junk


def _dome(
    shape: tuple[int, ...], pixel_size: float, centre: NDArray[np.float64], radius: float, rng: np.random.Generator
) -> FloatArray:
    """Return the height in Å of a rounded or flat-topped dome with an uneven rim."""
    y, x = _offsets((shape[0], shape[1]), pixel_size, centre)
    stretch, turn = rng.uniform(0.75, 1.0), rng.uniform(0, np.pi)
    along, across = np.cos(turn) * x + np.sin(turn) * y, (np.cos(turn) * y - np.sin(turn) * x) / stretch
    angle = np.arctan2(across, along)
    rim = 1 + sum(rng.normal(0, 0.12 / waves) * np.cos(waves * angle + rng.uniform(0, 6.28)) for waves in (2, 3, 5, 7))
    depth = np.clip(1 - np.square(np.hypot(along, across) / (radius * rim)), 0, None)
    return np.asarray(radius * rng.uniform(0.4, 1.4) * depth ** rng.uniform(0.3, 0.8), dtype=np.float32)


def _offsets(shape: tuple[int, int], pixel_size: float, centre: NDArray[np.float64]) -> tuple[FloatArray, FloatArray]:
    """Return the distances in Å from a centre (Å) along y, ``(h, 1)``, and along x, ``(1, w)``."""
    return (
        (np.arange(shape[0]) * pixel_size - centre[0])[:, None].astype(np.float32),
        (np.arange(shape[1]) * pixel_size - centre[1])[None, :].astype(np.float32),
    )
