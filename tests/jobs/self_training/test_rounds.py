"""Self-training from STAR files to the kept checkpoint: the folders, the rule, the resumption."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from relion_attn_picker.cli import group
from relion_attn_picker.cli._plain_command import run_plain_command
from relion_attn_picker.io.checkpoint import read_checkpoint, read_header
from relion_attn_picker.jobs.self_training import job as self_training_job
from relion_attn_picker.jobs.self_training.job import run_self_training
from relion_attn_picker.jobs.self_training.request import SelfTrainingRequest
from relion_attn_picker.jobs.training.request import TrainingRequest
from relion_attn_picker.relion.coordinates import open_coordinates
from relion_attn_picker.report.self_training import RoundRecord
from relion_attn_picker.training.crops import FieldSource
from tests.jobs.self_training.conftest import (
    ANY_STUDENT,
    FIRST,
    SECOND,
    KilledError,
    kill_in,
    results,
    with_options,
    with_training,
)


def test_command_leaves_the_folders_of_the_study(
    projects: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labelled, pool, out = projects / "labelled", projects / "pool", tmp_path / "out"
    arguments = f"""self-train --data {labelled}/micrographs.star {labelled}/truth.star 150 --simulated 6
        --unlabelled {pool}/micrographs.star 150 --out {out} --rounds 1 --positive 0.02 --negative 0.01 --scale score
        --tolerance {ANY_STUDENT} --start fresh --base-features 8 --steps 2 --batch-size 2 --validate-every 2
        --input-size 64 --crops-per-source 6 --gpu cpu --j 1"""
    assert run_plain_command(group, arguments.split()) == 0
    assert {path.name for path in out.iterdir()} == {
        "iteration_0_supervised", FIRST, "best.safetensors", "rounds.csv", "rounds.md", "rounds.png",
        "self_training.json",
    }  # fmt: skip
    training = {
        "best.safetensors", "crops.h5", "curves.csv", "curves.png", "last.safetensors", "log.txt", "options.json",
        "round.json",
        "state.pt",
    }  # fmt: skip
    assert {path.name for path in (out / "iteration_0_supervised").iterdir()} == training
    assert {path.name for path in (out / FIRST).iterdir()} == training | {"pseudo_labels"}
    names = [source["name"] for source in read_header(out / FIRST / "best.safetensors").trained_with["data"]]
    assert names == ["labelled", "pool, pseudo-labels", "simulation"]
    printed = capsys.readouterr().out
    assert (out / "rounds.md").read_text() in printed
    assert f"Best checkpoint: {out}/best.safetensors, of round 1" in printed
    assert "step 2/2, loss" in (out / FIRST / "log.txt").read_text()


def test_pseudo_labels_can_be_looked_at(request_: SelfTrainingRequest, tmp_path: Path) -> None:
    records = run_self_training(tmp_path, with_options(request_, rounds=1))
    labels = tmp_path / FIRST / "pseudo_labels/1_pool"
    assert {path.name for path in labels.iterdir()} == {
        "Micrographs", "positive.star", "ignored.star", "scores.png", "summary.json", "teacher",
    }  # fmt: skip
    tables = {kind: open_coordinates(labels / f"{kind}.star") for kind in ("positive", "ignored")}
    counts = {"positive": 0, "ignored": 0}
    for kind, coordinates in tables.items():
        assert coordinates.micrograph_names == ("Micrographs/mic0001.mrc", "Micrographs/mic0002.mrc")
        for name in coordinates.micrograph_names:
            table = coordinates.read(name)
            assert table is not None
            assert table.score is not None
            sure = table.score >= 0.5  # the teacher's own threshold; what picking would reject is ignored all the same
            assert sure.all() if kind == "positive" else not sure.all()
            assert (table.score >= 0.2 - 1e-6).all()
            counts[kind] += len(table.yx)
    assert counts == {"positive": records[1].n_positive, "ignored": records[1].n_ignored}
    assert counts["positive"] > 3
    assert (labels / "Micrographs/mic0001_pseudo_labels.png").exists()


def test_a_kept_student_is_the_next_teacher(request_: SelfTrainingRequest, tmp_path: Path) -> None:
    records = run_self_training(tmp_path, request_)
    assert [(record.teacher, record.kept) for record in records] == [(None, True), (0, True), (1, True)]
    best = (tmp_path / "best.safetensors").read_bytes()
    assert best == (tmp_path / SECOND / "best.safetensors").read_bytes()
    assert best != (tmp_path / FIRST / "best.safetensors").read_bytes()


def test_a_worse_student_is_rejected_and_the_teacher_stays(request_: SelfTrainingRequest, tmp_path: Path) -> None:
    options = {"tolerance": 0.0, "start": "fresh"}  # after two steps from random weights a network finds nothing
    records = run_self_training(tmp_path, with_options(request_, **options))
    assert [(record.teacher, record.kept) for record in records] == [(None, True), (0, False), (0, False)]
    assert records[1].figures["average_precision"] < records[0].figures["average_precision"]
    assert "worse than its teacher: average precision" in records[1].remark
    assert request_.teacher is not None
    assert (tmp_path / "best.safetensors").read_bytes() == request_.teacher.read_bytes()
    seeds = [read_header(tmp_path / own / "best.safetensors").trained_with["seed"] for own in (FIRST, SECOND)]
    assert seeds == [2, 3]  # another attempt, not the same one again


def test_a_student_that_a_step_ruins_is_not_its_teacher_over_again(
    request_: SelfTrainingRequest, tmp_path: Path
) -> None:
    """It starts from the teacher's weights, which are validated too, and are better than whatever it becomes."""
    ruinous = replace(request_.training.train, learning_rate=0.9, warmup_steps=0, ema_decay=0.0)
    records = run_self_training(tmp_path, with_options(with_training(request_, train=ruinous), tolerance=0.0))
    assert [record.kept for record in records] == [True, False, False]
    assert records[1].figures["average_precision"] < records[0].figures["average_precision"]
    assert request_.teacher is not None
    assert (tmp_path / "best.safetensors").read_bytes() == request_.teacher.read_bytes()
    student = read_checkpoint(tmp_path / FIRST / "best.safetensors")
    assert student.header.trained_with["steps"] > 0


