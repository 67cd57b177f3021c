"""The particle diameter from how surely the network sees particles when it is told different diameters.

A network of this package knows particles at one scale, give or take the jitter of its training: told a diameter that
is far too small or too large, it scores even the best particles low. So the scores of the best candidates, over the
logarithm of the assumed diameter, are a hill whose top marks the diameter: scale selection as in Lindeberg 1998
(Int. J. Comput. Vision 30, 79-116), with the network as the detector. Whatever is no particle (noise, carbon, a few
lumps) raises no such hill, and is refused.

What this module does not do: it reads no file and knows no list of micrographs; ``jobs.diameter_job`` does. The outline
of the particles' average is not used: its first zero lies anywhere from 0.5 to 1 diameter, by the particle's shape, and
errs where the scores err.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from relion_attn_picker.errors import InputError, UndecidedError
from relion_attn_picker.evaluation.bootstrap import bootstrap_correction
from relion_attn_picker.inference.peaks import find_peaks
from relion_attn_picker.inference.predictor import Predictor
from relion_attn_picker.picks import FloatArray

Floats = NDArray[np.float64]

DIAMETERS: Final[Floats] = 40.0 * 2 ** (np.arange(14) / 3)
"""Å: the diameters that are tried, 40 to 806, three an octave: a network's hill is about an octave wide."""

WINDOW_DIAMETERS: Final = 21.0
"""Only the middle of a large micrograph is looked at, of this many assumed diameters: it holds candidates enough."""

FEWEST_DIAMETERS: Final = 3.0
"""An assumed diameter that fits fewer times into the micrograph's shorter side is not tried."""

FEWEST_PIXELS: Final = 5.0
"""An assumed diameter of fewer micrograph pixels is not tried."""

BEST_CANDIDATES: Final = 8
"""So many of the highest scores of a micrograph make its response."""

FLOOR: Final = 0.02
"""Lowest score of a candidate; it stands in for candidates that are not there."""

CLEAR_SCORE: Final = 0.5
"""Candidates with at least this score are counted as particles."""

MIN_DISTANCE: Final = 0.6
"""Smallest distance between candidates, assumed diameters."""

BOX_DIAMETERS: Final = 2.0
"""Side of the boxes that are averaged, assumed diameters."""

TOP_OVER_DIAMETER: Final = 1.08
"""The hill's top lies this factor above the diameter: coarser pixels are less noisy ones, which lifts the scores."""

SYSTEMATIC: Final = 0.15
"""Standard deviation of the error that does not shrink with more micrographs, in logarithms: the particle's shape.

Measured: 0.11 over 51 simulated projects, and over ten estimates on real micrographs by weights that had and had not
seen the protein. Wider here for the long tail: of long particles the core alone is seen, a quarter to a third too
small.
"""

ONE_MICROGRAPH: Final = 0.08
"""The same of what one micrograph more or less changes: used where there is only one to look at."""

LOWEST_RESPONSE: Final = 0.85
"""Logit of the score (0.70) that the best candidates must reach at the top; those of noise and dirt reach 0.67."""

MANY: Final = 30
"""So many clear candidates a micrograph are no dirt, of which the dirtiest simulated micrographs show 16 at most ..."""

LOWEST_OF_MANY: Final = 0.4
"""... so that a lower logit (score 0.60) is enough: a protein that a network was not trained on looks like that."""

LOWEST_FALL: Final = 0.25
"""The hill must fall by this many logits on either side."""

RIVAL: Final = 0.1
"""A second hill that comes as near as this to the first one's height, in logits, makes the answer ambiguous."""

LARGEST_SPREAD: Final = 0.25
"""Largest standard error of the top's place, in logarithms: beyond it the micrographs contradict each other.

Two do where their own tops differ by a factor of 1.65 or more.
"""

BOOTSTRAPS: Final = 200
ADVICE: Final = "give the diameter in Å (--diameter 150), as known from the sample or measured in a viewer"


@dataclass(frozen=True)
class ScaleScan:
    """What the network sees on one micrograph when it is told each of ``DIAMETERS``.

    Parameters
    ----------
    response
        Mean logit of the best candidates' scores, ``(s,)``; NaN where a diameter suits neither pixels nor field.
    n_clear
        Candidates with a clear score, ``(s,)``.
    box_sum, n_boxes
        Sum of the prepared image's boxes round the clear candidates, ``(s, b, b)``, and how many they are, ``(s,)``.
    """

    response: Floats
    n_clear: NDArray[np.int64]
    box_sum: Floats
    n_boxes: NDArray[np.int64]


@dataclass(frozen=True)
class ScaleEvidence:
    """The scans of the micrographs that show most.

    Parameters
    ----------
    responses
        Of each micrograph at each of ``DIAMETERS``, ``(m, s)``; NaN where a diameter was not tried.
    n_clear
        Clear candidates at each diameter, ``(s,)``.
    average
        Mean box round them, ``(s, b, b)``, ``BOX_DIAMETERS`` on each side; zero where there are none.
    """

    responses: Floats
    n_clear: NDArray[np.int64]
    average: Floats

    @property
    def curve(self) -> Floats:
        """Mean response at each diameter, ``(s,)``; NaN where a micrograph has none."""
        return np.asarray(self.responses.mean(axis=0))


