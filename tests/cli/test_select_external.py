"""Cutting an earlier job anew gives what picking with the new options gives, and reads no image."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from relion_attn_picker import selection_job
from relion_attn_picker.cli.select_external import command as select_external
from relion_attn_picker.pick_evaluation import evaluate_files
from tests.cli.conftest import DIAMETER, Project, Run

JOB = "External/job002/"


@pytest.fixture
def picked(project: Project) -> Project:
    """The project after its picking job."""
    project.run().assert_succeeded()
    return project


def select(project: Project, *more: str, source: str = "External/job001/autopick.star", job: str = JOB) -> Run:
    given = ["--o", job, "--in_coords", source, *more, "--j", "1"]
    return project.run_command(select_external, given, Path(job))


@pytest.mark.parametrize("more", ["--threshold 0.2", "--threshold 0.99", "--border 250", "--max-picks 5"])
@pytest.mark.parametrize("source", ["autopick.star", "coords_suffix_autopick.star", ""])
def test_as_if_picked_with_the_new_options(picked: Project, more: str, source: str) -> None:
    images = [(picked.folder / name) for name in picked.centres]
    for image in images:
        image.rename(image.with_suffix(".away"))
    run = select(picked, *more.split(), source=f"External/job001/{source}").assert_succeeded()
    for image in images:
        image.with_suffix(".away").rename(image)
    got = {str(path.relative_to(JOB)): path.read_text() for path in sorted(Path(JOB).rglob("*.star"))}
    picked.run(*more.split()).assert_succeeded()
    expected = {name: text.replace("External/job001/", JOB) for name, text in picked.picks_text().items()}
    assert got == expected
    assert "a.mrc" in run.out and "done before" in run.out


def test_a_selection_is_selected_from_and_evaluated(picked: Project) -> None:
    select(picked, "--border", "250").assert_succeeded()
    select(picked, "--border", "0", source=JOB, job="External/job003/").assert_succeeded()
    text = {path.name: path.read_text() for path in Path("External/job003/Micrographs").iterdir()}
    assert text == {path.name: path.read_text() for path in picked.job.glob("Micrographs/*.star")}
    assert evaluate_files(Path("External/job003"), picked.job, DIAMETER).headline.pooled.f1 == 1


def test_reference_evaluates(picked: Project) -> None:
    run = select(picked, "--threshold", "0.5", "--reference", "External/job001/autopick.star").assert_succeeded()
    assert "Picks against ground truth: 2 micrographs" in run.out
    assert Path(JOB, "evaluation.json").exists()


def test_what_was_not_picked_is_left_out_and_told(picked: Project) -> None:
    picked.add("Micrographs/c.mrc")
    run = select(picked, "--threshold", "0.5").assert_succeeded()
    assert "WARNING: 1 micrographs were not picked by External/job001 and are left out." in run.err
    assert "c.mrc" not in Path(JOB, "autopick.star").read_text()


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ("", "Nothing is to be changed: give --threshold"),
        ("--threshold 0.01", r"threshold is 0\.01, but External/job001 kept no candidates below 0\.05: pick again"),
        ("--threshold 2", "threshold is 2.0: expected a number between 0 and 1"),
        ("--threshold 0.5 --in_mics micrographs.star", "--in_mics is not for selecting picks"),
        ("--threshold 0.5 --reference absent.star", r"no coordinates at absent\.star"),
    ],
)
def test_bad_input(picked: Project, more: str, sentence: str) -> None:
    select(picked, *more.split()).assert_failed_with(sentence)


def test_other_sources_are_refused(picked: Project) -> None:
    select(picked, "--threshold", "0.5", source="micrographs.star").assert_failed_with(
        "does not belong to a picking job"
    )
    select(picked, "--threshold", "0.5", job="External/job001/").assert_failed_with("is itself the job to cut anew")
    assert picked.picks("Micrographs/a.mrc").size
    picked.star.rename("moved.star")
    select(picked, "--threshold", "0.5").assert_failed_with(r"no STAR file at micrographs\.star")


def test_every_candidate_is_read_once(picked: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty thousand micrographs take their time once each."""
    read: list[str] = []
    real = selection_job.CandidateStore.read
    monkeypatch.setattr(
        selection_job.CandidateStore, "read", lambda store, name: (read.append(name), real(store, name))[1]
    )
    select(picked, "--threshold", "0.5").assert_succeeded()
    assert read == list(picked.centres)


def test_abort_keeps_what_is_done(picked: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(JOB, ignore_errors=True)
    asked = iter([False, True])
    monkeypatch.setattr("relion_attn_picker.relion.job.JobDirectory.abort_requested", lambda job: next(asked))
    run = select(picked, "--threshold", "0.5")
    assert (run.code, run.markers) == (2, ["RELION_JOB_EXIT_ABORTED"])
    assert "a.mrc" in Path(JOB, "autopick.star").read_text()
