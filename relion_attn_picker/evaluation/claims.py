"""Claims about two networks, each put to the figures: it holds, it does not, or these figures cannot decide.

What this module does not do: it computes no figure; ``comparison`` does.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from relion_attn_picker.evaluation.comparison import Difference, Verdict

HOLDS: Final = "holds"
PARTLY: Final = "holds on some of the sets only"
FAILS: Final = "does not hold"
UNDECIDED: Final = "undecided at these figures"
UNTESTED: Final = "not tested"

FEWEST_A_CLASS: Final = 3
"""Micrographs in a class of conditions: fewer give no interval worth its name."""

CLASSES: Final = 3


@dataclass(frozen=True)
class Claim:
    """A statement, what the figures say of it (one of the words above), and those figures in words."""

    statement: str
    verdict: str
    grounds: str


def judge_higher(statement: str, difference: Difference | None, grounds: str) -> Claim:
    """Judge the claim that a figure of the first contender is higher than the second's.

    Parameters
    ----------
    statement
        The claim.
    difference
        First minus second; ``None`` if it was not measured, and ``grounds`` says why.
    grounds
        What was measured, in words.
    """
    if difference is None:
        return Claim(statement, UNTESTED, grounds)
    verdicts = {Verdict.HIGHER: HOLDS, Verdict.LOWER: FAILS}
    return Claim(statement, verdicts.get(difference.verdict, UNDECIDED), grounds)


def judge_together(statement: str, differences: Sequence[Difference], grounds: str) -> Claim:
    """Judge a claim that is made of every set: it holds if it holds on each of them.

    It fails if it fails on one and holds on none. Where it holds on some and is undecided on the others, that is said:
    of many sets one looks sure by chance.
    """
    verdicts = {each.verdict for each in differences}
    if not verdicts:
        word = UNTESTED
    elif Verdict.LOWER in verdicts:
        word = FAILS if Verdict.HIGHER not in verdicts else UNDECIDED
    elif Verdict.HIGHER in verdicts:
        word = HOLDS if verdicts == {Verdict.HIGHER} else PARTLY
    else:
        word = UNDECIDED
    return Claim(statement, word, grounds)


def judge_amount(statement: str, measured: float, low: float, high: float, grounds: str) -> Claim:
    """Judge the claim that an amount lies between ``low`` and ``high``; NaN was not measured."""
    if not math.isfinite(measured):
        return Claim(statement, UNTESTED, grounds)
    return Claim(statement, HOLDS if low <= measured <= high else FAILS, grounds)


@dataclass(frozen=True)
class ConditionClass:
    """Micrographs whose condition lies between ``low`` and ``high``: their places in the list."""

    low: float
    high: float
    places: tuple[int, ...]


def divide_by_condition(values: NDArray[np.float64]) -> tuple[ConditionClass, ...]:
    """Divide micrographs into three classes of about equal numbers, lowest first; those of one value stay together.

    Parameters
    ----------
    values
        A condition of each micrograph, shape ``(m,)``; NaN where it is not known, and the micrograph is left out.

    Returns
    -------
    tuple of ConditionClass
        Two classes where one of three would have fewer than ``FEWEST_A_CLASS`` micrographs; none where one of two
        would.
    """
    known = np.flatnonzero(np.isfinite(values))
    order = known[np.argsort(values[known], kind="stable")]
    for count in range(CLASSES, 1, -1):
        parts = np.split(order, _find_borders(values[order], count))
        if min(len(part) for part in parts) >= FEWEST_A_CLASS:
            return tuple(
                ConditionClass(float(values[part[0]]), float(values[part[-1]]), tuple(part.tolist())) for part in parts
            )
    return ()


def _find_borders(ordered: NDArray[np.float64], count: int) -> list[int]:
    """Return where classes begin, but for the first: where the value changes, next to where equal classes would."""
    changes = np.append(0, np.flatnonzero(np.diff(ordered)) + 1)
    equal = np.cumsum([len(part) for part in np.array_split(ordered, count)])[:-1]
    return [int(changes[np.argmin(np.abs(changes - border))]) for border in equal]