@dataclass(frozen=True)
class DiameterEstimate:
    """A particle diameter and its standard deviation, both Å, and how much it rests on."""

    diameter: float
    uncertainty: float
    n_micrographs: int
    n_particles: int

    def __str__(self) -> str:
        return (
            f"{self.diameter:.0f} ± {self.uncertainty:.0f} Å (from {self.n_micrographs} "
            f"micrograph{'s' * (self.n_micrographs != 1)}, {self.n_particles} particles)"
        )


def scan_diameters(image: FloatArray, pixel_size: float, predictor: Predictor) -> ScaleScan:
    """Look at one micrograph with each of ``DIAMETERS``.

    Parameters
    ----------
    image
        ``(h, w)``, as it lies in the file.
    pixel_size
        Å per pixel.
    predictor
        See ``inference.predictor``.
    """
    half = round(BOX_DIAMETERS / 2 * predictor.header.particle_diameter_px)
    side = 2 * half + 1
    response = np.full(len(DIAMETERS), np.nan)
    n_clear, n_boxes = np.zeros((2, len(DIAMETERS)), dtype=np.int64)
    box_sum = np.zeros((len(DIAMETERS), side, side))
    for place, diameter in enumerate(DIAMETERS):
        if diameter < FEWEST_PIXELS * pixel_size or FEWEST_DIAMETERS * diameter > min(image.shape) * pixel_size:
            continue
        prepared = predictor.prepare(middle_window(image, pixel_size, diameter), pixel_size, float(diameter))
        probability_map = predictor.predict(prepared)
        peaks = find_peaks(probability_map, FLOOR, MIN_DISTANCE * diameter / probability_map.pixel_size)
        response[place] = mean_best_logit(peaks.score)
        clear = peaks.yx[peaks.score >= CLEAR_SCORE]
        n_clear[place] = len(clear)
        box_sum[place], n_boxes[place] = sum_boxes(prepared.values, clear, half)
    return ScaleScan(response, n_clear, box_sum, n_boxes)


