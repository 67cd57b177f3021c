"""Calibrating two hand-made networks on micrographs whose particles and whose traps are known."""

from __future__ import annotations

import json
import shutil
import weakref
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from relion_attn_picker.cli import group
from relion_attn_picker.cli._plain_command import run_plain_command
from relion_attn_picker.errors import CheckpointError, InputError
from relion_attn_picker.evaluation.score_model import ScoreModel
from relion_attn_picker.inference.hybrid_folder import read_hybrid
from relion_attn_picker.inference.predictor import load_pair, load_predictor
from relion_attn_picker.inference.weights import find_score_models
from relion_attn_picker.io.calibration_file import CalibrationFile
from relion_attn_picker.io.checkpoint import read_checkpoint, write_checkpoint
from relion_attn_picker.io.mrc import read_image, write_image
from relion_attn_picker.jobs.calibration.job import calibrate, make_hybrid_folder
from relion_attn_picker.jobs.calibration.sets import CalibrationSets
from relion_attn_picker.jobs.training import labelled_data
from relion_attn_picker.jobs.training.simulated_data import SESSION_FIELDS, open_simulation
from relion_attn_picker.micrograph import Micrograph, OpticsGroup
from relion_attn_picker.models.builders import build_model
from relion_attn_picker.options import InferenceOptions
from relion_attn_picker.picks import FloatArray
from relion_attn_picker.relion.job_files import write_particles
from relion_attn_picker.relion.micrographs import write_micrographs
from relion_attn_picker.simulation.conditions import SAME_IN_A_SESSION, draw_conditions, vary_conditions
from relion_attn_picker.training.crops import LabelledImage
from tests.conftest import write_tiny_checkpoint

CPU = InferenceOptions(gpu="cpu", precision="float32")
DIAMETER, PIXEL_SIZE, SIDE = 100.0, 4.0, 360
NOTHING = np.zeros((0, 2), dtype=np.float32)


def draw_micrograph(rng: np.random.Generator, ignore_traps: bool = False) -> LabelledImage:
    """Return a micrograph with particles, and as many fainter traps, on a shaken lattice of places."""
    lattice = np.stack(np.meshgrid(np.arange(6), np.arange(6), indexing="ij"), axis=-1).reshape(-1, 2) * 58.0 + 36
    places = (lattice + rng.uniform(-8, 8, lattice.shape)).astype(np.float32)
    y, x = np.mgrid[:SIDE, :SIDE]
    image = rng.normal(0, 1, (SIDE, SIDE)).astype(np.float32)
    darkness = np.concatenate([rng.uniform(0.9, 2.2, 18), rng.uniform(0.4, 1.4, 18)])
    for (cy, cx), dark in zip(places, darkness, strict=True):
        image[np.hypot(y - cy, x - cx) <= DIAMETER / PIXEL_SIZE / 2] -= dark
    ignored = places[18:] if ignore_traps else NOTHING
    return LabelledImage(image, PIXEL_SIZE, DIAMETER, places[:18], ignored)


def run(pair: dict[str, Path], sets: Sequence[tuple[str, Sequence[LabelledImage]]]) -> CalibrationFile:
    readers = [(name, [partial(replace, image) for image in images]) for name, images in sets]
    return calibrate(load_pair(pair, CPU), pair, readers, {"command": "test"})


@pytest.fixture(scope="module")
def calibration(tiny_pair: dict[str, Path]) -> CalibrationFile:
    rng = np.random.default_rng(3)
    return run(tiny_pair, [(name, [draw_micrograph(rng) for _ in range(2)]) for name in ("one", "two")])


def test_table_has_every_way_to_pick(calibration: CalibrationFile) -> None:
    names = [row["name"] for row in calibration.hybrid.table]
    assert names == ["attention", "standard", "average", "verify", "rescue", "union", "intersection"]
    assert all(0 < row["average_precision"] <= 1 and 0 < row["f1"] <= 1 for row in calibration.hybrid.table)


def test_hybrid_does_not_lose_to_its_better_member(calibration: CalibrationFile) -> None:
    figures = {row["name"]: row["average_precision"] for row in calibration.hybrid.table}
    taken = calibration.hybrid.falls_back_to or calibration.hybrid.combination["strategy"]
    assert figures[taken] >= max(figures["attention"], figures["standard"])


def test_equal_networks_have_equal_figures(tiny_pair: dict[str, Path]) -> None:
    """The two hand-made networks compute the same, so that no strategy can gain anything."""
    rng = np.random.default_rng(4)
    found = run(tiny_pair, [("one", [draw_micrograph(rng) for _ in range(2)])])
    figures = [row["average_precision"] for row in found.hybrid.table]
    assert max(figures) - min(figures) < 0.02


def test_ignored_particles_are_neither_right_nor_wrong(tiny_pair: dict[str, Path]) -> None:
    figures = []
    for ignore in (False, True):
        rng = np.random.default_rng(5)
        found = run(tiny_pair, [("one", [draw_micrograph(rng, ignore) for _ in range(2)])])
        figures.append(found.hybrid.table[0]["average_precision"])
    assert figures[1] > figures[0] + 0.02


