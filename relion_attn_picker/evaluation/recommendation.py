"""Which contender to take for an aim, drawn from its figures alone, with the figures it rests on."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from relion_attn_picker.evaluation.comparison import FigureSample, Verdict, compare, summarize
from relion_attn_picker.evaluation.weighted_figures import EQUAL_PRECISION, FIRST_HALF
from relion_attn_picker.options import NETWORKS

AIMS: Final = {
    "clean particles": ("first_half_precision", f"mean precision of the surest picks, up to a recall of {FIRST_HALF}"),
    "complete survey": ("recall_at_precision", f"recall at a precision of {EQUAL_PRECISION}"),
    "both alike": ("average_precision", "average precision"),
}
"""Aim → the figure that serves it, by name and in words."""

NONE: Final = "none of them"
"""Choice where all contenders are as bad as can be."""


@dataclass(frozen=True)
class Recommendation:
    """The contender to take for an aim, and why; ``figures`` has the figure of every contender, highest first."""

    aim: str
    figure: str
    choice: str
    reason: str
    figures: dict[str, float]


def recommend(aim: str, samples: Mapping[str, FigureSample]) -> Recommendation:
    """Recommend a contender for an aim.

    The highest figure wins, if it is above zero, unless a single network cannot be told from it: it costs half of a
    hybrid, and is taken instead.

    Parameters
    ----------
    aim
        A key of ``AIMS``.
    samples
        Contender → the aim's figure.
    """
    values = {name: summarize(sample).value for name, sample in samples.items()}
    ranked = sorted(values, key=lambda name: -math.inf if math.isnan(values[name]) else values[name], reverse=True)
    figures = {name: values[name] for name in ranked}
    best = ranked[0]
    equals = [
        name
        for name in ranked[1:]
        if compare(samples[best], samples[name]).verdict is not Verdict.HIGHER and math.isfinite(values[name])
    ]
    _, words = AIMS[aim]
    if not values[best] > 0:
        return Recommendation(aim, words, NONE, f"no contender has any {words} here.", figures)
    single = [name for name in equals if name in NETWORKS]
    if best not in NETWORKS and single:
        choice = single[0]
        reason = (
            f"{best} reads {values[best]:.3f} in {words} and {choice} {values[choice]:.3f}, which cannot be told "
            f"apart here: {choice} alone costs one network instead of two."
        )
        return Recommendation(aim, words, choice, reason, figures)
    reason = f"{best} has the highest {words}, {values[best]:.3f}"
    if not equals:
        reason += ", beyond what micrographs and seeds explain."
    else:
        told = ", ".join(f"{name} {values[name]:.3f}" for name in equals)
        reason += f"; not told apart from it here: {told}."
    return Recommendation(aim, words, best, reason, figures)


def recommend_speed(seconds: Mapping[str, float]) -> Recommendation | None:
    """Recommend the contender that takes the fewest seconds a micrograph; ``None`` if nothing was timed."""
    known = {name: value for name, value in seconds.items() if math.isfinite(value)}
    if not known:
        return None
    ranked = dict(sorted(known.items(), key=lambda item: item[1]))
    choice = next(iter(ranked))
    words = "network seconds a micrograph"
    return Recommendation(
        "speed", words, choice, f"{choice} needs the fewest seconds of the network, {ranked[choice]:.3f}.", ranked
    )
