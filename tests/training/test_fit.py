"""Training: it learns, it resumes with the same result, it refuses what does not belong together."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from relion_attn_picker.errors import CheckpointError, DeviceError, InputError
from relion_attn_picker.io.checkpoint import read_checkpoint, read_header, write_checkpoint
from relion_attn_picker.io.hdf5 import CropFile
from relion_attn_picker.model_spec import Normalization
from relion_attn_picker.options import InferenceOptions
from relion_attn_picker.training.batches import BatchMaker
from relion_attn_picker.training.crops import LabelledSource, write_crops
from relion_attn_picker.training.distributed import World
from relion_attn_picker.training.fit import Progress, Trainer, fit, learning_rate_factor
from relion_attn_picker.training.keeper import read_curves
from relion_attn_picker.training.losses import LOSSES
from relion_attn_picker.training.mixture import Mixture
from relion_attn_picker.training.starting import StartingWeights
from relion_attn_picker.training.state import new_state
from relion_attn_picker.training.validation import ValidationSet, prepare_validation_set
from relion_attn_picker.training_options import CropOptions, RunOptions, TrainOptions
from tests.training.conftest import mix

CPU = InferenceOptions(gpu="cpu", precision="float32", threads=1)
OPTIONS = TrainOptions(
    base_features=8, steps=6, batch_size=4, input_size=48, validate_every=3, warmup_steps=2, patience=9, seed=3
)


class KilledError(Exception):
    """Stands for a kill."""


@pytest.fixture
def crops(source: LabelledSource, tmp_path: Path) -> Mixture:
    write_crops(tmp_path / "crops.h5", [source], CropOptions(crop_size=64, crops_per_source=12), Normalization())
    return mix(CropFile(tmp_path / "crops.h5"))


@pytest.fixture
def sets(source: LabelledSource) -> list[ValidationSet]:
    one = replace(source, micrographs=source.micrographs[:1])
    return [prepare_validation_set(one, 24.0, Normalization())]


@pytest.mark.parametrize(
    ("architecture", "save_every", "killed_after", "goes_on_with"),
    [("attention", 1000.0, 5, 4), ("attention", 0.0, 2, 3), ("standard", 0.0, 5, 6)],
    ids=["after a validation's state", "before the first validation", "between validations"],
)
def test_killed_and_resumed_equals_never_interrupted(
    architecture: str,
    save_every: float,
    killed_after: int,
    goes_on_with: int,
    crops: Mixture,
    sets: list[ValidationSet],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("relion_attn_picker.training.state.MAX_SAVING_SHARE", 1e9)
    options = replace(OPTIONS, architecture=architecture)
    whole = fit(tmp_path / "whole", crops, sets, options, CPU)

    def kill(progress: Progress) -> None:
        if progress.step == killed_after:
            raise KilledError

    with pytest.raises(KilledError):
        fit(tmp_path / "cut", crops, sets, options, CPU, kill, run=RunOptions(save_every=save_every))
    steps: list[int] = []
    resumed = fit(tmp_path / "cut", crops, sets, options, CPU, lambda progress: steps.append(progress.step))
    assert steps == list(range(goes_on_with, 7))
    assert (tmp_path / "cut/curves.csv").read_text() == (tmp_path / "whole/curves.csv").read_text()
    for name in ("best.safetensors", "last.safetensors"):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert whole.name == resumed.name == "best.safetensors"


def test_finished_training_is_not_trained_again(crops: Mixture, sets: list[ValidationSet], tmp_path: Path) -> None:
    best = fit(tmp_path / "run", crops, sets, OPTIONS, CPU)
    before = best.read_bytes()
    steps: list[int] = []
    fit(tmp_path / "run", crops, sets, OPTIONS, CPU, lambda progress: steps.append(progress.step))
    assert steps == []
    assert best.read_bytes() == before


def test_loss_beside_a_validation_is_that_of_the_curves(
    crops: Mixture, sets: list[ValidationSet], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    told: list[Progress] = []
    fit(tmp_path / "run", crops, sets, OPTIONS, CPU, told.append)
    validated = [each.loss for each in told if each.scores is not None]
    assert validated == pytest.approx(read_curves(tmp_path / "run")["loss"])
    fit(tmp_path / "run", crops, sets, OPTIONS, CPU)
    assert "Finished before, with step 6." in caplog.text


def test_other_options_in_the_same_folder_are_refused(
    crops: Mixture, sets: list[ValidationSet], tmp_path: Path
) -> None:
    fit(tmp_path / "run", crops, sets, OPTIONS, CPU)
    before = {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()}
    with pytest.raises(InputError, match=r"holds a training with other options, .*\): seed was 3, not 4: give"):
        fit(tmp_path / "run", crops, sets, replace(OPTIONS, seed=4), CPU)
    assert {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()} == before


def test_validation_sets_of_one_name_are_refused(crops: Mixture, sets: list[ValidationSet], tmp_path: Path) -> None:
    """The figures of one would stand for both."""
    with pytest.raises(InputError, match="Several sets of validation micrographs are named discs"):
        fit(tmp_path / "run", crops, [*sets, *sets], OPTIONS, CPU)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["best.safetensors", "last.safetensors", "state.pt"])
def test_weights_of_unknown_origin_are_not_overwritten(
    name: str, crops: Mixture, sets: list[ValidationSet], tmp_path: Path
) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / name).write_text("mine")
    with pytest.raises(InputError, match=rf"run holds {name}, but no options\.json of a training"):
        fit(tmp_path / "run", crops, sets, OPTIONS, CPU)
    assert [path.read_text() for path in (tmp_path / "run").iterdir()] == ["mine"]


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("best.safetensors", None, r"best\.safetensors, which the training had left by step 6, is gone or damaged"),
        ("best.safetensors", b"cut", r"best\.safetensors, which the training had left by step 6, is gone or damaged"),
        ("options.json", b'{"train": ', r"options\.json is damaged .* remove the folder to start afresh"),
        ("options.json", b"[]", r"options\.json is damaged .* remove the folder to start afresh"),
        ("state.pt", None, r"holds best\.safetensors of .* cannot go on, for its state\.pt is gone: put it back"),
        ("state.pt", b"cut", r"state\.pt is not a readable training state .* remove the folder to start afresh"),
        ("state.pt", {"step": 6}, r"state\.pt is no state of this training .* remove the folder to start afresh"),
    ],
)
def test_damaged_files_of_a_training(
    name: str, content: object, sentence: str, crops: Mixture, sets: list[ValidationSet], tmp_path: Path
) -> None:
    fit(tmp_path / "run", crops, sets, OPTIONS, CPU)
    path = tmp_path / "run" / name
    path.unlink()
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    before = {each.name: each.read_bytes() for each in (tmp_path / "run").iterdir()}
    with pytest.raises((InputError, CheckpointError), match=sentence):
        fit(tmp_path / "run", crops, sets, OPTIONS, CPU)
    assert {each.name: each.read_bytes() for each in (tmp_path / "run").iterdir()} == before


@pytest.mark.parametrize("step", [0, 3])
def test_killed_before_the_state_of_the_first_weights_is_saved(
    step: int, crops: Mixture, sets: list[ValidationSet], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The weights of a validation are written before its state; with starting weights they are there at step 0."""
    start = None if step else StartingWeights.read(fit(tmp_path / "first", crops, sets, OPTIONS, CPU))
    options = replace(OPTIONS, seed=4)
    whole = fit(tmp_path / "whole", crops, sets, options, CPU, start=start)

    def write_and_die(path: Path, *arguments: Any) -> None:
        write_checkpoint(path, *arguments)
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr("relion_attn_picker.training.keeper.write_checkpoint", write_and_die)
        with pytest.raises(KilledError):
            fit(tmp_path / "cut", crops, sets, options, CPU, start=start)
    assert (tmp_path / "cut/best.safetensors").exists()
    resumed = fit(tmp_path / "cut", crops, sets, options, CPU, start=start)
    assert resumed.read_bytes() == whole.read_bytes()
    assert (tmp_path / "cut/curves.csv").read_text() == (tmp_path / "whole/curves.csv").read_text()


