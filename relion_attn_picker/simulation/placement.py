"""Where particles lie in the ice, and how they are turned."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

Points = NDArray[np.float64]

ROUNDS = 25
"""Attempts to fill a field; a crowded one gains next to nothing later."""


def place_particles(
    shape: tuple[int, int],
    diameter_px: float,
    coverage: float,
    min_separation: float,
    clustering: float,
    rng: np.random.Generator,
    acceptance: Callable[[Points], Points] | None = None,
) -> Points:
    """Draw centres ``(n, 2)`` in pixels until enough of the area is covered or no place is left.

    Parameters
    ----------
    shape
        ``(h, w)`` of the field.
    diameter_px
        Particle diameter in pixels.
    coverage
        Share of the area that particles cover, 0 to 1.
    min_separation
        Smallest distance of two centres, in diameters.
    clustering
        Probability that a particle is put beside an earlier one.
    rng
        Draws the places.
    acceptance
        Maps places ``(n, 2)`` to the probability, 0 to 1, that a particle can lie there; everywhere 1 without it.
    """
    wanted = round(coverage * shape[0] * shape[1] / (np.pi / 4 * diameter_px**2))
    separation, top = min_separation * diameter_px, np.array(shape) - 1.0
    centres: Points = np.empty((0, 2))
    for _ in range(ROUNDS):
        missing = wanted - len(centres)
        if missing <= 0:
            break
        places = rng.uniform(0, top, (2 * missing, 2))
        if len(centres):
            beside = rng.random(len(places)) < clustering
            earlier = centres[rng.integers(len(centres), size=int(beside.sum()))]
            places[beside] = earlier + _steps(len(earlier), separation, separation * 1.3, rng)
        elif clustering:
            places = places[: max(1, missing // 4)]
        places = places[((places >= 0) & (places <= top)).all(axis=1)]
        if acceptance is not None:
            places = places[rng.random(len(places)) < acceptance(places)]
        centres = np.concatenate([centres, _keep_apart(places, centres, separation)[:missing]])
    return centres


def place_lattice(
    shape: tuple[int, int], diameter_px: float, coverage: float, min_separation: float, rng: np.random.Generator
) -> Points:
    """Draw centres ``(n, 2)`` in pixels on a shaken hexagonal lattice with gaps: the order of a crowded layer.

    Parameters are those of ``place_particles``; neighbours are ``min_separation`` diameters or more apart before the
    lattice is shaken by a tenth of that, and gaps make up what the coverage leaves.
    """
    spacing = min_separation * diameter_px
    densest = np.pi / 4 * diameter_px**2 / (np.sqrt(3) / 2 * spacing**2)
    reach = int(1.5 * max(shape) / spacing) + 2
    row, column = np.mgrid[-reach : reach + 1, -reach : reach + 1].reshape(2, -1)
    lattice = spacing * np.column_stack([row * np.sqrt(0.75), column + row / 2])
    turn = rng.uniform(0, np.pi)
    lattice = lattice @ np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    lattice += rng.uniform(0, shape) + rng.normal(0, 0.1 * spacing, lattice.shape)
    inside = ((lattice >= 0) & (lattice <= np.array(shape) - 1.0)).all(axis=1)
    kept = inside & (rng.random(len(lattice)) < min(1.0, coverage / densest))
    return np.asarray(lattice[kept])


def place_aggregate(shape: tuple[int, int], diameter_px: float, rng: np.random.Generator) -> Points:
    """Draw the centres ``(n, 2)`` of a clump of 6 to 40 particles that overlap too much to be picked."""
    centres = [rng.uniform((0, 0), shape)]
    for step in _steps(int(rng.integers(5, 40)), 0.45 * diameter_px, 0.8 * diameter_px, rng):
        centres.append(centres[rng.integers(len(centres))] + step)
    return np.array(centres)


def too_close(yx: Points, separation: float) -> NDArray[np.bool_]:
    """Return which of the centres ``(n, 2)`` have another one nearer than ``separation``: no one could part them."""
    close = np.zeros(len(yx), dtype=bool)
    if len(yx):
        close[cKDTree(yx).query_pairs(separation, output_type="ndarray").ravel()] = True
    return close


def draw_rotations(count: int, preferred: float, rng: np.random.Generator) -> Rotation:
    """Draw orientations: a share ``preferred`` lies within some 10° of one to three views, the others anywhere.

    Particles at the interface of water and air show few views (Noble et al. 2018, eLife 7:e34257); each keeps its free
    turn in the plane.
    """
    rotations = Rotation.random(count, random_state=rng)
    views = Rotation.random(3, random_state=rng)[rng.integers(0, rng.integers(1, 4), count)]
    tilt = Rotation.from_rotvec(np.deg2rad(rng.normal(0, rng.uniform(5, 20), (count, 3))) * [1, 1, 0])
    spin = Rotation.from_euler("z", rng.uniform(0, 360, count), degrees=True)
    quaternions = np.where(
        (rng.random(count) < preferred)[:, None], (spin * tilt * views).as_quat(), rotations.as_quat()
    )
    return Rotation.from_quat(quaternions)


def _steps(count: int, shortest: float, longest: float, rng: np.random.Generator) -> Points:
    angle, length = rng.uniform(0, 2 * np.pi, count), rng.uniform(shortest, longest, count)
    return np.column_stack([length * np.sin(angle), length * np.cos(angle)])


def _keep_apart(places: Points, centres: Points, separation: float) -> Points:
    """Return the places that are ``separation`` away from all centres and from all earlier places."""
    if len(places) and len(centres):
        places = places[cKDTree(centres).query(places)[0] >= separation]
    if len(places) < 2:
        return places
    pairs = cKDTree(places).query_pairs(separation * (1 - 1e-9), output_type="ndarray")
    kept = np.ones(len(places), dtype=bool)
    for first, second in pairs[np.lexsort(pairs.T[::-1])]:
        if kept[first]:
            kept[second] = False
    return np.asarray(places[kept])
