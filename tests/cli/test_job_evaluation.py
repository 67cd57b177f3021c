"""Reference coordinates: the job scores itself, and ``attnpick evaluate`` finds the same afterwards."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from relion_attn_picker.cli import group
from relion_attn_picker.cli._plain_command import run_plain_command
from relion_attn_picker.errors import InputError
from relion_attn_picker.relion.job_files import write_coordinate_index, write_truth

if TYPE_CHECKING:
    from tests.cli.conftest import Project


@pytest.fixture
def truth(project: Project) -> str:
    """Reference coordinates: the true centres as a particles STAR file; one particle of a.mrc is not listed."""
    rows = [
        f"{x:.3f} {y:.3f} {name}"
        for name, centres in project.centres.items()
        for y, x in (centres[1:] if name.endswith("a.mrc") else centres)
    ]
    head = "data_particles\n\nloop_\n_rlnCoordinateX #1\n_rlnCoordinateY #2\n_rlnMicrographName #3\n"
    (project.folder / "truth.star").write_text(head + "\n".join(rows) + "\n")
    return "truth.star"


def test_evaluation_in_the_job(project: Project, truth: str) -> None:
    run = project.run("--in_coords", truth).assert_succeeded()
    for name in ("evaluation.json", "evaluation.star", "precision_recall.png", "precision_recall.csv"):
        assert (project.job / name).stat().st_size > 0
    text = json.dumps(json.loads((project.job / "evaluation.json").read_text()))
    assert "0.958" in text  # precision 23/24
    assert "0.958" in run.out


EVALUATION = {"evaluation.json", "evaluation.star", "precision_recall.png", "precision_recall.csv"}


def evaluation_files(project: Project) -> set[str]:
    return {path.name for path in project.job.iterdir()} & (EVALUATION | {"reliability.png"})


def test_other_picks_have_no_earlier_evaluation(project: Project, truth: str) -> None:
    """It would contradict the picks; while they stay as they are, it does too."""
    project.run("--in_coords", truth).assert_succeeded()
    (project.job / "reliability.png").touch()  # as with calibrated weights
    project.run().assert_succeeded()
    assert evaluation_files(project) == EVALUATION | {"reliability.png"}
    project.run("--border", "250").assert_succeeded()
    assert evaluation_files(project) == set()


def test_cut_without_reference_has_no_earlier_evaluation(project: Project, truth: str) -> None:
    project.run("--in_coords", truth).assert_succeeded()
    assert run_plain_command(group, ["select", "External/job001", "--border", "250"]) == 0
    assert evaluation_files(project) == set()
    arguments = ["select", "External/job001", "--border", "0", "--reference", truth]
    assert run_plain_command(group, arguments) == 0
    assert evaluation_files(project) == EVALUATION


def test_aborted_job_has_no_earlier_evaluation(project: Project, truth: str, monkeypatch: pytest.MonkeyPatch) -> None:
    project.run("--in_coords", truth).assert_succeeded()
    asked = iter([False, True])
    monkeypatch.setattr("relion_attn_picker.relion.job.JobDirectory.abort_requested", lambda job: next(asked))
    assert project.run("--in_coords", truth, "--border", "250").code == 2
    assert evaluation_files(project) == set()


@pytest.mark.parametrize("more", [[], ["--write_maps"]])
def test_evaluate_afterwards_is_equal(project: Project, truth: str, more: list[str], tmp_path: Path) -> None:
    project.run("--in_coords", truth, *more).assert_succeeded()
    arguments = ["evaluate", "External/job001", truth, "--diameter", "100", "--out", "again"]
    assert run_plain_command(group, arguments) == 0
    for name in ("evaluation.json", "evaluation.star", "precision_recall.csv"):
        assert (tmp_path / "again" / name).read_text() == (project.job / name).read_text()


def test_pixel_size_of_an_evaluation_leaves_it_the_candidates(project: Project, truth: str) -> None:
    """Without those below the threshold the average precision is another."""
    project.run("--in_coords", truth).assert_succeeded()
    arguments = ["evaluate", "External/job001", truth, "--diameter", "100", "--pixel_size", "4", "--out", "again"]
    assert run_plain_command(group, arguments) == 0
    assert Path("again/evaluation.json").read_text() == (project.job / "evaluation.json").read_text()


def test_pixel_size_of_a_job_holds_for_another_list(project: Project, truth: str) -> None:
    """The list says 8 Å, the user knew better."""
    project.list(list(project.centres), pixel_size=8.0)
    project.run("--in_coords", truth, "--pixel_size", "4").assert_succeeded()
    arguments = ["evaluate", "External/job001", truth, "--diameter", "100", "--micrographs", "micrographs.star"]
    assert run_plain_command(group, [*arguments, "--out", "again"]) == 0
    assert Path("again/evaluation.json").read_text() == (project.job / "evaluation.json").read_text()


def test_list_of_micrographs_that_the_job_did_not_pick(
    project: Project, truth: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is not the reference that is amiss."""
    project.run()
    arguments = ["evaluate", "External/job001", truth, "--diameter", "100", "--micrographs", "micrographs.star"]
    project.list(["Other/a.mrc", "Other/b.mrc", "Other/c.mrc"])
    assert run_plain_command(group, arguments) == 1
    assert (
        "None of the 3 micrographs of micrographs.star was picked by External/job001, which picked Micrographs/a.mrc, "
        "where the list has Other/a.mrc" in capsys.readouterr().err
    )
    project.list(["Micrographs/b.mrc", "Other/b.mrc", "Other/c.mrc"])
    assert run_plain_command(group, arguments) == 0
    told = capsys.readouterr()
    assert "2 of 3 micrographs of micrographs.star were not picked by External/job001 and are left out" in told.err
    assert "1 micrograph," in told.out


