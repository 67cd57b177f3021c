"""The detector and what becomes of its image: counts, defective pixels, and the filters of later programs."""

from __future__ import annotations

import numpy as np
import scipy.fft

from relion_attn_picker.picks import FloatArray
from relion_attn_picker.simulation.optics import squared_frequencies


def expose(
    intensity: FloatArray, pixel_size: float, dose: float, noise_gain: float, rng: np.random.Generator
) -> FloatArray:
    """Return electrons counted per pixel for an intensity ``(h, w)`` of 1 without a specimen.

    A Gaussian stands for Poisson's distribution: at 1 Å and 40 e/Å² a pixel gets 40 electrons, and more where binned.

    Parameters
    ----------
    intensity
        ``(h, w)``.
    pixel_size, dose
        Å per pixel, e/Å².
    noise_gain
        Variance over Poisson's: what the detector's efficiency and careless resampling add.
    rng
        Draws the counts.
    """
    expected = intensity * np.float32(dose * pixel_size**2)
    noise = rng.standard_normal(intensity.shape, dtype=np.float32)
    noise *= np.sqrt(np.maximum(expected, 0) * np.float32(noise_gain))
    return np.asarray(expected + noise)


def add_defects(image: FloatArray, hot_pixels: int, border: int, rng: np.random.Generator) -> None:
    """Put single wrong pixels and, along one side, a strip of repeated pixels into an image, in place.

    Parameters
    ----------
    image
        ``(h, w)``.
    hot_pixels
        How many pixels are off by 6 to 30 standard deviations, most of them bright.
    border
        Width in pixels of the strip that repeats the row or column beside it, as alignment of movie frames leaves it.
    rng
        Draws places and strengths.
    """
    where = rng.integers(0, image.size, hot_pixels)
    strength = rng.uniform(6, 30, hot_pixels) * rng.choice([1, 1, 1, -1], hot_pixels)
    image.reshape(-1)[where] += (strength * image.std()).astype(np.float32)
    if border:
        turned = np.rot90(image, int(rng.integers(4)))  # a view
        turned[:border] = turned[border]


def gain_residue(shape: tuple[int, int], strength: float, rng: np.random.Generator) -> FloatArray:
    """Return factors ``(h, w)`` round 1 that differ from column to column and from row to row by ``strength``."""
    rows, columns = rng.normal(0, strength, (shape[0], 1)), rng.normal(0, strength, (1, shape[1]))
    return np.asarray((1 + rows) * (1 + columns), dtype=np.float32)


def lowpass(image: FloatArray, cutoff: float, order: int = 6) -> FloatArray:
    """Apply a Butterworth low-pass filter with its half power at ``cutoff`` times the Nyquist frequency."""
    shape = (image.shape[0], image.shape[1])
    k2 = squared_frequencies(shape, 1.0, half=True)
    spectrum = scipy.fft.rfft2(image) / np.sqrt(1 + (k2 * np.float32(4 / cutoff**2)) ** order)
    return np.asarray(scipy.fft.irfft2(spectrum, shape), dtype=np.float32)
