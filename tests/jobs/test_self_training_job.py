"""Self-training from STAR files to the kept checkpoint: the folders, the rule, the resumption, the refusals."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from relion_attn_picker.cli import group
from relion_attn_picker.cli._plain_command import run_plain_command
from relion_attn_picker.errors import InputError
from relion_attn_picker.io.checkpoint import read_checkpoint, read_header, write_checkpoint
from relion_attn_picker.jobs.labelled_data import TrainingData, read_labelled_source
from relion_attn_picker.jobs.self_training_job import run_self_training
from relion_attn_picker.jobs.self_training_request import CLAIM_NAME, SelfTrainingRequest, UnlabelledData, claim_folder
from relion_attn_picker.jobs.training_request import TrainingRequest
from relion_attn_picker.models.builders import build_model
from relion_attn_picker.options import InferenceOptions, SimulationOptions
from relion_attn_picker.relion.coordinates import open_coordinates
from relion_attn_picker.relion.job_files import write_coordinate_index, write_picks
from relion_attn_picker.relion.micrographs import read_micrographs
from relion_attn_picker.report.self_training import RoundRecord
from relion_attn_picker.simulation.particles import procedural_particle
from relion_attn_picker.simulation.project import write_project
from relion_attn_picker.training.fit import Progress
from relion_attn_picker.training_options import CropOptions, SelfTrainingOptions, TrainOptions
from tests.conftest import hold_elsewhere

FIRST, SECOND = "iteration_1_self_training", "iteration_2_self_training"
ANY_STUDENT = 0.999
"""A tolerance with which every student is kept."""


class KilledError(Exception):
    """Stands for a kill."""


@pytest.fixture(scope="module")
def projects(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two projects of the same particle, ``labelled`` and ``pool``."""
    folder = tmp_path_factory.mktemp("projects")
    particle = procedural_particle(150.0, np.random.default_rng(1))
    write_project(folder / "labelled", particle, SimulationOptions(count=2, shape=(160, 200), pixel_size=6.0, seed=2))
    write_project(folder / "pool", particle, SimulationOptions(count=2, shape=(160, 200), pixel_size=6.0, seed=3))
    return folder


@pytest.fixture
def request_(projects: Path, tiny_checkpoint: Path) -> SelfTrainingRequest:
    """Rounds of two steps, begun by a teacher that picks what is dark, every student kept."""
    labelled = projects / "labelled"
    data = TrainingData(
        micrographs_star=labelled / "micrographs.star",
        coordinates=labelled / "truth.star",
        particle_diameter=150.0,
        hold_out=1,
    )
    return SelfTrainingRequest(
        training=TrainingRequest(
            data=[data],
            crops=CropOptions(crop_size=80, crops_per_source=6),
            train=TrainOptions(
                base_features=8, steps=2, batch_size=2, validate_every=1, input_size=64, learning_rate=1e-4
            ),
            inference=InferenceOptions(gpu="cpu", precision="float32"),
        ),
        unlabelled=[UnlabelledData(projects / "pool/micrographs.star", 150.0)],
        options=SelfTrainingOptions(rounds=2, positive=0.5, negative=0.2, tolerance=ANY_STUDENT, pictures=1),
        teacher=tiny_checkpoint,
    )


def with_training(request: SelfTrainingRequest, **changed: object) -> SelfTrainingRequest:
    return replace(request, training=replace(request.training, **changed))  # type: ignore[arg-type]


def with_options(request: SelfTrainingRequest, **options: object) -> SelfTrainingRequest:
    return replace(request, options=replace(request.options, **options))  # type: ignore[arg-type]


def kill_in(training: int, step: int) -> Callable[[], Callable[[Progress], None]]:
    """Return reports that kill the process in the n-th training at a step."""
    trainings = 0

    def start() -> Callable[[Progress], None]:
        nonlocal trainings
        trainings += 1
        is_last = trainings == training

        def report(progress: Progress) -> None:
            if is_last and progress.step == step:
                raise KilledError

        return report

    return start


def results(folder: Path) -> dict[str, bytes]:
    """Return what must not depend on interruptions: everything but the logs, the crops' and the states' containers."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in ("log.txt", "crops.h5", "state.pt")
    }


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
