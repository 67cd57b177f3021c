"""Cutting an earlier job anew gives what picking with the new options gives, and reads no image."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from relion_attn_picker.cli import group
from relion_attn_picker.cli._plain_command import run_plain_command
from relion_attn_picker.cli.select_external import command as select_external
from relion_attn_picker.errors import JobAborted
from relion_attn_picker.io.candidates import CandidateRecord, CandidateStore
from relion_attn_picker.jobs.pick_evaluation import evaluate_files
from relion_attn_picker.jobs.picking import job as picking_job
from relion_attn_picker.jobs.picking import logfile as job_logfile
from relion_attn_picker.jobs.picking import selection as selection_job
from relion_attn_picker.jobs.saved_options import OPTIONS_FILE
from tests.cli.conftest import DIAMETER, Project, Run

JOB = "External/job002/"


@pytest.fixture
def picked(project: Project) -> Project:
    """The project after its picking job."""
    project.run().assert_succeeded()
    return project


def texts(job: Path) -> dict[str, str]:
    return {str(path.relative_to(job)): path.read_text() for path in sorted(job.rglob("*.star"))}


def select_anew(project: Project, *more: str, source: str = "External/job001/autopick.star", job: str = JOB) -> Run:
    given = ["--o", job, "--in_coords", source, *more, "--j", "1"]
    return project.run_command(select_external, given, Path(job))


@pytest.mark.parametrize("more", ["--threshold 0.2", "--threshold 0.99", "--border 250", "--max-picks 5"])
@pytest.mark.parametrize("source", ["autopick.star", "coords_suffix_autopick.star", ""])
def test_as_if_picked_with_the_new_options(picked: Project, more: str, source: str) -> None:
    images = [(picked.folder / name) for name in picked.centres]
    for image in images:
        image.rename(image.with_suffix(".away"))
    run = select_anew(picked, *more.split(), source=f"External/job001/{source}").assert_succeeded()
    for image in images:
        image.with_suffix(".away").rename(image)
    got = texts(Path(JOB))
    picked.run(*more.split()).assert_succeeded()
    expected = {name: text.replace("External/job001/", JOB) for name, text in picked.picks_text().items()}
    assert got == expected
    assert "1-2/2 a.mrc to b.mrc" in run.out and "picks selected anew" in run.out


def test_border_that_leaves_nothing_is_told(picked: Project) -> None:
    run = select_anew(picked, "--border", "5000").assert_succeeded()
    assert "No pick is left: if there are particles, look at the diameter, the pixel size and the border" in run.out


def test_another_border_leaves_the_weights_own_threshold(picked: Project) -> None:
    """Only what is given changes: no threshold is fitted to the scores where none was."""
    own = ["--threshold", "weights"]
    picked.run(*own, "--border", "60").assert_succeeded()
    expected = {name: text.replace("External/job001/", JOB) for name, text in picked.picks_text().items()}
    picked.run(*own).assert_succeeded()
    run = select_anew(picked, "--border", "60").assert_succeeded()
    assert "at a threshold of 0.5: the weights' own\n" in run.out
    assert texts(Path(JOB)) == expected
    assert "scores of this data set" in select_anew(picked, "--mode", "balanced").assert_succeeded().out


def in_place(project: Project, capsys: pytest.CaptureFixture[str], *more: str) -> Run:
    capsys.readouterr()
    code = run_plain_command(group, ["select", "External/job001", *more])
    return Run(code, *capsys.readouterr(), project.markers())


@pytest.mark.parametrize("more", ["--threshold 0.2", "--border 250", "--count_per_micrograph 16"])
def test_in_place_as_into_a_new_job(picked: Project, capsys: pytest.CaptureFixture[str], more: str) -> None:
    select_anew(picked, *more.split()).assert_succeeded()
    expected = {name: text.replace(JOB, "External/job001/") for name, text in texts(Path(JOB)).items()}
    size = (picked.job / "candidates.jsonl").stat().st_size
    in_place(picked, capsys, *more.split()).assert_succeeded()
    assert texts(picked.job) == expected
    assert (picked.job / "candidates.jsonl").stat().st_size < size + 600
    assert "done before" in picked.run("--threshold", "0.5").assert_succeeded().out


def test_count_is_a_mean_and_no_cap(picked: Project, capsys: pytest.CaptureFixture[str]) -> None:
    run = in_place(picked, capsys, "--count-per-micrograph", "16").assert_succeeded()
    assert "Total number of particles from 2 micrographs is 32" in run.out
    assert "16 picks a micrograph on average" in run.out
    run = in_place(picked, capsys, "--count-per-micrograph", "16", "--border", "100").assert_succeeded()
    assert "Total number of particles from 2 micrographs is 32" in run.out
    run = in_place(picked, capsys, "--count-per-micrograph", "10000").assert_succeeded()
    assert "all candidates: there are only" in run.out


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ("--mode precision", "needs calibrated scores, and these weights have none: make them with attnpick calibrate"),
        ("--target_recall 0.9", "needs calibrated scores"),
        ("--threshold 0.5 --count_per_micrograph 5", "More than one of threshold, target precision"),
        ("--threshold 0.5 --mode recall", "The mode recall chooses the threshold, and a threshold, a target"),
        ("--target_precision 1.5", r"target precision is 1\.5: expected a number between 0 and 1"),
    ],
)
def test_impossible_cuts_change_nothing(
    picked: Project, capsys: pytest.CaptureFixture[str], more: str, sentence: str
) -> None:
    before = texts(picked.job)
    run = in_place(picked, capsys, *more.split())
    assert re.search(sentence, run.err)
    assert (run.code, run.markers) == (1, ["RELION_JOB_EXIT_SUCCESS"])
    assert texts(picked.job) == before


def test_a_selection_is_selected_from_and_evaluated(picked: Project) -> None:
    select_anew(picked, "--border", "250").assert_succeeded()
    select_anew(picked, "--border", "0", source=JOB, job="External/job003/").assert_succeeded()
    text = {path.name: path.read_text() for path in Path("External/job003/Micrographs").iterdir()}
    assert text == {path.name: path.read_text() for path in picked.job.glob("Micrographs/*.star")}
    assert evaluate_files(Path("External/job003"), picked.job, DIAMETER).headline.pooled.f1 == 1


def test_reference_evaluates(picked: Project) -> None:
    run = select_anew(picked, "--threshold", "0.5", "--reference", "External/job001/autopick.star").assert_succeeded()
    assert "Picks against ground truth: 2 micrographs" in run.out
    assert Path(JOB, "evaluation.json").exists()


def test_what_was_not_picked_is_left_out_and_told(picked: Project) -> None:
    picked.add("Micrographs/c.mrc")
    run = select_anew(picked, "--threshold", "0.5").assert_succeeded()
    assert "WARNING: 1 micrographs were not picked by External/job001 and are left out." in run.err
    assert "c.mrc" not in Path(JOB, "autopick.star").read_text()


def test_what_could_not_be_picked_stays_listed(picked: Project, capsys: pytest.CaptureFixture[str]) -> None:
    Path("Micrographs/a.mrc").write_bytes(b"")
    picked.run("--min_distance", "90").assert_succeeded()
    failed = (picked.job / "failed_micrographs.star").read_text()
    assert "is empty (0 bytes)" in failed
    select_anew(picked, "--threshold", "0.5").assert_succeeded()
    assert Path(JOB, "failed_micrographs.star").read_text() == failed
    in_place(picked, capsys, "--threshold", "0.5")
    assert (picked.job / "failed_micrographs.star").read_text() == failed


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ("", "Nothing is to be changed: give --threshold"),
        ("--threshold 0.01", r"threshold is 0\.01, but External/job001 kept no candidates below 0\.05: pick again"),
        ("--threshold 2", "threshold is 2.0: expected a number above 0 and below 1"),
        ("--threshold 0.5 --in_mics micrographs.star", "--in_mics is not for selecting picks"),
        ("--threshold 0.5 --reference absent.star", r"no coordinates at absent\.star"),
    ],
)
def test_bad_input(picked: Project, more: str, sentence: str) -> None:
    select_anew(picked, *more.split()).assert_failed_with(sentence)


def test_other_sources_are_refused(picked: Project) -> None:
    select_anew(picked, "--threshold", "0.5", source="micrographs.star").assert_failed_with(
        "does not belong to a picking job"
    )
    select_anew(picked, "--threshold", "0.5", job="External/job001/").assert_failed_with(
        "is itself the job to cut anew"
    )
    assert picked.picks("Micrographs/a.mrc").size
    picked.star.rename("moved.star")
    select_anew(picked, "--threshold", "0.5").assert_failed_with(r"no STAR file at micrographs\.star")


def test_every_candidate_is_read_once(picked: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty thousand micrographs take their time once each; those that the logfile shows, a second time."""
    read: list[str] = []
    real = selection_job.CandidateStore.read
    monkeypatch.setattr(
        selection_job.CandidateStore, "read", lambda store, name: (read.append(name), real(store, name))[1]
    )
    select_anew(picked, "--threshold", "0.5").assert_succeeded()
    assert read == 2 * list(picked.centres)


