"""Random changes of a training crop that leave it a plausible micrograph.

Geometry acts on the image and on the points together, before targets are drawn, so that targets are never resampled.
Scale is not changed here: crops are cut at several scales when the crop file is made.
"""

from __future__ import annotations

import numpy as np

from relion_attn_picker.picks import FloatArray


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
