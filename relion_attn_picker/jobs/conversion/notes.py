"""What is told of points that a conversion changes or cannot keep."""

from __future__ import annotations

from typing import Final

import numpy as np

from relion_attn_picker.jobs.conversion.formats import find_format
from relion_attn_picker.point_set import PointSet

SINGLE_PRECISION: Final = 1e-7
"""Relative: numbers that differ by less are the same one in single precision, as CryoSPARC keeps scores."""


def note_rounded_scores(points: PointSet, target_format: str) -> list[str]:
    """Tell scores that a format's digits change by more than the rounding of single precision."""
    digits = find_format(target_format).score_digits
    if points.score is None or digits is None:
        return []
    kept = np.round(points.score, digits)
    changed = ~np.isclose(kept, points.score, rtol=SINGLE_PRECISION, atol=0, equal_nan=True)
    if not changed.any():
        return []
    to_zero = int((changed & (kept == 0)).sum())
    told = f"{int(changed.sum())} scores are rounded to {digits} digits behind the point for {target_format}"
    return [f"{told}{f', {to_zero} of them to 0' if to_zero else ''}."]


def note_lost_boxes(points: PointSet, target_format: str) -> list[str]:
    """Tell box sizes that a format without boxes cannot keep."""
    n = 0 if points.box_hw is None else int(np.isfinite(points.box_hw).all(axis=1).sum())
    return [f"{target_format} has no boxes: the sizes of {n} are lost; their centres stay."] if n else []


def note_duplicates(points: PointSet) -> list[str]:
    """Tell points that lie exactly on another one of the same micrograph; they stay."""
    if len(points) < 2:
        return []
    order = np.lexsort((points.yx[:, 1], points.yx[:, 0], points.owner))
    yx, owner = points.yx[order], points.owner[order]
    same = (yx[1:] == yx[:-1]).all(axis=1) & (owner[1:] == owner[:-1])
    n = int(same.sum())
    if not n:
        return []
    name = points.names[owner[1:][same][0]]
    return [f"{n} points lie exactly on another of their micrograph, first on {name}; they are kept."]
