"""EM maps as particles: each voxel above a threshold becomes a bead.

A map's densities are relative, so the whole is scaled to the excess scattering of a protein of the given mass, or of
the volume within the threshold. Nucleic acids are seen in so far as they are denser in the map.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from relion_attn_picker.errors import InputError
from relion_attn_picker.io.volume import Volume, read_volume
from relion_attn_picker.simulation.particles import PROTEIN_SCATTERING, BeadParticle, make_particle

PROTEIN_VOLUME = 1.23
"""Å³ per Da of protein at 1.35 g/cm³, the density that ``PROTEIN_SCATTERING`` is for."""

BEAD_SPACING = 3.0
"""Finer maps are averaged to voxels of about this many Å: about a picker's pixel for the smallest particles."""

MAX_BEADS = 60_000
"""A map with more voxels above the threshold is averaged further."""

DUST = 0.1
"""Connected parts smaller than this share of the largest one are left out."""

Points = NDArray[np.float64]


def read_map_particle(path: Path, *, mass: float | None = None, threshold: float | None = None) -> BeadParticle:
    """Read an MRC map as a particle.

    Parameters
    ----------
    path
        Map with bright particle; any voxel size.
    mass
        kDa of what the map shows; ``None`` takes that of the volume within the threshold, at protein's density.
    threshold
        Lowest density that belongs to the particle, in the map's own units; ``None`` encloses the volume of ``mass``
        if that is given, else divides the densities into two groups by Otsu's rule.

    Raises
    ------
    InputError
        If the file is no map, or nothing lies above the threshold.
    """
    if mass is not None and not 0 < mass < np.inf:
        raise InputError(f"The mass is {mass:g} kDa: expected more than 0, such as 480.")
    volume, spacing = read_volume(path), BEAD_SPACING
    while True:
        coarse = average_voxels(volume, spacing)
        inside = _find_particle(path, coarse, mass, threshold)
        count = np.count_nonzero(inside)
        if count <= MAX_BEADS:
            break
        spacing *= max(1.2, (count / MAX_BEADS) ** (1 / 3))
    density = coarse.values[inside].astype(np.float64) - _solvent_density(coarse.values)
    if not (density > 0).all():
        remedy = "give a higher one" if mass is None or threshold is not None else "the mass is more than the map shows"
        raise InputError(f"{path}: the threshold lies below the density of the solvent; {remedy}.")
    enclosed = count * float(np.prod(coarse.voxel_size))
    scattering = PROTEIN_SCATTERING * (enclosed if mass is None else 1000 * mass * PROTEIN_VOLUME)
    xyz = np.argwhere(inside)[:, ::-1].astype(np.float64) * coarse.voxel_size[::-1]
    radius = 0.6 * max(coarse.voxel_size)
    return make_particle(path.name.split(".")[0], xyz, density * scattering / density.sum(), radius)


def average_voxels(volume: Volume, spacing: float) -> Volume:
    """Return the map with whole numbers of voxels averaged, so that the new ones have edges of about ``spacing`` Å."""
    factors = [max(1, round(spacing / edge)) for edge in volume.voxel_size]
    padding = [(0, -n % factor) for n, factor in zip(volume.values.shape, factors, strict=True)]
    padded = np.pad(volume.values, padding, mode="edge")
    blocks = [part for n, factor in zip(padded.shape, factors, strict=True) for part in (n // factor, factor)]
    z, y, x = (edge * factor for edge, factor in zip(volume.voxel_size, factors, strict=True))
    return Volume(padded.reshape(blocks).mean(axis=(1, 3, 5)), (z, y, x))


def _find_particle(path: Path, volume: Volume, mass: float | None, threshold: float | None) -> NDArray[np.bool_]:
    """Return which voxels belong to the particle."""
    values = volume.values
    if threshold is None:
        threshold = otsu_threshold(values) if mass is None else _enclose(path, volume, 1000 * mass * PROTEIN_VOLUME)
    above = values >= threshold
    if not above.any():
        raise InputError(f"{path}: no voxel reaches the threshold of {threshold:g}; the highest is {values.max():g}.")
    parts, count = ndimage.label(above)
    sizes = np.bincount(parts.ravel(), minlength=count + 1)
    sizes[0] = 0
    return np.asarray((sizes >= DUST * sizes.max())[parts] & above)


def _enclose(path: Path, volume: Volume, wanted: float) -> float:
    """Return the threshold that encloses a volume in Å³."""
    count = max(1, round(wanted / float(np.prod(volume.voxel_size))))
    if count > volume.values.size / 2:
        raise InputError(
            f"{path}: the mass fills {wanted:.0f} Å³, more than half of the map of {volume.values.size} voxels: "
            "check the mass (kDa) and the voxel size."
        )
    return float(np.partition(volume.values.ravel(), -count)[-count])


def _solvent_density(values: NDArray[np.float32]) -> float:
    """Return the median density outside the largest ball that the box holds."""
    grids = np.ogrid[tuple(slice(-1, 1, complex(0, n)) for n in values.shape)]
    return float(np.median(values[sum(np.square(grid) for grid in grids) > 1]))


def otsu_threshold(values: NDArray[np.float32], bins: int = 512) -> float:
    """Return the value that divides values into the two groups of largest variance between them (Otsu 1979)."""
    counts, edges = np.histogram(values, bins)
    middle = (edges[:-1] + edges[1:]) / 2
    low = np.cumsum(counts)[:-1]
    sums = np.cumsum(counts * middle)
    high = values.size - low
    between = low * high * np.square(sums[:-1] / low - (sums[-1] - sums[:-1]) / high)
    best = np.flatnonzero(between >= between.max() * (1 - 1e-9))  # a gap between the groups: its middle
    return float(edges[1:-1][best].mean())
