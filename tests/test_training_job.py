"""Training from STAR files to a checkpoint, as the command does it."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from relion_attn_picker.cli import group
from relion_attn_picker.cli._plain_command import run_plain_command
from relion_attn_picker.errors import InputError
from relion_attn_picker.inference.predictor import load_predictor
from relion_attn_picker.io.checkpoint import read_header
from relion_attn_picker.options import InferenceOptions, SimulationOptions
from relion_attn_picker.relion.job_files import write_coordinate_index, write_truth
from relion_attn_picker.report.model_card import format_model_card
from relion_attn_picker.simulated_data import open_simulation, simulate_source
from relion_attn_picker.simulation.particles import procedural_particle
from relion_attn_picker.simulation.project import write_project
from relion_attn_picker.training_job import TrainingData, read_labelled_source, split_source

SMALL = ["--base_features", "8", "--steps", "2", "--batch_size", "2", "--validate_every", "2", "--input_size", "64"]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    options = SimulationOptions(count=3, shape=(160, 200), pixel_size=6.0, seed=2)
    write_project(folder, procedural_particle(150.0, np.random.default_rng(1)), options)
    return folder


def train(project: Path, out: Path, *more: str, truth: Path | None = None) -> int:
    data = ["--data", str(project / "micrographs.star"), str(truth or project / "truth.star"), "150"]
    crops = ["--crops_per_source", "6", "--gpu", "cpu", "--j", "1", "--out", str(out)]
    return run_plain_command(group, ["train", *data, *SMALL, *crops, *more])


def test_command_trains_and_its_checkpoint_picks(project: Path, tmp_path: Path) -> None:
    assert train(project, tmp_path / "run", "--simulated", "2") == 0
    names = {path.name for path in (tmp_path / "run").iterdir()}
    checkpoints = {"best.safetensors", "last.safetensors", "state.pt"}
    assert names == {"crops.h5", "curves.csv", "curves.png", "options.json", "train.log", *checkpoints}
    assert re.search(r"step 2/2 loss 0\.\d+ AP", (tmp_path / "run/train.log").read_text())
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


def test_other_crop_options_are_refused(project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(project, tmp_path / "run") == 0
    assert train(project, tmp_path / "run", "--diameter_px", "28") == 1
    assert "crops.h5 was made with other options" in capsys.readouterr().err


def test_release_writes_half_precision_and_a_card(
    project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(project, tmp_path / "run") == 0
    best, released = tmp_path / "run/best.safetensors", tmp_path / "released.safetensors"
    assert run_plain_command(group, ["model", "release", str(best), str(released)]) == 0
    assert released.stat().st_size < 0.6 * best.stat().st_size
    card = (tmp_path / "released.md").read_text()
    header = read_header(released)
    assert header == read_header(best)
    assert f"{header.trained_with['figures']['f1']:.3f}" in card
    assert card == format_model_card(header, _count(best))
    capsys.readouterr()
    assert run_plain_command(group, ["model", "show", str(released)]) == 0
    assert '"architecture": "attention"' in capsys.readouterr().out


def _count(path: Path) -> int:
    from relion_attn_picker.models.builders import build_model

    return sum(parameter.numel() for parameter in build_model(read_header(path).spec).parameters())


def test_labels_outside_the_image(project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_truth(tmp_path / "far.star", np.array([[10.0, 500.0]], dtype=np.float32))
    names = [f"Micrographs/mic000{number}.mrc" for number in (1, 2, 3)]
    write_coordinate_index(tmp_path / "truth.star", names, ["far.star"] * 3)
    assert train(project, tmp_path / "run", truth=tmp_path / "truth.star") == 1
    message = capsys.readouterr().err
    assert "has labels outside its image of 200×160 pixels: the coordinates belong to other micrographs" in message
    assert "Traceback" not in message


def test_labels_of_other_micrographs(project: Path, tmp_path: Path) -> None:
    write_truth(tmp_path / "a.star", np.array([[10.0, 50.0]], dtype=np.float32))
    write_coordinate_index(tmp_path / "truth.star", ["Micrographs/other.mrc"], ["a.star"])
    data = TrainingData(
        micrographs_star=project / "micrographs.star", coordinates=tmp_path / "truth.star", particle_diameter=150
    )
    with pytest.raises(InputError, match="lists none of the 3 micrographs"):
        read_labelled_source(data)


def test_nothing_left_to_train_on(project: Path) -> None:
    data = TrainingData(
        micrographs_star=project / "micrographs.star", coordinates=project / "truth.star", particle_diameter=150
    )
    with pytest.raises(InputError, match="has 3 labelled micrographs, of which 3 shall be held out"):
        split_source(read_labelled_source(data), 3)


def test_no_validation_micrograph(project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(project, tmp_path / "run", "--hold_out", "0") == 1
    assert "No micrograph is held out for validation" in capsys.readouterr().err


def test_simulated_source_is_reproducible() -> None:
    first, again = (simulate_source(open_simulation(None, 5), 2) for _ in range(2))
    for one, other in zip(first.micrographs, again.micrographs, strict=True):
        np.testing.assert_array_equal(one().image, other().image)
    assert first.description == "procedural particles, seed 5, 2 fields"


def test_folder_without_bead_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="There are no bead files"):
        open_simulation(tmp_path, 5)
