"""Fourier resampling of an image by a ratio of small whole numbers.

The ratio is rational on purpose: with ``n`` micrograph pixels on exactly ``m`` network pixels along both axes, and
pixel (0, 0) on pixel (0, 0), a network coordinate becomes a micrograph coordinate by one exact factor, on K3's
rectangular frames too. A size rounded for each axis would be wrong by several pixels at the far edge.

What this module does not do: it does not know particles or files.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from relion_attn_picker.picks import FloatArray

MARGIN = 8
"""Mirrored pixels (of the coarser grid) on every side, so that the image does not wrap round onto its far edge."""


@dataclass(frozen=True)
class SamplingRatio:
    """``fine`` pixels of the input lie on exactly ``coarse`` pixels of the output (whole numbers, any order)."""

    fine: int
    coarse: int

    @property
    def factor(self) -> float:
        """Input pixels per output pixel."""
        return self.fine / self.coarse


def _largest_prime(number: int) -> int:
    largest, divisor = 1, 2
    while divisor * divisor <= number:
        while number % divisor == 0:
            largest, number = divisor, number // divisor
        divisor += 1
    return max(largest, number)


def choose_ratio(factor: float, tolerance: float = 0.005) -> SamplingRatio:
    """Return the cheapest ratio of small whole numbers within ``tolerance`` (relative) of ``factor``.

    Parameters
    ----------
    factor
        Wanted input pixels per output pixel, > 0.
    tolerance
        Largest relative error. Half a percent of a particle diameter is far below what a diameter is known to.

    Returns
    -------
    SamplingRatio
        Preferring factors that the fast Fourier transform likes (largest prime ≤ 7), then small ones.
    """
    candidates = []
    for coarse in range(1, 33):
        fine = max(1, round(factor * coarse))
        if abs(fine / coarse - factor) <= tolerance * factor:
            ratio = Fraction(fine, coarse)
            candidates.append((ratio.numerator, ratio.denominator))
    if not candidates:
        ratio = Fraction(factor).limit_denominator(64) if factor > 1 else 1 / Fraction(1 / factor).limit_denominator(64)
        candidates.append((ratio.numerator, ratio.denominator))
    fine, coarse = min(candidates, key=lambda pair: (max(map(_largest_prime, pair)) > 7, sum(pair)))
    return SamplingRatio(fine, coarse)


def output_length(length: int, ratio: SamplingRatio) -> int:
    """Return how many output pixels have their centre on the ``length`` input pixels."""
    return (length - 1) * ratio.coarse // ratio.fine + 1


def _padding(length: int, ratio: SamplingRatio) -> tuple[int, int]:
    """Return how many periods of ``ratio`` go before the image, and how many make up the padded whole."""
    before = -(-MARGIN // min(ratio.fine, ratio.coarse))
    needed = -(-length // ratio.fine) + 2 * before
    smooth = (periods for periods in range(needed, needed + needed // 8 + 2) if _largest_prime(periods) <= 7)
    return before, next(smooth, needed)


def _mirror(image: FloatArray, before: int, after: int, axis: int) -> FloatArray:
    """Extend ``image`` by mirroring; ``numpy.pad`` repeats the mirror where the image is shorter than the margin."""
    width = [(0, 0), (0, 0)]
    width[axis] = (before, after)
    return np.pad(image, width, mode="symmetric")


def _crop_spectrum(spectrum: NDArray[np.complex64], wanted: int) -> NDArray[np.complex64]:
    """Keep the low frequencies of a full spectrum along axis 0, or add zeros; the Nyquist frequency is left out."""
    present = len(spectrum)
    kept = (min(present, wanted) - 1) // 2
    result = np.zeros((wanted, *spectrum.shape[1:]), dtype=spectrum.dtype)
    result[: kept + 1] = spectrum[: kept + 1]
    if kept:
        result[-kept:] = spectrum[-kept:]
    return result


def fourier_resample(image: FloatArray, ratio: SamplingRatio, workers: int = 1) -> FloatArray:
    """Resample ``image`` so that ``ratio.fine`` of its pixels become ``ratio.coarse``.

    Frequencies above the Nyquist frequency of the coarser grid are cut off, so that nothing is aliased; the mean is
    kept. The two axes are transformed one after the other, and the first is cropped before the second is transformed:
    most of the second transform would only be thrown away.

    Parameters
    ----------
    image
        Shape ``(h, w)``, float32.
    ratio
        See ``choose_ratio``.
    workers
        Threads of the Fourier transforms.

    Returns
    -------
    FloatArray
        Shape ``(output_length(h), output_length(w))``; output pixel ``(y, x)`` is at ``(y, x) * ratio.factor`` of the
        input.
    """
    height, width = image.shape
    if ratio.fine == ratio.coarse:
        return image
    (top, rows), (left, columns) = _padding(height, ratio), _padding(width, ratio)
    padded_height, padded_width = rows * ratio.fine, columns * ratio.fine
    wanted_height, wanted_width = rows * ratio.coarse, columns * ratio.coarse

    padded = _mirror(image, left * ratio.fine, padded_width - width - left * ratio.fine, axis=1)
    spectrum = scipy.fft.rfft(padded, axis=1, workers=workers)
    del padded
    kept = (min(padded_width, wanted_width) - 1) // 2 + 1
    spectrum = spectrum[:, :kept]

    offset = top * ratio.fine
    spectrum = np.pad(spectrum, ((offset, padded_height - height - offset), (0, 0)), mode="symmetric")
    spectrum = scipy.fft.fft(spectrum, axis=0, workers=workers, overwrite_x=True)
    spectrum = _crop_spectrum(spectrum, wanted_height)
    spectrum = scipy.fft.ifft(spectrum, axis=0, workers=workers, overwrite_x=True)
    first_row = top * ratio.coarse
    spectrum = spectrum[first_row : first_row + output_length(height, ratio)]
    resampled = scipy.fft.irfft(spectrum, n=wanted_width, axis=1, workers=workers)
    first_column = left * ratio.coarse
    resampled = resampled[:, first_column : first_column + output_length(width, ratio)]
    gain = (wanted_height * wanted_width) / (padded_height * padded_width)
    return np.ascontiguousarray(resampled * np.float32(gain), dtype=np.float32)
