"""Probability map, peaks and picks: three types for three frames, and the only change between them.

The classic bug of a particle picker is a coordinate in the wrong frame. Peaks are in pixels of the map, picks in
pixels of the micrograph, and only ``peaks_to_picks`` turns one into the other. Arrays are ``(y, x)``, 0-based, with
integer coordinates at the centres of pixels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from relion_attn_picker.micrograph import Micrograph

FloatArray = NDArray[np.float32]

JUNK: Final = "junk"
"""Name of the detail that says what is wrong with a candidate: 0, or the code of a reason (``inference.rejection``)."""

APPEARANCE: Final = ("core", "rim", "spread")
"""Names of the details that tell what a candidate looks like (``imaging.appearance``)."""


def _check_points(owner: str, yx: FloatArray, score: FloatArray) -> None:
    if yx.ndim != 2 or yx.shape[1] != 2:
        raise ValueError(f"{owner}.yx has shape {yx.shape}: expected (n, 2).")
    if score.shape != (len(yx),):
        raise ValueError(f"{owner}.score has shape {score.shape}: expected ({len(yx)},).")


@dataclass(frozen=True)
class ProbabilityMap:
    """A network's answer for one micrograph.

    Parameters
    ----------
    values
        Probabilities in [0, 1], float32, shape ``(h, w)``; its pixel (0, 0) lies on pixel (0, 0) of the micrograph.
    pixel_size
        Å per pixel of the map, the same along y and x.
    """

    values: FloatArray
    pixel_size: float

    def __post_init__(self) -> None:
        if self.values.ndim != 2:
            raise ValueError(f"ProbabilityMap.values has shape {self.values.shape}: expected (h, w).")


@dataclass(frozen=True)
class Peaks:
    """Peaks of a probability map, highest first: ``yx`` ``(n, 2)`` in pixels of the MAP, ``score`` ``(n,)`` in [0, 1].

    ``pixel_size`` is that of the map, Å per pixel.
    """

    yx: FloatArray
    score: FloatArray
    pixel_size: float

    def __post_init__(self) -> None:
        _check_points("Peaks", self.yx, self.score)


@dataclass(frozen=True)
class Picks:
    """Particles of one micrograph, highest first: ``yx`` ``(n, 2)`` in pixels of the MICROGRAPH as listed.

    ``details`` has further figures of each pick by name, ``(n,)`` each, where the way to the picks gives any.
    """

    micrograph: Micrograph
    yx: FloatArray
    score: FloatArray
    details: Mapping[str, FloatArray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_points("Picks", self.yx, self.score)
        for name, values in self.details.items():
            if values.shape != self.score.shape:
                raise ValueError(f"Picks.details[{name!r}] has shape {values.shape}: expected {self.score.shape}.")

    def __len__(self) -> int:
        return len(self.score)

    @property
    def is_junk(self) -> NDArray[np.bool_]:
        """Which of them have a reason to be rejected, ``(n,)``; none where nobody looked for one."""
        return is_junk(self.score, self.details)

    def take(self, indices: NDArray[np.intp]) -> Picks:
        """Return the picks at these places of the list, in this order."""
        details = {name: values[indices] for name, values in self.details.items()}
        return Picks(self.micrograph, self.yx[indices], self.score[indices], details)


def stack_appearance(details: Mapping[str, FloatArray]) -> FloatArray | None:
    """Return what candidates with these details look like, ``(n, 3)``; ``None`` where nobody looked."""
    if any(name not in details for name in APPEARANCE):
        return None
    return np.stack([details[name] for name in APPEARANCE], axis=1)


def is_junk(score: FloatArray, details: Mapping[str, FloatArray]) -> NDArray[np.bool_]:
    """Return which candidates with these scores and details have a reason to be rejected, ``(n,)``."""
    return np.asarray(details[JUNK] > 0) if JUNK in details else np.zeros(len(score), dtype=np.bool_)


def lies_inside(yx: FloatArray, image_shape: tuple[int, int], border: float) -> NDArray[np.bool_]:
    """Return which points ``(n, 2)`` lie at least ``border`` pixels inside the image's outermost pixels, ``(n,)``."""
    last = np.array(image_shape) - 1
    return np.asarray(((yx >= border) & (yx <= last - border)).all(axis=1))


def peaks_to_picks(
    peaks: Peaks, micrograph: Micrograph, details: Mapping[str, FloatArray] = MappingProxyType({})
) -> Picks:
    """Carry peaks from pixels of the map to pixels of the micrograph.

    Both grids share the centre of their pixel (0, 0) (see ``imaging.resample``), so that the change of frame is one
    factor: the ratio of the pixel sizes. ``details``, further figures of each peak, stay as they are.
    """
    factor = peaks.pixel_size / micrograph.optics.pixel_size
    return Picks(micrograph, np.asarray(peaks.yx * factor, dtype=np.float32), peaks.score, details)
