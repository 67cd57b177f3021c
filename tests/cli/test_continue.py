"""A continued job does only what is new or changed, and ends as a fresh run would."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from relion_attn_picker.io.candidates import CandidateStore
from relion_attn_picker.io.mrc import read_image, write_image
from relion_attn_picker.jobs.picking import job as picking_job
from relion_attn_picker.jobs.picking import lists as job_lists
from relion_attn_picker.jobs.picking import settings as job_settings

if TYPE_CHECKING:
    from tests.cli.conftest import Project, Run

A, B, C = (f"Micrographs/{letter}.mrc" for letter in "abc")


@pytest.fixture
def read_names(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of all micrographs whose image was read, in any order."""
    names: list[str] = []
    prepare = picking_job.prepare_micrograph

    def prepare_and_note(micrograph, *arguments):  # type: ignore[no-untyped-def]
        names.append(micrograph.name)
        return prepare(micrograph, *arguments)

    monkeypatch.setattr(picking_job, "prepare_micrograph", prepare_and_note)
    return names


def run_fresh(project: Project, *more: str) -> dict[str, str]:
    """Return what a fresh run of the job leaves, the job folder's earlier state put back afterwards."""
    kept = project.job.rename(project.folder / "kept")
    project.run(*more).assert_succeeded()
    text = project.picks_text()
    project.job.rename(project.folder / "fresh")
    kept.rename(project.job)
    return text


def test_nothing_to_do(project: Project, read_names: list[str]) -> None:
    project.run().assert_succeeded()
    before = project.picks_text()
    read_names.clear()
    (project.folder / A).unlink()
    (project.folder / B).unlink()
    out = project.run().assert_succeeded().out
    assert read_names == []
    assert "\n1-2/2 a.mrc to b.mrc 24 picks done before\n" in out
    assert project.picks_text() == before


