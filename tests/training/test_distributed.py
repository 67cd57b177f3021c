"""Two processes that train together give what one process with the whole batch gives."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from relion_attn_picker.cli import group
from relion_attn_picker.cli._plain_command import run_plain_command
from relion_attn_picker.errors import DeviceError, InputError
from relion_attn_picker.io.checkpoint import read_checkpoint
from relion_attn_picker.io.hdf5 import CropFile
from relion_attn_picker.model_spec import ModelSpec, Normalization
from relion_attn_picker.models.builders import build_model
from relion_attn_picker.options import InferenceOptions, cores_of_process
from relion_attn_picker.training.batches import Batch, BatchMaker
from relion_attn_picker.training.crops import LabelledSource, write_crops
from relion_attn_picker.training.distributed import World, current_world, device_of, distribute, join_world, whole_batch
from relion_attn_picker.training.fit import fit
from relion_attn_picker.training.keeper import read_curves
from relion_attn_picker.training.losses import LOSSES
from relion_attn_picker.training.validation import prepare_validation_set
from relion_attn_picker.training_options import CropOptions, TrainOptions

OPTIONS = TrainOptions(
    base_features=8, steps=2, batch_size=4, input_size=48, validate_every=1, warmup_steps=1, learning_rate=1e-4, seed=3
)
CPU = InferenceOptions(gpu="cpu", precision="float32", threads=1)

PROGRAM = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_distributed import train
train(Path(sys.argv[2]), Path(sys.argv[3]))
"""


def train(crops: Path, folder: Path) -> None:
    """Train in ``folder``, and keep what one batch gives in double precision: gradients, batch-norm statistics."""
    from conftest import make_labelled_image, mix

    mixture = mix(CropFile(crops))
    source = LabelledSource("discs", "", [lambda: make_labelled_image(1)])
    world = current_world()
    with join_world(world):
        fit(folder, mixture, [prepare_validation_set(source, 24.0, Normalization())], OPTIONS, CPU)
        torch.manual_seed(1)
        network = build_model(ModelSpec("attention", 8)).double()
        batch = BatchMaker(mixture, OPTIONS, world.slots(OPTIONS.batch_size)).make(0)
        batch = Batch(batch.images.double(), batch.targets.double(), batch.weights.double())
        together = distribute(network, world, torch.device("cpu"))
        logits = together(batch.images)
        (LOSSES["focal"](*whole_batch(logits, batch, world)) * world.size).backward()
    gradients = {name: parameter.grad for name, parameter in network.named_parameters()}
    torch.save(gradients | dict(network.named_buffers()), folder / f"step_{world.rank}.pt")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_two_processes_equal_one(source: LabelledSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    crops = tmp_path / "crops.h5"
    write_crops(crops, [source], CropOptions(crop_size=64, crops_per_source=12), Normalization())
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    train(crops, tmp_path / "one")
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", f"--master_port={free_port()}"]
    arguments = [str(program), str(Path(__file__).parent), str(crops), str(tmp_path / "two")]
    result = subprocess.run([*launcher, *arguments], capture_output=True, text=True, check=False, timeout=300)
    assert result.returncode == 0, result.stderr
    one, *two = (torch.load(tmp_path / path) for path in ("one/step_0.pt", "two/step_0.pt", "two/step_1.pt"))
    assert two[0].keys() == one.keys()
    for name, tensor in one.items():
        for rank in two:
            torch.testing.assert_close(rank[name], tensor, rtol=1e-7, atol=1e-9)
    assert read_curves(tmp_path / "two")["loss"] == pytest.approx(read_curves(tmp_path / "one")["loss"], rel=1e-4)
    ordinary = build_model(ModelSpec("attention", 8))
    read_checkpoint(tmp_path / "two/last.safetensors").load_into(ordinary, tmp_path)


def test_ranks_have_equal_parts_of_a_batch() -> None:
    slots = [slot for rank in range(4) for slot in World(rank, 4).slots(8)]
    assert slots == list(range(8))
    with pytest.raises(InputError, match="Batches of 8 cannot be divided among 3 processes: give a --batch_size"):
        World(0, 3).slots(8)


@pytest.mark.parametrize(("visible", "local_rank", "expected"), [(1, 0, "0"), (1, 3, "0"), (4, 3, "3")])
def test_each_process_takes_a_gpu_of_its_own(
    visible: int, local_rank: int, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: visible)
    chosen: list[str] = []

    def choose(gpu: str) -> torch.device:
        chosen.append(gpu)
        return torch.device("cpu")

    monkeypatch.setattr("relion_attn_picker.training.distributed.choose_device", choose)
    device_of("auto", World(local_rank, 4, local_rank))
    assert chosen == [expected]


def test_more_processes_than_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(DeviceError, match=r"Process 3 on this machine .* but 2 were found: start 2 processes"):
        device_of("auto", World(2, 4, 2))


def test_one_gpu_for_several_processes_is_refused() -> None:
    with pytest.raises(DeviceError, match=r"GPU 0 was asked for, but 2 processes train together .* give --gpu auto"):
        device_of("0", World(1, 2, 1))
    assert device_of("cpu", World(1, 2, 1)).type == "cpu"


@pytest.mark.parametrize(
    ("command", "options"),
    [("self-train", "--hold_out 1 --unlabelled u.star 100"), ("compare", "--attention a --standard s")],
)
def test_commands_that_run_as_one_process(
    command: str, options: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    out = tmp_path / "out"
    words = [command, "--data", "m.star", "t.star", "100", *options.split(), "--gpu", "cpu", "--out", str(out)]
    assert run_plain_command(group, words) == 1
    told = capsys.readouterr().err
    assert f"attnpick {command} was started as 2 processes (WORLD_SIZE), but runs as one: start it without" in told
    assert not out.exists()


@pytest.mark.parametrize(
    ("rank", "size", "local_rank"),
    [("x", "2", "0"), ("0", "", "0"), ("2", "2", "0"), ("-1", "2", "0"), ("0", "2", "x")],
)
def test_place_that_is_none(rank: str, size: str, local_rank: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("RANK", rank), ("WORLD_SIZE", size), ("LOCAL_RANK", local_rank)):
        monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match=rf"RANK is '{rank}', WORLD_SIZE is '{size}', LOCAL_RANK is .*: expected"):
        current_world()


@pytest.mark.parametrize("missing", ["MASTER_ADDR", "MASTER_PORT"])
def test_processes_that_do_not_know_where_to_meet(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setenv("MASTER_PORT", "1")
    monkeypatch.delenv(missing)
    sentence = rf"2 processes train together, but there is no {missing}, which torchrun sets: start the training by"
    with pytest.raises(InputError, match=sentence), join_world(World(0, 2)):
        pass


def test_processes_of_a_machine_share_its_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: range(8), raising=False)
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    assert cores_of_process() == 8
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "3")
    assert cores_of_process() == 2
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "16")
    assert cores_of_process() == 1
