"""The benchmark measures every step on the way that a job takes."""

from __future__ import annotations

import re

import pytest
import torch

from relion_attn_picker.cli import group
from relion_attn_picker.cli._plain_command import run_plain_command
from relion_attn_picker.jobs.benchmarks import simulation as simulation_benchmark
from relion_attn_picker.jobs.benchmarks.picking import STEPS, benchmark, gpu_memory
from relion_attn_picker.jobs.benchmarks.training import benchmark_training
from relion_attn_picker.options import InferenceOptions
from relion_attn_picker.training_options import TrainOptions


def test_every_step_takes_time_and_the_whole_is_their_sum() -> None:
    result = benchmark("attention", 8, (300, 400), 2.0, 150.0, InferenceOptions(gpu="cpu"), repeats=1)
    assert set(result.seconds) == set(STEPS)
    assert all(seconds > 0 for seconds in result.seconds.values())
    assert result.total == pytest.approx(sum(result.seconds.values()))
    assert result.network_shape == (96, 128)
    assert result.peak_memory > 50e6


def test_memory_of_a_gpu_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 123)
    assert gpu_memory(torch.device("cuda", 0)) == 123
    assert gpu_memory(torch.device("cpu")) is None


def test_survey_that_every_job_makes_is_a_step() -> None:
    result = benchmark("standard", 8, (300, 400), 2.0, 150.0, InferenceOptions(gpu="cpu"), repeats=1)
    assert result.seconds["survey"] > 0
    assert result.gpu_memory is None


def test_command_prints_the_split(capsys: pytest.CaptureFixture[str]) -> None:
    small = ["--width", "300", "--height", "280", "--pixel_size", "3", "--repeats", "1", "--base_features", "8"]
    assert run_plain_command(group, ["benchmark", *small, "--gpu", "cpu", "--j", "1"]) == 0
    printed = capsys.readouterr().out
    assert all(step in printed for step in STEPS)
    assert "peak memory" in printed


def test_training_is_measured_beside_the_ceiling(capsys: pytest.CaptureFixture[str]) -> None:
    small = ["--training", "--batch_size", "2", "--input_size", "64", "--repeats", "1", "--base_features", "8"]
    assert run_plain_command(group, ["benchmark", *small, "--gpu", "cpu", "--j", "1", "--precision", "float32"]) == 0
    printed = capsys.readouterr().out
    assert "crops/s" in printed
    assert "% of the ceiling" in printed
    assert "process on the CPU" in printed
    assert "on the GPU" not in printed


def test_simulation_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    small = ["--simulation", "--width", "120", "--height", "100", "--pixel_size", "6", "--repeats", "2"]
    assert run_plain_command(group, ["benchmark", *small, "--gpu", "cpu", "--j", "1"]) == 0
    printed = capsys.readouterr().out
    assert "fields of 120×100 pixels of 6 Å, particles of 150 Å" in printed
    assert re.search(r"a field +0\.\d{3} s \(median\) +\d+\.\d fields a second", printed)


def test_fields_are_simulated_where_they_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    places = []
    monkeypatch.setattr(
        simulation_benchmark, "simulate_micrograph", lambda *arguments: places.append((arguments[1], arguments[5]))
    )
    simulation_benchmark.benchmark_simulation((100, 120), 6.0, 150.0, InferenceOptions(gpu="cpu"), 3)
    assert places == [((100, 120), torch.device("cpu"))] * 4


def test_operations_of_a_crop_grow_with_its_area() -> None:
    def count(input_size: int) -> float:
        options = TrainOptions(architecture="standard", base_features=8, batch_size=2, input_size=input_size)
        return benchmark_training(options, InferenceOptions(gpu="cpu", precision="float32"), 1).flops_per_crop

    assert count(64) == pytest.approx(4 * count(32), rel=1e-3)
    first_level = 2 * 9 * (1 * 8 + 8 * 8) + 2 * 9 * (16 * 8 + 8 * 8)  # encoder and decoder, a pixel, forward only
    all_levels = 3 * 4 * first_level  # four levels and the bottleneck cost about the same; backward is twice forward
    assert count(32) / 32**2 == pytest.approx(all_levels, rel=0.3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--base_features", "5"], "base_features is 5: expected an even number from 8 to 64."),
        (["--training", "--base_features", "66"], "base_features is 66: expected an even number from 8 to 64."),
        (["--width", "0"], "The micrograph has 0×4096 pixels"),
        (["--repeats", "0"], "The number of runs is 0"),
        (["--training", "--repeats", "0"], "The number of runs is 0"),
        (["--simulation", "--repeats", "0"], "The number of runs is 0"),
        (["--simulation", "--width", "10"], "The micrographs have 10×4096 pixels"),
        (
            ["--simulation", "--width", "64", "--diameter", "9000"],
            "A particle of 9000 Å is too large for a field of 64 Å",
        ),
        (["--simulation", "--training"], "--training and --simulation are measured one at a time"),
    ],
)
def test_what_cannot_be_measured(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_plain_command(group, ["benchmark", "--gpu", "cpu", "--j", "1", *arguments]) == 1
    told = capsys.readouterr().err
    assert message in told
    assert "Traceback" not in told