def test_folder_picks_and_calibrates(tiny_pair: dict[str, Path], calibration: CalibrationFile, tmp_path: Path) -> None:
    folder = tmp_path / "hybrid"
    make_hybrid_folder(folder, tiny_pair, calibration)
    make_hybrid_folder(folder, tiny_pair, calibration)
    assert read_hybrid(folder).threshold == calibration.hybrid.threshold
    load_predictor(folder, CPU)
    for path in (folder, folder / "attention.safetensors", folder / "standard.safetensors"):
        models = find_score_models(path)
        assert models is not None
        assert models.own.n_sets == 2
        assert models.corrected is None  # 36 particles a set tell little of how particles look
    assert json.loads((folder / "calibration.json").read_text())["made_with"]["data_sets"] == ["one", "two"]


def test_sets_with_enough_particles_tell_how_likeness_corrects_scores(tiny_pair: dict[str, Path]) -> None:
    rng = np.random.default_rng(6)
    found = run(
        tiny_pair, [(name, [draw_micrograph(rng) for _ in range(count)]) for name, count in (("a", 5), ("b", 1))]
    )
    for own, corrected in [(each.score_model, each.corrected_model) for each in found.members.values()] + [
        (found.hybrid.score_model, found.hybrid.corrected_model)
    ]:
        assert corrected is not None
        models = ScoreModel.from_dict(own), ScoreModel.from_dict(corrected)
        assert [model.n_sets for model in models] == [1, 1]
        assert models[0] != models[1]


def test_foreign_checkpoints(tiny_pair: dict[str, Path], calibration: CalibrationFile, tmp_path: Path) -> None:
    folder = tmp_path / "hybrid"
    make_hybrid_folder(folder, tiny_pair, calibration)
    (folder / "attention.safetensors").unlink()
    other = write_tiny_checkpoint(folder / "attention.safetensors", "attention")
    other.write_bytes(other.read_bytes().replace(b"by hand", b"my hand"))
    with pytest.raises(CheckpointError, match=r"was made for another checkpoint than .*: calibrate again"):
        read_hybrid(folder)
    assert find_score_models(other) is None
    with pytest.raises(InputError, match=r"is another checkpoint than .*: give another folder"):
        make_hybrid_folder(folder, tiny_pair, calibration)


