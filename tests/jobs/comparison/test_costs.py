"""What both networks cost: every figure is there, says at which width, and grows with what is asked."""

from __future__ import annotations

import numpy as np
import pytest

from relion_attn_picker.evaluation.claims import UNTESTED
from relion_attn_picker.evaluation.comparison import FigureSample, compare
from relion_attn_picker.evaluation.comparison_result import CostRow
from relion_attn_picker.jobs.benchmarks.picking import peak_memory
from relion_attn_picker.jobs.comparison import costs, memory
from relion_attn_picker.jobs.comparison.claims import judge_claims, with_interval
from relion_attn_picker.jobs.comparison.costs import count_parameters, measure_networks
from relion_attn_picker.jobs.comparison.memory import measure_memory
from relion_attn_picker.options import InferenceOptions
from relion_attn_picker.training_options import TrainOptions

CPU = InferenceOptions(gpu="cpu", precision="float32", threads=1)
SMALL = TrainOptions(base_features=8, batch_size=1, input_size=64)


def test_peak_memory_of_a_process_knows_what_it_touched() -> None:
    before = peak_memory()
    block = bytearray(b"\1" * 300_000_000)
    assert len(block) == 300_000_000
    del block
    assert peak_memory() >= before
    assert peak_memory() > 300_000_000


def test_each_cost_is_measured_at_both_widths(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(costs, "STUDY_FEATURES", 10)
    monkeypatch.setattr(costs, "measure_memory", lambda *_: ())
    rows = measure_networks(SMALL, CPU)
    assert [row.what for row in rows] == [
        f"{what} at {width} base features, {unit}"
        for width in (8, 10)
        for what, unit in (("inference", "seconds"), ("training", "seconds a step"))
    ]
    assert all(row.attention > 0 and row.standard > 0 for row in rows)
    assert "1 crops of 64×64, float32, cpu" in rows[1].how


def test_memory_of_training_holds_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "RUNS", 1)
    monkeypatch.setattr(memory, "NETWORKS", ("attention", "standard"))
    _, small = measure_memory(SMALL, CPU)
    large = memory._in_a_process(True, "standard", TrainOptions(base_features=8, batch_size=16), CPU) / 1e6
    one_level = 16 * 8 * 128 * 128 * 4 / 1e6  # a single activation of the finest level, MB
    assert large > small.standard + 4 * one_level


def test_claims_of_cost_are_judged_at_the_width_of_the_study() -> None:
    rows = [
        CostRow(f"{what} at {width} base features, {unit}", overhead, 1.0, "by hand")
        for what, unit in (("inference", "seconds"), ("training", "seconds a step"), ("memory of training", "MB"))
        for width, overhead in ((16, 2.0), (64, {"inference": 1.05, "training": 1.2}.get(what, 1.015)))
    ]
    claims = {claim.statement: claim.verdict for claim in judge_claims([], [], count_parameters([16]), rows)}
    assert claims["Attention needs about 5 % more time to pick."] == "holds"
    assert claims["Attention needs 5 to 10 % more time to train."] == "does not hold"
    assert claims["Attention needs 1 to 2 % more memory."] == "holds"
    claims = {claim.statement: claim.verdict for claim in judge_claims([], [], count_parameters([16]), rows[::2])}
    assert claims["Attention needs about 5 % more time to pick."] == UNTESTED


def test_difference_on_one_micrograph_has_no_interval() -> None:
    one = FigureSample(np.array([0.8]), np.full((1, 1, 5), 0.8), n_micrographs=(1,))
    other = FigureSample(np.array([0.7]), np.full((1, 1, 5), 0.7), n_micrographs=(1,))
    assert with_interval(compare(one, other)) == "+0.100 (no interval)"
    nothing = FigureSample(np.array([np.nan]), np.full((1, 1, 5), np.nan), n_micrographs=(1,))
    assert with_interval(compare(one, nothing)) == "undefined"
