"""What a self-training refuses: damaged or foreign folders, data that cannot judge, teachers that do not fit."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from relion_attn_picker.cli import group
from relion_attn_picker.cli._plain_command import run_plain_command
from relion_attn_picker.errors import InputError
from relion_attn_picker.io.checkpoint import read_header, write_checkpoint
from relion_attn_picker.jobs.self_training.job import run_self_training
from relion_attn_picker.jobs.self_training.request import CLAIM_NAME, SelfTrainingRequest, UnlabelledData, claim_folder
from relion_attn_picker.jobs.training.labelled_data import read_labelled_source
from relion_attn_picker.models.builders import build_model
from relion_attn_picker.relion.coordinates import open_coordinates
from relion_attn_picker.relion.job_files import write_coordinate_index, write_picks
from relion_attn_picker.relion.micrographs import read_micrographs
from relion_attn_picker.report.self_training import RoundRecord
from tests.conftest import hold_elsewhere
from tests.jobs.self_training.conftest import (
    FIRST,
    KilledError,
    kill_in,
    results,
    with_options,
    with_training,
)


@pytest.mark.parametrize("content", [b"", b'{"version": ', b"[]", b"\xff"])
@pytest.mark.parametrize("name", [CLAIM_NAME, f"{FIRST}/round.json"])
def test_damaged_record(name: str, content: bytes, request_: SelfTrainingRequest, tmp_path: Path) -> None:
    (tmp_path / "iteration_0_supervised").mkdir()
    (tmp_path / FIRST).mkdir()
    if name != CLAIM_NAME:
        claim_folder(tmp_path, request_, [read_labelled_source(request_.training.data[0]).label_digest])
        teacher = RoundRecord(iteration=0, teacher=None, kept=True, remark="")
        (tmp_path / "iteration_0_supervised/round.json").write_text(json.dumps(asdict(teacher)))
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=rf"{Path(name).name} is damaged \(.*\): put it back, or remove the folder"):
        run_self_training(tmp_path, request_)


def test_weights_of_a_round_that_are_gone(request_: SelfTrainingRequest, tmp_path: Path) -> None:
    first = run_self_training(tmp_path, with_options(request_, rounds=1))
    best = (tmp_path / "best.safetensors").read_bytes()
    (tmp_path / FIRST / "best.safetensors").write_bytes(b"cut")
    sentence = r"best\.safetensors, which its round had left, is gone or damaged .* Put it back, or remove"
    with pytest.raises(InputError, match=sentence):
        run_self_training(tmp_path, request_)
    (tmp_path / FIRST / "best.safetensors").unlink()
    with pytest.raises(InputError, match=sentence):
        run_self_training(tmp_path, request_)
    assert (tmp_path / "best.safetensors").read_bytes() == best
    shutil.rmtree(tmp_path / FIRST)  # as it says
    assert run_self_training(tmp_path, with_options(request_, rounds=1)) == first
    assert (tmp_path / "best.safetensors").read_bytes() == best


def take_more_steps(request: SelfTrainingRequest) -> SelfTrainingRequest:
    return with_training(request, train=replace(request.training.train, steps=3))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (take_more_steps, "holds a self-training with other train: steps was 2, not 3"),
        (
            lambda request: with_options(request, positive=0.6),
            "holds a self-training with other options: positive was 0.5, not 0.6",
        ),
        (lambda request: replace(request, teacher=None), "holds a self-training with other teacher"),
    ],
)
def test_other_options_in_the_same_folder_are_refused(
    change: Callable[[SelfTrainingRequest], SelfTrainingRequest],
    sentence: str,
    request_: SelfTrainingRequest,
    tmp_path: Path,
) -> None:
    with pytest.raises(KilledError):
        run_self_training(tmp_path, request_, kill_in(1, 1))
    before = results(tmp_path)
    with pytest.raises(InputError, match=sentence):
        run_self_training(tmp_path, change(request_))
    assert results(tmp_path) == before


def test_true_labels_that_have_changed_are_refused(request_: SelfTrainingRequest, tmp_path: Path) -> None:
    """The teacher's figures were measured with the old ones."""
    claim_folder(tmp_path, request_, ["other labels"])
    with pytest.raises(InputError, match=r"holds a self-training with other labels \(see self_training.json\)"):
        run_self_training(tmp_path, request_)
    claim = json.loads((tmp_path / CLAIM_NAME).read_text())
    del claim["labels"]
    (tmp_path / CLAIM_NAME).write_text(json.dumps(claim))
    claim_folder(tmp_path, request_, ["an earlier version wrote none"])


