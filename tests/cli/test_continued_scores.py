"""Continue where the figures of merit follow from all scores of a job: one scale for all picks, whenever it stops."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

from relion_attn_picker.inference.weights import find_score_models, find_weights
from relion_attn_picker.io.candidates import CandidateStore
from relion_attn_picker.jobs.picking import session as picking_session
from relion_attn_picker.jobs.saved_options import read_point
from relion_attn_picker.relion.job import JobDirectory

if TYPE_CHECKING:
    from tests.cli.conftest import Project, Run

A, B, C = (f"Micrographs/{letter}.mrc" for letter in "abc")


@pytest.fixture
def scored(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project whose figures of merit are probabilities that follow from all scores of the job."""
    models = find_score_models(find_weights("attention", None))
    assert models is not None
    monkeypatch.setattr(picking_session, "find_score_models", lambda _: models)
    return project


def run_scored(project: Project) -> Run:
    """Run the job with a threshold that it chooses itself."""
    return project.run_only(*project.arguments, "--diameter", "100", "--j", "1")


def stop_after(project: Project, asked: int) -> None:
    """Run the job, and let it be told to stop when it has asked so often."""
    answers = iter([False] * asked)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(JobDirectory, "abort_requested", lambda _: next(answers, True))
        assert run_scored(project).markers == ["RELION_JOB_EXIT_ABORTED"]


def assert_one_scale(project: Project, *names: str) -> None:
    """Assert that the picks of each micrograph are those of the saved operating point, with its figures of merit."""
    point = read_point(json.loads((project.job / "picking_options.json").read_text()))
    store = CandidateStore(project.job / "candidates.jsonl")
    for name in names:
        record = store.read(name)
        assert record is not None
        merit = record.with_scores(point.judge(record.score, record.details)).without_junk().score
        expected = np.sort(merit[merit >= point.threshold])
        np.testing.assert_allclose(np.sort(project.picks(name)[:, 2]), expected, atol=1e-5)


def test_unchanged_job_writes_nothing_anew(scored: Project) -> None:
    run_scored(scored).assert_succeeded()
    kept = [scored.job / "candidates.jsonl", scored.picks_path(A), scored.picks_path(B)]
    before = [(path.read_bytes(), path.stat().st_mtime_ns) for path in kept]
    run_scored(scored).assert_succeeded()
    assert [(path.read_bytes(), path.stat().st_mtime_ns) for path in kept] == before


@pytest.mark.parametrize("asked", [1, 2, 3, 4, 5])
def test_abort_leaves_the_scale_of_the_saved_point(scored: Project, asked: int) -> None:
    """While micrographs are looked at (three times), and while picks are selected anew."""
    run_scored(scored).assert_succeeded()
    scored.add(C)
    stop_after(scored, asked)
    listed = (scored.job / "autopick.star").read_text()
    done = [name for name in (A, B, C) if name in listed]
    assert done[:2] == [A, B]
    assert_one_scale(scored, *done)
    expected = run_fresh_scored(scored)
    run_scored(scored).assert_succeeded()
    assert_one_scale(scored, A, B, C)
    assert scored.picks_text() == expected


def run_fresh_scored(project: Project) -> dict[str, str]:
    """Return what a fresh run leaves, the job folder's earlier state put back afterwards."""
    kept = project.job.rename(project.folder / "kept")
    run_scored(project).assert_succeeded()
    text = project.picks_text()
    project.job.rename(project.folder / "fresh")
    kept.rename(project.job)
    return text