def test_candidates_of_two_settings_are_told(picked: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Continue with another distance was stopped after the first micrograph."""
    assert not select_anew(picked, "--threshold", "0.5").assert_succeeded().err
    select = picking_job.select_picks

    def select_and_press_abort(*arguments: Any) -> Any:
        (picked.job / "RELION_JOB_ABORT_NOW").touch()
        return select(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(picking_job, "select_picks", select_and_press_abort)
        assert picked.run("--min_distance", "70").markers == ["RELION_JOB_EXIT_ABORTED"]
    run = select_anew(picked, "--threshold", "0.5").assert_succeeded()
    assert "External/job001 was stopped while its micrographs were picked again with other settings" in run.err


def test_abort_keeps_what_is_done(picked: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(JOB, ignore_errors=True)
    asked = iter([False, True])
    monkeypatch.setattr("relion_attn_picker.relion.job.JobDirectory.abort_requested", lambda job: next(asked))
    run = select_anew(picked, "--threshold", "0.5")
    assert (run.code, run.markers) == (2, ["RELION_JOB_EXIT_ABORTED"])
    assert "a.mrc" in Path(JOB, "autopick.star").read_text()


def test_abort_in_place_changes_nothing(
    picked: Project, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All micrographs have picks of one cut, which is the one that is saved."""
    before, options = texts(picked.job), (picked.job / OPTIONS_FILE).read_bytes()
    asked = iter([False, True])
    monkeypatch.setattr("relion_attn_picker.relion.job.JobDirectory.abort_requested", lambda job: next(asked))
    run = in_place(picked, capsys, "--max_picks", "5")
    assert (run.code, run.markers) == (2, ["RELION_JOB_EXIT_ABORTED"])
    assert texts(picked.job) == before
    assert (picked.job / OPTIONS_FILE).read_bytes() == options


@pytest.mark.parametrize("is_in_place", [True, False])
def test_stop_between_picks_and_their_note(
    picked: Project, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, is_in_place: bool
) -> None:
    """A signal may come anywhere; what is in the files is what the options say, on Continue at the latest."""
    before = texts(picked.job)

    note, stops = CandidateStore.note_selection, iter([JobAborted("The job got the signal SIGTERM.")])

    def be_stopped_once(store: CandidateStore, record: CandidateRecord) -> None:
        for stop in stops:
            raise stop
        note(store, record)

    monkeypatch.setattr(CandidateStore, "note_selection", be_stopped_once)
    given = "--max_picks", "5"
    run = in_place(picked, capsys, *given) if is_in_place else picked.run(*given)
    assert (run.code, run.markers) == (2, ["RELION_JOB_EXIT_ABORTED"])
    picked.run().assert_succeeded()
    assert texts(picked.job) == before


@pytest.mark.parametrize("is_cut", [False, True])
def test_a_picking_job_is_not_cut_over(picked: Project, capsys: pytest.CaptureFixture[str], is_cut: bool) -> None:
    """Its candidates would be lost: the folder, or the program of a job that is continued, was mistaken."""
    shutil.copytree(picked.job, "External/job007")
    if is_cut:
        in_place(picked, capsys, "--max_picks", "9").assert_succeeded()
    before = {path: path.read_bytes() for path in picked.job.rglob("*.[sj]*")}
    run = select_anew(picked, "--threshold", "0.5", source="External/job007/", job="External/job001/")
    run.assert_failed_with("External/job001/ holds a picking job, whose candidates would be lost")
    assert {path: path.read_bytes() for path in before} == before


def test_a_selection_is_cut_over(picked: Project) -> None:
    for count in (5, 9):
        select_anew(picked, "--max_picks", str(count)).assert_succeeded()
    assert Path(JOB, "Micrographs/a_autopick.star").read_text().count("\n  ") == 9


def test_candidates_of_other_micrographs(picked: Project, capsys: pytest.CaptureFixture[str]) -> None:
    """As after the motion correction was run again under other names: nothing of the job may be lost."""
    before, options = texts(picked.job), (picked.job / OPTIONS_FILE).read_bytes()
    picked.star.write_text(picked.star.read_text().replace("Micrographs/", "MotionCorr/job009/"))
    run = in_place(picked, capsys, "--threshold", "0.5")
    assert "has no candidates of the micrographs in micrographs.star" in run.err
    assert texts(picked.job) == before
    assert (picked.job / OPTIONS_FILE).read_bytes() == options


def test_picking_on_tells_that_a_selection_is_given_up(picked: Project, capsys: pytest.CaptureFixture[str]) -> None:
    in_place(picked, capsys, "--max_picks", "5").assert_succeeded()
    told = "What attnpick select had cut here is cut again as it is asked for now."
    assert told not in picked.run("--max_picks", "5").assert_succeeded().out
    in_place(picked, capsys, "--max_picks", "9").assert_succeeded()
    assert told in picked.run("--max_picks", "5").assert_succeeded().out


def test_picks_that_were_withdrawn_are_not_extracted(picked: Project) -> None:
    """RELION 3.1 takes every coordinate file in the folder, listed or not."""
    select_anew(picked, "--threshold", "0.5").assert_succeeded()
    Path("Micrographs/b.mrc").write_bytes(b"")
    picked.run().assert_succeeded()
    select_anew(picked, "--threshold", "0.5").assert_succeeded()
    assert sorted(path.name for path in Path(JOB).glob("Micrographs/*")) == ["a_autopick.star"]


def test_logfile_shows_the_new_cut(picked: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[tuple[float, list[int]]] = []
    monkeypatch.setattr(
        job_logfile,
        "plot_examples",
        lambda merit, threshold, examples: (
            shown.append((threshold, [len(each.points["pick"]) for each in examples])),
            [],
        )[1],
    )
    select_anew(picked, "--threshold", "0.5", "--max_picks", "5").assert_succeeded()
    assert shown == [(0.5, [5, 5])]


def test_pixel_size_of_the_picking_job_is_kept(picked: Project, capsys: pytest.CaptureFixture[str]) -> None:
    """It was given because that of the list is wrong; a border in Å is counted by it."""
    picked.run("--pixel_size", "5", "--diameter", "125", "--border", "300").assert_succeeded()
    expected = picked.picks_text()
    picked.run("--pixel_size", "5", "--diameter", "125").assert_succeeded()
    assert picked.picks_text() != expected
    select_anew(picked, "--border", "300").assert_succeeded()
    assert texts(Path(JOB)) == {name: text.replace("External/job001/", JOB) for name, text in expected.items()}
    in_place(picked, capsys, "--border", "300").assert_succeeded()
    assert picked.picks_text() == expected


@pytest.mark.parametrize("has_such_a_list", [False, True])
def test_job_is_not_cut_from_another_folder(
    picked: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_such_a_list: bool
) -> None:
    """Its lists name everything relative to the project's folder; another project's list has the same name."""
    (tmp_path / "elsewhere").mkdir()
    if has_such_a_list:
        shutil.copy(picked.star, tmp_path / "elsewhere")
    before = texts(picked.job)
    monkeypatch.chdir(tmp_path / "elsewhere")
    run = select_anew(picked, "--threshold", "0.99", source=str(picked.job))
    run.assert_failed_with(f"was picked in the folder {picked.folder}, .* go there and give the same command")
    assert texts(picked.job) == before
