"""Training from STAR files to a checkpoint, as the command does it."""

from __future__ import annotations

import itertools
import json
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from PIL import Image

from relion_attn_picker.cli import group
from relion_attn_picker.cli._plain_command import run_plain_command
from relion_attn_picker.inference.predictor import load_predictor
from relion_attn_picker.io.checkpoint import read_header
from relion_attn_picker.options import InferenceOptions
from relion_attn_picker.training import keeper
from relion_attn_picker.training.keeper import read_curves
from relion_attn_picker.training.starting import find_start
from relion_attn_picker.training.validation import ValidationScores
from relion_attn_picker.training_options import RECIPES
from tests.conftest import hold_elsewhere
from tests.jobs.training.conftest import SMALL, data_of, train


def test_command_trains_and_its_checkpoint_picks(project: Path, tmp_path: Path) -> None:
    assert train(project, tmp_path / "run", "--simulated", "4") == 0
    names = {path.name for path in (tmp_path / "run").iterdir()}
    checkpoints = {"best.safetensors", "last.safetensors", "state.pt"}
    assert names == {"crops.h5", "curves.csv", "curves.png", "options.json", "train.log", *checkpoints}
    assert re.search(r"step 2/2 loss \d+\.\d+ AP", (tmp_path / "run/train.log").read_text())
    header = read_header(tmp_path / "run/best.safetensors")
    assert [source["name"] for source in header.trained_with["data"]] == [project.name, "simulation"]
    assert header.trained_with["data"][0]["micrographs"] == 2
    assert "the last 1 held out" in header.trained_with["data"][0]["description"]
    load_predictor(tmp_path / "run/best.safetensors", InferenceOptions(gpu="cpu"))
    with Image.open(tmp_path / "run/curves.png") as picture:
        assert picture.width > 300


def test_same_command_again_changes_nothing(project: Path, tmp_path: Path) -> None:
    assert train(project, tmp_path / "run") == 0
    before = (tmp_path / "run/best.safetensors").read_bytes()
    assert train(project, tmp_path / "run") == 0
    assert (tmp_path / "run/best.safetensors").read_bytes() == before


def test_folder_that_another_process_trains_in(
    project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with hold_elsewhere(tmp_path / "out") as holder:
        assert train(project, tmp_path / "out") == 1
        holder.communicate("")
    assert f"out is being worked in by process {holder.pid} on " in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "out").iterdir() if path.suffix != ".log"] == []


def test_other_crop_options_are_refused(project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(project, tmp_path / "run") == 0
    assert train(project, tmp_path / "run", "--diameter_px", "28") == 1
    assert "crops.h5 was made with other options" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ("--crops_per_source 300 --batch_size 200", r"There are \d+ labelled particles for batches of 200: label or"),
        ("--batch_size 7", r"There are 6 crops for batches of 7: cut more crops"),
    ],
)
def test_less_than_a_batch_is_told_before_crops_are_cut(
    project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: str, sentence: str
) -> None:
    assert train(project, tmp_path / "run", *options.split()) == 1
    assert re.search(sentence, capsys.readouterr().err)
    assert not list((tmp_path / "run").glob("crops.h5*"))  # they would refuse the remedy