def middle_window(image: FloatArray, pixel_size: float, diameter: float) -> FloatArray:
    """Return the middle of an image, at most ``WINDOW_DIAMETERS`` on each side."""
    side = int(WINDOW_DIAMETERS * diameter / pixel_size)
    y, x = (max(0, length - side) // 2 for length in image.shape)
    return image[y : y + side, x : x + side]


def mean_best_logit(score: FloatArray) -> float:
    """Return the mean logit of the ``BEST_CANDIDATES`` highest scores; missing ones count as ``FLOOR``."""
    best = np.full(BEST_CANDIDATES, FLOOR)
    found = np.sort(score)[::-1][:BEST_CANDIDATES]
    best[: len(found)] = found
    return float(logit(np.clip(best, 1e-4, 1 - 1e-4)).mean())


def sum_boxes(values: FloatArray, yx: FloatArray, half: int) -> tuple[Floats, int]:
    """Return the sum of the boxes of ``2 * half + 1`` pixels that lie inside the image, and their number."""
    total, number = np.zeros((2 * half + 1, 2 * half + 1)), 0
    for y, x in np.rint(yx).astype(np.intp):
        if half <= y < values.shape[0] - half and half <= x < values.shape[1] - half:
            total += values[y - half : y + half + 1, x - half : x + half + 1]
            number += 1
    return total, number


def combine_scans(scans: Sequence[ScaleScan]) -> ScaleEvidence:
    """Combine the scans of several micrographs; up to a half of them, if they show no particles, is left out.

    Raises
    ------
    InputError
        If there is none, or fewer than five diameters suit all micrographs.
    """
    responses = np.array([scan.response for scan in scans])
    seen = np.isfinite(responses).all(axis=0).sum() if len(scans) else 0
    if seen < 5:
        raise InputError(
            f"The particle diameter cannot be estimated: only {seen} of the diameters from {DIAMETERS[0]:.0f} to "
            f"{DIAMETERS[-1]:.0f} Å suit the size and the pixels of all micrographs, expected 5 or more; {ADVICE}."
        )
    best = np.nanmax(responses, axis=1)
    clear = [int(scan.n_clear[np.nanargmax(scan.response)]) for scan in scans]
    shows = [response >= lowest_response(count) for response, count in zip(best, clear, strict=True)]
    number = max((len(scans) + 1) // 2, sum(shows))
    kept = np.argsort(-best, kind="stable")[:number]
    chosen = [scans[place] for place in kept]
    n_boxes = sum(scan.n_boxes for scan in chosen)
    total = sum(scan.box_sum for scan in chosen)
    average = total / np.maximum(n_boxes, 1)[:, None, None]
    return ScaleEvidence(responses[kept], np.sum([scan.n_clear for scan in chosen], axis=0), average)


def lowest_response(n_clear: float) -> float:
    """Return the logit that the best candidates must reach where there are ``n_clear`` clear ones a micrograph."""
    return LOWEST_OF_MANY if n_clear >= MANY else LOWEST_RESPONSE


def estimate_diameter(evidence: ScaleEvidence, rng: np.random.Generator) -> DiameterEstimate:
    """Return the diameter at the top of the hill, with its uncertainty.

    Parameters
    ----------
    evidence
        See ``combine_scans``.
    rng
        Draws micrographs for the bootstrap (Efron 1979) of the top's place.

    Raises
    ------
    InputError
        If there is no hill, or no single one: in one sentence, with what to do.
    """
    curve = evidence.curve
    top = int(np.nanargmax(curve))
    _check_height(curve[top], top, evidence.n_clear[top] / len(evidence.responses))
    _check_hill(curve, top)
    place = top_of_hill(np.log(DIAMETERS), curve)
    spread = _bootstrap_spread(evidence.responses, rng)
    if spread > LARGEST_SPREAD:
        _refuse("the micrographs contradict each other: their scores are best at diameters that differ by far")
    diameter = float(np.exp(place)) / TOP_OVER_DIAMETER
    uncertainty = diameter * float(np.hypot(SYSTEMATIC, spread))
    return DiameterEstimate(
        round(diameter, 1), round(uncertainty, 1), len(evidence.responses), int(evidence.n_clear[top])
    )


def fall_at(evidence: ScaleEvidence, diameter: float) -> float:
    """Return by how many logits the response at a diameter (Å) is below the highest; infinite where none was tried."""
    known = np.isfinite(evidence.curve)
    curve, diameters = evidence.curve[known], DIAMETERS[known] / TOP_OVER_DIAMETER
    if not diameters[0] <= diameter <= diameters[-1]:
        return float("inf")
    return float(curve.max() - np.interp(np.log(diameter), np.log(diameters), curve))


def top_of_hill(x: Floats, y: Floats) -> float:
    """Return where the parabola through the highest of ``y`` ``(s,)`` and two neighbours on either side has its vertex.

    By least squares, NaN left out; no further from the highest value than its neighbours are.
    """
    known = np.isfinite(y)
    x, y = x[known], y[known]
    top = int(y.argmax())
    part = slice(max(0, top - 2), top + 3)
    curvature, slope, _ = np.polyfit(x[part] - x[top], y[part], 2)
    vertex = -slope / (2 * curvature) if curvature < 0 else 0.0
    return float(np.clip(x[top] + vertex, x[max(0, top - 1)], x[min(len(x) - 1, top + 1)]))


def _bootstrap_spread(responses: Floats, rng: np.random.Generator) -> float:
    """Return the standard error of the top's place, in logarithms of the diameter, by drawing micrographs."""
    count = len(responses)
    if count == 1:
        return ONE_MICROGRAPH
    draws = rng.integers(count, size=(BOOTSTRAPS, count))
    tops = [top_of_hill(np.log(DIAMETERS), responses[draw].mean(axis=0)) for draw in draws]
    return float(np.std(tops)) * bootstrap_correction(count)


def _check_height(height: float, top: int, n_clear: float) -> None:
    """Refuse a height that noise or dirt may reach; ``n_clear`` candidates a micrograph are clear there."""
    lowest = lowest_response(n_clear)
    if height < lowest:
        _refuse(
            f"the best candidates reach a score of {expit(height):.2f} at most (at {DIAMETERS[top]:.0f} Å), expected "
            f"{expit(lowest):.2f} or more, so there may be no particles here, very faint ones, or white ones, where "
            "dark ones are expected"
        )


def _check_hill(curve: Floats, top: int) -> None:
    """Refuse a curve ``(s,)`` that is no single clear hill with its ``top`` inside."""
    known = np.flatnonzero(np.isfinite(curve))
    height, diameter = curve[top], DIAMETERS[top]
    before, after = curve[known[known < top]], curve[known[known > top]]
    if not len(before) or not len(after):
        _refuse(f"the scores are best at {diameter:.0f} Å, the end of what could be tried on these micrographs")
    if height - max(before.min(), after.min()) < LOWEST_FALL:
        _refuse(f"the scores hardly depend on the diameter near {diameter:.0f} Å")
    rival = find_rival(curve, top)
    if rival is not None:
        _refuse(f"{diameter:.0f} and {DIAMETERS[rival]:.0f} Å explain the scores equally well")


def find_rival(curve: Floats, top: int) -> int | None:
    """Return the place of another hill nearly as high as that at ``top``, with a valley between them, if any."""
    for place in np.flatnonzero(curve >= curve[top] - RIVAL):
        between = curve[min(place, top) : max(place, top) + 1]
        if np.nanmin(between) < curve[place] - RIVAL:
            return int(place)
    return None


def _refuse(reason: str) -> None:
    raise UndecidedError(f"The particle diameter cannot be estimated: {reason}; {ADVICE}.")