@pytest.mark.parametrize("version", ["PEAKS_VERSION", "RULES_VERSION"])
def test_candidates_of_earlier_rules_are_looked_for_again(
    project: Project, read_names: list[str], monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    project.run().assert_succeeded()
    read_names.clear()
    monkeypatch.setattr(job_settings, version, 1)
    project.run().assert_succeeded()
    assert sorted(read_names) == [A, B]


@pytest.mark.parametrize("more", ["--threshold 0.2", "--threshold 0.99", "--border 250", "--max_picks 5"])
def test_changed_selection_needs_no_image(project: Project, read_names: list[str], more: str) -> None:
    project.run().assert_succeeded()
    expected = run_fresh(project, *more.split())
    (project.folder / A).unlink()
    (project.folder / B).unlink()
    read_names.clear()
    before = project.picks_text()
    project.run(*more.split()).assert_succeeded()
    assert read_names == []
    assert project.picks_text() == expected
    if more != "--threshold 0.99":
        assert expected != before


@pytest.mark.parametrize("more", ["--diameter 110", "--min_distance 20", "--angpix 3.8", "--threshold 0.03"])
def test_changed_search_reads_the_images_again(project: Project, read_names: list[str], more: str) -> None:
    project.run().assert_succeeded()
    expected = run_fresh(project, *more.split())
    read_names.clear()
    project.run(*more.split()).assert_succeeded()
    assert sorted(read_names) == [A, B]
    assert project.picks_text() == expected


def test_changed_weights(project: Project, read_names: list[str]) -> None:
    project.run().assert_succeeded()
    read_names.clear()
    other = project.folder / "other.safetensors"
    content = project.weights.read_bytes()
    assert b"by hand" in content
    other.write_bytes(content.replace(b"by hand", b"by Hand"))
    project.run("--weights", "other.safetensors").assert_succeeded()
    assert sorted(read_names) == [A, B]


def test_same_weights_elsewhere(project: Project, read_names: list[str]) -> None:
    project.run().assert_succeeded()
    read_names.clear()
    (project.folder / "moved.safetensors").write_bytes(project.weights.read_bytes())
    project.run("--weights", "moved.safetensors").assert_succeeded()
    assert read_names == []


def test_new_rows_are_added(project: Project, read_names: list[str]) -> None:
    project.run().assert_succeeded()
    project.add(C)
    expected = run_fresh(project)
    read_names.clear()
    project.run().assert_succeeded()
    assert read_names == [C]
    assert project.picks_text() == expected


def test_rows_that_are_gone_are_not_listed(project: Project) -> None:
    project.run().assert_succeeded()
    project.list([B])
    project.run().assert_succeeded()
    assert "a.mrc" not in (project.job / "autopick.star").read_text()


def set_age(path: Path, seconds: float) -> None:
    """Let a file look as if it was written so many seconds ago."""
    os.utime(path, (time.time() - seconds, time.time() - seconds))


def test_lists_that_share_coordinate_files_take_turns(project: Project) -> None:
    """A session that was motion corrected twice has micrographs of the same names in two jobs."""
    first, second = "MotionCorr/job002/raw/c.mrc", "MotionCorr/job005/raw/c.mrc"
    texts = []
    for name in (first, second):
        Path(name).parent.mkdir(parents=True)
        project.add(name)
    for name in (first, second, first, second):
        project.list([name])
        project.run().assert_succeeded()
        texts.append((project.job / "raw/c_autopick.star").read_text())
    assert texts[:2] == texts[2:]
    assert texts[0] != texts[1]


def test_image_that_was_written_anew_is_picked_again(project: Project, read_names: list[str]) -> None:
    """As when motion correction was done again into the same folder: names, shape and settings are what they were."""
    set_age(project.folder / A, 3600)
    project.run().assert_succeeded()
    (project.folder / A).write_bytes((project.folder / B).read_bytes())
    read_names.clear()
    out = project.run().assert_succeeded().out
    assert read_names == [A]
    assert f"{A} was written anew after it was picked: it is picked again." in out
    np.testing.assert_array_equal(project.picks(A), project.picks(B))
    assert "2/2 b.mrc 12 picks done before" in out


def test_image_of_a_project_that_was_copied_keeps_its_picks(project: Project, read_names: list[str]) -> None:
    """Some file systems keep times to two seconds only."""
    set_age(project.folder / A, 100)
    project.run().assert_succeeded()
    set_age(project.folder / A, 101)
    read_names.clear()
    project.run().assert_succeeded()
    assert read_names == []


def test_copy_of_a_project_may_have_the_times_of_the_copying(project: Project, read_names: list[str]) -> None:
    set_age(project.folder / A, 3600)
    project.run().assert_succeeded()
    set_age(project.folder / A, 10)
    read_names.clear()
    project.run().assert_succeeded()
    assert read_names == []


@pytest.mark.parametrize("is_longer", [True, False])
def test_image_that_was_written_anew_at_once(project: Project, read_names: list[str], is_longer: bool) -> None:
    """Another size counts though the time is the same; another time, however near, makes the contents count."""
    os.utime(project.folder / A, (1000, 1000))
    project.run().assert_succeeded()
    (project.folder / A).write_bytes((project.folder / B).read_bytes() + is_longer * b"0")
    os.utime(project.folder / A, (1000, 1000 if is_longer else 1001))
    read_names.clear()
    project.run().assert_succeeded()
    assert read_names == [A]


def test_records_of_earlier_versions_know_no_stamp(project: Project, read_names: list[str]) -> None:
    project.run().assert_succeeded()
    path = project.job / "candidates.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    bare = [{key: value for key, value in line.items() if not key.startswith("image_")} for line in lines]
    shapes = [{"image_shape": line["image_shape"]} for line in lines]
    path.write_text("".join(json.dumps(line | shape) + "\n" for line, shape in zip(bare, shapes, strict=True)))
    set_age(project.folder / A, 3600)
    read_names.clear()
    project.run().assert_succeeded()
    assert read_names == []


def test_failed_ones_are_tried_again(project: Project, read_names: list[str]) -> None:
    good = (project.folder / A).read_bytes()
    (project.folder / A).write_bytes(good[:5000])
    project.run().assert_succeeded()
    (project.folder / A).write_bytes(good)
    read_names.clear()
    project.run().assert_succeeded()
    assert read_names == [A]
    assert len(project.picks(A)) == 12
    assert ".mrc" not in (project.job / "failed_micrographs.star").read_text()


def test_failed_ones_keep_no_picks_of_other_settings(project: Project) -> None:
    project.run().assert_succeeded()
    good = (project.folder / A).read_bytes()
    (project.folder / A).write_bytes(good[:5000])
    project.run("--min_distance", "90").assert_succeeded()
    assert not project.picks_path(A).exists()  # RELION 3.1 takes what lies in the folder, listed or not
    assert A not in CandidateStore(project.job / "candidates.jsonl")
    (project.folder / A).write_bytes(good)
    project.run().assert_succeeded()
    assert len(project.picks(A)) == 12


def test_picks_of_other_settings_stay_while_no_image_is_there(project: Project) -> None:
    project.run().assert_succeeded()
    before = project.picks_text()
    (project.folder / "Micrographs").rename(project.folder / "unmounted")
    project.run("--min_distance", "20").assert_failed_with(
        "None of the 2 micrographs is there, .*a.mrc: see that their"
    )
    assert project.picks_text() == before
    (project.folder / "unmounted").rename(project.folder / "Micrographs")
    expected = run_fresh(project, "--min_distance", "20")
    project.run("--min_distance", "20").assert_succeeded()
    assert project.picks_text() == expected


def test_deleted_coordinates_are_written_again(project: Project, read_names: list[str]) -> None:
    project.run().assert_succeeded()
    before = project.picks_text()
    project.picks_path(A).unlink()
    read_names.clear()
    project.run().assert_succeeded()
    assert read_names == []
    assert project.picks_text() == before


def test_deleted_map_is_written_again(project: Project, read_names: list[str]) -> None:
    project.run("--write_maps").assert_succeeded()
    (project.job / "Micrographs/a_probability.h5").unlink()
    read_names.clear()
    project.run("--write_maps").assert_succeeded()
    assert read_names == [A]
    assert (project.job / "Micrographs/a_probability.h5").exists()


def kill(*_: object) -> None:
    """As if the process ended here: nothing after this is done."""
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("place", "attribute"),
    [
        (picking_job.CandidateStore, "append"),
        (picking_job, "write_picks"),
        (job_lists, "write_coordinate_index"),
    ],
)
def test_kill_at_any_step(project: Project, place: object, attribute: str) -> None:
    """Before the record, before the coordinates, before the lists."""
    expected = run_fresh_first(project)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(place, attribute, kill)
        assert project.run().code == 2
    project.run().assert_succeeded()
    assert project.picks_text() == expected


