"""The External job from outside: what it leaves, how it reads its command line, the real command."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy.spatial import cKDTree

from relion_attn_picker.cli._job_command import read_gui_arguments
from relion_attn_picker.cli.external import command as external
from relion_attn_picker.io.mrc import write_image
from relion_attn_picker.micrograph import Micrograph, OpticsGroup
from relion_attn_picker.relion.micrographs import write_micrographs

if TYPE_CHECKING:
    from tests.cli.conftest import Project

JOB_FILES = {
    "Micrographs",
    "RELION_JOB_EXIT_SUCCESS",
    "RELION_OUTPUT_NODES.star",
    "autopick.star",
    "candidates.jsonl",
    "coords_suffix_autopick.star",
    "failed_micrographs.star",
    "rejected_candidates.star",
    "logfile.pdf",
    "picking_options.json",
    "summary.star",
}
ABORTED = (2, ["RELION_JOB_EXIT_ABORTED"])


def test_success(real_project: Project) -> None:
    run = real_project.run().assert_succeeded()
    assert run.err == ""
    assert {path.name for path in real_project.job.iterdir()} == JOB_FILES
    for name, centres in real_project.centres.items():
        picks = real_project.picks(name)
        distance, nearest = cKDTree(centres).query(picks[:, :2])
        assert sorted(nearest) == list(range(len(centres)))
        assert distance.max() < 2
        assert (np.diff(picks[:, 2]) <= 0).all()
        assert (picks[:, :2] == picks[:, :2].round()).all()


def test_diameter_far_below_the_scale_of_the_network(project: Project) -> None:
    run = project.run_only(*project.arguments, "--diameter", "25", "--threshold", "0.9", "--j", "1").assert_succeeded()
    assert run.err.count("are the diameter, in Å, and the pixel size right?") == 1


def test_lists_name_everything_as_relion_does(project: Project) -> None:
    project.run().assert_succeeded()
    rows = [line.split() for line in (project.job / "autopick.star").read_text().splitlines() if ".mrc" in line]
    assert rows == [[f"Micrographs/{n}.mrc", f"External/job001/Micrographs/{n}_autopick.star"] for n in "ab"]
    assert (project.job / "coords_suffix_autopick.star").read_text() == "micrographs.star\n"
    rows = [line.split() for line in (project.job / "summary.star").read_text().splitlines() if ".mrc" in line]
    assert [(name, int(count)) for name, _, count in rows] == [(f"Micrographs/{n}.mrc", 12) for n in "ab"]
    assert (project.job / "logfile.pdf").read_bytes().startswith(b"%PDF")


def test_plain_lines_on_stdout(project: Project) -> None:
    out = project.run().out
    assert re.search(r"^1/2 a\.mrc 12 picks \d+\.\d\d s$", out, re.MULTILINE)
    assert " Total number of particles from 2 micrographs is 24\n" in out
    assert " i.e. on average there were 12 particles per micrograph\n" in out
    assert " Done! Written: External/job001/logfile.pdf \n" in out
    assert "\r" not in out


def test_micrograph_without_picks_has_a_header_only(project: Project) -> None:
    noise = np.random.default_rng(5).normal(0, 1, (320, 400)).astype(np.float32)
    write_image(project.folder / "Micrographs/a.mrc", noise, 4.0)
    project.run("--threshold", "0.9999").assert_succeeded()
    text = project.picks_path("Micrographs/a.mrc").read_text()
    assert text.endswith("_rlnAnglePsi #5 \n \n")
    rows = (project.job / "autopick.star").read_text()
    assert "Micrographs/a_autopick.star" in rows
    assert "a.mrc" not in (project.job / "summary.star").read_text()


def test_minus_and_underscore_and_gui_booleans(real_project: Project) -> None:
    run = real_project.run_only(
        *real_project.arguments,
        *["--diameter", "100", "--min-distance", "60", "--write-maps", "Yes", "--max-picks", "3"],
    )
    run.assert_succeeded()
    assert len(real_project.picks("Micrographs/a.mrc")) == 3
    assert (real_project.job / "Micrographs/a_probability.h5").exists()


@pytest.mark.parametrize("given", ["--write_maps No", "--write-maps false", "--no-write-maps"])
def test_gui_boolean_no(project: Project, given: str) -> None:
    project.run(*given.split()).assert_succeeded()
    assert not list(project.job.rglob("*.h5"))


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("--keep_junk Yes", "--keep_junk"),
        ("--keep_junk No", "--reject_junk"),
        ("--reject-junk No", "--keep_junk"),
        ("--keep_junk", "--keep_junk"),
        ("--write_maps No", "--no_write_maps"),
        ("--no_write_maps no", "--write_maps"),
    ],
)
def test_gui_booleans_of_switches_with_two_names(given: str, meant: str) -> None:
    assert read_gui_arguments(external, [*given.split(), "--diameter", "100"]) == [meant, "--diameter", "100"]


def test_switch_with_an_empty_value(project: Project) -> None:
    project.run_only(*project.arguments, "--diameter", "100", "--write_maps", "--j", "1").assert_succeeded()
    assert len(list(project.job.rglob("*.h5"))) == 2


def test_switch_with_another_word(project: Project) -> None:
    run = project.run("--write_maps", "maybe")
    run.assert_failed_with("--write_maps is a switch, and its value is 'maybe': expected Yes or No")


def test_pipeline_control_is_ignored(project: Project) -> None:
    project.run("--pipeline_control", "External/job001/").assert_succeeded()


def test_markers_of_an_earlier_run_are_removed(project: Project) -> None:
    project.job.mkdir(parents=True)
    for name in ("EXIT_SUCCESS", "EXIT_FAILURE", "EXIT_ABORTED", "ABORT_NOW"):
        (project.job / f"RELION_JOB_{name}").touch()
    project.run_only(*project.arguments).assert_failed_with("Missing option '--diameter'")


def test_marker_is_written_last(project: Project) -> None:
    project.run().assert_succeeded()
    files = [path for path in project.job.rglob("*") if path.is_file()]
    newest = max(path.stat().st_mtime_ns for path in files)
    assert (project.job / "RELION_JOB_EXIT_SUCCESS").stat().st_mtime_ns == newest


def test_several_optics_groups(project: Project) -> None:
    """Each micrograph is scaled by its own pixel size: the same image at 8 Å shows discs of 200 Å."""
    names = ["Micrographs/a.mrc", "Micrographs/b.mrc"]
    groups = [OpticsGroup(3, "first", 4.0), OpticsGroup(1, "second", 8.0)]
    write_micrographs(project.star, [Micrograph(*row) for row in zip(names, groups, strict=True)])
    run = project.run("--diameter", "200").assert_succeeded()
    assert "b.mrc: its header says 4 Å per pixel; the STAR file, or --pixel_size, says 8 and is believed." in run.err
    assert run.err.count("Pixel sizes contradict each other (see above)") == 1
    assert "a.mrc" not in run.err
    assert len(project.picks("Micrographs/b.mrc")) == 12
    both = project.picks_text()["Micrographs/a_autopick.star"]
    project.list(names)
    project.run("--diameter", "200").assert_succeeded()
    assert project.picks_text()["Micrographs/a_autopick.star"] == both


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ("--diametre 100", r"No such option: --diametre Did you mean --diameter\? See --help\.$"),
        ("--weights two words", r"unexpected extra argument.*words.*double quotes"),
        ("--threshold  --j 1", r"--threshold has no value \(the next option, --j, follows\): fill in"),
        ("--diameter abc", "The particle diameter is 'abc': expected auto, or a number of Å, such as 150"),
        ("--diameter nan", "diameter is nan Å: expected 10 to 10000"),
        ("--diameter 0.1", "diameter is 0.1 Å: expected 10 to 10000"),
        ("--diameter 2000", "diameter of 2000 Å does not fit an image of 1280 Å"),
        ("--diameter 12", "diameter of 12 Å is only 3.0 pixels"),
        ("--threshold 1.5", "threshold is 1.5: expected a number above 0 and below 1"),
        ("--threshold 1", "threshold is 1.0: expected a number above 0 and below 1"),
        ("--threshold high", "threshold is 'high': expected auto, weights, or a number above 0 and below 1"),
        ("--min_distance -1", "minimum distance is -1.0 Å"),
        ("--border -1", "border is -1.0 Å"),
        ("--max_picks 0", "maximum number of picks is 0"),
        ("--max_failures -1", "maximum number of failures is -1"),
        ("--pixel_size 0", "pixel size is 0: expected Å per pixel"),
        ("--angpix nan", "pixel size is nan: expected Å per pixel"),
        ("--precision half", "precision is 'half'"),
        ("--gpu first", "GPU is 'first': expected auto, cpu, or one number"),
        ("--variant unet", "'unet' is not one of 'attention', 'standard', 'hybrid'"),
        ("--variant standard", "holds the network 'attention', but --variant says 'standard'"),
        ("--weights nowhere.safetensors", "nowhere.safetensors"),
        (
            "--weights standard --variant attention",
            "--weights standard is the released standard, and --variant is attention",
        ),
        ("--weights micrographs.star", "micrographs.star"),
        ("--in_movies movies.star", "--in_movies is not for picking"),
        ("--in_parts particles.star", "--in_parts is not for picking"),
        ("--in_3dref map.mrc", "--in_3dref is not for picking"),
        ("--in_3Dref map.mrc", "--in_3dref is not for picking"),
        ("--in_mask mask.mrc", "--in_mask is not for picking"),
        ("--in_coords nowhere.star", "no coordinates at nowhere.star"),
        ("--in_mics nowhere.star", "no STAR file at nowhere.star"),
        ("--in_mics Micrographs", "Micrographs"),
        ("--j 0", "number of threads is 0"),
    ],
)
def test_wrong_option(project: Project, more: str, sentence: str) -> None:
    project.run_only(*project.arguments, "--diameter", "100", *more.split()).assert_failed_with(sentence)


def test_micrographs_missing(project: Project) -> None:
    project.run_only("--o", "External/job001/", "--diameter", "100").assert_failed_with("Missing option '--in_mics'")


def test_diameter_missing(project: Project) -> None:
    project.run_only(*project.arguments, "--j", "1").assert_failed_with("Missing option '--diameter'")


@pytest.mark.parametrize("arguments", [[], ["--in_mics", "a.star"], ["--o"], ["--o", "--in_mics"]])
def test_folder_missing(project: Project, arguments: list[str]) -> None:
    run = project.run_only(*arguments)
    assert run.code == 1
    assert run.err == "ERROR: The option --o with the job's folder is missing: give --o FOLDER.\n"
    assert not project.job.exists()


def test_help(project: Project) -> None:
    run = project.run_only("--help")
    assert (run.code, run.markers) == (0, [])
    assert "Particle diameter in Å" in run.out
    assert "in_movies" not in run.out


def test_empty_value_at_the_end(project: Project) -> None:
    run = project.run_only(*project.arguments, "--diameter", "100", "--threshold")
    run.assert_failed_with(r"--threshold has no value \(the command ends there\)")


def start(project: Project, *more: str, **environment: str) -> subprocess.Popen[str]:
    program = shutil.which("attnpick-external", path=str(Path(sys.executable).parent))
    assert program is not None, "the package is not installed in the environment of the tests"
    arguments = [*project.arguments, "--diameter", "100", "--threshold", "0.9", *more, "--j", "1"]
    return subprocess.Popen(
        [program, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )


def test_real_command(real_project: Project) -> None:
    process = start(real_project)
    out, err = process.communicate(timeout=120)
    assert (process.returncode, real_project.markers()) == (0, ["RELION_JOB_EXIT_SUCCESS"]), err
    assert err == ""
    assert "Total number of particles from 2 micrographs is 24" in out


def test_real_command_terminated(real_project: Project) -> None:
    """A queue's SIGTERM in the middle of a long list."""
    names = [f"Micrographs/{number:03}.mrc" for number in range(100)]
    for name in names:
        (real_project.folder / name).hardlink_to(real_project.folder / "Micrographs/a.mrc")
    real_project.list(names)
    process = start(real_project)
    assert process.stdout is not None
    assert any(line.startswith("  1/100") for line in process.stdout)
    process.terminate()
    _, err = process.communicate(timeout=120)
    assert (process.returncode, real_project.markers()) == ABORTED
    assert err == "Aborted. The job got the signal SIGTERM. What is done is kept: the same job again goes on.\n"
    assert "000.mrc" in (real_project.job / "autopick.star").read_text()


def test_real_command_without_torch(real_project: Project) -> None:
    fake = real_project.folder / "fake" / "torch"
    fake.mkdir(parents=True)
    (fake / "__init__.py").write_text("raise ModuleNotFoundError(\"No module named 'torch'\", name='torch')\n")
    process = start(real_project, PYTHONPATH=str(fake.parent))
    _, err = process.communicate(timeout=120)
    assert (process.returncode, real_project.markers()) == (1, ["RELION_JOB_EXIT_FAILURE"])
    assert err.startswith("ERROR: The Python package torch is missing: install it in the environment of ")
    assert len(err.splitlines()) == 1


def test_attnpick_external_is_the_same(real_project: Project) -> None:
    arguments = [*real_project.arguments, "--diameter", "nothing"]
    result = subprocess.run(
        [sys.executable, "-m", "relion_attn_picker", "external", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, real_project.markers()) == (1, ["RELION_JOB_EXIT_FAILURE"])
    assert result.stderr == "ERROR: The particle diameter is 'nothing': expected auto, or a number of Å, such as 150.\n"
