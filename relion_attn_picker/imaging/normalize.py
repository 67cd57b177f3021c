"""Outlier clipping, background flattening and robust standardisation of images.

Array in, array out; no files, no particles but their diameter in pixels.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter

from relion_attn_picker.picks import FloatArray

MAD_TO_SD = 1.4826
"""Median absolute deviation → standard deviation of a Gaussian (Rousseeuw & Croux 1993, section 1)."""

MAX_SAMPLES = 250_000
"""Pixels from which a median is estimated; its error is then below 0.3 % of a standard deviation."""


def robust_location_and_spread(image: FloatArray) -> tuple[float, float]:
    """Return the median and the standard deviation estimated from the median absolute deviation.

    Computed on a regular grid of at most about ``MAX_SAMPLES`` pixels. Where more than half of the pixels are equal
    (masked or saturated images), the deviation would be zero: the ordinary standard deviation is returned instead.
    """
    step = max(1, int(np.sqrt(image.size / MAX_SAMPLES)))
    sample = image[::step, ::step]
    median = float(np.median(sample))
    spread = MAD_TO_SD * float(np.median(np.abs(sample - median)))
    return median, spread if spread > 0 else float(image.std())


def clip_outliers(image: FloatArray, limit: float) -> FloatArray:
    """Return ``image`` with values further than ``limit`` robust standard deviations from the median set to there."""
    median, spread = robust_location_and_spread(image)
    return np.clip(image, np.float32(median - limit * spread), np.float32(median + limit * spread))


def flatten_background(image: FloatArray, wavelength: float) -> FloatArray:
    """Subtract the Gaussian-smoothed image: a high-pass filter with half amplitude at ``wavelength`` (pixels).

    A Gaussian of standard deviation s multiplies the frequency k by exp(-2 π² s² k²); one half of it is reached at
    wavelength 1/k for s = wavelength · √(ln 2 / 2) / π. At the image's edges the image is mirrored.
    """
    sigma = wavelength * np.sqrt(np.log(2) / 2) / np.pi
    background = gaussian_filter(image, sigma, mode="reflect", truncate=3.0)
    return np.asarray(image - background, dtype=np.float32)


def standardize(image: FloatArray, limit: float) -> FloatArray:
    """Return ``image`` with median 0 and robust standard deviation 1, clipped to [-limit, limit].

    An image without any variation becomes all zeros.
    """
    median, spread = robust_location_and_spread(image)
    if spread == 0:
        return np.zeros_like(image)
    standard = (image - np.float32(median)) / np.float32(spread)
    return np.asarray(np.clip(standard, -limit, limit), dtype=np.float32)