def test_lost_curves_are_written_again(crops: Mixture, sets: list[ValidationSet], tmp_path: Path) -> None:
    fit(tmp_path / "run", crops, sets, OPTIONS, CPU)
    before = (tmp_path / "run/curves.csv").read_bytes()
    (tmp_path / "run/curves.csv").unlink()
    fit(tmp_path / "run", crops, sets, OPTIONS, CPU)
    assert (tmp_path / "run/curves.csv").read_bytes() == before


def test_fewer_crops_than_a_batch(crops: Mixture, sets: list[ValidationSet], tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"There are 12 crops for batches of 64: cut more crops \(--crops_per_source, --shorten\) or"
    ):
        fit(tmp_path / "run", crops, sets, replace(OPTIONS, batch_size=64), CPU)


def test_fewer_labels_than_a_batch(source: LabelledSource, sets: list[ValidationSet], tmp_path: Path) -> None:
    write_crops(tmp_path / "crops.h5", [source], CropOptions(crop_size=64, crops_per_source=12), Normalization())
    few = mix(CropFile(tmp_path / "crops.h5"))
    with pytest.raises(InputError, match=r"There are 8 labelled particles for batches of 9: label or simulate more or"):
        fit(tmp_path / "run", few, sets, replace(OPTIONS, batch_size=9), CPU)
    assert not (tmp_path / "run").exists()


