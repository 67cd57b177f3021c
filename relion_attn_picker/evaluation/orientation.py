"""Whether picks would fit the ground truth better mirrored, and whether they lie beside it by a constant shift.

Neither looks like a mistake in precision and recall alone: crowded picks match by chance even upside down. Both are
looked at on a bounded sample of micrographs, whatever the number of all. Nothing is read or written here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm
from scipy.stats import t as student_t

from relion_attn_picker.evaluation.matching import FloatVector, Points, match_picks
from relion_attn_picker.evaluation.metrics import divide

SAMPLE = 20
"""Micrographs looked at, at most twice as many."""

LEAST_F1, LEAST_GAIN, LEAST_ERRORS = 0.25, 0.05, 3.0
"""Another orientation is told if its F1 is this high, higher by this much, and by this many standard errors: where
none fits, as with a wrong diameter, one of them fits best by chance. A shift is told if it is as improbable as so many
standard errors are where these are known well."""

LEAST_SHIFT = 0.25
"""Pixels: a shift of half a pixel is a mistake of convention, one far below the pixel's own rounding is none."""

TRIMMED = 0.25
"""Share of the offsets left out at each end: a mean moves with every pixel's rounding, where a median jumps by one."""

Frame = tuple[int, int]

ORIENTATIONS: Final[dict[str, Callable[[Points, Frame], Points]]] = {
    "as given": lambda yx, _: yx,
    "y flipped": lambda yx, frame: np.stack([frame[0] - 1 - yx[:, 0], yx[:, 1]], axis=1),
    "x flipped": lambda yx, frame: np.stack([yx[:, 0], frame[1] - 1 - yx[:, 1]], axis=1),
    "y and x flipped": lambda yx, frame: np.array(frame) - 1 - yx,
    "y and x exchanged": lambda yx, _: yx[:, ::-1],
}
"""What picks may have been through, and how to undo it; every one undoes itself."""


@dataclass(frozen=True)
class OrientationSample:
    """Picks and truth of one micrograph: ``(n, 2)`` and ``(m, 2)`` in its pixels; ``frame`` is ``(h, w)`` if known."""

    predicted_yx: Points
    score: NDArray[Any]
    true_yx: Points
    pixel_size: float
    frame: Frame | None


@dataclass(frozen=True)
class OrientationCheck:
    """What the sample shows.

    Parameters
    ----------
    f1
        Orientation → F1 at the headline match radius.
    better
        The orientation that fits better beyond chance, ``None`` if the given one is right.
    frame_is_known
        Whether the images' shapes were given; otherwise they are estimated from the extent of the coordinates.
    shift_yx, shift_error_yx
        Picks minus truth of the matched pairs, trimmed mean and its standard error, pixels; NaN without pairs.
    shift_yx_angstrom
        The same shift in Å.
    is_shifted
        Whether the shift is beyond chance and more than a quarter of a pixel.
    n_micrographs, n_pairs
        Size of the sample.
    """

    f1: dict[str, float]
    better: str | None
    frame_is_known: bool
    shift_yx: tuple[float, float]
    shift_error_yx: tuple[float, float]
    shift_yx_angstrom: tuple[float, float]
    is_shifted: bool
    n_micrographs: int
    n_pairs: int


def check_orientation(samples: Sequence[OrientationSample], match_radius: float) -> OrientationCheck | None:
    """Score picks in every orientation, and estimate their constant shift.

    Parameters
    ----------
    samples
        Micrographs; those without picks or truth say nothing and are passed over.
    match_radius
        Å.

    Returns
    -------
    OrientationCheck
        ``None`` if no micrograph has both picks and truth.
    """
    full = [each for each in samples if len(each.predicted_yx) and len(each.true_yx)]
    if not full:
        return None
    is_known = all(each.frame is not None for each in full)
    guess = (0, 0) if is_known else _estimate_frame(full)
    turned = {
        name: [turn(each.predicted_yx, each.frame or guess) for each in full] for name, turn in ORIENTATIONS.items()
    }
    f1 = {name: _pooled_f1(full, predicted, match_radius) for name, predicted in turned.items()}
    offsets, in_angstrom = _offsets(full, match_radius)
    shift, error = _trimmed_mean(offsets)
    length, _ = _trimmed_mean(in_angstrom)
    return OrientationCheck(
        f1=f1,
        better=_find_better(f1, min(sum(len(s.predicted_yx) for s in full), sum(len(s.true_yx) for s in full))),
        frame_is_known=is_known,
        shift_yx=(float(shift[0]), float(shift[1])),
        shift_error_yx=(float(error[0]), float(error[1])),
        shift_yx_angstrom=(float(length[0]), float(length[1])),
        is_shifted=bool(np.any((np.abs(shift) > LEAST_SHIFT) & (np.abs(shift) > _least_errors(len(offsets)) * error))),
        n_micrographs=len(full),
        n_pairs=len(offsets),
    )


