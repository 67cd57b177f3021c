"""Peaks of a probability map: local maxima, sub-pixel centres, minimum distance.

What this module does not do: it knows neither Å nor micrographs; ``pipeline`` converts lengths before it calls.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import center_of_mass, gaussian_filter, label, maximum_filter
from scipy.spatial import cKDTree

from relion_attn_picker.picks import FloatArray, Peaks, ProbabilityMap

PEAKS_VERSION: Final = 2
"""Counts up when a map gives other peaks than before: a continued job then looks again."""

OUTLINE_ODDS: Final = 0.5
"""Odds of a peak on a map's outermost pixels are multiplied by this: see ``discount_outline``."""

EIGHT_NEIGHBOURS = np.ones((3, 3), dtype=bool)

SMOOTHING_PX = 1.0
"""Standard deviation of the Gaussian that a map is smoothed with before its peaks are looked for, map pixels."""


def find_peaks(
    probability_map: ProbabilityMap,
    threshold: float,
    min_distance_px: float,
    smoothing_px: float = SMOOTHING_PX,
) -> Peaks:
    """Find the local maxima of a probability map.

    The map is smoothed lightly, every pixel that none of its eight neighbours exceeds is a candidate (a plateau counts
    once, at its centre), a parabola through each candidate's neighbours gives its sub-pixel centre, candidates on the
    outline lose half of their odds (``discount_outline``), and of candidates closer than ``min_distance_px`` the
    highest survives. Ties go to the smaller y, then the smaller x: the same map always gives the same peaks.

    Parameters
    ----------
    probability_map
        Map of shape ``(h, w)``.
    threshold
        Lowest score of a peak; the score is the smoothed map at the candidate's pixel, off the outline.
    min_distance_px
        Smallest distance between two peaks, map pixels.
    smoothing_px
        Standard deviation of the Gaussian smoothing, map pixels; 0 for none.

    Returns
    -------
    Peaks
        Highest first.
    """
    smooth = smooth_values(probability_map.values, smoothing_px)
    maxima = find_maxima(ProbabilityMap(smooth, probability_map.pixel_size), threshold)
    score = discount_outline(maxima.yx, maxima.score, smooth.shape)
    order = np.argsort(-score, kind="stable")
    order = order[score[order] >= threshold]
    kept = order[suppress_neighbours(maxima.yx[order], min_distance_px)]
    return Peaks(maxima.yx[kept], score[kept], probability_map.pixel_size)


def find_maxima(probability_map: ProbabilityMap, threshold: float) -> Peaks:
    """Return every local maximum of at least ``threshold``, highest first, as it stands in the map.

    What ``find_peaks`` begins with, for whoever has more to say of the maxima before some of them are left out.
    """
    values = probability_map.values
    pixels = _local_maxima(values, threshold)
    score = values[pixels[:, 0], pixels[:, 1]]
    order = np.lexsort((pixels[:, 1], pixels[:, 0], -score))
    return Peaks(_refine_centres(values, pixels[order]), score[order].astype(np.float32), probability_map.pixel_size)


def discount_outline(yx: FloatArray, score: FloatArray, shape: tuple[int, ...]) -> FloatArray:
    """Return the scores ``(n,)`` of maxima ``(n, 2)`` with half the odds for those on the outermost pixels.

    Such a maximum was seen from one side only. It may be a centre, or the slope towards a centre beyond the edge, and
    which of the two cannot be told: it counts half. The network is taught those slopes, as its targets go on across
    the edges of its crops, and there are many: all particles that reach into the image end on these few pixels.
    """
    last = np.asarray(shape) - 1
    is_outermost = np.any((yx == 0) | (yx == last), axis=1)
    discounted: FloatArray = np.where(is_outermost, OUTLINE_ODDS * score / (1 - (1 - OUTLINE_ODDS) * score), score)
    return discounted.astype(np.float32)


def smooth_values(values: FloatArray, smoothing_px: float = SMOOTHING_PX) -> FloatArray:
    """Smooth a map lightly, as ``find_peaks`` does before it looks."""
    smooth: FloatArray = gaussian_filter(values, smoothing_px, mode="nearest") if smoothing_px > 0 else values
    return smooth


def _local_maxima(values: FloatArray, threshold: float) -> NDArray[np.intp]:
    """Return ``(n, 2)`` pixels that no neighbour exceeds, one for each plateau."""
    is_maximum = (values >= threshold) & (values == maximum_filter(values, footprint=EIGHT_NEIGHBOURS, mode="nearest"))
    plateaus, count = label(is_maximum, structure=EIGHT_NEIGHBOURS)
    if count == np.count_nonzero(is_maximum):
        return np.argwhere(is_maximum)
    centres = np.array(center_of_mass(is_maximum, plateaus, np.arange(1, count + 1)))
    nearest = np.rint(centres).astype(np.intp)
    on_plateau = plateaus[nearest[:, 0], nearest[:, 1]] == np.arange(1, count + 1)
    first_pixel = np.full(count, values.size)
    np.minimum.at(first_pixel, plateaus[is_maximum] - 1, np.flatnonzero(is_maximum))
    fallback = np.stack(np.unravel_index(first_pixel, values.shape), axis=1)
    return np.where(on_plateau[:, None], nearest, fallback)


def _refine_centres(values: FloatArray, pixels: NDArray[np.intp]) -> FloatArray:
    """Return sub-pixel centres ``(n, 2)``: the vertex of the parabola through three values, along each axis.

    Pixels on the outline, and plateaus, stay where they are; no centre moves by more than half a pixel.
    """
    centres = pixels.astype(np.float32)
    for axis, offset in ((0, (1, 0)), (1, (0, 1))):
        inner = (pixels[:, axis] > 0) & (pixels[:, axis] < values.shape[axis] - 1)
        y, x = pixels[inner].T
        before, here, after = values[y - offset[0], x - offset[1]], values[y, x], values[y + offset[0], x + offset[1]]
        curvature = before - 2 * here + after
        shift = np.divide(before - after, 2 * curvature, out=np.zeros_like(curvature), where=curvature < 0)
        centres[inner, axis] += np.clip(shift, -0.5, 0.5)
    return centres


def suppress_neighbours(yx: FloatArray, min_distance_px: float) -> NDArray[np.intp]:
    """Return the indices that survive when each point, in the given order, removes all later ones that are too near."""
    if len(yx) < 2 or min_distance_px <= 0:
        return np.arange(len(yx))
    pairs = np.sort(cKDTree(yx).query_pairs(min_distance_px, output_type="ndarray"), axis=1)
    distance = np.linalg.norm(yx[pairs[:, 0]] - yx[pairs[:, 1]], axis=1)
    pairs = pairs[distance < min_distance_px]
    later = pairs[np.argsort(pairs[:, 0], kind="stable"), 1]
    start = np.searchsorted(np.sort(pairs[:, 0]), np.arange(len(yx) + 1))
    alive = np.ones(len(yx), dtype=bool)
    for point in range(len(yx)):
        if alive[point]:
            alive[later[start[point] : start[point + 1]]] = False
    return np.flatnonzero(alive)