def test_bfloat16_trains_and_is_remembered(crops: Mixture, sets: list[ValidationSet], tmp_path: Path) -> None:
    in_bfloat16 = replace(CPU, precision="bfloat16")
    fit(tmp_path / "run", crops, sets, OPTIONS, in_bfloat16)
    losses = read_curves(tmp_path / "run")["loss"]
    fit(tmp_path / "plain", crops, sets, OPTIONS, CPU)
    plain = read_curves(tmp_path / "plain")["loss"]
    assert losses != plain
    assert losses == pytest.approx(plain, rel=0.05)
    assert json.loads((tmp_path / "run/options.json").read_text())["precision"] == "bfloat16"
    fit(tmp_path / "run", crops, sets, OPTIONS, replace(CPU, precision="auto"))
    with pytest.raises(InputError, match="holds a training with other options"):
        fit(tmp_path / "run", crops, sets, OPTIONS, CPU)


def test_start_from_other_weights(crops: Mixture, sets: list[ValidationSet], tmp_path: Path) -> None:
    first = fit(tmp_path / "first", crops, sets, OPTIONS, CPU)
    gentle = replace(OPTIONS, learning_rate=1e-9, steps=1)
    second = fit(tmp_path / "second", crops, sets, gentle, CPU, start=StartingWeights.read(first))
    begun, ended = read_checkpoint(first).tensors, read_checkpoint(second).tensors
    learnt = [name for name in begun if "running_" not in name]  # a step moves those statistics at any rate
    assert len(learnt) > len(begun) / 2
    assert all(torch.allclose(begun[name], ended[name]) for name in learnt)
    assert read_curves(tmp_path / "second")["step"] == [0, 1]
    assert read_header(second).trained_with["start_from"]["file"] == "best.safetensors"


def test_options_that_contradict_the_starting_weights(
    crops: Mixture, sets: list[ValidationSet], tmp_path: Path
) -> None:
    first = fit(tmp_path / "first", crops, sets, OPTIONS, CPU)
    with pytest.raises(InputError, match=r"has base_features 8, but 16 was given: leave out --base_features"):
        fit(tmp_path / "run", crops, sets, replace(OPTIONS, base_features=16), CPU, start=StartingWeights.read(first))
    assert not (tmp_path / "run").exists()


