"""The benchmark measures every step on the way that a job takes."""

from __future__ import annotations

import pytest

from relion_attn_picker.benchmarking import STEPS, benchmark
from relion_attn_picker.cli import group
from relion_attn_picker.cli._plain_command import run_plain_command
from relion_attn_picker.model_spec import ModelSpec
from relion_attn_picker.options import InferenceOptions


def test_every_step_takes_time_and_the_whole_is_their_sum() -> None:
    result = benchmark(ModelSpec("attention", 8), (300, 400), 2.0, 150.0, InferenceOptions(gpu="cpu"), repeats=1)
    assert set(result.seconds) == set(STEPS)
    assert all(seconds > 0 for seconds in result.seconds.values())
    assert result.total == pytest.approx(sum(result.seconds.values()))
    assert result.network_shape == (96, 128)
    assert result.peak_memory > 50e6


def test_command_prints_the_split(capsys: pytest.CaptureFixture[str]) -> None:
    small = ["--width", "300", "--height", "280", "--pixel_size", "3", "--repeats", "1", "--base_features", "8"]
    assert run_plain_command(group, ["benchmark", *small, "--gpu", "cpu", "--j", "1"]) == 0
    printed = capsys.readouterr().out
    assert all(step in printed for step in STEPS)
    assert "peak memory" in printed
