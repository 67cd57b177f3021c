"""Random changes of a training crop that leave it a plausible micrograph.

Geometry acts on the image and on the points together, before targets are drawn, so that targets are never resampled.
``degrade`` passes a crop through what programs and repositories do to micrographs before a picker sees them.
Scale is not changed here: crops are cut at several scales when the crop file is made.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from scipy.ndimage import gaussian_filter, median_filter, uniform_filter

from relion_attn_picker.imaging.normalize import standardize
from relion_attn_picker.picks import FloatArray

CLIP: Final = 5.0
"""Standard deviations at which a degraded crop is clipped, as ``model_spec.Normalization`` clips whole images."""

LOWPASS_SHARE, NOISE_SHARE = 0.45, 0.3
"""Shares of the degraded crops that are blurred first, and that get coloured noise last."""

EQUALISED_SHARE: Final = 0.7
"""Share of the crops smoothed by boxes whose contrast is equalised before."""


def flip_and_turn(
    image: FloatArray, point_sets: tuple[FloatArray, ...], symmetry: int
) -> tuple[FloatArray, tuple[FloatArray, ...]]:
    """Apply one of the eight symmetries of the square to an image ``(s, s)`` and to its points ``(n, 2)``.

    ``symmetry`` 0 … 7: bit 0 flips y, bit 1 flips x, bit 2 swaps the axes, in this order.
    """
    last = image.shape[0] - 1
    moved = [points.copy() for points in point_sets]
    if symmetry & 1:
        image = image[::-1]
        for points in moved:
            points[:, 0] = last - points[:, 0]
    if symmetry & 2:
        image = image[:, ::-1]
        for points in moved:
            points[:, 1] = last - points[:, 1]
    if symmetry & 4:
        image = image.T
        moved = [points[:, ::-1] for points in moved]
    return image, tuple(moved)


def vary_intensity(image: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Change contrast (× 0.7 … 1.4), offset (± 0.2 sd) and noise (up to 0.6 sd of white noise) of a standardised image.

    Real sets differ in all three even after standardising: its median and spread depend on how crowded they are.
    """
    gain = np.float32(2 ** rng.uniform(-0.5, 0.5))
    offset = np.float32(rng.uniform(-0.2, 0.2))
    noise = np.float32(max(0.0, rng.uniform(-0.6, 0.6)))
    varied = image * gain + offset
    if noise > 0:
        varied = varied + noise * rng.standard_normal(image.shape, dtype=np.float32)
    return np.asarray(varied, dtype=np.float32)


def degrade(image: FloatArray, particle_diameter_px: float, rng: np.random.Generator) -> FloatArray:
    """Pass a standardised image through a random chain of filters, and standardise it again.

    Public sets were often low-passed, denoised or equalised before they were published, and users' own are by other
    programs; a network that knows raw noise only takes the coarse grain of a denoised image for particles.

    Parameters
    ----------
    image
        ``(h, w)``, standardised.
    particle_diameter_px
        Particle diameter in pixels: what is blurred away is a fraction of a particle.
    rng
        Draws the chain.
    """
    if rng.random() < LOWPASS_SHARE:
        image = gaussian_filter(image, particle_diameter_px * np.exp(rng.uniform(np.log(0.02), np.log(0.13))))
    names, shares = zip(*((name, share) for name, (share, _) in DEGRADATIONS.items()), strict=True)
    change = DEGRADATIONS[str(rng.choice(names, p=shares))][1]
    image = standardize(change(image, particle_diameter_px, rng), CLIP)
    if rng.random() < NOISE_SHARE:
        image = standardize(_add_coloured_noise(image, particle_diameter_px, rng), CLIP)
    return image


def _unchanged(image: FloatArray, particle_diameter_px: float, rng: np.random.Generator) -> FloatArray:
    return image


def _median(image: FloatArray, particle_diameter_px: float, rng: np.random.Generator) -> FloatArray:
    return np.asarray(median_filter(image, 3))


def _wiener(image: FloatArray, particle_diameter_px: float, rng: np.random.Generator) -> FloatArray:
    """Smooth where the local variance is no more than the noise's (Lim 1990, section 9.2)."""
    window = int(rng.choice([3, 5, 7]))
    mean = uniform_filter(image, window)
    variance = np.maximum(uniform_filter(np.square(image), window) - np.square(mean), 1e-6)
    noise = np.quantile(variance, rng.uniform(0.2, 0.8))
    return np.asarray(mean + np.maximum(variance - noise, 0) / np.maximum(variance, noise) * (image - mean))


def _equalise_locally(image: FloatArray, particle_diameter_px: float, rng: np.random.Generator) -> FloatArray:
    """Give each region of 1.5 to 5 diameters the same mean and nearly the same spread."""
    sigma = particle_diameter_px * rng.uniform(1.5, 5)
    flat = image - gaussian_filter(image, sigma)
    spread = np.sqrt(np.maximum(gaussian_filter(np.square(flat), sigma), 1e-6))
    return np.asarray(flat / (spread + np.float32(0.3 * image.std() + 1e-6)))


def _smooth_by_boxes(image: FloatArray, particle_diameter_px: float, rng: np.random.Generator) -> FloatArray:
    """Give each region the same contrast, mostly, and average twice over squares of .12 to .35 diameters.

    What a guided filter (He et al. 2013) comes to where its guide is faint, as in the images of CryoSegNet
    (``utils/denoise.py``: CLAHE, then that filter with squares of 20 pixels): no detail finer than the squares is left.
    """
    if rng.random() < EQUALISED_SHARE:
        image = _equalise_locally(image, particle_diameter_px, rng)
    side = max(2, round(particle_diameter_px * rng.uniform(0.12, 0.35)))
    once = uniform_filter(image, side)
    return np.asarray(uniform_filter(once, side, origin=0 if side % 2 else -1))


def _saturate(image: FloatArray, particle_diameter_px: float, rng: np.random.Generator) -> FloatArray:
    """Compress the extremes, as conversion to 8 bits after a stretch of the histogram does."""
    return np.asarray(np.tanh(image * np.float32(rng.uniform(0.3, 1))))


def _add_coloured_noise(image: FloatArray, particle_diameter_px: float, rng: np.random.Generator) -> FloatArray:
    white = rng.standard_normal(image.shape, dtype=np.float32)
    coloured = gaussian_filter(white, particle_diameter_px * rng.uniform(0.02, 0.1))
    return np.asarray(image + coloured * np.float32(rng.uniform(0, 0.8) / coloured.std()))


DEGRADATIONS: Final[dict[str, tuple[float, Callable[[FloatArray, float, np.random.Generator], FloatArray]]]] = {
    "none": (0.3, _unchanged),
    "median": (0.1, _median),
    "wiener": (0.15, _wiener),
    "local contrast": (0.15, _equalise_locally),
    "boxes": (0.2, _smooth_by_boxes),
    "saturation": (0.1, _saturate),
}
"""Name → (share of the degraded crops, change(image, particle_diameter_px, rng))."""
