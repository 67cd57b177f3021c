"""Cutting a large image into overlapping tiles and blending the answers back.

Each tile carries a halo of context that is wide enough for every pixel of its core to see what it would see in the
whole image; only there do its weights differ from zero, and they rise smoothly, so that no seam can show.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from relion_attn_picker.picks import FloatArray


@dataclass(frozen=True)
class Span:
    """One tile along one axis: reads pixels [start, stop), with blending ``weight`` ``(stop - start,)``."""

    start: int
    stop: int
    weight: FloatArray

    def coarsen(self, step: int) -> Span:
        """Return the same tile on pixels that are ``step`` times as long, a divisor of ``start``.

        The last of them may reach beyond ``stop``; each has the mean weight of the fine pixels on it.
        """
        first = np.arange(0, self.stop - self.start, step)
        fine = np.diff(np.append(first, self.stop - self.start))
        weight = np.add.reduceat(self.weight, first) / fine
        return Span(self.start // step, -(-self.stop // step), weight.astype(np.float32))


@dataclass(frozen=True)
class TileGrid:
    """How an image of ``(h, w)`` pixels is cut: one tuple of spans an axis."""

    shape: tuple[int, int]
    rows: tuple[Span, ...]
    columns: tuple[Span, ...]

    def __iter__(self) -> Iterator[tuple[Span, Span]]:
        return ((row, column) for row in self.rows for column in self.columns)


def _cut_axis(length: int, tile_size: int, halo: int, ramp: int, stride: int) -> tuple[Span, ...]:
    if length <= tile_size:
        return (Span(0, length, np.ones(length, dtype=np.float32)),)
    step = tile_size - 2 * halo - ramp
    spans = []
    for start in range(0, length, step):
        stop = min(start + tile_size, length)
        if length - stop < stride:
            stop = length
        distance = np.arange(start, stop, dtype=np.float32)
        weight: FloatArray = np.ones(stop - start, dtype=np.float32)
        if start > 0:
            weight = np.minimum(weight, (distance - start - halo + 1) / (ramp + 1))
        if stop < length:
            weight = np.minimum(weight, (stop - halo - distance) / (ramp + 1))
        spans.append(Span(start, stop, np.clip(weight, 0, 1).astype(np.float32)))
        if stop == length:
            break
    return tuple(spans)


def plan_tiles(shape: tuple[int, int], tile_size: int, halo: int, stride: int) -> TileGrid:
    """Plan overlapping tiles for an image of ``shape``.

    Parameters
    ----------
    shape
        ``(h, w)`` of the image.
    tile_size
        Largest side of a tile in pixels; rounded down to a multiple of ``stride``.
    halo
        Context on every inner side of a tile, at least half of the network's receptive field; rounded up to a
        multiple of ``stride``. Tiles start at multiples of ``stride``, as the whole image does, so that pooling sees
        the same cells.
    stride
        The network's coarsest pixel.

    Raises
    ------
    ValueError
        If the tile is not larger than its halos.
    """
    halo = -(-halo // stride) * stride
    tile_size = tile_size // stride * stride
    ramp = stride
    if tile_size < 2 * halo + ramp + stride:
        raise ValueError(f"A tile of {tile_size} pixels has no core within halos of {halo} pixels.")
    rows, columns = (_cut_axis(length, tile_size, halo, ramp, stride) for length in shape)
    return TileGrid(shape, rows, columns)


class TileBlender:
    """Adds up weighted tiles of one image."""

    def __init__(self, shape: tuple[int, int]) -> None:
        self._total: FloatArray = np.zeros(shape, dtype=np.float32)
        self._weight: FloatArray = np.zeros(shape, dtype=np.float32)

    def add(self, row: Span, column: Span, values: FloatArray) -> None:
        """Add the answer for one tile, shape ``(row.stop - row.start, column.stop - column.start)``."""
        weight = row.weight[:, None] * column.weight[None, :]
        window = np.s_[row.start : row.stop, column.start : column.stop]
        self._total[window] += weight * values
        self._weight[window] += weight

    def result(self) -> FloatArray:
        """Return the blended image."""
        return self._total / self._weight