def test_job_whose_list_is_gone_is_scored_without_its_candidates(
    project: Project, truth: str, capsys: pytest.CaptureFixture[str]
) -> None:
    project.run().assert_succeeded()
    project.star.unlink()
    arguments = ["evaluate", "External/job001", truth, "--diameter", "100"]
    assert run_plain_command(group, arguments) == 1
    assert "list micrographs.star is not here: give --micrographs or --pixel_size" in capsys.readouterr().err
    assert run_plain_command(group, [*arguments, "--pixel_size", "4"]) == 0
    told = capsys.readouterr()
    assert "the candidates below its threshold are not used; give --micrographs" in told.err
    assert "100 Å, all picks" in told.out


def test_job_of_another_project_is_scored_by_its_own_list(
    project: Project, truth: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The current project has a list of the same name, of twice the pixel size."""
    project.run("--in_coords", truth).assert_succeeded()
    elsewhere = project.folder / "elsewhere"
    elsewhere.mkdir()
    other = project.star.read_text().replace("4.000000", "8.000000")
    (elsewhere / project.star.name).write_text(other)
    monkeypatch.chdir(elsewhere)
    arguments = ["evaluate", str(project.job), str(project.folder / truth), "--diameter", "100", "--out", "again"]
    assert run_plain_command(group, arguments) == 0
    assert Path("again/evaluation.json").read_text() == (project.job / "evaluation.json").read_text()


def test_another_file_in_the_folder_of_a_job_is_what_is_scored(project: Project, truth: str) -> None:
    """Such as rejected_candidates.star: the job's own figures would be told for it."""
    project.run().assert_succeeded()
    for name in ("autopick.star", "other.star"):
        shutil.copy(truth, project.job / "other.star")
        arguments = ["evaluate", f"External/job001/{name}", truth, "--diameter", "100", "--out", name]
        assert run_plain_command(group, arguments) == 0
    matched = [json.loads(Path(name, "evaluation.json").read_text()) for name in ("autopick.star", "other.star")]
    assert [each["headline"]["pooled"]["n_predicted"] for each in matched] == [24, 23]


def test_pixel_figures_appear_with_maps(project: Project, truth: str) -> None:
    project.run("--in_coords", truth).assert_succeeded()
    without = json.loads((project.job / "evaluation.json").read_text())
    project.run("--in_coords", truth, "--write_maps").assert_succeeded()
    with_maps = json.loads((project.job / "evaluation.json").read_text())
    assert "roc_auc" not in json.dumps(without)
    assert "roc_auc" in json.dumps(with_maps)


def test_reference_of_other_micrographs(project: Project) -> None:
    head = "data_particles\n\nloop_\n_rlnCoordinateX #1\n_rlnCoordinateY #2\n_rlnMicrographName #3\n"
    (project.folder / "truth.star").write_text(head + "1 2 Micrographs/other.mrc\n")
    project.run("--in_coords", "truth.star").assert_failed_with("None of the 2 micrographs is listed in the reference")
    assert not (project.job / "candidates.jsonl").exists()  # told before the night's work, not after it


@pytest.mark.parametrize("more", [["--border", "250"], ["--max_picks", "5"]])
def test_only_what_may_be_picked_is_scored(project: Project, truth: str, more: list[str]) -> None:
    run = project.run("--in_coords", truth, *more).assert_succeeded()
    total = re.search(r"particles from 2 micrographs is (\d+)", run.out)
    picks = re.search(r"^picks +(\d+)", run.out, re.M)
    assert total is not None
    assert picks is not None
    assert picks[1] == total[1] != "24"
    before = (project.job / "evaluation.json").read_text()
    arguments = ["evaluate", "External/job001", truth, "--diameter", "100", "--out", "again"]
    assert run_plain_command(group, arguments) == 0
    assert Path("again/evaluation.json").read_text() == before


@pytest.mark.parametrize("threshold", ["2", "1", "0"])
def test_threshold_that_a_job_would_refuse(
    project: Project, truth: str, threshold: str, capsys: pytest.CaptureFixture[str]
) -> None:
    project.run().assert_succeeded()
    arguments = ["evaluate", "External/job001", truth, "--diameter", "100", "--threshold", threshold, "--out", "again"]
    assert run_plain_command(group, arguments) == 1
    sentence = f"ERROR: The threshold is {threshold}.0: expected a number above 0 and below 1, such as 0.3.\n"
    assert capsys.readouterr().err == sentence
    assert not Path("again").exists()


def test_reference_that_cannot_be_read_is_told_before_any_work(project: Project) -> None:
    """Picking for hours comes first otherwise."""
    Path("bad.star").write_text("data_\n\nloop_\n_rlnCoordinateX #1\n_rlnCoordinateY #2\n10 nan\n")
    write_coordinate_index(Path("index.star"), list(project.centres), ["good.star", "bad.star"])
    write_truth(Path("good.star"), np.zeros((1, 2), dtype=np.float32))
    project.run("--in_coords", "index.star").assert_failed_with("bad.star has a coordinate that is not a finite number")
    assert not list(project.job.rglob("*_autopick.star"))


def test_evaluation_of_other_picks_does_not_stay(project: Project, truth: str) -> None:
    project.run("--in_coords", truth).assert_succeeded()
    assert "evaluation" not in project.run().assert_succeeded().out
    run = project.run("--max_picks", "5").assert_succeeded()
    assert "The evaluation of what was picked before is removed" in run.out
    assert not (project.job / "evaluation.json").exists()


def test_reference_that_goes_bad_on_the_way_costs_the_evaluation_alone(
    project: Project, truth: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from relion_attn_picker.jobs.picking import session as picking_session

    def fail(*_: object) -> None:
        raise InputError("There is no STAR file at b_truth.star.")

    monkeypatch.setattr(picking_session, "evaluate_job", fail)
    run = project.run("--in_coords", truth).assert_succeeded()
    assert "The picks are not evaluated: There is no STAR file at b_truth.star" in run.err
    assert not (project.job / "evaluation.json").exists()