def test_a_student_starts_from_its_teacher(request_: SelfTrainingRequest, tmp_path: Path) -> None:
    train = replace(request_.training.train, learning_rate=1e-9, steps=1)
    run_self_training(tmp_path, with_options(with_training(request_, train=train), rounds=1))
    assert request_.teacher is not None
    teacher = read_checkpoint(request_.teacher).tensors["head.weight"]
    student = read_checkpoint(tmp_path / FIRST / "best.safetensors").tensors["head.weight"]
    np.testing.assert_allclose(student.numpy(), teacher.numpy(), atol=1e-7)


def test_rounds_end_where_the_teacher_is_sure_of_nothing(request_: SelfTrainingRequest, tmp_path: Path) -> None:
    records = run_self_training(tmp_path, with_options(request_, positive=0.9999999))
    assert [record.n_positive for record in records] == [0, 0]
    assert (
        "no candidate reaches a score of 1.000, so there is nothing to train on and the rounds end"
        in (tmp_path / "rounds.md").read_text()
    )
    assert run_self_training(tmp_path, with_options(request_, positive=0.9999999)) == records


def test_interrupted_anywhere_the_result_is_the_same(request_: SelfTrainingRequest, tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    run_self_training(whole, request_)

    def kill_after_round(number: int) -> Callable[[Sequence[RoundRecord]], None]:
        def show(records: Sequence[RoundRecord]) -> None:
            if len(records) > number:
                raise KilledError

        return show

    for start_report, show in (
        (kill_in(9, 9), kill_after_round(0)),
        (kill_in(1, 1), kill_after_round(9)),
        (kill_in(1, 2), kill_after_round(9)),
        (kill_in(9, 9), kill_after_round(1)),
        (kill_in(1, 2), kill_after_round(9)),
    ):
        with pytest.raises(KilledError):
            run_self_training(cut, request_, start_report, show)
    run_self_training(cut, request_)
    names = "\n".join(sorted(results(whole)))
    assert "\n".join(sorted(results(cut))) == names
    differing = [name for name, content in results(cut).items() if content != results(whole)[name]]
    assert [name for name in differing if not name.endswith(("positive.star", "ignored.star"))] == []
    for name in differing:  # lists name the files by the experiment's own path
        assert results(cut)[name] == results(whole)[name].replace(str(whole).encode(), str(cut).encode())


def test_finished_rounds_are_not_done_again_and_more_may_be_asked_for(
    request_: SelfTrainingRequest, tmp_path: Path
) -> None:
    first = run_self_training(tmp_path, with_options(request_, rounds=1))
    before = results(tmp_path / FIRST)
    shown: list[int] = []
    records = run_self_training(tmp_path, request_, show=lambda records: shown.append(len(records)))
    assert shown == [3]
    assert records[:2] == first
    assert results(tmp_path / FIRST) == before


def test_students_see_other_fields_each_round_and_the_share_that_was_asked_for(
    request_: SelfTrainingRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pseudo-labels come to the labelled set: at its old weight the fields' share would be a third, not a half."""
    monkeypatch.setattr(self_training_job, "run_training", noted := NoteTraining())
    fields = FieldSource("fields", "numbers", lambda number: number, weight=1.0)  # type: ignore[arg-type,return-value]
    with pytest.raises(KilledError):
        run_self_training(tmp_path, with_training(request_, fields=fields))
    (student,) = noted.requests
    assert student.fields is not None
    weights = [each.weight for each in (*student.data, *student.sources)]
    assert student.fields.weight / (student.fields.weight + sum(weights)) == pytest.approx(0.5)
    assert student.fields.make(3) == self_training_job.ROUND_FIELDS + 3


class NoteTraining:
    """Keeps what a training is asked for, and is killed."""

    def __init__(self) -> None:
        self.requests: list[TrainingRequest] = []

    def __call__(self, folder: Path, request: TrainingRequest, *_: object) -> Path:
        self.requests.append(request)
        raise KilledError
