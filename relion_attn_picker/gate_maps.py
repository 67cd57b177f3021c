"""Where the attention gates of a network let features through: their ``α`` over a micrograph, and where it lies.

No network and no file is known here. Arrays are ``(y, x)``; micrograph coordinates are 0-based with integers at the
centres of pixels, as everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relion_attn_picker.errors import InputError
from relion_attn_picker.picks import FloatArray


@dataclass(frozen=True)
class Window:
    """A part of a micrograph, in its pixels: ``left`` and ``top`` are the first column and row."""

    left: int
    top: int
    width: int
    height: int

    def check(self, name: str, image_shape: tuple[int, int], smallest: float) -> None:
        """Refuse a window that does not lie in an image ``(h, w)``, or has a side below ``smallest`` pixels.

        Raises
        ------
        InputError
            If it is so; ``name`` is the image's.
        """
        h, w = image_shape
        told = f"The window (x {self.left}, y {self.top}, width {self.width}, height {self.height})"
        is_inside = min(self.left, self.top) >= 0 and self.left + self.width <= w and self.top + self.height <= h
        if not is_inside or min(self.width, self.height) < 1:
            raise InputError(f"{told} does not lie within {name}, which has {w}×{h} pixels: give pixels of that image.")
        if min(self.width, self.height) < smallest:
            raise InputError(
                f"{told} is smaller than a particle, {smallest:.0f} pixels of {name}: give a larger one, or the whole."
            )


@dataclass(frozen=True)
class GateMap:
    """The ``α`` of one gate over a micrograph or a window of it.

    Parameters
    ----------
    name
        The gate's level: ``level_1`` (finest) to ``level_4``.
    values
        ``α`` in [0, 1], float32, shape ``(h, w)``, pixels of the network's level.
    pixel_size
        Å per pixel of the map.
    spacing
        Pixels of the micrograph from the centre of one pixel of the map to the next, along y and x.
    origin
        Where the centre of pixel (0, 0) of the map lies, ``(y, x)`` in pixels of the micrograph.
    """

    name: str
    values: FloatArray
    pixel_size: float
    spacing: float
    origin: tuple[float, float]

    def __post_init__(self) -> None:
        if self.values.ndim != 2:
            raise ValueError(f"GateMap.values has shape {self.values.shape}: expected (h, w).")

    def from_micrograph(self, yx: NDArray[Any]) -> NDArray[np.float64]:
        """Carry points ``(n, 2)`` from pixels of the micrograph to pixels of the map."""
        return (np.asarray(yx, dtype=np.float64) - self.origin) / self.spacing

    def centres(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return the rows ``(h,)`` and the columns ``(w,)`` of the micrograph that the map's pixels are centred on."""
        height, width = self.values.shape
        return self.origin[0] + self.spacing * np.arange(height), self.origin[1] + self.spacing * np.arange(width)
