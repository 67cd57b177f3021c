"""Why a candidate is refused although a network likes it: reasons that can be seen in the image, one row each.

Judged late, when all candidates are found, by what lies round each in the micrograph; the codes are kept beside the
candidates, so that rejection can be switched on and off without looking at an image again. What this module does not
do: it finds no candidate, and decides nothing by scores.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from relion_attn_picker.imaging.surroundings import Surroundings
from relion_attn_picker.picks import FloatArray

RULES_VERSION: Final = 2
"""Counts up when another candidate may be refused than before: a continued job then looks again."""

MIN_WIDTH: Final = 0.5
"""Ratio of the density averaged wide to that averaged near: .40 for a disc as wide as a particle, .52 for one twice as
wide, as the integral of a Gaussian over a disc tells (1 - exp(-r²/2σ²))."""

DENSER: Final = 2.0
"""Density over that of the micrograph's median candidate: in a crowd of particles, particles are no aggregates."""

AGGREGATE_DENSITY: Final = 5.0
"""Robust standard deviations of the micrograph's density by which an aggregate stands out."""

ICE_DENSITY: Final = 8.0
"""The same for what shows no texture of its own."""

ROUGH: Final = 1.2
"""Root mean square of the network's image over its median."""


@dataclass(frozen=True)
class Reason:
    """Why a candidate is refused.

    Parameters
    ----------
    code
        What is kept of it.
    name
        One word for tables.
    sentence
        What it means, in words for the user.
    applies
        Which of the candidates ``(n, 2)``, pixels of the micrograph, it holds for, ``(n,)``.
    """

    code: int
    name: str
    sentence: str
    applies: Callable[[FloatArray, Surroundings], NDArray[np.bool_]]


def _in_spoilt_border(yx: FloatArray, surroundings: Surroundings) -> NDArray[np.bool_]:
    return surroundings.border.contains(yx, surroundings.image_shape)


def _on_aggregate(yx: FloatArray, surroundings: Surroundings) -> NDArray[np.bool_]:
    is_rough = surroundings.texture.at(yx) > ROUGH
    return is_rough & _on_something_dense(yx, surroundings, AGGREGATE_DENSITY)


def _on_ice(yx: FloatArray, surroundings: Surroundings) -> NDArray[np.bool_]:
    return _on_something_dense(yx, surroundings, ICE_DENSITY)


def _on_something_dense(yx: FloatArray, surroundings: Surroundings, least: float) -> NDArray[np.bool_]:
    """Return which candidates lie on something wider than a particle and denser than the candidates usually are.

    ``least`` is how far the density must stand out, in robust standard deviations of either map of it.
    """
    near, wide = surroundings.near.at(yx), surroundings.wide.at(yx)
    stands_out = (near > least * surroundings.near.spread) & (wide > least * surroundings.wide.spread)
    is_wide = (wide > MIN_WIDTH * near) & (wide < near)
    is_denser = near > DENSER * np.median(near) if len(near) else stands_out
    return np.asarray(stands_out & is_wide & is_denser)


REASONS: Final = (
    Reason(
        1,
        "border",
        "lies in a strip along the micrograph's side that repeats pixels and shows no specimen",
        _in_spoilt_border,
    ),
    Reason(
        2,
        "aggregate",
        "lies on something wider than a particle, rough, and at least twice as dense as the candidates usually are",
        _on_aggregate,
    ),
    Reason(
        3,
        "ice",
        "lies on something wider than a particle that is far denser than anything usual in this micrograph",
        _on_ice,
    ),
)
"""The first that applies counts. Films and specks have no row: of the measures of brightness, its slope and texture
that were tried, none that spared 99.8 % of the particles found over one in twenty of the wrong picks left there."""


def judge_candidates(yx: FloatArray, surroundings: Surroundings) -> FloatArray:
    """Return the code of the first reason against each candidate, 0 without any.

    Parameters
    ----------
    yx
        Candidates, ``(n, 2)``, pixels of the micrograph.
    surroundings
        What there is to see in the micrograph beside particles.
    """
    code = np.zeros(len(yx), dtype=np.float32)
    for reason in reversed(REASONS):
        code[reason.applies(yx, surroundings)] = reason.code
    return code


def reason_name(code: float) -> str:
    """Return the name of the reason with a code; one of another version of this program is called by its number."""
    names = {reason.code: reason.name for reason in REASONS}
    return names.get(round(code), f"reason{round(code)}")


def describe_reason(name: str) -> str:
    """Return what a reason means, in words for the user."""
    sentences = {reason.name: reason.sentence for reason in REASONS}
    return sentences.get(name, "a reason of another version of this program")