def _estimate_frame(samples: Iterable[OrientationSample]) -> Frame:
    """Estimate the images' shape: a mirrored set has its least coordinate where the other has its greatest.

    For picks c - y of particles y, least pick + greatest truth = greatest pick + least truth = c = h - 1.
    """
    samples = list(samples)
    predicted = np.concatenate([each.predicted_yx for each in samples]).astype(np.float64)
    true = np.concatenate([each.true_yx for each in samples]).astype(np.float64)
    twice = predicted.min(axis=0) + predicted.max(axis=0) + true.min(axis=0) + true.max(axis=0)
    height, width = np.rint(twice / 2 + 1).astype(int).tolist()
    return height, width


def _pooled_f1(samples: Sequence[OrientationSample], predicted: Sequence[Points], match_radius: float) -> float:
    n_matched = sum(
        len(match_picks(yx, each.score, each.true_yx, match_radius / each.pixel_size).true)
        for each, yx in zip(samples, predicted, strict=True)
    )
    return divide(2 * n_matched, sum(len(each.score) + len(each.true_yx) for each in samples))


def _find_better(f1: dict[str, float], n: int) -> str | None:
    """Return the orientation that is good, and better than the given one beyond chance.

    Errors are binomial in n, of a share that both have in common: none and all of a single pick are not free of error.
    """
    given = f1["as given"]
    best = max(f1, key=lambda name: f1[name])
    common = (given + f1[best]) / 2
    error = math.sqrt(2 * common * (1 - common) / n)
    return best if f1[best] >= LEAST_F1 and f1[best] - given > max(LEAST_GAIN, LEAST_ERRORS * error) else None


def _offsets(samples: Sequence[OrientationSample], match_radius: float) -> tuple[FloatVector, FloatVector]:
    """Return pick minus particle of all matched pairs, ``(k, 2)``, in pixels and in Å."""
    pixels: list[FloatVector] = [np.empty((0, 2))]
    angstrom: list[FloatVector] = [np.empty((0, 2))]
    for each in samples:
        match = match_picks(each.predicted_yx, each.score, each.true_yx, match_radius / each.pixel_size)
        offset = each.predicted_yx[match.predicted].astype(np.float64) - each.true_yx[match.true]
        pixels.append(offset)
        angstrom.append(offset * each.pixel_size)
    return np.concatenate(pixels), np.concatenate(angstrom)


def _trimmed_mean(offsets: FloatVector) -> tuple[FloatVector, FloatVector]:
    """Return the trimmed mean of each column and its standard error, NaN and infinite without enough values.

    The error is the standard deviation of the winsorised values over (1 - 2 * trimmed) * sqrt(n) (Tukey & McLaughlin,
    1963, Sankhya A 25, 331).
    """
    n, cut = len(offsets), _count_trimmed(len(offsets))
    if n == 0:
        return np.full(2, np.nan), np.full(2, np.inf)
    ordered = np.sort(offsets, axis=0)
    mean = ordered[cut : n - cut].mean(axis=0)
    if n < 4:
        return mean, np.full(2, np.inf)
    winsorised = np.clip(ordered, ordered[cut], ordered[n - cut - 1])
    return mean, winsorised.std(axis=0, ddof=1) / ((1 - 2 * TRIMMED) * np.sqrt(n))


def _least_errors(n: int) -> float:
    """Return how many standard errors of the trimmed mean of n values are as improbable as ``LEAST_ERRORS`` of many.

    By Student's t with one degree of freedom fewer than values that are not trimmed (Tukey & McLaughlin): the scatter
    of few pairs is itself known badly.
    """
    freedom = max(1, n - 2 * _count_trimmed(n) - 1)
    return float(student_t.isf(norm.sf(LEAST_ERRORS), freedom))


def _count_trimmed(n: int) -> int:
    """Return how many of n values are left out at each end."""
    return int(TRIMMED * n)
