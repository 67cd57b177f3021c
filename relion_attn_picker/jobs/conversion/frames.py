"""Points and the images that they lie on: shapes that contradict, rows counted from the other end, points outside.

Shapes are ``(h, w)`` of each micrograph in the order of the points' names, ``None`` where its image is not known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from relion_attn_picker.errors import InputError
from relion_attn_picker.point_set import DoubleArray, PointSet

ImageShapes = Sequence[tuple[int, int] | None]


def check_shapes(points: PointSet, shapes: ImageShapes, factor: float) -> None:
    """Refuse points whose source tells other shapes of the images than these have, but for the factor.

    Raises
    ------
    InputError
        If one differs by more than a pixel of the larger image.
    """
    for name, told, shape in zip(points.names, points.image_shapes or (), shapes, strict=False):
        if shape is not None and max(abs(t * factor - s) for t, s in zip(told, shape, strict=True)) > max(1.0, factor):
            raise InputError(
                f"The coordinates on {name} are of an image of {told[1]}×{told[0]} pixels, but it has "
                f"{shape[1]}×{shape[0]}: give --factor {shape[0] / told[0]:.6g} if it was rescaled, or the right list."
            )


def _frames(points: PointSet, shapes: ImageShapes) -> DoubleArray:
    """Return height and width of the micrograph of each point, ``(n, 2)``, NaN where they are not known."""
    return np.array([shape or (np.nan, np.nan) for shape in shapes], dtype=np.float64).reshape(-1, 2)[points.owner]


def flip_y(points: PointSet, shapes: ImageShapes) -> DoubleArray:
    """Return the centres ``(n, 2)`` with rows counted from the other end of their images, which must all be known."""
    yx = points.yx.copy()
    yx[:, 0] = _frames(points, shapes)[:, 0] - 1 - yx[:, 0]
    return yx


def handle_outside(points: PointSet, shapes: ImageShapes, outside: str) -> tuple[PointSet, list[str]]:
    """Deal with points whose pixel is not in their image: RELION's Extract ends on a box that lies outside.

    ``outside`` is as in ``conversion.job.ConversionOptions``; what was done is told in a sentence. Points on images
    that are not known stay.

    Raises
    ------
    InputError
        If they are to be refused and there are some.
    """
    if not len(points):
        return points, []
    frame = _frames(points, shapes)
    is_known = np.isfinite(frame[:, 0])
    is_outside = is_known & np.any((np.rint(points.yx) < 0) | (np.rint(points.yx) > frame - 1), axis=1)
    n = int(is_outside.sum())
    if not n:
        return points, []
    first = int(np.flatnonzero(is_outside)[0])
    (y, x), (h, w) = points.yx[first], frame[first]
    name = points.names[points.owner[first]]
    told = (
        f"{n} of {len(points)} points lie outside their images, first x {x:g}, y {y:g} on {name} ({w:g}×{h:g} pixels)"
    )
    if outside == "refuse":
        explained = _explain_outside(points.yx[is_known], frame[is_known])
        raise InputError(f"{told}{explained}: choose --outside drop, clip or keep to go on.")
    if outside == "drop":
        return points.select(~is_outside), [f"{told}: they are left out."]
    if outside == "clip":
        clipped = np.where(is_known[:, None], np.clip(points.yx, 0, frame - 1), points.yx)
        return replace(points, yx=clipped), [f"{told}: they are moved to its edge."]
    return points, [f"{told}: they are kept."]


def _explain_outside(yx: DoubleArray, frame: DoubleArray) -> str:
    swapped = yx[:, ::-1]
    if ((swapped >= -0.5) & (swapped <= frame - 0.5)).all():
        return "; with x and y exchanged all would lie inside"
    ratio = float(np.max(yx / frame))
    return "; were they picked on larger images?" if ratio > 1.2 else ""
