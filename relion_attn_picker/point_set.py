"""The points of many micrographs in one table: what every format of coordinates is read into and written from.

Five million points are a few arrays, never one object each. Coordinates are double, because crYOLO and RELION write
more digits than a float holds. No file and no format is known here.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relion_attn_picker.errors import InputError

DoubleArray = NDArray[np.float64]
IndexArray = NDArray[np.int64]


@dataclass(frozen=True)
class MicrographPoints:
    """Points of one micrograph: ``yx`` and ``box_hw`` ``(n, 2)``, ``score`` ``(n,)``; what is not known is ``None``."""

    name: str
    yx: DoubleArray
    score: DoubleArray | None = None
    box_hw: DoubleArray | None = None


@dataclass(frozen=True)
class PointSet:
    """Points of many micrographs, those of one micrograph next to each other, in the order of ``names``.

    Parameters
    ----------
    names
        The micrographs, each once; those without a point too.
    owner
        ``(n,)``, which of ``names`` a point lies on, never decreasing.
    yx
        Centres, ``(n, 2)``, pixels of the micrograph, 0-based, integer at the centre of a pixel.
    score
        ``(n,)``; ``None`` if the source has none.
    box_hw
        Height and width of each point's box, ``(n, 2)``, pixels; ``None`` if the source has none.
    pixel_size
        Å per pixel of the micrographs, if the source tells one for all.
    image_shapes
        ``(h, w)`` of each of ``names``, if the source tells them.
    has_stems
        Whether ``names`` come from names of files of coordinates: without the micrographs' folders and extensions.
    """

    names: tuple[str, ...]
    owner: IndexArray
    yx: DoubleArray
    score: DoubleArray | None = None
    box_hw: DoubleArray | None = None
    pixel_size: float | None = None
    image_shapes: tuple[tuple[int, int], ...] | None = None
    has_stems: bool = False

    def __post_init__(self) -> None:
        n = len(self.owner)
        shapes = {"yx": (n, 2), "score": (n,), "box_hw": (n, 2)}
        for field, expected in shapes.items():
            values = getattr(self, field)
            if values is not None and values.shape != expected:
                raise ValueError(f"PointSet.{field} has shape {values.shape}: expected {expected}.")
        if self.image_shapes is not None and len(self.image_shapes) != len(self.names):
            raise ValueError(f"PointSet.image_shapes has {len(self.image_shapes)} shapes: expected {len(self.names)}.")
        if len(set(self.names)) < len(self.names):
            raise ValueError("PointSet.names has a name twice.")
        if n and (np.any(np.diff(self.owner) < 0) or self.owner[0] < 0 or self.owner[-1] >= len(self.names)):
            raise ValueError("PointSet.owner must not decrease and must point into names.")

    def __len__(self) -> int:
        return len(self.owner)

    def counts(self) -> IndexArray:
        """Return the number of points of each micrograph, in the order of ``names``."""
        return np.bincount(self.owner, minlength=len(self.names)).astype(np.int64)

    def micrographs(self) -> Iterator[MicrographPoints]:
        """Go through the micrographs, those without a point too."""
        ends = np.cumsum([0, *self.counts()]).tolist()
        for name, start, end in zip(self.names, ends[:-1], ends[1:], strict=True):
            own = slice(start, end)
            yield MicrographPoints(
                name,
                self.yx[own],
                None if self.score is None else self.score[own],
                None if self.box_hw is None else self.box_hw[own],
            )

    def select(self, keep: NDArray[np.bool_]) -> PointSet:
        """Return the points where ``keep`` ``(n,)`` is true; all micrographs stay."""
        return replace(
            self,
            owner=self.owner[keep],
            yx=self.yx[keep],
            score=None if self.score is None else self.score[keep],
            box_hw=None if self.box_hw is None else self.box_hw[keep],
        )

    def rename(self, new_names: Sequence[str | None]) -> PointSet:
        """Return the points under new, full names, one for each of ``names``; those named ``None`` are left out."""
        kept = np.array([name is not None for name in new_names], dtype=bool)
        number = np.cumsum(kept) - 1
        chosen = self.select(kept[self.owner]) if not kept.all() else self
        names = tuple(name for name in new_names if name is not None)
        shapes = None if self.image_shapes is None else tuple(itertools.compress(self.image_shapes, kept))
        owner = number[chosen.owner].astype(np.int64)
        return replace(chosen, names=names, owner=owner, image_shapes=shapes, has_stems=False)


def gather(
    micrographs: Sequence[MicrographPoints], pixel_size: float | None = None, *, has_stems: bool = False
) -> PointSet:
    """Put micrographs that were read one by one into one table.

    A score or a box that only some of them have is NaN for the others; micrographs without points have no say.

    Raises
    ------
    InputError
        If a micrograph is there twice.
    """
    for name, number in Counter(each.name for each in micrographs).items():
        if number > 1:
            raise InputError(f"{number} files hold coordinates of the micrograph {name!r}: leave one of them there.")
    filled = [each for each in micrographs if len(each.yx)]
    counts = [len(each.yx) for each in micrographs]
    return PointSet(
        tuple(each.name for each in micrographs),
        np.repeat(np.arange(len(micrographs)), counts).astype(np.int64),
        np.concatenate([np.empty((0, 2)), *(each.yx for each in filled)]),
        _join([each.score for each in filled], [(len(each.yx),) for each in filled]),
        _join([each.box_hw for each in filled], [(len(each.yx), 2) for each in filled]),
        pixel_size,
        has_stems=has_stems,
    )


def _join(parts: Sequence[DoubleArray | None], shapes: Sequence[tuple[int, ...]]) -> DoubleArray | None:
    if all(part is None for part in parts):
        return None
    known = [np.full(shape, np.nan) if part is None else part for part, shape in zip(parts, shapes, strict=True)]
    joined: DoubleArray = np.concatenate(known)
    return joined


def group(
    names: Sequence[str],
    owner: NDArray[Any],
    yx: DoubleArray,
    score: DoubleArray | None = None,
    pixel_size: float | None = None,
) -> PointSet:
    """Put the rows of one table, in any order, into a point set; within a micrograph the order stays."""
    order = np.argsort(owner, kind="stable")
    return PointSet(
        tuple(names),
        owner[order].astype(np.int64),
        yx[order],
        None if score is None else score[order],
        None,
        pixel_size,
    )
