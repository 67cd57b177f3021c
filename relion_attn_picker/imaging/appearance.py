"""What a candidate looks like: three figures of the pixels round it, in the image that the network sees.

They are kept beside the candidates, so that those of a whole job can be compared without reading an image again
(``evaluation.likeness``). What this module does not do: it judges nothing.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from relion_attn_picker.picks import APPEARANCE, FloatArray

APPEARANCE_VERSION: Final = 1
"""Counts up when a candidate has other figures than before: a continued job then looks again."""

DECIMALS: Final = 2
"""Of the figures: a tenth of what particles of one sample differ by, and less."""

LEAST_VARIANCE: Final = 0.02
"""Added to a variance before its logarithm is taken; that of the whole image is 1."""


def measure_appearance(values: FloatArray, yx: FloatArray, diameter: float) -> dict[str, FloatArray]:
    """Return what candidates look like.

    Parameters
    ----------
    values
        The network's image, ``(h, w)``, standardised: particles are dark, as negative numbers.
    yx
        Candidates, ``(n, 2)``, pixels of that image; at its edges it is taken as mirrored.
    diameter
        Of a particle, pixels.

    Returns
    -------
    dict
        ``core`` and ``rim``, the means within a quarter of the diameter and from there to half of it, and ``spread``,
        the logarithm of the variance within half of it, ``(n,)`` each, rounded.
    """
    radius = diameter / 2
    reach = int(radius)
    offsets = np.argwhere(np.ones((2 * reach + 1, 2 * reach + 1), dtype=bool)) - reach
    distance = np.hypot(*offsets.T)
    offsets, distance = offsets[distance < radius], distance[distance < radius]
    padded = np.pad(values, reach, mode="reflect")
    centres = np.clip(np.rint(yx).astype(np.intp), 0, np.array(values.shape) - 1) + reach
    y, x = np.moveaxis(centres[:, None, :] + offsets, 2, 0)
    pixels = padded[y, x]
    is_core = distance < diameter / 4
    figures = (
        pixels[:, is_core].mean(axis=1),
        pixels[:, ~is_core].mean(axis=1),
        np.log(pixels.var(axis=1) + LEAST_VARIANCE),
    )
    return {
        name: np.round(figure, DECIMALS).astype(np.float32) for name, figure in zip(APPEARANCE, figures, strict=True)
    }
