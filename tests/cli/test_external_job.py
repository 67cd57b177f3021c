"""The External job from outside: every exit path leaves exactly one marker, and says why on stderr."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from scipy.spatial import cKDTree

from relion_attn_picker import picking_job
from relion_attn_picker.errors import InputError
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
    "logfile.pdf",
    "picking_options.json",
    "summary.star",
}
ABORTED = (2, ["RELION_JOB_EXIT_ABORTED"])


def raiser(error: BaseException) -> Callable[..., Any]:
    """Return a function that raises ``error`` whatever it is called with."""

    def fail(*_: object, **__: object) -> None:
        raise error

    return fail


# What a good job leaves


def test_success(real_project: Project) -> None:
    run = real_project.run().succeeded()
    assert run.err == ""
    assert {path.name for path in real_project.job.iterdir()} == JOB_FILES
    for name, centres in real_project.centres.items():
        picks = real_project.picks(name)
        distance, nearest = cKDTree(centres).query(picks[:, :2])
        assert sorted(nearest) == list(range(len(centres)))
        assert distance.max() < 2
        assert (np.diff(picks[:, 2]) <= 0).all()
        assert (picks[:, :2] == picks[:, :2].round()).all()


def test_lists_name_everything_as_relion_does(project: Project) -> None:
    project.run().succeeded()
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
    project.run("--threshold", "0.9999").succeeded()
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
    run.succeeded()
    assert len(real_project.picks("Micrographs/a.mrc")) == 3
    assert (real_project.job / "Micrographs/a_probability.h5").exists()


@pytest.mark.parametrize("given", ["--write_maps No", "--write-maps false", "--no-write-maps"])
def test_gui_boolean_no(project: Project, given: str) -> None:
    project.run(*given.split()).succeeded()
    assert not list(project.job.rglob("*.h5"))


def test_switch_with_an_empty_value(project: Project) -> None:
    project.run_only(*project.arguments, "--diameter", "100", "--write_maps", "--j", "1").succeeded()
    assert len(list(project.job.rglob("*.h5"))) == 2


def test_pipeline_control_is_ignored(project: Project) -> None:
    project.run("--pipeline_control", "External/job001/").succeeded()


def test_markers_of_an_earlier_run_are_removed(project: Project) -> None:
    project.job.mkdir(parents=True)
    for name in ("EXIT_SUCCESS", "EXIT_FAILURE", "EXIT_ABORTED", "ABORT_NOW"):
        (project.job / f"RELION_JOB_{name}").touch()
    project.run_only(*project.arguments).failed_with("Missing option '--diameter'")


def test_marker_is_written_last(project: Project) -> None:
    project.run().succeeded()
    files = [path for path in project.job.rglob("*") if path.is_file()]
    newest = max(path.stat().st_mtime_ns for path in files)
    assert (project.job / "RELION_JOB_EXIT_SUCCESS").stat().st_mtime_ns == newest


def test_several_optics_groups(project: Project) -> None:
    """Each micrograph is scaled by its own pixel size: the same image at 8 Å shows discs of 200 Å."""
    names = ["Micrographs/a.mrc", "Micrographs/b.mrc"]
    groups = [OpticsGroup(3, "first", 4.0), OpticsGroup(1, "second", 8.0)]
    write_micrographs(project.star, [Micrograph(*row) for row in zip(names, groups, strict=True)])
    run = project.run("--diameter", "200").succeeded()
    assert "Micrographs/b.mrc: its header says 4 Å per pixel, the STAR file 8; the STAR file is believed." in run.err
    assert "a.mrc" not in run.err
    assert len(project.picks("Micrographs/b.mrc")) == 12
    both = project.picks_text()["Micrographs/a_autopick.star"]
    project.list(names)
    project.run("--diameter", "200").succeeded()
    assert project.picks_text()["Micrographs/a_autopick.star"] == both


# The command line


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ("--diametre 100", r"No such option: --diametre.* See --help\.$"),
        ("--weights two words", r"unexpected extra argument.*words.*double quotes"),
        ("--threshold  --j 1", r"--threshold has no value \(the next option, --j, follows\): fill in"),
        ("--diameter abc", r"'--diameter': 'abc' is not a valid float\. See --help\.$"),
        ("--diameter nan", "diameter is nan Å: expected 10 to 10000"),
        ("--diameter 0.1", "diameter is 0.1 Å: expected 10 to 10000"),
        ("--diameter 2000", "None of the 2 micrographs could be picked.*2000 Å does not fit an image of 1280 Å"),
        ("--diameter 12", "None of the 2 micrographs.*12 Å is only 3.0 pixels"),
        ("--threshold 1.5", "threshold is 1.5: expected a number between 0 and 1"),
        ("--min_distance -1", "minimum distance is -1.0 Å"),
        ("--border -1", "border is -1.0 Å"),
        ("--max_picks 0", "maximum number of picks is 0"),
        ("--max_failures -1", "maximum number of failures is -1"),
        ("--pixel_size 0", "pixel size is 0: expected Å per pixel"),
        ("--angpix nan", "pixel size is nan: expected Å per pixel"),
        ("--precision half", "precision is 'half'"),
        ("--gpu first", "GPU is 'first': expected auto, cpu, or one number"),
        ("--variant unet", "'unet' is not one of 'attention', 'standard'"),
        ("--variant standard", "holds the network 'attention', but --variant says 'standard'"),
        ("--weights nowhere.safetensors", "nowhere.safetensors"),
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
    project.run_only(*project.arguments, "--diameter", "100", *more.split()).failed_with(sentence)


def test_micrographs_missing(project: Project) -> None:
    project.run_only("--o", "External/job001/", "--diameter", "100").failed_with("Missing option '--in_mics'")


def test_diameter_missing(project: Project) -> None:
    project.run_only(*project.arguments, "--j", "1").failed_with("Missing option '--diameter'")


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
    run.failed_with(r"--threshold has no value \(the command ends there\)")


# The weights and the device


def test_absent_gpu(real_project: Project) -> None:
    real_project.run("--gpu", "99").failed_with("GPU 99 was asked for, but there is no such GPU")


def test_corrupt_weights(real_project: Project) -> None:
    content = bytearray(real_project.weights.read_bytes())
    broken = real_project.folder / "broken.safetensors"
    broken.write_bytes(bytes(content[: len(content) // 2]))
    real_project.run("--weights", "broken.safetensors").failed_with("broken.safetensors")


# The list


def refuse_list(project: Project, text: str, sentence: str) -> None:
    project.star.write_text(text)
    project.run().failed_with(sentence)


def test_list_without_micrographs(project: Project) -> None:
    text = re.sub(r"^Micrographs/.*\n", "", project.star.read_text(), flags=re.MULTILINE)
    refuse_list(project, text, "micrographs.star")


def test_list_without_pixel_size(project: Project) -> None:
    text = project.star.read_text().replace("_rlnMicrographPixelSize", "_rlnSomething")
    refuse_list(project, text, "no rlnMicrographPixelSize: give --angpix")


def test_list_without_pixel_size_but_angpix(project: Project) -> None:
    project.star.write_text(project.star.read_text().replace("_rlnMicrographPixelSize", "_rlnSomething"))
    project.run("--angpix", "4").succeeded()


def test_undefined_optics_group(project: Project) -> None:
    text = re.sub(r"(b\.mrc\s+)1", r"\g<1>7", project.star.read_text())
    refuse_list(project, text, "optics group 7, which its optics table does not define")


def test_tomography_list(project: Project) -> None:
    refuse_list(project, project.star.read_text().replace("_rlnVoltage", "_rlnTomoName"), "tilt series")


def test_tomography_job(project: Project) -> None:
    project.job.mkdir(parents=True)
    (project.job / "job.star").write_text(
        "# version 50001\ndata_job\n_rlnJobTypeLabel relion.external\n_rlnJobIsTomo 1\n"
    )
    project.run().failed_with("tomography mode")


@pytest.mark.parametrize("text", ["", "hello\n", "loop_\n_rlnMicrographName #1\n", "\x00\x01\x02"])
def test_list_that_is_no_star_file(project: Project, text: str) -> None:
    refuse_list(project, text, "micrographs.star")


def test_image_given_as_list(project: Project) -> None:
    project.run("--in_mics", "Micrographs/a.mrc").failed_with("a.mrc")


@pytest.mark.parametrize("name", ["../a.mrc", "Micrographs/../../../a.mrc", "MotionCorr/job002/../../../a.mrc"])
def test_name_that_leaves_the_job_folder(project: Project, name: str) -> None:
    project.list([name])
    project.run().failed_with("written outside the job folder")


def test_two_names_with_one_coordinate_file(project: Project) -> None:
    project.list(["MotionCorr/job002/a.mrc", "MotionCorr/job003/a.mrc"])
    project.run().failed_with("would get the same coordinate file")


# The images


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
    project.run().failed_with(f"None of the 1 micrographs could be picked; the first: .*{sentence}")


@pytest.mark.parametrize(("damage", "sentence"), DAMAGES)
def test_damaged_micrograph_among_many(project: Project, damage: Callable[[Path], None], sentence: str) -> None:
    damage(project.folder / "Micrographs/a.mrc")
    run = project.run().succeeded()
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
    run.failed_with("1 of 2 micrographs could not be picked, more than the 0 that --max_failures allows")
    assert len(project.picks("Micrographs/b.mrc")) == 12
    project.run("--max_failures", "1").succeeded()


def test_header_that_contradicts_the_list(project: Project) -> None:
    project.list(list(project.centres), pixel_size=3.5)
    run = project.run().succeeded()
    warnings = [line for line in run.err.splitlines() if line.startswith("WARNING: ")]
    assert len(warnings) == 1
    assert "its header says 4 Å per pixel, the STAR file 3.5; the STAR file is believed." in warnings[0]


# The folder and its disk


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


@pytest.mark.parametrize("name", ["candidates.jsonl", "picking_options.json"])
def test_disk_full(project: Project, name: str) -> None:
    project.job.mkdir(parents=True)
    (project.job / name).symlink_to("/dev/full")
    project.run().failed_with("the disk is full: free some space")


def test_disk_too_full_for_stdout(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    with Path("/dev/full").open("w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        run = project.run()
        sys.stdout.close()
        monkeypatch.undo()
        os.chdir(project.folder)
        with pytest.raises(OSError, match="No space"):
            full.close()
    run.failed_with("the disk is full")


def test_file_in_the_place_of_a_folder_of_coordinates(project: Project) -> None:
    project.job.mkdir(parents=True)
    (project.job / "Micrographs").write_text("in the way")
    project.run().failed_with("External/job001/Micrographs.*a file stands where a folder is needed")


def test_no_room_for_the_marker(project: Project) -> None:
    (project.job / "RELION_JOB_EXIT_SUCCESS").parent.mkdir(parents=True)

    def take_its_place(*_: object) -> None:
        (project.job / "RELION_JOB_EXIT_FAILURE").mkdir(exist_ok=True)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(picking_job, "write_logfile", take_its_place)
        run = project.run()
    assert run.code == 1
    assert "a folder stands where a file is needed" in run.err


# Bugs, missing packages


@pytest.mark.parametrize("error", [ZeroDivisionError("no"), KeyError("x"), SystemExit(0), RecursionError(), OSError()])
def test_bug(project: Project, monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    monkeypatch.setattr(picking_job, "candidates_of_map", raiser(error))
    run = project.run()
    assert (run.code, run.markers) == (1, ["RELION_JOB_EXIT_FAILURE"])
    assert "Traceback" in run.err
    assert run.err.endswith("ERROR: This is a bug of attnpick: please report the lines above.\n")


def test_bug_in_a_preparing_thread(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picking_job, "prepare_micrograph", raiser(ZeroDivisionError()))
    run = project.run()
    assert (run.code, run.markers) == (1, ["RELION_JOB_EXIT_FAILURE"])
    assert "Traceback" in run.err


def test_broken_package(real_project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    error = ImportError("libcudart.so.12: cannot open shared object file", name="torch")
    monkeypatch.setattr(picking_job, "load_predictor", raiser(error))
    real_project.run().failed_with("The Python package torch cannot be loaded .*libcudart.*install it again")


def test_module_of_our_own_that_is_missing(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    error = ModuleNotFoundError("gone", name="relion_attn_picker.gone")
    monkeypatch.setattr(picking_job, "load_predictor", raiser(error))
    assert "This is a bug" in project.run().err


# Stopping


def test_abort_from_the_gui(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """RELION touches the file while the first micrograph is picked; its picks are kept and listed."""
    select = picking_job.select_picks

    def select_and_press_abort(*arguments: Any) -> Any:
        (project.job / "RELION_JOB_ABORT_NOW").touch()
        return select(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(picking_job, "select_picks", select_and_press_abort)
        run = project.run()
    assert (run.code, run.markers) == ABORTED
    assert run.err == "Aborted. The job was asked to stop.\n"
    assert not (project.job / "RELION_JOB_ABORT_NOW").exists()
    listed = (project.job / "autopick.star").read_text()
    assert "a.mrc" in listed
    assert "b.mrc" not in listed
    assert "1/2 a.mrc 12 picks done before" in project.run().succeeded().out


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signal(project: Project, monkeypatch: pytest.MonkeyPatch, number: signal.Signals) -> None:
    def be_stopped(*_: object) -> None:
        os.kill(os.getpid(), number)
        time.sleep(10)

    monkeypatch.setattr(picking_job, "candidates_of_map", be_stopped)
    run = project.run()
    assert (run.code, run.markers) == ABORTED
    assert run.err == f"Aborted. The job got the signal {number.name}.\n"


def test_signal_that_a_library_turns_into_its_own_error(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    def be_stopped(*_: object) -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(10)
        except Exception as error:
            raise InputError("The file cannot be read.") from error

    monkeypatch.setattr(picking_job, "_save_settings", be_stopped)
    run = project.run()
    assert (run.code, run.markers) == ABORTED


def test_nohup_is_respected(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    def hang_up(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGHUP)

    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    monkeypatch.setattr(picking_job, "_save_settings", hang_up)
    project.run().succeeded()


# The real command


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
    assert err == "Aborted. The job got the signal SIGTERM.\n"
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
    assert result.stderr == "ERROR: Invalid value for '--diameter': 'nothing' is not a valid float. See --help.\n"
