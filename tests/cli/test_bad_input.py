"""Bad input of an External job: one sentence on stderr, exactly one marker, and nothing lost."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from relion_attn_picker.cli import group
from relion_attn_picker.cli._errors import print_error
from relion_attn_picker.cli._plain_command import run_plain_command
from relion_attn_picker.io.mrc import write_image
from relion_attn_picker.jobs.picking import lists as job_lists

if TYPE_CHECKING:
    from tests.cli.conftest import Project


def test_absent_gpu(real_project: Project) -> None:
    real_project.run("--gpu", "99").assert_failed_with("GPU 99 was asked for, but there is no such GPU")


def test_corrupt_weights(real_project: Project) -> None:
    content = bytearray(real_project.weights.read_bytes())
    broken = real_project.folder / "broken.safetensors"
    broken.write_bytes(bytes(content[: len(content) // 2]))
    real_project.run("--weights", "broken.safetensors").assert_failed_with("broken.safetensors")


def assert_list_refused(project: Project, text: str, sentence: str) -> None:
    project.star.write_text(text)
    project.run().assert_failed_with(sentence)


def test_list_without_micrographs(project: Project) -> None:
    text = re.sub(r"^Micrographs/.*\n", "", project.star.read_text(), flags=re.MULTILINE)
    assert_list_refused(project, text, "micrographs.star")


def test_list_without_pixel_size(project: Project) -> None:
    text = project.star.read_text().replace("_rlnMicrographPixelSize", "_rlnSomething")
    assert_list_refused(project, text, "no rlnMicrographPixelSize: give --pixel_size")


def test_list_without_pixel_size_but_angpix(project: Project) -> None:
    project.star.write_text(project.star.read_text().replace("_rlnMicrographPixelSize", "_rlnSomething"))
    project.run("--angpix", "4").assert_succeeded()


def test_undefined_optics_group(project: Project) -> None:
    text = re.sub(r"(b\.mrc\s+)1", r"\g<1>7", project.star.read_text())
    assert_list_refused(project, text, "optics group 7, which its optics table does not define")


def test_tomography_list(project: Project) -> None:
    assert_list_refused(project, project.star.read_text().replace("_rlnVoltage", "_rlnTomoName"), "tilt series")


def test_tomography_job(project: Project) -> None:
    project.job.mkdir(parents=True)
    (project.job / "job.star").write_text(
        "# version 50001\ndata_job\n_rlnJobTypeLabel relion.external\n_rlnJobIsTomo 1\n"
    )
    project.run().assert_failed_with("tomography mode")


@pytest.mark.parametrize("text", ["", "hello\n", "loop_\n_rlnMicrographName #1\n", "\x00\x01\x02"])
def test_list_that_is_no_star_file(project: Project, text: str) -> None:
    assert_list_refused(project, text, "micrographs.star")


def test_image_given_as_list(project: Project) -> None:
    project.run("--in_mics", "Micrographs/a.mrc").assert_failed_with("a.mrc")


@pytest.mark.parametrize("name", ["../a.mrc", "Micrographs/../../../a.mrc", "MotionCorr/job002/../../../a.mrc"])
def test_name_that_leaves_the_job_folder(project: Project, name: str) -> None:
    project.list([name])
    project.run().assert_failed_with("written outside the job folder")


def test_two_names_with_one_coordinate_file(project: Project) -> None:
    project.list(["MotionCorr/job002/a.mrc", "MotionCorr/job003/a.mrc"])
    project.run().assert_failed_with("would get the same coordinate file")


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:50_000])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def make_movie(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[8:12] = (4).to_bytes(4, "little")
    path.write_bytes(bytes(content) * 4)


def make_constant(path: Path) -> None:
    write_image(path, np.full((320, 400), 3, np.float32), 4.0)


def make_nan(path: Path) -> None:
    image = np.random.default_rng(0).normal(size=(320, 400)).astype(np.float32)
    image[7, 9] = np.nan
    write_image(path, image, 4.0)


DAMAGES = [
    (truncate, "is cut short"),
    (empty, r"is empty \(0 bytes\)"),
    (make_movie, "holds 4 images"),
    (make_constant, "all pixels have the same value"),
    (make_nan, "has 1 pixels that are not finite"),
    (Path.unlink, "There is no micrograph at"),
]


@pytest.mark.parametrize(("damage", "sentence"), DAMAGES)
def test_damaged_micrograph_alone(project: Project, damage: Callable[[Path], None], sentence: str) -> None:
    project.list(["Micrographs/b.mrc"])
    damage(project.folder / "Micrographs/b.mrc")
    project.run().assert_failed_with(f"None of the 1 micrographs could be picked; the first: .*{sentence}")


@pytest.mark.parametrize(("damage", "sentence"), DAMAGES)
def test_damaged_micrograph_among_many(project: Project, damage: Callable[[Path], None], sentence: str) -> None:
    damage(project.folder / "Micrographs/a.mrc")
    run = project.run().assert_succeeded()
    assert re.search(f"^WARNING: Micrographs/a.mrc is left out: .*{sentence}", run.err)
    assert len(run.err.splitlines()) == 1
    assert "1/2 a.mrc FAILED\n" in run.out
    assert "1 micrographs could not be picked: see External/job001/failed_micrographs.star" in run.out
    failed = (project.job / "failed_micrographs.star").read_text()
    assert re.search(f'Micrographs/a.mrc +".*{sentence}', failed)
    assert "a.mrc" not in (project.job / "autopick.star").read_text()
    assert len(project.picks("Micrographs/b.mrc")) == 12
    assert not project.picks_path("Micrographs/a.mrc").exists()


def test_more_failures_than_allowed(project: Project) -> None:
    empty(project.folder / "Micrographs/a.mrc")
    run = project.run("--max_failures", "0")
    run.assert_failed_with("1 of 2 micrographs could not be picked, more than the 0 that --max_failures allows")
    assert len(project.picks("Micrographs/b.mrc")) == 12
    project.run("--max_failures", "1").assert_succeeded()


def test_header_that_contradicts_the_list(project: Project) -> None:
    project.list(list(project.centres), pixel_size=3.5)
    run = project.run().assert_succeeded()
    warnings = [line for line in run.err.splitlines() if line.startswith("WARNING: ")]
    assert len(warnings) == 2
    assert "if the headers are right, all of this was picked at a wrong scale" in warnings[1]
    assert "its header says 4 Å per pixel; the STAR file, or --pixel_size, says 3.5 and is believed." in warnings[0]


def test_file_in_the_place_of_the_job_folder(project: Project) -> None:
    project.job.parent.mkdir()
    project.job.write_text("in the way")
    run = project.run()
    assert run.code == 1
    assert run.err.startswith("ERROR: The job folder External/job001/ cannot be made or written to (")
    assert "Traceback" not in run.err
    assert project.job.read_text() == "in the way"


def test_job_folder_where_nothing_can_be_made(project: Project) -> None:
    run = project.run("--o", "/proc/job001/")
    project.job.rename(project.folder / "old")  # the first --o is the job's
    run = project.run_only("--o", "/proc/job001/", "--in_mics", "micrographs.star", "--diameter", "100")
    assert run.code == 1
    assert run.err.startswith("ERROR: The job folder /proc/job001/ cannot be made")
    assert "Traceback" not in run.err


@pytest.mark.parametrize(
    "arguments", ["select External/job001 --threshold 0.9", "evaluate External/job001 micrographs.star --diameter 100"]
)
def test_damaged_options_of_the_job(project: Project, capsys: pytest.CaptureFixture[str], arguments: str) -> None:
    project.run().assert_succeeded()
    (project.job / "picking_options.json").write_text('{"version": "1')
    assert run_plain_command(group, arguments.split()) == 1
    (error,) = capsys.readouterr().err.splitlines()
    assert error.startswith("ERROR: External/job001/picking_options.json is not what a picking job of attnpick writes")
    project.run().assert_succeeded()  # Continue writes it anew
    assert json.loads((project.job / "picking_options.json").read_text())["options"]["particle_diameter"] == 100


@pytest.mark.parametrize("name", ["candidates.jsonl", "picking_options.json.partial"])
def test_disk_full(project: Project, name: str) -> None:
    project.job.mkdir(parents=True)
    (project.job / name).symlink_to("/dev/full")
    project.run().assert_failed_with("the disk is full: free some space")


def test_disk_too_full_for_stdout(project: Project) -> None:
    with Path("/dev/full").open("w") as full:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "stdout", full)
            run = project.run()
            sys.stdout.close()
        with pytest.raises(OSError, match="No space"):
            full.close()
    run.assert_failed_with("the disk is full")


def test_file_in_the_place_of_a_folder_of_coordinates(project: Project) -> None:
    project.job.mkdir(parents=True)
    (project.job / "Micrographs").write_text("in the way")
    project.run().assert_failed_with("External/job001/Micrographs.*a file stands where a folder is needed")


def test_no_room_for_the_marker(project: Project) -> None:
    (project.job / "RELION_JOB_EXIT_SUCCESS").parent.mkdir(parents=True)

    def take_its_place(*_: object) -> None:
        (project.job / "RELION_JOB_EXIT_FAILURE").mkdir(exist_ok=True)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(job_lists, "write_logfile", take_its_place)
        run = project.run()
    assert run.code == 1
    assert "a folder stands where a file is needed" in run.err


def test_memory_of_a_gpu_that_does_not_suffice_is_no_bug(capsys: pytest.CaptureFixture[str]) -> None:
    print_error(torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."))
    told = capsys.readouterr().err
    assert told.startswith("ERROR: The memory of the GPU does not suffice: wait until other programs on it have ended")
    assert told.count("\n") == 1


@pytest.mark.parametrize(("diameter", "words"), [("10", "at least 4 pixels"), ("9000", "does not fit an image")])
def test_absurd_diameter_is_refused_before_any_micrograph(project: Project, diameter: str, words: str) -> None:
    (project.folder / next(iter(project.centres))).write_bytes(b"")
    run = project.run("--diameter", diameter)
    run.assert_failed_with(words)
    assert "FAILED" not in run.out
    assert "enlarged" not in run.err


@pytest.mark.parametrize(("diameter", "is_told"), [("100", False), ("800", True)])
def test_picks_that_would_cover_more_than_everything_are_told(project: Project, diameter: str, is_told: bool) -> None:
    """Twelve discs in 1280 Å."""
    run = project.run_only(*project.arguments, "--diameter", diameter, "--min_distance", "60", "--j", "1")
    assert ("would cover more than all of the area" in run.assert_succeeded().err) == is_told
