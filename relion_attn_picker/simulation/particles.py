"""Particles to simulate: clouds of scattering beads, procedural or from bead files, and their projections.

Weights are EXCESS electron scattering lengths over water in Å; protein has 0.0724 Å per Å³ (150 Å of protein shift
the phase by 0.34 rad at 300 kV).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from zipfile import BadZipFile, is_zipfile

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from scipy.spatial.transform import Rotation

from relion_attn_picker.errors import InputError

PROTEIN_SCATTERING = 0.0724
"""Excess scattering length of protein over water, Å per Å³, from tabulated f(0) of its atoms at 1.35 g/cm³."""

CELLS_PER_EXTENT = 22
"""Procedural particles are filled with beads at this many places along their extent."""

Points = NDArray[np.float64]


@dataclass(frozen=True)
class BeadParticle:
    """A particle as beads.

    Parameters
    ----------
    name
        Where it comes from.
    xyz
        Centres in Å, ``(n, 3)``, with their weighted mean at the origin.
    weight
        Excess scattering length of each bead in Å, ``(n,)``.
    bead_radius
        Standard deviation of a bead in Å.
    diameter
        Visible diameter in Å: twice the distance from the centre within which 95 % of the scattering lies.
    """

    name: str
    xyz: Points
    weight: Points
    bead_radius: float
    diameter: float


def make_particle(name: str, xyz: Points, weight: Points, bead_radius: float) -> BeadParticle:
    """Return beads centred on their weighted mean, with their visible diameter."""
    centred = xyz - np.average(xyz, axis=0, weights=weight)
    distance = np.linalg.norm(centred, axis=1)
    order = np.argsort(distance)
    share = np.cumsum(weight[order]) / weight.sum()
    radius = distance[order][np.searchsorted(share, 0.95)] + bead_radius
    return BeadParticle(name, centred, weight, bead_radius, float(2 * radius))


def read_bead_particle(path: Path) -> BeadParticle:
    """Read one bead file: npz with ``x`` (int16), ``unit`` (Å), ``w`` (Å) and ``sigma`` (Å).

    A file of the same name in the folder ``micelle`` beside the file's own folder is the detergent belt of a membrane
    protein, and is added.

    Raises
    ------
    InputError
        If a file is not such a file.
    """
    xyz, weight, bead_radius = _read_beads(path)
    belt = path.parent.parent / "micelle" / path.name
    if belt.is_file():
        belt_xyz, belt_weight, _ = _read_beads(belt)
        xyz, weight = np.concatenate([xyz, belt_xyz]), np.concatenate([weight, belt_weight])
    return make_particle(path.stem, xyz, weight, bead_radius)


def _read_beads(path: Path) -> tuple[Points, Points, float]:
    if path.is_file() and not is_zipfile(path):
        raise InputError(f"{path} is not a file of scattering beads (no npz archive).")
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as beads:
            xyz = beads["x"].astype(np.float64) * float(beads["unit"])
            weight = np.broadcast_to(beads["w"].astype(np.float64), len(xyz))
            bead_radius = float(np.mean(beads["sigma"]))
    except (OSError, KeyError, ValueError, TypeError, AttributeError, IndexError, EOFError, BadZipFile) as error:
        raise InputError(f"{path} is not a file of scattering beads ({error}).") from error
    if xyz.ndim != 2 or xyz.shape[1] != 3 or len(xyz) == 0 or not 0 < weight.sum() < np.inf:
        raise InputError(f"{path} has beads of shape {xyz.shape}: expected (n, 3), and weights with a positive sum.")
    if not np.isfinite(xyz).all() or not 0 <= bead_radius < np.inf:
        raise InputError(f"{path} has beads at places, or of a radius (sigma), that are no lengths: make it again.")
    return xyz, np.maximum(weight, 0.0), bead_radius


def procedural_particle(diameter: float, rng: np.random.Generator) -> BeadParticle:
    """Make a protein-like assembly: balls of protein copied by a symmetry, compact, ring, hollow shell or rod.

    Parameters
    ----------
    diameter
        Visible diameter in Å.
    rng
        Draws symmetry, shape and balls.

    Raises
    ------
    InputError
        If the diameter is not 10 to 10000 Å.
    """
    if not 10 <= diameter <= 10_000:
        raise InputError(f"The particle diameter is {diameter:g} Å: expected 10 to 10000 Å.")
    kind = str(rng.choice(list(SHAPES), p=[0.5, 0.2, 0.15, 0.15]))
    xyz, spacing = _fill(SHAPES[kind](rng), rng)
    texture = rng.gamma(3, 1 / 3, len(xyz))  # helices and clefts: density is uneven
    draft = make_particle(kind, xyz, PROTEIN_SCATTERING * spacing**3 * texture, 0.6 * spacing)
    grow = diameter / draft.diameter
    return replace(
        draft,
        xyz=draft.xyz * grow,
        weight=draft.weight * grow**3,
        bead_radius=draft.bead_radius * grow,
        diameter=diameter,
    )


def _fill(balls: Points, rng: np.random.Generator) -> tuple[Points, float]:
    """Return points, a jittered grid, that fill the union of balls ``(n, 4)`` (centre, radius), and their spacing."""
    low = (balls[:, :3] - balls[:, 3:]).min(axis=0)
    extent = (balls[:, :3] + balls[:, 3:]).max(axis=0) - low
    spacing = float(extent.max()) / CELLS_PER_EXTENT
    axes = [np.arange(0.5, length / spacing) * spacing for length in extent]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3) + low
    grid += rng.uniform(-spacing / 2, spacing / 2, grid.shape)
    return grid[(cdist(grid, balls[:, :3]) <= balls[:, 3]).any(axis=1)], spacing


def _subunit(count: int, rng: np.random.Generator) -> Points:
    """Return a chain of ``count`` balls of about unit radius, each touching an earlier one: ``(n, 4)``."""
    balls = [np.array([0.0, 0.0, 0.0, rng.uniform(0.8, 1.2)])]
    while len(balls) < count:
        ball, radius = balls[rng.integers(len(balls))], rng.uniform(0.6, 1.2)
        step = rng.uniform(0.7, 1.0) * (ball[3] + radius) * _direction(rng) * 0.75
        balls.append(np.append(ball[:3] + step, radius))
    return np.array(balls)


def _copy(balls: Points, group: str, offset: Points) -> Points:
    """Return balls moved by an offset and copied by a point group, such as C3, D2, T, O or I."""
    copies = [rotation.apply(balls[:, :3] + offset) for rotation in Rotation.create_group(group)]
    return np.concatenate([np.column_stack([copy, balls[:, 3]]) for copy in copies])


def _direction(rng: np.random.Generator) -> Points:
    vector = rng.normal(size=3)
    return np.asarray(vector / np.linalg.norm(vector))


def _compact(rng: np.random.Generator) -> Points:
    group = str(rng.choice(["C1", "C1", "C2", "C3", "C4", "D2", "D3"]))
    return _copy(_subunit(int(rng.integers(4, 10)), rng), group, rng.uniform(0.3, 1.3) * _direction(rng))


def _ring(rng: np.random.Generator) -> Points:
    fold = int(rng.integers(5, 10))
    radius = rng.uniform(0.4, 0.55) * fold
    layers = ("C", 0.0) if rng.random() < 0.4 else ("D", rng.uniform(1.0, 2.0))
    return _copy(_subunit(int(rng.integers(2, 5)), rng), f"{layers[0]}{fold}", np.array([radius, 0.0, layers[1]]))


def _shell(rng: np.random.Generator) -> Points:
    group = str(rng.choice(["T", "O", "O", "I"]))
    radius = rng.uniform(0.5, 0.65) * np.sqrt({"T": 12, "O": 24, "I": 60}[group])
    return _copy(_subunit(int(rng.integers(2, 4)), rng), group, radius * _direction(rng))


def _rod(rng: np.random.Generator) -> Points:
    group, length = str(rng.choice(["C1", "C2"])), int(rng.integers(4, 9))
    bend = np.cumsum(rng.normal(0, 0.35, (length, 2)), axis=0)
    spine = np.column_stack([bend, 1.2 * np.arange(length), rng.uniform(0.7, 1.2, length)])
    return _copy(spine, group, np.array([rng.uniform(0.0, 0.9), 0.0, 0.0]))


SHAPES: dict[str, Callable[[np.random.Generator], Points]] = {
    "compact": _compact,
    "ring": _ring,
    "shell": _shell,
    "rod": _rod,
}
