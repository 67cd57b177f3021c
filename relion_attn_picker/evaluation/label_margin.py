"""How far from the edges of their micrographs labels stop: a habit of whoever, or whatever, made them.

Programs that extract whole boxes, and lists made of such particles, keep no particle near an edge, although some lie
there. Such a band must not be learnt as empty ground, and picks in it are not wrong. Nothing is read or written here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from relion_attn_picker.evaluation.matching import FloatVector, Points
from relion_attn_picker.evaluation.metrics import MicrographMatches, pool_matches, score_matches

LARGEST: Final = 1.5
"""Diameters: a box that was extracted whole reaches about one diameter from its centre, seldom more than this."""

STEP: Final = 0.01
"""Diameters between the margins that are tried."""

LEAST_EXPECTED: Final = 20.0
"""Labels that a margin would hold if it were like the rest: where fewer are expected, their absence tells nothing."""

MOST_FOUND: Final = 0.03
"""Share of these that may be there all the same: a list has strays."""


@dataclass(frozen=True)
class LabelledFrame:
    """The labels of one micrograph: centres ``(n, 2)`` and the ``(h, w)`` of its image, both in pixels.

    ``diameter_px`` is the particle's diameter in these pixels.
    """

    yx: Points
    shape: tuple[int, int]
    diameter_px: float


@dataclass(frozen=True)
class EdgePicks:
    """All candidates ``(k, 2)`` of a labelled micrograph, and what became of them."""

    frame: LabelledFrame
    yx: Points
    matches: MicrographMatches


@dataclass(frozen=True)
class EdgeCheck:
    """What the picks within ``margin`` Å of the edges, where next to no label lies, do to the figures.

    ``precision``, ``f1`` and ``best_f1``, of any threshold, are those without them.
    """

    margin: float
    n_picks: int
    n_wrong: int
    precision: float
    f1: float
    best_f1: float


def find_label_margin(frames: Sequence[LabelledFrame]) -> float:
    """Return the width, in particle diameters, of the band along the edges in which next to no label lies.

    Of each micrograph the labels inside the widest band say how many to expect in a narrower one.

    Returns
    -------
    float
        0 to ``LARGEST``; 0 where labels reach the edges, or are too few to tell.
    """
    margins = np.arange(STEP, LARGEST + STEP / 2, STEP)
    found, expected = np.zeros(len(margins)), np.zeros(len(margins))
    for frame in frames:
        depth = edge_distance(frame.yx, frame.shape) / frame.diameter_px
        area = _inner_area(np.array([0.0, *margins, LARGEST]) * frame.diameter_px, frame.shape)
        if area[-1] <= 0:
            continue
        expected += (depth >= LARGEST).sum() * (area[0] - area[1:-1]) / area[-1]
        found += (depth[:, None] < margins).sum(axis=0)
    is_bare = (expected >= LEAST_EXPECTED) & (found <= MOST_FOUND * expected)
    return float(round(margins[is_bare].max(), 2)) if is_bare.any() else 0.0


def edge_distance(yx: Points, shape: tuple[int, int]) -> FloatVector:
    """Return how far points ``(n, 2)`` lie inside the outermost pixels of an image of ``shape`` ``(h, w)``, pixels."""
    points = np.asarray(yx, dtype=np.float64).reshape(-1, 2)
    inside: FloatVector = np.minimum(points, np.array(shape) - 1 - points).min(axis=1)
    return inside


def _inner_area(margin: NDArray[np.float64], shape: tuple[int, int]) -> NDArray[np.float64]:
    """Return the area within margins ``(k,)`` of an image, square pixels."""
    h, w = shape
    inner: NDArray[np.float64] = np.maximum(h - 2 * margin, 0) * np.maximum(w - 2 * margin, 0)
    return inner


def check_edges(picks: Sequence[EdgePicks | None], particle_diameter: float, threshold: float) -> EdgeCheck | None:
    """Return what wrong picks near the edges do to the figures; ``None`` without any, or if a micrograph is ``None``.

    ``particle_diameter`` is in Å, candidates of at least ``threshold`` are picks; they are right or wrong as they were
    matched among all candidates.
    """
    known = [each for each in picks if each is not None]
    margin = find_label_margin([each.frame for each in known]) if len(known) == len(picks) else 0.0
    if margin == 0.0:
        return None
    is_near = [edge_distance(each.yx, each.frame.shape) < margin * each.frame.diameter_px for each in known]
    every = pool_matches([each.matches for each in known])
    near_picks = np.concatenate(is_near) & (every.score >= threshold)
    n_wrong = int((near_picks & ~every.is_true_positive).sum())
    if n_wrong == 0:
        return None
    without = score_matches(
        pool_matches([each.matches.take(~near) for each, near in zip(known, is_near, strict=True)]), threshold
    )
    return EdgeCheck(
        margin=margin * particle_diameter,
        n_picks=int(near_picks.sum()),
        n_wrong=n_wrong,
        precision=without.precision,
        f1=without.f1,
        best_f1=without.best_f1,
    )
