"""What there is to see in a micrograph beside particles: strips without data, and where much lies on one place.

The networks see images without low frequencies; what is larger than a particle must be looked for before, in the pixels
as they lie in the file. Dense means dark, as protein is. What this module does not do: it knows no candidates and
judges nothing (``inference.rejection`` does).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.ndimage import gaussian_filter, map_coordinates, median_filter

from relion_attn_picker.imaging.borders import SpoiltBorder, find_spoilt_border
from relion_attn_picker.imaging.normalize import clip_outliers, robust_location_and_spread
from relion_attn_picker.imaging.prepare import NetworkImage
from relion_attn_picker.picks import FloatArray

BLOCKS: Final = 6
"""Blocks of pixels per particle diameter that are averaged before anything else: noise and cost fall."""

CLIP: Final = 20.0
"""Robust standard deviations at which pixels are clipped before, so that no dead column looks like a dense line."""

BACKGROUND: Final = 5.0
"""Particle diameters across the window whose median is the background: a film's straight edge leaves nothing over."""

BACKGROUND_STEP: Final = 3
"""Of so many blocks in either direction only one is looked at for the background."""

NEAR: Final = 0.6
"""Standard deviation in particle diameters of the Gaussian that averages over about one particle."""

WIDE: Final = 1.0
"""The same over a particle and its neighbours."""

TEXTURE: Final = 0.75
"""The same for the power of the network's image."""


@dataclass(frozen=True)
class CoarseMap:
    """Values ``(h, w)`` for blocks of ``block`` by ``block`` pixels of an image, from its pixel (0, 0) on."""

    values: FloatArray
    block: float

    def at(self, yx: FloatArray) -> FloatArray:
        """Return the values at points ``(n, 2)`` in pixels of the image, ``(n,)``, linear between middles of blocks."""
        places = (yx.T - (self.block - 1) / 2) / self.block
        return np.asarray(map_coordinates(self.values, places, order=1, mode="nearest"), dtype=np.float32)

    @property
    def spread(self) -> float:
        """Robust standard deviation of the values."""
        return robust_location_and_spread(self.values)[1]


@dataclass(frozen=True)
class Surroundings:
    """What a micrograph shows beside particles; all maps are of its own pixels.

    Parameters
    ----------
    image_shape
        ``(h, w)`` of the micrograph.
    border
        Strips along its sides that hold no data.
    near, wide
        How much denser it is than its background, averaged with Gaussians of ``NEAR`` and ``WIDE`` diameters.
    texture
        Root mean square of the network's image, averaged with a Gaussian of ``TEXTURE`` diameters; 1 is its median.
    """

    image_shape: tuple[int, int]
    border: SpoiltBorder
    near: CoarseMap
    wide: CoarseMap
    texture: CoarseMap


def survey_micrograph(
    image: FloatArray, pixel_size: float, prepared: NetworkImage, particle_diameter: float
) -> Surroundings:
    """Look at a whole micrograph.

    Parameters
    ----------
    image
        ``(h, w)``, as it lies in its file.
    pixel_size
        Å per pixel of ``image``.
    prepared
        The same at the network's scale.
    particle_diameter
        Å.
    """
    near, wide = _map_density(image, particle_diameter / pixel_size)
    network_diameter = particle_diameter / prepared.pixel_size
    block = _block_of(network_diameter)
    power = gaussian_filter(average_blocks(np.square(prepared.values), block), TEXTURE * network_diameter / block)
    texture = np.sqrt(power / max(float(np.median(power)), np.finfo(np.float32).tiny))
    return Surroundings(
        image_shape=(image.shape[0], image.shape[1]),
        border=find_spoilt_border(image),
        near=near,
        wide=wide,
        texture=CoarseMap(texture, block * prepared.pixel_size / pixel_size),
    )


def _map_density(image: FloatArray, diameter: float) -> tuple[CoarseMap, CoarseMap]:
    """Return density over the background, averaged near and wide; the particle diameter is in pixels."""
    block = _block_of(diameter)
    density = -average_blocks(clip_outliers(image, CLIP), block)
    density -= _background(density, diameter / block)
    near, wide = (gaussian_filter(density, scale * diameter / block, mode="nearest") for scale in (NEAR, WIDE))
    return CoarseMap(near, block), CoarseMap(wide, block)


def _block_of(diameter: float) -> int:
    return max(1, int(diameter / BLOCKS))


def _background(density: FloatArray, diameter: float) -> FloatArray:
    """Return the median of the blocks round each block, ``(h, w)``; the particle diameter is in blocks."""
    window = int(BACKGROUND * diameter / BACKGROUND_STEP) | 1
    coarse = median_filter(density[::BACKGROUND_STEP, ::BACKGROUND_STEP], window, mode="reflect")
    fine = coarse.repeat(BACKGROUND_STEP, axis=0).repeat(BACKGROUND_STEP, axis=1)
    return np.asarray(fine[: density.shape[0], : density.shape[1]], dtype=np.float32)


def average_blocks(image: FloatArray, block: int) -> FloatArray:
    """Return the means of the blocks of an image ``(h, w)``; rows and columns that fill no block are left out."""
    rows, columns = (length // block for length in image.shape)
    whole = image[: rows * block, : columns * block]
    lines = whole.reshape(rows, block, columns * block).mean(axis=1)
    return np.asarray(lines.reshape(rows, columns, block).mean(axis=2), dtype=np.float32)
