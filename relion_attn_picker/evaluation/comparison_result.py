"""What a comparison found, as plain figures: what its report shows and nothing else."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from relion_attn_picker.evaluation.claims import Claim
from relion_attn_picker.evaluation.comparison import Difference, FigureSummary
from relion_attn_picker.evaluation.recommendation import Recommendation
from relion_attn_picker.json_values import to_json_values

ARRAY_DECIMALS: Final = 4
"""Digits of the curves in JSON."""


@dataclass(frozen=True)
class ContenderResult:
    """One contender on one set.

    Parameters
    ----------
    figures
        Name of a figure → what is known of it.
    chance_precision
        Precision that as many random points on the same micrographs would reach, matched one to one.
    settings
        Setting of a hybrid → share of the micrographs for which it was chosen on the others; empty for a network.
    own_f1
        Of a network: F1 at the threshold that its checkpoint recommends, mean over the seeds; NaN for a hybrid.
    curve_recall, curve_precision
        ``(k,)``, and the precision there with each seed, ``(s, k)``, NaN beyond the last recall.
    """

    figures: Mapping[str, FigureSummary]
    chance_precision: float
    settings: Mapping[str, float]
    own_f1: float
    curve_recall: NDArray[np.float64]
    curve_precision: NDArray[np.float64]


@dataclass(frozen=True)
class ConditionRow:
    """Average precision of both networks on the micrographs whose condition lies between ``low`` and ``high``."""

    low: float
    high: float
    n_micrographs: int
    attention: FigureSummary
    standard: FigureSummary
    difference: Difference


@dataclass(frozen=True)
class SetResult:
    """Everything on one set.

    Parameters
    ----------
    name, particle_diameter, n_micrographs, n_particles
        What the set is; Å.
    contenders
        Name → result: both networks, then the hybrids.
    differences
        Name of a figure → attention minus standard.
    hybrids
        Name of a hybrid → its average precision minus that of the better network.
    better
        That network.
    conditions
        Name of a condition → its classes, lowest first; only conditions that are known and vary.
    label_margin
        How far short of the edges the labels stop, Å: what is picked beyond and hits none counts neither way.
    """

    name: str
    particle_diameter: float
    n_micrographs: int
    n_particles: int
    contenders: Mapping[str, ContenderResult]
    differences: Mapping[str, Difference]
    hybrids: Mapping[str, Difference]
    better: str
    conditions: Mapping[str, tuple[ConditionRow, ...]]
    label_margin: float = 0.0


@dataclass(frozen=True)
class SizeRow:
    """Average precision, the mean over the sets, of networks trained on a share of the training micrographs."""

    share: float
    attention: FigureSummary
    standard: FigureSummary
    difference: Difference


@dataclass(frozen=True)
class ArchitectureRow:
    """Parameters of both networks of one width, and attention's overhead."""

    base_features: int
    attention: int
    standard: int

    @property
    def overhead(self) -> float:
        """Additional parameters of the attention network, as a share of the standard one's."""
        return self.attention / self.standard - 1


@dataclass(frozen=True)
class CostRow:
    """One cost of both networks, measured side by side; attention's overhead is a share of the standard one's."""

    what: str
    attention: float
    standard: float
    how: str

    @property
    def overhead(self) -> float:
        """What attention costs more."""
        return self.attention / self.standard - 1 if self.standard else math.nan


@dataclass(frozen=True)
class Comparison:
    """The whole comparison.

    Parameters
    ----------
    command, networks
        How it was made; for each pair of seeds the two checkpoints, and how they were trained, in words.
    n_seeds
        Pairs.
    sets
        Results, set by set.
    sizes
        By share of the training micrographs, smallest first; empty unless it was asked for.
    architectures, costs
        What the networks are and cost.
    claims, recommendations
        Conclusions.
    remarks
        What the reader must know beside the figures.
    """

    command: str
    networks: tuple[str, ...]
    n_seeds: int
    sets: tuple[SetResult, ...]
    sizes: tuple[SizeRow, ...]
    architectures: tuple[ArchitectureRow, ...]
    costs: tuple[CostRow, ...]
    claims: tuple[Claim, ...]
    recommendations: tuple[Recommendation, ...]
    remarks: tuple[str, ...] = field(default=())

    def to_dict(self) -> dict[str, Any]:
        """Return everything in the types of JSON; what is not finite becomes ``None``."""
        record = to_json_values(self, ARRAY_DECIMALS)
        for row, architecture in zip(record["architectures"], self.architectures, strict=True):
            row["overhead"] = to_json_values(architecture.overhead)
        for row, cost in zip(record["costs"], self.costs, strict=True):
            row["overhead"] = to_json_values(cost.overhead)
        return dict(record)
