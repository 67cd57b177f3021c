"""Particles to simulate: clouds of scattering beads, procedural or from bead files, and their projections.

Weights are EXCESS electron scattering lengths over water in Å; protein has 0.0724 Å per Å³ (150 Å of protein shift
the phase by 0.34 rad at 300 kV).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.spatial.transform import Rotation

from relion_attn_picker.errors import InputError

PROTEIN_SCATTERING = 0.0724
"""Excess scattering length of protein over water, Å per Å³."""

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

    def project(self, rotation: Rotation, pixel_size: float) -> Points:
        """Return the projected scattering length per Å², in a square of odd side whose middle pixel is the centre."""
        turned = rotation.apply(self.xyz)[:, :2]
        reach = int(np.ceil((np.abs(turned).max() + 4 * self.bead_radius) / pixel_size)) + 1
        edges = (np.arange(2 * reach + 2) - reach - 0.5) * pixel_size
        image, _, _ = np.histogram2d(turned[:, 1], turned[:, 0], bins=[edges, edges], weights=self.weight)
        sigma = max(self.bead_radius / pixel_size, 0.6)
        return np.asarray(gaussian_filter(image, sigma, mode="constant") / pixel_size**2)


def make_particle(name: str, xyz: Points, weight: Points, bead_radius: float) -> BeadParticle:
    """Return beads centred on their weighted mean, with their visible diameter."""
    centred = xyz - np.average(xyz, axis=0, weights=np.abs(weight))
    distance = np.linalg.norm(centred, axis=1)
    order = np.argsort(distance)
    share = np.cumsum(np.abs(weight)[order]) / np.abs(weight).sum()
    radius = distance[order][np.searchsorted(share, 0.95)] + bead_radius
    return BeadParticle(name, centred, weight, bead_radius, float(2 * radius))


def read_bead_particle(path: Path) -> BeadParticle:
    """Read one bead file: npz with ``x`` (int16), ``unit`` (Å), ``w`` (Å) and ``sigma`` (Å).

    Raises
    ------
    InputError
        If the file is not such a file.
    """
    try:
        with np.load(path, allow_pickle=False) as beads:
            xyz = beads["x"].astype(np.float64) * float(beads["unit"])
            weight = beads["w"].astype(np.float64)
            return make_particle(path.stem, xyz, np.broadcast_to(weight, len(xyz)), float(np.mean(beads["sigma"])))
    except (OSError, EOFError, BadZipFile, KeyError, ValueError, IndexError) as error:
        raise InputError(f"{path} is not a file of scattering beads ({error}).") from error


def procedural_particle(diameter: float, rng: np.random.Generator) -> BeadParticle:
    """Make a protein-like assembly: blobs copied by a cyclic or dihedral symmetry, filled or hollow, then scaled.

    Parameters
    ----------
    diameter
        Visible diameter in Å.
    rng
        Draws symmetry, shape and blobs.
    """
    kind = rng.choice(["globular", "shell", "ring", "rod"], p=[0.5, 0.15, 0.2, 0.15])
    fold = int(rng.integers(1, 8))
    stretch = {"globular": (1, 1, 1), "shell": (1, 1, 1), "ring": (1, 1, 0.5), "rod": (0.45, 0.45, 1)}[str(kind)]
    blobs = rng.normal(size=(int(rng.integers(2, 7)), 3))
    blobs /= np.linalg.norm(blobs, axis=1, keepdims=True)
    least = {"globular": 0.0, "shell": 0.8, "ring": 0.6, "rod": 0.0}[str(kind)]
    blobs *= rng.uniform(least, 1, (len(blobs), 1))
    blob_size = rng.uniform(0.2, 0.35, len(blobs))
    beads = np.concatenate(
        [centre + size * _ball(200, rng) for centre, size in zip(blobs, blob_size, strict=True)]
    ) * np.array(stretch)
    turns = Rotation.from_euler("z", np.arange(fold)[:, None] * 360 / fold, degrees=True)
    beads = np.concatenate([turn.apply(beads) for turn in turns])
    if rng.random() < 0.4:
        beads = np.concatenate([beads, beads * np.array([1, -1, -1])])
    draft = make_particle("procedural", beads, np.ones(len(beads)), 0.03)
    xyz = draft.xyz * (diameter / draft.diameter)
    return make_particle("procedural", xyz, _bead_weights(xyz, diameter), 0.03 * diameter)


def _bead_weights(xyz: Points, diameter: float) -> Points:
    """Return equal weights that fill the occupied volume with protein; cells of a tenth of a diameter count it."""
    cell = diameter / 10
    occupied = len(np.unique(np.floor(xyz / cell).astype(int), axis=0))
    return np.full(len(xyz), PROTEIN_SCATTERING * occupied * cell**3 * 0.8 / len(xyz))


def _ball(count: int, rng: np.random.Generator) -> Points:
    """Return points evenly spread in the unit ball."""
    points = rng.normal(size=(count, 3))
    return np.asarray(points / np.linalg.norm(points, axis=1, keepdims=True) * rng.random((count, 1)) ** (1 / 3))