def test_weights_of_another_origin_are_not_overwritten(request_: SelfTrainingRequest, tmp_path: Path) -> None:
    (tmp_path / "best.safetensors").write_text("mine")
    with pytest.raises(InputError, match=r"holds best\.safetensors, but no self_training\.json"):
        run_self_training(tmp_path, request_)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["mine"]


def test_folder_that_another_process_works_in(request_: SelfTrainingRequest, tmp_path: Path) -> None:
    with hold_elsewhere(tmp_path) as holder:
        with pytest.raises(InputError, match=f"is being worked in by process {holder.pid} on "):
            run_self_training(tmp_path, request_)
        assert [path.name for path in tmp_path.iterdir()] == [".attnpick.lock"]
        holder.communicate("")


def test_no_unlabelled_micrographs(request_: SelfTrainingRequest, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="There are no unlabelled micrographs: give --unlabelled"):
        run_self_training(tmp_path / "out", replace(request_, unlabelled=[]))
    assert not (tmp_path / "out").exists()


def test_unlabelled_micrographs_that_are_labelled(request_: SelfTrainingRequest, tmp_path: Path) -> None:
    leak = [UnlabelledData(request_.training.data[0].micrographs_star, 150.0)]
    with pytest.raises(InputError, match=r"The unlabelled micrograph .*mic0001\.mrc is a labelled one"):
        run_self_training(tmp_path / "out", replace(request_, unlabelled=leak))
    assert not (tmp_path / "out").exists()


def test_nothing_labelled(request_: SelfTrainingRequest, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="There are no labelled micrographs to judge the rounds by: give --data"):
        run_self_training(tmp_path / "out", with_training(request_, data=[]))
    assert not (tmp_path / "out").exists()


def test_nothing_held_out(request_: SelfTrainingRequest, tmp_path: Path) -> None:
    labelled = [replace(request_.training.data[0], hold_out=0)]
    with pytest.raises(InputError, match="No micrograph is held out to judge the rounds"):
        run_self_training(tmp_path / "out", with_training(request_, data=labelled))
    assert not (tmp_path / "out").exists()


def test_held_out_micrographs_without_a_particle_are_told_at_once(
    request_: SelfTrainingRequest, tmp_path: Path
) -> None:
    names = [each.name for each in read_micrographs(request_.training.data[0].micrographs_star)]
    some = open_coordinates(request_.training.data[0].coordinates).read(names[0])
    assert some is not None
    for yx, stem in ((some.yx, "some"), (some.yx[:0], "none")):
        write_picks(tmp_path / f"{stem}.star", yx, np.ones(len(yx), np.float32), (160, 200))
    write_coordinate_index(tmp_path / "list.star", names, [str(tmp_path / f"{each}.star") for each in ("some", "none")])
    labelled = replace(request_.training.data[0], coordinates=tmp_path / "list.star")
    with pytest.raises(InputError, match="No particle is labelled on the validation micrographs of labelled"):
        run_self_training(tmp_path / "out", with_training(request_, data=[labelled]))
    assert not (tmp_path / "out").exists()


def test_teacher_of_another_scale(request_: SelfTrainingRequest, tmp_path: Path) -> None:
    crops = replace(request_.training.crops, particle_diameter_px=32.0)
    with pytest.raises(InputError, match="works at 24 network pixels per particle, its students would at 32: give --d"):
        run_self_training(tmp_path / "out", with_training(request_, crops=crops))


def test_teacher_of_another_width(request_: SelfTrainingRequest, tmp_path: Path) -> None:
    train = replace(request_.training.train, base_features=10)
    with pytest.raises(InputError, match="is the network attention with 8 base features, its students would be"):
        run_self_training(tmp_path / "out", with_training(request_, train=train))
    other_start = with_options(with_training(request_, train=train), start="fresh", rounds=1)
    assert run_self_training(tmp_path / "fresh", other_start)[1].figures  # a fresh student may be any network


def test_teacher_of_another_normalization(request_: SelfTrainingRequest, tmp_path: Path) -> None:
    assert request_.teacher is not None
    header = read_header(request_.teacher)
    other = replace(header, normalization=replace(header.normalization, clip=4.0))
    write_checkpoint(tmp_path / "other.safetensors", build_model(header.spec), other)
    with pytest.raises(InputError, match=r"other\.safetensors normalises images otherwise"):
        run_self_training(tmp_path / "out", replace(request_, teacher=tmp_path / "other.safetensors"))


def test_thresholds_in_the_wrong_order_are_told_at_once(
    projects: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = [str(projects / "labelled/micrographs.star"), str(projects / "labelled/truth.star"), "150"]
    arguments = ["self-train", "--data", *data, "--out", str(tmp_path / "out"), "--positive", "0.1"]
    assert run_plain_command(group, arguments) == 1
    assert "ERROR: The negative threshold, 0.2, is above the positive one, 0.1" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
