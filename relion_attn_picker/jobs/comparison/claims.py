"""What the original study says of both networks, claim by claim, put to the figures of a comparison."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from relion_attn_picker.evaluation.claims import (
    FEWEST_A_CLASS,
    UNTESTED,
    Claim,
    judge_amount,
    judge_higher,
    judge_together,
)
from relion_attn_picker.evaluation.comparison import Difference, Verdict
from relion_attn_picker.evaluation.comparison_result import ArchitectureRow, CostRow, SetResult, SizeRow
from relion_attn_picker.evaluation.weighted_figures import EQUAL_PRECISION, FIRST_HALF
from relion_attn_picker.jobs.comparison.costs import STUDY_FEATURES
from relion_attn_picker.jobs.comparison.hybrids import CHOSEN
from relion_attn_picker.jobs.comparison.request import SNR

PARAMETERS: Final = (0.01125, 0.01135)
"""+1.13 %, to its last digit."""

INFERENCE: Final = (0.03, 0.07)
"""About 5 % slower."""

TRAINING: Final = (0.05, 0.10)
"""5 to 10 % slower."""

MEMORY: Final = (0.01, 0.02)
"""1 to 2 % more."""


def judge_claims(
    sets: Sequence[SetResult],
    sizes: Sequence[SizeRow],
    architectures: Sequence[ArchitectureRow],
    costs: Sequence[CostRow],
) -> tuple[Claim, ...]:
    """Judge every claim."""
    return (
        _judge_everywhere("Attention has the higher average precision.", "average_precision", sets),
        _judge_everywhere(
            f"Attention is the more precise: its surest picks, up to a recall of {FIRST_HALF}, are cleaner.",
            "first_half_precision",
            sets,
        ),
        _judge_standard_finds_more(sets),
        _judge_low_snr(sets),
        *_judge_sizes(sizes),
        _judge_hybrid(sets),
        _judge_parameters(architectures),
        _judge_cost("Attention needs about 5 % more time to pick.", f"inference at {STUDY_FEATURES}", INFERENCE, costs),
        _judge_cost("Attention needs 5 to 10 % more time to train.", f"training at {STUDY_FEATURES}", TRAINING, costs),
        _judge_cost("Attention needs 1 to 2 % more memory.", f"memory of training at {STUDY_FEATURES}", MEMORY, costs),
    )


def with_interval(difference: Difference) -> str:
    """Return a difference with its interval over micrographs and seeds, or over micrographs alone, if there is one."""
    low, high = difference.interval if difference.verdict is Verdict.UNKNOWN else difference.total_interval
    if not math.isfinite(low):
        return f"{difference.value:+.3f} (no interval)" if math.isfinite(difference.value) else "undefined"
    return f"{difference.value:+.3f} ({low:+.3f} to {high:+.3f})"


def _judge_everywhere(statement: str, figure: str, sets: Sequence[SetResult]) -> Claim:
    differences = [each.differences[figure] for each in sets]
    grounds = "; ".join(f"{each.name} {with_interval(each.differences[figure])}" for each in sets)
    return judge_together(statement, differences, f"attention minus standard: {grounds}")


def _negate(difference: Difference) -> Difference:
    """Return second minus first; its share of the first's figure is not known here."""
    swapped = {Verdict.HIGHER: Verdict.LOWER, Verdict.LOWER: Verdict.HIGHER}
    return Difference(
        -difference.value,
        math.nan,
        (-difference.interval[1], -difference.interval[0]),
        tuple(-each for each in difference.per_seed),
        difference.seed_spread,
        (-difference.total_interval[1], -difference.total_interval[0]),
        swapped.get(difference.verdict, difference.verdict),
    )


def _judge_standard_finds_more(sets: Sequence[SetResult]) -> Claim:
    differences = {each.name: _negate(each.differences["recall_at_precision"]) for each in sets}
    grounds = "; ".join(f"{name} {with_interval(each)}" for name, each in differences.items())
    return judge_together(
        f"The standard network finds more: its recall at a precision of {EQUAL_PRECISION} is higher.",
        list(differences.values()),
        f"standard minus attention: {grounds}",
    )


def _judge_low_snr(sets: Sequence[SetResult]) -> Claim:
    lowest = {each.name: each.conditions[SNR][0] for each in sets if SNR in each.conditions}
    grounds = "; ".join(
        f"{name}, signal-to-noise {row.low:.2g} to {row.high:.2g}, average precision {with_interval(row.difference)}"
        for name, row in lowest.items()
    )
    return judge_together(
        "Attention wins where the signal is low.",
        [row.difference for row in lowest.values()],
        grounds
        or f"no set has {2 * FEWEST_A_CLASS} or more micrographs with particles whose signal-to-noise ratios are known "
        f"and differ, {FEWEST_A_CLASS} or more to a class: add one of `attnpick simulate`",
    )


def _judge_sizes(sizes: Sequence[SizeRow]) -> tuple[Claim, Claim]:
    much, little = (
        "Attention wins where there is much to learn from.",
        "The standard network wins where there is little.",
    )
    if len(sizes) < 2:
        why = 'needs trainings on shares of the data: `--train_data` with `--sizes "0.1 0.3 1"`'
        return Claim(much, UNTESTED, why), Claim(little, UNTESTED, why)
    first, last = sizes[0], sizes[-1]
    return (
        judge_higher(
            much, last.difference, f"attention minus standard with all of the data: {with_interval(last.difference)}"
        ),
        judge_higher(
            little,
            _negate(first.difference),
            f"standard minus attention with {first.share:g} of the data: {with_interval(_negate(first.difference))}",
        ),
    )


def _judge_hybrid(sets: Sequence[SetResult]) -> Claim:
    grounds = "; ".join(
        f"{each.name}, hybrid minus {each.better} {with_interval(each.hybrids[CHOSEN])}" for each in sets
    )
    return judge_together(
        "Both networks together beat the better one of them.",
        [each.hybrids[CHOSEN] for each in sets],
        f"average precision, strategy chosen on other micrographs: {grounds}",
    )


def _judge_parameters(architectures: Sequence[ArchitectureRow]) -> Claim:
    row = architectures[0]
    grounds = f"{row.standard:,} and {row.attention:,} parameters at {row.base_features} base features: "
    return judge_amount(
        "Attention has 1.13 % more parameters.", row.overhead, *PARAMETERS, grounds + f"+{100 * row.overhead:.2f} %"
    )


def _judge_cost(statement: str, what: str, limits: tuple[float, float], costs: Sequence[CostRow]) -> Claim:
    rows = [row for row in costs if row.what.startswith(what)]
    if not rows:
        return Claim(statement, UNTESTED, f"{what} base features was not measured in this run")
    return judge_amount(statement, rows[0].overhead, *limits, f"{100 * rows[0].overhead:+.1f} %; {rows[0].how}")
