"""The detector: counts of electrons, and its faults."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from relion_attn_picker.simulation.chance import Chance


def expose(intensity: Tensor, electrons: float, noise_gain: float, chance: Chance) -> Tensor:
    """Return electrons counted per pixel for an intensity ``(h, w)`` of 1 without a specimen.

    A Gaussian stands for Poisson's distribution: at 1 Å and 40 e/Å² a pixel gets 40 electrons, and more where binned.

    Parameters
    ----------
    intensity
        ``(h, w)``.
    electrons
        Electrons counted per pixel without a specimen: dose × pixel area × detective quantum efficiency.
    noise_gain
        Variance over Poisson's: what careless resampling adds.
    chance
        Draws the counts.
    """
    expected = intensity * electrons
    noise = chance.normal((intensity.shape[0], intensity.shape[1]), intensity.device)
    return expected + noise.mul_(torch.sqrt(expected.clamp_min(0) * noise_gain))


def gain_residue(shape: tuple[int, int], strength: float, chance: Chance, device: torch.device) -> Tensor:
    """Return factors ``(h, w)`` round 1 that differ from column to column and from row to row by ``strength``."""
    rows, columns = chance.normal((shape[0], 1), device), chance.normal((1, shape[1]), device)
    return (1 + strength * rows) * (1 + strength * columns)


def add_wrong_pixels(image: Tensor, hot: int, dead: int, dead_columns: int, rng: np.random.Generator) -> None:
    """Put wrong pixels into an image ``(h, w)``, in place.

    Parameters
    ----------
    image
        ``(h, w)``.
    hot
        How many pixels are off by 6 to 30 standard deviations, most of them bright.
    dead
        How many pixels counted nothing.
    dead_columns
        How many columns (or, as often, rows) counted nothing.
    rng
        Draws places and strengths.
    """
    mean, spread = float(image.mean()), float(image.std())
    strength = rng.uniform(6, 30, hot) * rng.choice([1, 1, 1, -1], hot)
    for value in (*(mean + strength * spread), *np.zeros(dead)):
        image[int(rng.integers(image.shape[0])), int(rng.integers(image.shape[1]))] = float(value)
    for _ in range(dead_columns):
        turned = image if rng.random() < 0.5 else image.T
        turned[:, int(rng.integers(turned.shape[1]))] = 0


def add_border(image: Tensor, width: int, kind: str, both: bool, rng: np.random.Generator) -> Tensor:
    """Spoil a strip of ``width`` pixels along one side of an image ``(h, w)``, or along both opposite ones, in place.

    Alignment of movie frames leaves strips that repeat the row beside them, or hold one value; see ``BORDERS``. No
    strip is wider than half of the image.

    Returns
    -------
    Tensor
        Where the strips are, ``(h, w)``.

    Raises
    ------
    KeyError
        If there is no such kind of border.
    """
    strip = BORDERS[kind]
    spoilt = torch.zeros_like(image, dtype=torch.bool)
    along_rows = rng.random() < 0.5
    turned, turned_spoilt = (image, spoilt) if along_rows else (image.T, spoilt.T)
    width = min(width, turned.shape[0] // 2)
    at_end = bool(rng.random() < 0.5)
    for last in (False, True) if both else (at_end,):
        seen = turned.flip(0) if last else turned
        values = strip(seen, width).expand(width, turned.shape[1])
        rows = slice(-width, None) if last else slice(width)
        turned[rows] = values.flip(0) if last else values
        turned_spoilt[rows] = True
    return spoilt


def _repeat(image: Tensor, width: int) -> Tensor:
    return image[width].clone()


def _mirror(image: Tensor, width: int) -> Tensor:
    return image[width : 2 * width].flip(0)


BORDERS: dict[str, Callable[[Tensor, int], Tensor]] = {
    "repeated": _repeat,
    "mirrored": _mirror,
    "mean": lambda image, width: image.mean(),
    "zero": lambda image, width: torch.zeros((), device=image.device),
    "darkest": lambda image, width: image.min(),
}
"""What fills a strip along the first rows of an image ``(h, w)``, by name."""