def run_fresh_first(project: Project) -> dict[str, str]:
    """Return what a run leaves, and take the job folder away."""
    project.run().assert_succeeded()
    text = project.picks_text()
    project.job.rename(project.folder / "fresh")
    return text


@pytest.mark.parametrize("torn", [1, 300])
def test_torn_line_of_candidates(project: Project, read_names: list[str], torn: int) -> None:
    project.run().assert_succeeded()
    before = project.picks_text()
    path = project.job / "candidates.jsonl"
    path.write_bytes(path.read_bytes()[: -1 - torn])
    read_names.clear()
    project.run().assert_succeeded()
    assert read_names == [B]
    assert project.picks_text() == before


def test_flipped_image_gives_flipped_picks(project: Project) -> None:
    image = read_image(project.folder / A)
    write_image(project.folder / B, np.ascontiguousarray(image[::-1]), 4.0)
    write_image(project.folder / "Micrographs/c.mrc", np.ascontiguousarray(image[:, ::-1]), 4.0)
    project.list([A, B, C])
    project.run().assert_succeeded()
    upright, upside_down, mirrored = (order(project.picks(name)) for name in (A, B, C))
    height, width = image.shape
    upside_down[:, 0] = height - 1 - upside_down[:, 0]
    mirrored[:, 1] = width - 1 - mirrored[:, 1]
    assert abs(upright - order(upside_down))[:, :2].max() <= 1
    assert abs(upright - order(mirrored))[:, :2].max() <= 1


def order(picks: np.ndarray) -> np.ndarray:
    """Sort picks by their place on a coarse grid of rows, then by column."""
    return picks[np.lexsort((picks[:, 1], np.rint(picks[:, 0] / 90)))]


def test_twice_the_pixel_size_and_the_diameter_give_the_same_pixels(project: Project) -> None:
    project.run().assert_succeeded()
    before = project.picks(A)
    run: Run = project.run("--angpix", "8", "--diameter", "200")
    run.assert_succeeded()
    np.testing.assert_array_equal(project.picks(A), before)


def test_maps_of_other_settings_do_not_stay(project: Project) -> None:
    """An evaluation takes the maps that it finds for those of the picks."""
    project.run("--write_maps").assert_succeeded()
    assert list(project.job.rglob("*_probability.h5"))
    project.run("--min_distance", "90").assert_succeeded()
    assert not list(project.job.rglob("*_probability.h5"))