def test_hybrid_folder_that_was_interrupted_is_completed(
    tiny_pair: dict[str, Path], calibration: CalibrationFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def copy_half(source: Path, target: Path) -> None:
        target.write_bytes(source.read_bytes()[:100])
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(shutil, "copyfile", copy_half)
        make_hybrid_folder(tmp_path, tiny_pair, calibration)
    assert not list(tmp_path.iterdir())
    make_hybrid_folder(tmp_path, tiny_pair, calibration)
    assert read_hybrid(tmp_path)


@pytest.mark.parametrize(("name", "count", "warns"), [("a/mine", 3, True), ("mine", 2, False), ("others", 3, False)])
def test_micrographs_that_the_networks_may_know(
    name: str, count: int, warns: bool, tmp_path: Path, rng: np.random.Generator, caplog: pytest.LogCaptureFixture
) -> None:
    """The attention network was trained on the set "mine", all but the last two micrographs."""
    pair = {each: write_tiny_checkpoint(tmp_path / f"{each}.safetensors", each) for each in ("attention", "standard")}
    checkpoint = read_checkpoint(pair["attention"])
    model = build_model(checkpoint.header.spec)
    checkpoint.load_into(model, pair["attention"])
    trained_with = {"data": [{"name": "mine"}], "validation": {"mine": {"micrographs": 2}}}
    write_checkpoint(pair["attention"], model, replace(checkpoint.header, trained_with=trained_with))
    run(pair, [(name, [draw_micrograph(rng) for _ in range(count)])])
    told = [each.getMessage() for each in caplog.records if "was trained on" in each.getMessage()]
    assert len(told) == warns
    if warns:
        assert "attention.safetensors was trained on a set named mine, all but the last 2: if these 3 micro" in told[0]
        assert told[0].endswith("calibrate on others, or give --last 2.")


def test_too_few_micrographs(tiny_pair: dict[str, Path], rng: np.random.Generator) -> None:
    with pytest.raises(InputError, match="There are 1 labelled micrographs to calibrate with: expected 2 or more"):
        run(tiny_pair, [("one", [draw_micrograph(rng)])])
    empty = LabelledImage(rng.normal(0, 1, (SIDE, SIDE)).astype(np.float32), PIXEL_SIZE, DIAMETER, NOTHING, NOTHING)
    with pytest.raises(InputError, match="give 0 right or wrong candidates"):
        run(tiny_pair, [("one", [empty, empty])])


@pytest.mark.parametrize("order", ["fef", "fefe", "ff"])
def test_particles_that_would_all_be_in_one_half(order: str, tiny_pair: dict[str, Path]) -> None:
    """Of "fef" the second micrograph is empty: the first and the third, of one half, are dealt to both."""
    rng = np.random.default_rng(3)
    full = iter([draw_micrograph(rng) for _ in range(2)])
    empty = LabelledImage(rng.normal(0, 1, (SIDE, SIDE)).astype(np.float32), PIXEL_SIZE, DIAMETER, NOTHING, NOTHING)
    found = run(tiny_pair, [("one", [next(full) if each == "f" else empty for each in order])])
    assert all(0 < row["average_precision"] <= 1 for row in found.hybrid.table)


def test_one_micrograph_with_particles(tiny_pair: dict[str, Path], rng: np.random.Generator) -> None:
    empty = LabelledImage(rng.normal(0, 1, (SIDE, SIDE)).astype(np.float32), PIXEL_SIZE, DIAMETER, NOTHING, NOTHING)
    with pytest.raises(InputError, match="Only one of the 3 labelled micrographs has particles: expected 2 or more"):
        run(tiny_pair, [("one", [empty, draw_micrograph(rng), empty])])


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({}, "nothing to calibrate on: give --data, --simulated, or both"),
        ({"simulated": -1}, "sessions is -1: expected 0 or more"),
        ({"data": [("a", "b", 1.0)], "last": [1, 2]}, "--last is 1 2 for 1 sets"),
        ({"simulated": 2, "last": [0]}, "--last is 0 for 0 sets: expected 1 or more"),
        ({"data": [("a", "b", 1.0)], "structures": "c"}, "--structures is for simulated micrographs: give --simulated"),
        ({"data": [("a", "b", 1.0)], "exclude": ["c"]}, "--exclude is for simulated micrographs: give --simulated too"),
    ],
)
def test_sets_that_cannot_be_meant(given: dict[str, object], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        CalibrationSets(**given)  # type: ignore[arg-type]


def test_sessions_are_alike_within_and_unlike_between() -> None:
    rng = np.random.default_rng(7)
    session = draw_conditions(rng)
    for _ in range(3):
        varied = vary_conditions(session, rng)
        assert all(getattr(varied, name) == getattr(session, name) for name in SAME_IN_A_SESSION)
        assert varied.defocus != session.defocus
        assert varied.coverage > 0 or session.coverage == 0
    simulation = open_simulation(None, 1)
    first, again, second = simulation.make_session(0), simulation.make_session(0), simulation.make_session(1)
    assert len(first) == SESSION_FIELDS
    np.testing.assert_array_equal(first[1].image, again[1].image)
    assert len({image.particle_diameter for image in first}) == 1
    assert first[0].particle_diameter != second[0].particle_diameter


@pytest.mark.parametrize("count", [3, 6])
def test_images_of_a_set_are_in_memory_one_after_the_other(
    tiny_pair: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    """Those of a session of three thousand would fill 280 GB."""
    rng = np.random.default_rng(9)
    drawn = {f"{number}.mrc": draw_micrograph(rng) for number in range(count)}
    for name, each in drawn.items():
        write_image(tmp_path / name, each.image, PIXEL_SIZE)
    micrographs, truth = tmp_path / "micrographs.star", tmp_path / "truth.star"
    write_micrographs(micrographs, [Micrograph(name, OpticsGroup(1, "one", PIXEL_SIZE)) for name in drawn])
    write_particles(truth, ((name, each.yx, None) for name, each in drawn.items()), has_scores=False)
    alive: Counter[str] = Counter()
    most = []

    def read(path: Path) -> FloatArray:
        image = read_image(path).copy()  # what it owns lives as long as any view of it
        alive["images"] += 1
        weakref.finalize(image, alive.subtract, ["images"])
        most.append(alive["images"])
        return image

    monkeypatch.setattr(labelled_data, "read_image", read)
    sets = CalibrationSets(data=[(str(micrographs), str(truth), DIAMETER)])
    calibrate(load_pair(tiny_pair, CPU), tiny_pair, sets.read(), {"command": "test"})
    assert most == [1] * count


def test_command(
    tiny_pair: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(8)
    micrographs = [draw_micrograph(rng) for _ in range(2)]
    monkeypatch.setattr(
        CalibrationSets, "read", lambda _: iter([("mine", [partial(replace, each) for each in micrographs])])
    )
    arguments = ["calibrate", "--out", str(tmp_path / "out"), "--simulated", "1", "--gpu", "cpu", "--j", "1"]
    arguments += [f"--{name}={path}" for name, path in tiny_pair.items()]
    assert run_plain_command(group, arguments) == 0
    out = capsys.readouterr().out
    assert "mine: 2 micrographs, 36 particles" in out
    assert "The hybrid is " in out
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "attention.safetensors",
        "standard.safetensors",
        "calibration.json",
    }
    arguments[-1] = f"--standard={tiny_pair['attention']}"
    assert run_plain_command(group, arguments) == 1
    told = "which holds the network 'attention': give weights of 'standard'"
    assert f"--standard is {tiny_pair['attention']}, {told}" in capsys.readouterr().err
