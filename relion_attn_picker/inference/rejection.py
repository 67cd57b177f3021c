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

RULES_VERSION: Final = 1
"""Counts up when another candidate may be refused than before: a continued job then looks again."""


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


REASONS: Final = (
    Reason(
        1,
        "border",
        "its centre lies in a strip along the micrograph's side that repeats pixels and shows no specimen",
        _in_spoilt_border,
    ),
)
"""The first that applies counts."""


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
