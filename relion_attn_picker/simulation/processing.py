"""What later programs do to an image before a picker sees it: filters, denoising, equalised contrast, 8 bits.

Lengths are pixels of the image given. The bilateral filter and CLAHE themselves are too slow for millions of images:
the guided filter and the normal scores of local contrast stand for them.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from relion_attn_picker.simulation.grid import Grid


def lowpass(image: Tensor, cutoff: float, order: int = 6) -> Tensor:
    """Apply a Butterworth low-pass filter that halves the power at ``cutoff`` times the Nyquist frequency."""
    grid = _grid(image)
    k2 = grid.squared_frequencies(half=True)
    return grid.field_of(torch.fft.rfft2(image) / torch.sqrt(1 + (k2 * (4 / cutoff**2)) ** order))


def gaussian(image: Tensor, sigma: float) -> Tensor:
    """Blur an image ``(h, w)`` by a Gaussian of standard deviation ``sigma``, round its edges."""
    grid = _grid(image)
    transfer = torch.exp(grid.squared_frequencies(half=True) * (-2 * math.pi**2 * sigma**2))
    return grid.field_of(torch.fft.rfft2(image) * transfer)


def median(image: Tensor, _: float = 1.0) -> Tensor:
    """Return the median of the 3 × 3 pixels round each pixel, mirrored at the edges.

    The median of the largest minimum, the middle median and the smallest maximum of the three sorted rows: the classic
    network of comparisons, many times faster than sorting.
    """
    padded = functional.pad(image[None, None], (1, 1, 1, 1), mode="reflect")[0, 0]
    low, middle, high = _sort3(padded[:-2], padded[1:-1], padded[2:])
    lowest = torch.maximum(torch.maximum(low[:, :-2], low[:, 1:-1]), low[:, 2:])
    highest = torch.minimum(torch.minimum(high[:, :-2], high[:, 1:-1]), high[:, 2:])
    centre = _sort3(middle[:, :-2], middle[:, 1:-1], middle[:, 2:])[1]
    return _sort3(lowest, centre, highest)[1]


def wiener(image: Tensor, radius: float) -> Tensor:
    """Apply the local Wiener filter of Lee (1980): pixels are drawn to the local mean where variance is only noise."""
    mean, variance = _local_moments(image, radius)
    noise = variance.mean()
    return mean + (image - mean) * (1 - noise / variance.clamp_min(1e-30)).clamp_min(0)


def guided(image: Tensor, radius: float) -> Tensor:
    """Apply the self-guided filter of He et al. (2013, equations 5 and 6): smooths, but keeps strong edges."""
    mean, variance = _local_moments(image, radius)
    slope = variance / (variance + 2 * image.var()).clamp_min(1e-30)
    return _box(slope, radius) * image + _box(mean * (1 - slope), radius)


def equalise(image: Tensor, radius: float) -> Tensor:
    """Return the rank, 0 to 1, that each pixel would have in its surroundings of ``radius``, were these Gaussian."""
    mean, variance = _local_moments(image, radius)
    score = (image - mean) / torch.sqrt(variance + 0.05 * image.var() + 1e-30)
    return 0.5 * (1 + torch.erf(score / math.sqrt(2)))


DENOISING: dict[str, tuple[Callable[[Tensor, float], Tensor], float, float]] = {
    "gaussian": (gaussian, 0.02, 0.1),
    "median": (median, 1.0, 1.0),
    "wiener": (wiener, 0.06, 0.15),
    "guided": (guided, 0.04, 0.15),
}
"""Denoising filters, and the range of their length in particle diameters."""


def stretch(image: Tensor, gamma: float, clip: float) -> Tensor:
    """Return an image from 0 to 1 raised to ``gamma``, with a share ``clip`` of its pixels cut off at either end."""
    sample = image[:: max(1, image.shape[0] // 256), :: max(1, image.shape[1] // 256)].flatten()
    low, high = torch.quantile(sample, clip), torch.quantile(sample, 1 - clip)
    if clip == 0:
        low, high = image.min(), image.max()
    return ((image - low) / (high - low).clamp_min(1e-30)).clamp(0, 1) ** gamma


def quantise(image: Tensor, clip: float) -> Tensor:
    """Return an image in 256 whole steps, with a share ``clip`` of its pixels cut off at either end."""
    return torch.round(255 * stretch(image, 1.0, clip))


def _sort3(a: Tensor, b: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    low, high = torch.minimum(a, b), torch.maximum(a, b)
    middle = torch.minimum(high, c)
    return torch.minimum(low, middle), torch.maximum(low, middle), torch.maximum(high, c)


def _local_moments(image: Tensor, radius: float) -> tuple[Tensor, Tensor]:
    """Return the mean and the variance within a square round each pixel."""
    centred = image - image.mean()
    mean = _box(centred, radius)
    return mean + image.mean(), (_box(centred**2, radius) - mean**2).clamp_min(0)


def _box(image: Tensor, radius: float) -> Tensor:
    """Average over squares of side 2 · round(radius) + 1, at least 3, whose outermost pixels go on beyond the edges."""
    reach = min(max(1, round(radius)), min(image.shape) // 2 - 1)
    for _ in range(2):
        padded = functional.pad(image[None], (reach, reach), mode="replicate")[0]
        total = functional.pad(padded.double().cumsum(dim=1), (1, 0))
        image = ((total[:, 2 * reach + 1 :] - total[:, : -2 * reach - 1]) / (2 * reach + 1)).float().T
    return image


def _grid(image: Tensor) -> Grid:
    return Grid((image.shape[0], image.shape[1]), 1.0, image.device)
