"""Spoilt borders: strips along an image's sides that hold no picture of the specimen.

Alignment of movie frames leaves the outermost rows and columns without data, and fills them with one value, with
copies of the last row, or with a mirrored piece of the image. Such a strip shows in the pixels themselves: its rows are
equal, or nearly so after filtering. What this module does not do: it does not know borders of fewer frames, which are
noisier than the rest but real.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from relion_attn_picker.picks import FloatArray

NEARLY: Final = 0.1
"""Rows that differ by less than this part of what neighbouring rows inside the image differ by are equal."""

DEEPEST: Final = 1 / 8
"""Part of an image's side beyond which a strip is not looked for."""

SAMPLED_ROWS: Final = 64
"""Pairs of rows inside the image that are compared."""

SAMPLED_PIXELS: Final = 512
"""Pixels of a row that are compared; they tell its mean difference from another to some 4 %."""


@dataclass(frozen=True)
class SpoiltBorder:
    """Widths in pixels of the strips without data along an image's four sides."""

    top: int = 0
    bottom: int = 0
    left: int = 0
    right: int = 0

    def contains(self, yx: FloatArray, image_shape: tuple[int, int]) -> NDArray[np.bool_]:
        """Return which points ``(n, 2)`` of an image ``(h, w)`` lie in a strip, ``(n,)``."""
        first = np.array([self.top, self.left]) - 0.5
        last = np.array(image_shape) - np.array([self.bottom, self.right]) - 0.5
        outermost = np.array([self.top, self.left, self.bottom, self.right]) > 0
        before, behind = (yx < first) & outermost[:2], (yx > last) & outermost[2:]
        return np.asarray((before | behind).any(axis=1))


def find_spoilt_border(image: FloatArray) -> SpoiltBorder:
    """Return the strips without data along the sides of an image ``(h, w)``, as it lies in its file."""
    top, bottom = _strip(image), _strip(image[::-1])
    left, right = _strip(image.T), _strip(image.T[::-1])
    return SpoiltBorder(top, bottom, left, right)


def _strip(image: FloatArray) -> int:
    """Return how many of the first rows hold no data: each equal to the next, or a mirror image of what follows."""
    image = image[:, :: max(1, image.shape[1] // SAMPLED_PIXELS)]
    deepest = max(1, int(DEEPEST * len(image)))
    inside = np.linspace(deepest, len(image) - deepest - 1, SAMPLED_ROWS).astype(int)
    limit = NEARLY * float(np.median(_difference(image[inside], image[inside + 1])))
    is_equal = _difference(image[:deepest], image[1 : deepest + 1]) < limit
    if is_equal[0]:
        return int(np.argmin(is_equal)) + 1 if not is_equal.all() else deepest
    for place in np.flatnonzero(is_equal):
        width = int(place) + 1
        if (_difference(image[:width], image[width : 2 * width][::-1]) < limit).all():
            return width
    return 0


def _difference(rows: FloatArray, others: FloatArray) -> NDArray[np.float64]:
    """Return the mean absolute difference of each of some rows from its counterpart."""
    return np.asarray(np.abs(rows - others).mean(axis=1, dtype=np.float64))
