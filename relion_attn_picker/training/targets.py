"""What the network is asked to draw: a map of particle centres for a list of points.

Each kind of target is a row of ``TARGETS``: a profile of the distance from the centre, in particle diameters.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from relion_attn_picker.picks import FloatArray


def _gaussian(sigma: float) -> Callable[[FloatArray], FloatArray]:
    return lambda distance: np.exp(-0.5 * np.square(distance / sigma)).astype(np.float32)


def _disc(radius: float) -> Callable[[FloatArray], FloatArray]:
    """One inside ``radius``, with an edge that falls linearly over a twentieth of a diameter, so as not to alias."""
    return lambda distance: np.clip((radius - distance) / 0.05 + 0.5, 0, 1).astype(np.float32)


TARGETS: Final[dict[str, Callable[[FloatArray], FloatArray]]] = {
    "gaussian": _gaussian(1 / 7),
    "wide_gaussian": _gaussian(1 / 5),
    "disc": _disc(0.35),
}
"""Name → profile over the distance in diameters; 1 at the centre, negligible beyond ``REACH``."""

REACH: Final = 0.7
"""Diameters beyond which every profile is taken as zero."""


def draw_target(shape: tuple[int, int], yx: FloatArray, particle_diameter_px: float, target: str) -> FloatArray:
    """Draw the target map of shape ``(h, w)`` for points ``yx`` ``(n, 2)``; where two overlap, the higher counts.

    Points may lie outside the image: the part of their profile that reaches into it is drawn.
    """
    profile = TARGETS[target]
    canvas = np.zeros(shape, dtype=np.float32)
    for y, x in yx:
        window, distance = distance_window(shape, y, x, REACH * particle_diameter_px)
        np.maximum(canvas[window], profile(distance / np.float32(particle_diameter_px)), out=canvas[window])
    return canvas


def draw_weights(shape: tuple[int, int], ignored_yx: FloatArray, particle_diameter_px: float) -> FloatArray:
    """Draw the map of loss weights: 0 within half a diameter of a point that is to be ignored, 1 elsewhere."""
    weights = np.ones(shape, dtype=np.float32)
    radius = particle_diameter_px / 2
    for y, x in ignored_yx:
        window, distance = distance_window(shape, y, x, radius)
        weights[window][distance <= radius] = 0
    return weights


def distance_window(
    shape: tuple[int, int], y: float, x: float, radius: float
) -> tuple[tuple[slice, slice], FloatArray]:
    """Return the part of an image within ``radius`` of a point, and each of its pixels' distance from the point."""
    rows = slice(max(0, int(np.floor(y - radius))), max(0, min(shape[0], int(np.ceil(y + radius)) + 1)))
    columns = slice(max(0, int(np.floor(x - radius))), max(0, min(shape[1], int(np.ceil(x + radius)) + 1)))
    dy = np.arange(rows.start, rows.stop, dtype=np.float32)[:, None] - np.float32(y)
    dx = np.arange(columns.start, columns.stop, dtype=np.float32)[None, :] - np.float32(x)
    return (rows, columns), np.hypot(dy, dx)
