"""Rejected candidates: told with the reason, brought back without an image, counted in evaluations."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from relion_attn_picker.cli import group
from relion_attn_picker.cli._plain_command import run_plain_command
from relion_attn_picker.io.mrc import write_image
from tests.cli.conftest import PIXEL_SIZE, Project, draw_discs, place_discs

NAME = "Micrographs/a.mrc"
DEPTH = 30
"""Rows that repeat one row; it has a dark place, so that the picker likes the strip."""


@pytest.fixture
def spoilt(project: Project) -> Project:
    """The project, with a strip without data along the upper side of its first image, none of whose discs reach it."""
    image = draw_discs(0).copy()
    bar = 3 * np.exp(-((np.arange(image.shape[1]) - 185) ** 2) / (2 * 6.0**2))
    image[:DEPTH] = image[DEPTH] - bar
    write_image(project.folder / NAME, image.astype(np.float32), PIXEL_SIZE)
    return project


def rejected_rows(project: Project) -> list[list[str]]:
    text = (project.job / "rejected_candidates.star").read_text()
    return [line.split() for line in text.splitlines() if NAME in line]


def select(project: Project, *more: str) -> None:
    assert run_plain_command(group, ["select", "External/job001", *more]) == 0


def test_rejected_candidates_are_told(spoilt: Project) -> None:
    run = spoilt.run("--threshold", "0.5").assert_succeeded()
    rows = rejected_rows(spoilt)
    assert rows and {row[-1] for row in rows} == {"border"}
    assert all(float(row[2]) < DEPTH for row in rows)
    assert spoilt.picks(NAME)[:, 0].min() > DEPTH
    assert "rejected, although above the threshold (see External/job001/rejected_candidates.star; --keep" in run.out
    assert f"  {len(rows)} border: lies in a strip along the micrograph's side" in run.out


def test_keeping_brings_them_back_without_an_image(spoilt: Project) -> None:
    spoilt.run("--threshold", "0.5").assert_succeeded()
    rejecting = spoilt.picks_text()
    n_rejected, n_picks = len(rejected_rows(spoilt)), len(spoilt.picks(NAME))
    images = [spoilt.folder / name for name in spoilt.centres]
    for image in images:
        image.rename(image.with_suffix(".away"))
    select(spoilt, "--keep_junk")
    kept = spoilt.picks_text()
    assert len(spoilt.picks(NAME)) == n_picks + n_rejected
    assert not rejected_rows(spoilt)
    select(spoilt, "--reject_junk")
    assert spoilt.picks_text() == rejecting
    for image in images:
        image.with_suffix(".away").rename(image)
    spoilt.run("--threshold", "0.5", "--keep_junk").assert_succeeded()
    assert spoilt.picks_text() == kept


def test_another_cut_keeps_them_rejected(spoilt: Project) -> None:
    spoilt.run("--threshold", "0.5").assert_succeeded()
    select(spoilt, "--threshold", "0.2")
    assert rejected_rows(spoilt)
    assert spoilt.picks(NAME)[:, 0].min() > DEPTH


def test_evaluation_counts_them(spoilt: Project) -> None:
    """One true particle is listed in the strip: what is rejected there lies on a particle."""
    spoilt.run("--threshold", "0.5").assert_succeeded()
    rows = rejected_rows(spoilt)
    points = [*place_discs(0), (float(rows[0][2]), float(rows[0][1]))]
    lines = [f"{x:.2f} {y:.2f} {NAME}" for y, x in points]
    head = "data_particles\n\nloop_\n_rlnCoordinateX #1\n_rlnCoordinateY #2\n_rlnMicrographName #3\n"
    (spoilt.folder / "truth.star").write_text(head + "\n".join(lines) + "\n")
    run = spoilt.run("--threshold", "0.5", "--in_coords", "truth.star").assert_succeeded()
    found = re.search(r"rejected +(\d+) for border, of which (\d+) lie on a particle", run.out)
    assert found is not None
    told = json.loads((spoilt.job / "evaluation.json").read_text())["rejected"]
    assert told == [{"reason": "border", "n_rejected": len(rows), "n_on_particle": int(found[2])}]
    assert int(found[1]) == len(rows) and 1 <= int(found[2]) <= len(rows)