def test_loss_that_explodes_stops_with_a_sentence(
    crops: Mixture, sets: list[ValidationSet], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(LOSSES, "focal", lambda logits, target, weights: logits.sum() * torch.inf)
    with pytest.raises(InputError, match="The loss is not a finite number at step 1: give a lower --learning_rate"):
        fit(tmp_path / "run", crops, sets, OPTIONS, CPU)


def test_gradient_that_explodes_stops_before_the_step(
    crops: Mixture, sets: list[ValidationSet], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Exploding(torch.autograd.Function):
        """A finite loss without a finite gradient."""

        @staticmethod
        def forward(ctx: Any, logits: torch.Tensor) -> torch.Tensor:
            return logits.mean()

        @staticmethod
        def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
            return gradient * torch.full((4, 1, 48, 48), torch.inf)

    monkeypatch.setitem(LOSSES, "focal", lambda logits, target, weights: Exploding.apply(logits))
    state = new_state(OPTIONS, None, torch.device("cpu"))
    before = {name: tensor.clone() for name, tensor in state.network.named_parameters()}
    trainer = Trainer(state, OPTIONS, torch.device("cpu"), "float32", World())
    with pytest.raises(InputError, match="The gradient is not a finite number at step 1: give a lower --learning_rate"):
        trainer.take_step(BatchMaker(crops, OPTIONS).make(0))
    assert all(torch.equal(before[name], tensor) for name, tensor in state.network.named_parameters())
    assert state.step == 0


def test_memory_that_does_not_suffice_is_told(
    crops: Mixture, sets: list[ValidationSet], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object) -> torch.Tensor:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setitem(LOSSES, "focal", fail)
    with pytest.raises(DeviceError, match=r"4 crops with 8 base features: give a smaller --batch_size or --base_feat"):
        fit(tmp_path / "run", crops, sets, OPTIONS, CPU)


def test_early_stopping_keeps_the_best(crops: Mixture, sets: list[ValidationSet], tmp_path: Path) -> None:
    options = replace(OPTIONS, steps=60, validate_every=1, patience=2, learning_rate=1e-6)
    best = fit(tmp_path / "run", crops, sets, options, CPU)
    curves = read_curves(tmp_path / "run")
    precision = curves["average_precision"]
    assert len(precision) < 60
    assert int(np.argmax(precision)) == len(precision) - 3
    assert read_header(best).trained_with["steps"] == int(np.argmax(precision)) + 1


def test_header_tells_where_the_weights_come_from(crops: Mixture, sets: list[ValidationSet], tmp_path: Path) -> None:
    header = read_header(fit(tmp_path / "run", crops, sets, OPTIONS, CPU))
    assert header.spec.architecture == "attention"
    assert header.particle_diameter_px == 24.0
    assert header.trained_with["data"][0]["name"] == "discs"
    assert header.trained_with["validation"] == {"discs": {"micrographs": 1, "particles": 8}}
    assert header.trained_with["options"]["seed"] == 3
    assert header.calibration.threshold == header.trained_with["figures"]["threshold"]
    saved = json.loads((tmp_path / "run/options.json").read_text())
    assert saved["train"]["steps"] == 6


@pytest.mark.slow
def test_network_learns_to_find_discs(source: LabelledSource, sets: list[ValidationSet], tmp_path: Path) -> None:
    path = tmp_path / "crops.h5"
    write_crops(path, [source], CropOptions(crop_size=80, crops_per_source=120), Normalization())
    options = replace(OPTIONS, steps=140, validate_every=140, input_size=64, warmup_steps=5)
    fit(tmp_path / "run", mix(CropFile(path)), sets, options, CPU)
    curves = read_curves(tmp_path / "run")
    assert curves["average_precision"][-1] > 0.9


def test_learning_rate_warms_up_and_falls_to_zero() -> None:
    options = TrainOptions(steps=1000, warmup_steps=100)
    factors = [learning_rate_factor(step, options) for step in range(1000)]
    assert factors[0] == pytest.approx(0.01)
    assert max(factors) == factors[99] == 1.0
    assert factors[550] == pytest.approx(0.5, abs=0.01)
    assert factors[-1] < 1e-4
    assert all(a >= b for a, b in pairwise(factors[99:]))