def test_gpu_that_is_not_there_is_told_before_crops_are_cut(
    project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(project, tmp_path / "run", "--gpu", "99") == 1
    assert "GPU 99 was asked for, but there is no such GPU" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_processes_without_equal_parts_are_told_before_crops_are_cut(
    project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "3")
    assert train(project, tmp_path / "run") == 1
    assert "Batches of 2 cannot be divided among 3 processes" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("options", ["--seed 9", "--learning_rate 1e-4", "--simulated 4"])
def test_another_training_is_refused_before_crops_are_cut(
    project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: str
) -> None:
    assert train(project, tmp_path / "run") == 0
    best = (tmp_path / "run/best.safetensors").read_bytes()
    (tmp_path / "run/crops.h5").unlink()
    assert train(project, tmp_path / "run", *options.split()) == 1
    assert "holds a training with other options, crops or validation" in capsys.readouterr().err
    assert not list((tmp_path / "run").glob("crops.h5*"))
    assert train(project, tmp_path / "run") == 0
    assert (tmp_path / "run/best.safetensors").read_bytes() == best


def spoil_first_crop(path: Path) -> bytes:
    with h5py.File(path, "r") as file:
        offset = file["image"].id.get_chunk_info(0).byte_offset
    content = path.read_bytes()
    return content[:offset] + bytes(100) + content[offset + 100 :]


@pytest.mark.parametrize(
    ("spoil", "workers", "sentence"),
    [
        (spoil_first_crop, "0", r"crops\.h5 is damaged at crop 1 \(.*\): remove it, so that the crops are cut anew\.$"),
        (spoil_first_crop, "1", r"crops\.h5 is damaged at crop 1 \(.*\): remove it, so that the crops are cut anew\.$"),
        (lambda path: path.read_bytes()[:-1], "0", r"crops\.h5 is not a complete crop file \(.*\): remove it, so that"),
        (lambda path: b"", "0", r"crops\.h5 is not a complete crop file \(.*\): remove it, so that"),
    ],
    ids=["spoilt", "spoilt, read by a worker", "cut short", "empty"],
)
def test_spoilt_crop_file(
    project: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    spoil: Callable[[Path], bytes],
    workers: str,
    sentence: str,
) -> None:
    assert train(project, tmp_path / "run") == 0
    best, crops = ((tmp_path / "run" / name).read_bytes() for name in ("best.safetensors", "crops.h5"))
    (tmp_path / "next").mkdir()
    (tmp_path / "next/crops.h5").write_bytes(spoil(tmp_path / "run/crops.h5"))
    assert train(project, tmp_path / "next", "--workers", workers) == 1
    error = capsys.readouterr().err
    assert re.search(sentence, error.strip())
    assert "Traceback" not in error
    (tmp_path / "next/crops.h5").unlink()
    assert train(project, tmp_path / "next") == 0
    assert (tmp_path / "next/crops.h5").read_bytes() == crops
    assert (tmp_path / "next/best.safetensors").read_bytes() == best


def test_sets_of_one_name_keep_their_own_figures(project: Path, tmp_path: Path) -> None:
    """RELION calls folders jobNNN in every project."""
    for name in "AB":
        shutil.copytree(project, tmp_path / name / "job003")
    folders = [tmp_path / name / "job003" for name in "AB"]
    assert train(folders[0], tmp_path / "run", *data_of(folders[1]), "--simulated", "4") == 0
    trained = read_header(tmp_path / "run/best.safetensors").trained_with
    assert [source["name"] for source in trained["data"]] == ["A/job003", "B/job003", "simulation"]
    assert list(trained["validation"]) == ["A/job003", "B/job003"]
    assert {"A/job003: f1", "B/job003: f1"} <= read_curves(tmp_path / "run").keys()


def test_set_is_not_taken_for_the_simulation(project: Path, tmp_path: Path) -> None:
    shutil.copytree(project, tmp_path / "A/simulation")
    assert train(tmp_path / "A/simulation", tmp_path / "run", "--simulated", "4") == 0
    trained = read_header(tmp_path / "run/best.safetensors").trained_with
    assert [source["name"] for source in trained["data"]] == ["A/simulation", "simulation"]


def test_fine_tuning_takes_network_and_scale_from_the_weights(
    project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(project, tmp_path / "first", "--variant", "standard", "--diameter_px", "20") == 0
    best = str(tmp_path / "first/best.safetensors")
    few = ["--crops_per_source", "6", "--gpu", "cpu", "--j", "1", "--batch_size", "2", "--input_size", "64"]
    data = ["--data", str(project / "micrographs.star"), str(project / "truth.star"), "150", *few]
    tuned = ["train", *data, "--start_from", best, "--shorten", "120", "--out", str(tmp_path / "tuned")]
    assert run_plain_command(group, tuned) == 0
    header = read_header(tmp_path / "tuned/best.safetensors")
    assert (header.spec.architecture, header.spec.base_features, header.particle_diameter_px) == ("standard", 8, 20.0)
    assert header.trained_with["options"]["learning_rate"] == RECIPES["fine_tune"].train.learning_rate
    assert header.trained_with["options"]["steps"] == RECIPES["fine_tune"].train.steps // 120
    capsys.readouterr()
    other = ["train", *data, "--start_from", best, "--variant", "attention", "--out", str(tmp_path / "other")]
    assert run_plain_command(group, other) == 1
    assert "which has variant standard, but attention was given: leave out --variant" in capsys.readouterr().err
    assert not (tmp_path / "other/best.safetensors").exists()


def test_steps_that_gain_nothing_are_told(
    project: Path,
    tiny_checkpoint: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is handed back are the starting weights, without the calibration that may lie beside these."""
    real = keeper.validate
    for name, factor in (("better", 2.0), ("worse", 0.5)):
        factors = itertools.accumulate(itertools.repeat(factor), lambda a, b: a * b)

        def validate(*given: Any, factors: Iterator[float] = factors) -> ValidationScores:
            return replace(real(*given), average_precision=next(factors) / 100)

        monkeypatch.setattr(keeper, "validate", validate)
        assert train(project, tmp_path / name, "--start_from", str(tiny_checkpoint)) == 0
        told = f"No step made the weights better than those that they started from, {tiny_checkpoint}"
        assert (told in capsys.readouterr().err) == (name == "worse")


def test_what_contradicts_the_starting_weights_is_told_before_crops_are_cut(
    project: Path, tiny_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    start = ["--start_from", str(tiny_checkpoint)]
    assert train(project, tmp_path / "run", *start, "--diameter_px", "30") == 1
    assert "leave out --diameter_px" in capsys.readouterr().err
    assert train(project, tmp_path / "run", *start) == 0  # as it says


def test_shipped_weights_are_found_by_name() -> None:
    assert find_start("shipped", None) == find_start("attention", None)
    assert find_start("shipped", "standard") == find_start("standard", None)
    assert read_header(find_start("standard", None)).spec.architecture == "standard"
    assert find_start("mine.safetensors", None) == Path("mine.safetensors")


def test_training_on_simulation_alone(tmp_path: Path) -> None:
    alone = ["train", "--out", str(tmp_path / "run"), "--validate_simulated", "6", "--gpu", "cpu", "--j", "1", *SMALL]
    assert run_plain_command(group, alone) == 0
    assert not (tmp_path / "run/crops.h5").exists()
    trained = read_header(tmp_path / "run/best.safetensors").trained_with
    assert [source["name"] for source in trained["data"]] == ["simulation on the fly"]
    assert trained["validation"].keys() == {"simulation"}


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ("--simulated -2", "--simulated is -2: expected 0 micrographs or more."),
        ("--simulated 2 --validate_simulated -1", "--validate_simulated is -1: expected 0 micrographs or more."),
        ("--on_the_fly -0.5", "--on_the_fly is -0.5: expected 0 to 1, the share of the crops that are simulated anew."),
        ("--on_the_fly nan", "--on_the_fly is nan: expected 0 to 1"),
        ("--seed -1", "The seed is -1: expected 0 or more."),
        ("--seed 18446744073709551616", "The seed is 18446744073709551616: expected 0 or more, and less than 2^64."),
        ("--base_features 7", "base_features is 7: expected an even number from 8 to 64."),
        ("--simulate_on gpu", "The training runs on the CPU, so there is no GPU to simulate on"),
        ("--on_the_fly 1 --structures=", "holds no bead files, atomic models or maps"),
        ("--structures beads", "--structures is for simulated micrographs: give --simulated or --on_the_fly too."),
    ],
)
def test_impossible_options_leave_nothing(
    project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: str, sentence: str
) -> None:
    np.savez(tmp_path / "beads.npz", x=np.eye(3), unit=10.0, w=np.ones(3), sigma=1.0)
    options = options.replace("beads", str(tmp_path / "beads.npz"))
    assert train(project, tmp_path / "run", *options.split()) == 1
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("share", ["-0.5", "nan", "1.5"])
def test_impossible_share_of_simulated_crops_without_other_data(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], share: str
) -> None:
    alone = ["train", "--out", str(tmp_path / "run"), "--gpu", "cpu", "--j", "1", *SMALL, "--on_the_fly", share]
    assert run_plain_command(group, alone) == 1
    assert f"--on_the_fly is {share}: expected 0 to 1" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_no_validation_micrograph(project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(project, tmp_path / "run", "--hold_out", "0") == 1
    assert "No micrograph is held out for validation" in capsys.readouterr().err


def test_other_validation_is_refused(project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two validations are not to be compared with each other, and curves.csv has room for one."""
    assert train(project, tmp_path / "run", "--patience", "9") == 0
    before = {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir() if path.suffix != ".log"}
    assert train(project, tmp_path / "run", "--patience", "9", "--validate_simulated", "4") == 1
    assert "holds a training with other options, crops or validation" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir() if path.suffix != ".log"} == before
    options = json.loads((tmp_path / "run/options.json").read_text())
    del options["validation"]  # as earlier versions left it
    (tmp_path / "run/options.json").write_text(json.dumps(options))
    assert train(project, tmp_path / "run", "--patience", "9") == 0
