"""Where particles lie in the ice, and how they are turned."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

Points = NDArray[np.float64]


def place_particles(
    shape: tuple[int, int],
    diameter_px: float,
    coverage: float,
    min_separation: float,
    clustering: float,
    rng: np.random.Generator,
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
    """
    wanted = round(coverage * shape[0] * shape[1] / (np.pi / 4 * diameter_px**2))
    separation, top = min_separation * diameter_px, np.array(shape) - 1.0
    centres = np.empty((wanted, 2))
    count = 0
    for _ in range(8 * wanted):
        if count == wanted:
            break
        if count and rng.random() < clustering:
            angle, distance = rng.uniform(0, 2 * np.pi), separation * rng.uniform(1, 1.3)
            place = centres[rng.integers(count)] + distance * np.array([np.sin(angle), np.cos(angle)])
        else:
            place = rng.uniform(0, top)
        is_inside = (place >= 0).all() and (place <= top).all()
        if is_inside and (np.square(centres[:count] - place).sum(axis=1) >= separation**2).all():
            centres[count] = place
            count += 1
    return centres[:count]


def place_aggregate(shape: tuple[int, int], diameter_px: float, rng: np.random.Generator) -> Points:
    """Draw the centres ``(n, 2)`` of a clump of 6 to 30 particles that overlap too much to be picked."""
    centres = [rng.uniform((0, 0), shape)]
    for _ in range(int(rng.integers(6, 30))):
        step, angle = rng.uniform(0.45, 0.7) * diameter_px, rng.uniform(0, 2 * np.pi)
        centres.append(centres[rng.integers(len(centres))] + step * np.array([np.sin(angle), np.cos(angle)]))
    return np.array(centres)


def draw_rotations(count: int, preferred: float, rng: np.random.Generator) -> Rotation:
    """Draw orientations: a share ``preferred`` lies within some 10° of one to three views, the others anywhere.

    Particles at the interface of water and air show few views (Noble et al. 2018, eLife 7:e34257); each keeps its free
    turn in the plane.
    """
    rotations = Rotation.random(count, random_state=rng)
    views = Rotation.random(3, random_state=rng)[rng.integers(0, rng.integers(1, 4), count)]
    tilt = Rotation.from_rotvec(np.deg2rad(rng.normal(0, 10, (count, 3))) * [1, 1, 0])
    spin = Rotation.from_euler("z", rng.uniform(0, 360, count), degrees=True)
    quaternions = np.where(
        (rng.random(count) < preferred)[:, None], (spin * tilt * views).as_quat(), rotations.as_quat()
    )
    return Rotation.from_quat(quaternions)
