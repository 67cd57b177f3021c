"""``attnpick pick``: the same job for people without RELION."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from relion_attn_picker.cli import group
from relion_attn_picker.cli._plain_command import run_plain_command
from relion_attn_picker.errors import InputError, JobAborted

if TYPE_CHECKING:
    from relion_attn_picker.inference.operating_point import DataSetScores, OperatingPoint
    from tests.cli.conftest import Project


def pick(project: Project, *arguments: str) -> int:
    given = ["--weights", str(project.weights), "--gpu", "cpu", "--diameter", "100", "--threshold", "0.9"]
    return run_plain_command(group, ["pick", *arguments, *given])


def texts(folder: Path) -> dict[str, str]:
    """Return the text of each coordinate file by its path in the folder."""
    return {str(path.relative_to(folder)): path.read_text() for path in folder.glob("*/**/*_autopick.star")}


def test_same_files_as_the_job(project: Project) -> None:
    project.run().assert_succeeded()
    assert pick(project, "micrographs.star", "--out", "picks") == 0
    names = {path.name for path in Path("picks").iterdir()}
    assert names == {path.name for path in project.job.iterdir()}
    assert texts(Path("picks")) == texts(project.job)


@pytest.mark.parametrize("inputs", [["Micrographs/a.mrc", "Micrographs/b.mrc"], ["Micrographs/*.mrc"], ["**/*.mrc"]])
def test_images_and_patterns(project: Project, inputs: list[str]) -> None:
    project.run().assert_succeeded()
    assert pick(project, *inputs, "--out", "picks") == 0
    assert texts(Path("picks")) == texts(project.job)
    listed = Path("picks/micrographs.star").read_text()
    assert re.search(r"^Micrographs/a\.mrc ", listed, re.MULTILINE)
    assert Path("picks/coords_suffix_autopick.star").read_text() == "picks/micrographs.star\n"


def test_file_named_twice_is_picked_once(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    assert pick(project, "Micrographs/a.mrc", "Micrographs/*.mrc", "--out", "picks") == 0
    assert "from 2 micrographs is 24" in capsys.readouterr().out


def test_list_of_images_works_in_evaluate_and_in_the_job(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    assert pick(project, "Micrographs/*.mrc", "--out", "picks") == 0
    assert run_plain_command(group, ["evaluate", "picks", "picks", "--diameter", "100"]) == 0
    project.run("--in_mics", "picks/micrographs.star").assert_succeeded()
    assert texts(Path("picks")) == texts(project.job)


def test_absolute_paths_outside_the_current_folder(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = project.folder / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert pick(project, str(project.folder / "Micrographs/a.mrc"), "../Micrographs/b.mrc", "--out", "picks") == 0
    listed = Path("picks/micrographs.star").read_text()
    for letter in "ab":
        assert f"\n{project.folder}/Micrographs/{letter}.mrc " in listed
    assert len(texts(Path("picks"))) == 2
    assert pick(project, "../micrographs.star", "--out", "../again") == 0
    assert sorted(texts(Path("../again"))) == [f"Micrographs/{letter}_autopick.star" for letter in "ab"]


def test_absolute_path_inside_the_current_folder(project: Project) -> None:
    assert pick(project, str(project.folder / "Micrographs/a.mrc"), "--out", "picks") == 0
    assert list(texts(Path("picks"))) == ["Micrographs/a_autopick.star"]


def without_pixel_size(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[40:52] = bytes(12)
    path.write_bytes(content)


def test_pixel_size_missing(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    without_pixel_size(project.folder / "Micrographs/a.mrc")
    assert pick(project, "Micrographs/a.mrc", "--out", "picks") == 1
    assert "Micrographs/a.mrc has no pixel size in its header: give --pixel_size" in capsys.readouterr().err
    assert pick(project, "Micrographs/a.mrc", "--out", "picks", "--pixel-size", "4") == 0


@pytest.mark.parametrize(
    ("inputs", "sentence"),
    [
        (["micrographs.star", "Micrographs/a.mrc"], "A STAR file stands beside other inputs"),
        (["nothing/*.mrc"], "There is no file nothing/*.mrc: give a STAR file, MRC files, or a pattern"),
        (["Micrographs"], "Micrographs is a folder: give a pattern of MRC files, such as 'Micrographs/*.mrc'"),
        (["nothing.star"], "There is no STAR file at nothing.star"),
        (["Micrographs/a.mrc", "--pixel-size", "-1"], "The pixel size is -1: expected Å per pixel"),
    ],
)
def test_wrong_inputs(project: Project, inputs: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert pick(project, *inputs, "--out", "picks") == 1
    err = capsys.readouterr().err
    assert err.startswith(f"ERROR: {sentence}")
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["pick", "--out", "picks", "--diameter", "100"], "Missing argument 'MICROGRAPHS...'"),
        (["pick", "a.mrc", "--out", "picks"], "Missing option '--diameter'"),
        (["pick", "a.mrc", "--diameter", "100"], "Missing option '--out'"),
        (["pick", "a.mrc", "--diametre", "100"], "No such option"),
        (["peck"], "No such command 'peck'"),
    ],
)
def test_usage_errors_exit_with_2(
    project: Project, arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_plain_command(group, arguments) == 2
    assert sentence in capsys.readouterr().err
    assert not Path("picks").exists()


def test_errors_of_plain_commands_exit_with_1(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_plain_command(group, ["model", "show", "nowhere.safetensors"]) == 1
    err = capsys.readouterr().err
    assert err.startswith("ERROR: ")
    assert len(err.splitlines()) == 1


def test_released_weights_are_shown_by_their_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_plain_command(group, ["model", "show", "standard"]) == 0
    assert json.loads(capsys.readouterr().out)["spec"]["architecture"] == "standard"


@pytest.mark.parametrize("command", ["pick", "external", "evaluate", "train", "model", "simulate", "benchmark"])
def test_help_of_every_command(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_plain_command(group, [command, "--help"]) == 0
    assert f"Usage: attnpick {command}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("command", "absent"),
    [
        (["compare"], "--start_from"),
        (["self-train"], "--start_from"),
        (["cryosparc", "run"], "--pixel_size"),
        (["cryosparc", "run"], "auto: estimated"),
        (["select"], "default: balanced"),
    ],
)
def test_help_tells_nothing_that_the_command_does_not_do(
    command: list[str], absent: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_plain_command(group, [*command, "--help"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "Usage: attnpick" in shown
    assert absent not in shown


def test_bar_on_a_terminal(project: Project) -> None:
    """A real terminal shows a bar that fills up; a failure stands above it."""
    (project.folder / "Micrographs/a.mrc").write_bytes(b"")
    leader, follower = os.openpty()
    with pytest.MonkeyPatch.context() as patch, os.fdopen(follower, "w") as terminal:
        patch.setattr(sys, "stdout", terminal)
        assert pick(project, "micrographs.star", "--out", "picks") == 0
        terminal.flush()
        shown = ""
        while select.select([leader], [], [], 0.2)[0]:
            shown += os.read(leader, 100_000).decode(errors="replace")
    os.close(leader)
    assert "Picking  [####" in shown
    assert "100%" in shown
    assert "1/2" not in shown
    assert "Total number of particles from 1 micrographs is 12" in shown


def test_plain_lines_elsewhere(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    assert pick(project, "micrographs.star", "--out", "picks") == 0
    out = capsys.readouterr().out
    assert "1/2 a.mrc 12 picks" in out
    assert "[###" not in out


def test_watch_ends_when_nothing_new_comes(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    """The files of a watched session are those of a job, whatever came in how many rounds."""
    project.run().assert_succeeded()
    for name in project.centres:
        os.utime(name, (1, 1))
    assert pick(project, "Micrographs/*.mrc", "--out", "picks", "--watch", "0.01", "--idle", "0.02") == 0
    assert texts(Path("picks")) == texts(project.job)
    assert "from 2 micrographs is 24" in capsys.readouterr().out
    assert (Path("picks") / "RELION_JOB_EXIT_SUCCESS").exists()


def test_rounds_of_a_watched_session(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A second round picks what is new, tries what failed and has changed, and lists everything."""
    from relion_attn_picker.jobs.picking import watching

    good = Path("Micrographs/b.mrc").read_bytes()
    Path("Micrographs/b.mrc").write_bytes(good[:5000])
    for name in project.centres:
        os.utime(name, (1, 1))

    def mend_and_add(seconds: float) -> None:
        if not Path("Micrographs/c.mrc").exists():
            Path("Micrographs/b.mrc").write_bytes(good)
            project.add("Micrographs/c.mrc")
            for name in project.centres:
                os.utime(name, (2, 2))

    monkeypatch.setattr(watching, "_wait", lambda every, stop, sleep: mend_and_add(every))
    assert pick(project, "micrographs.star", "--out", "picks", "--watch", "1", "--idle", "1") == 0
    out = capsys.readouterr().out
    assert [line.split()[1] for line in out.splitlines() if "/" in line.split(" ")[0]] == [
        *("a.mrc", "b.mrc"),
        *("a.mrc", "b.mrc", "c.mrc"),
    ]
    assert "from 3 micrographs is 36" in out
    project.run().assert_succeeded()
    assert texts(Path("picks")) == texts(project.job)


def test_watching_is_stopped_while_its_list_is_read(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """What goes wrong there passes for a list that is half written, which is waited for."""
    from relion_attn_picker.relion import star

    read = star._read_with_starfile

    def read_and_be_stopped(path: Path) -> Any:
        monkeypatch.setattr(star, "_read_with_starfile", read)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(10)

    monkeypatch.setattr(star, "_read_with_starfile", read_and_be_stopped)
    assert pick(project, "micrographs.star", "--out", "picks", "--watch", "0.01", "--idle", "0.02") == 2


def test_watching_that_is_stopped_is_finished_without_watching(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from relion_attn_picker.jobs.picking import watching

    def stop(*_: object) -> None:
        raise JobAborted("The job was asked to stop.")

    for name in project.centres:
        os.utime(name, (1, 1))
    monkeypatch.setattr(watching, "_wait", stop)
    assert pick(project, "Micrographs/*.mrc", "--out", "picks", "--watch", "1") == 2
    assert "The same command without --watch picks what is left, and chooses" in capsys.readouterr().out
    project.add("Micrographs/c.mrc")
    assert pick(project, "Micrographs/*.mrc", "--out", "picks") == 0
    project.run().assert_succeeded()
    assert texts(Path("picks")) == texts(project.job)


def test_progress_of_a_later_round_counts_what_is_left(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from relion_attn_picker.jobs.picking import watching

    def add_two(seconds: float) -> None:
        if not Path("Micrographs/d.mrc").exists():
            project.add("Micrographs/c.mrc", "Micrographs/d.mrc")
            for name in ("Micrographs/c.mrc", "Micrographs/d.mrc"):
                os.utime(name, (1, 1))

    for name in project.centres:
        os.utime(name, (1, 1))
    monkeypatch.setattr(watching, "_wait", lambda every, stop, sleep: add_two(every))
    assert pick(project, "micrographs.star", "--out", "picks", "--watch", "1", "--idle", "1") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [" ".join(line.split()[:2]) for line in lines if "/" in line.split(" ")[0]] == [
        *("1/2 a.mrc", "2/2 b.mrc"),
        *("1/2 c.mrc", "2/2 d.mrc"),
    ]
    assert sum("for the other 1 micrographs" in line for line in lines) == 2


def test_watch_picks_again_what_was_written_anew_since_the_last_session(project: Project) -> None:
    watch = ["Micrographs/*.mrc", "--out", "picks", "--watch", "0.01", "--idle", "0.02"]
    for name in project.centres:
        os.utime(name, (1, 1))
    assert pick(project, *watch) == 0
    Path("Micrographs/a.mrc").write_bytes(Path("Micrographs/b.mrc").read_bytes())
    os.utime("Micrographs/a.mrc", (2, 2))
    assert pick(project, *watch) == 0
    found = texts(Path("picks"))
    assert found["Micrographs/a_autopick.star"] == found["Micrographs/b_autopick.star"]


def test_long_session_does_not_select_everything_anew_in_each_round(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a session leaves that ended by itself is what a job leaves that had all micrographs at once."""
    from relion_attn_picker.jobs.picking import scores as picking_scores
    from relion_attn_picker.jobs.picking import watching

    fitted: list[int] = []
    choose_point = picking_scores.choose_point

    def choose_and_note(scores: DataSetScores, *more: Any) -> OperatingPoint:
        fitted.append(scores.n_micrographs)
        return choose_point(scores, *more)

    def add_one(seconds: float) -> None:
        if len(project.centres) < 26:
            add(f"Micrographs/{len(project.centres):02}.mrc")

    def add(*names: str) -> None:
        project.add(*names)
        for name in names:
            os.utime(name, (1, 1))

    add(*(f"Micrographs/{number:02}.mrc" for number in range(2, 20)))
    for name in project.centres:
        os.utime(name, (1, 1))
    monkeypatch.setattr(picking_scores, "choose_point", choose_and_note)
    monkeypatch.setattr(watching, "_wait", lambda every, stop, sleep: add_one(every))
    options = f"--diameter 100 --gpu cpu --j 1 --weights {project.weights}".split()
    command = ["pick", "micrographs.star", *options]
    assert run_plain_command(group, [*command, "--out", "picks", "--watch", "1", "--idle", "1"]) == 0
    assert fitted == [20, 23, 26]
    assert run_plain_command(group, [*command, "--out", "once"]) == 0
    assert texts(Path("picks")) == texts(Path("once"))
    assert Path("picks/summary.star").read_text() == Path("once/summary.star").read_text()


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("--watch 0", "--watch is 0 s"),
        ("--idle 5", "--idle says when --watch ends"),
        ("--watch 1 --reference x.star", "--watch cannot evaluate a growing list"),
        ("--watch 0.01 --idle 0", "No complete micrograph came within 0 s"),
    ],
)
def test_watch_refusals(project: Project, more: str, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert pick(project, "nothing/*.mrc", "--out", "picks", *more.split()) == 1
    assert words in capsys.readouterr().err


def test_released_weights_by_name(project: Project) -> None:
    """As --variant names them; a file or a folder of that name comes first."""
    from relion_attn_picker.inference.weights import find_weights

    assert find_weights(None, Path("standard")) == find_weights("standard", None)
    assert find_weights("standard", Path("standard")) == find_weights("standard", None)
    assert find_weights(None, Path("hybrid")) == find_weights("hybrid", None)
    Path("standard").mkdir()
    with pytest.raises(InputError, match="standard"):
        find_weights(None, Path("standard"))


def test_job_is_not_put_among_the_micrographs(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    assert pick(project, "Micrographs/*.mrc", "--out", "Micrographs") == 1
    assert "Micrographs holds the micrographs themselves: give the job a folder of its own" in capsys.readouterr().err
    assert not list(Path("Micrographs").glob("*.star"))


def test_other_settings_tell_that_all_is_picked_again(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    assert pick(project, "micrographs.star", "--out", "picks") == 0
    assert "picked again" not in capsys.readouterr().out
    assert pick(project, "micrographs.star", "--out", "picks", "--min_distance", "90") == 0
    assert capsys.readouterr().out.count("with other settings or weights: their micrographs are picked again") == 1


def test_precision_is_told_and_saved(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    """Which one is faster decides, so that it must be known what a result was computed in; Continue keeps it."""
    for _ in range(2):
        assert pick(project, "micrographs.star", "--out", "picks") == 0
        assert " in float32, at a threshold of " in capsys.readouterr().out
        assert json.loads(Path("picks/picking_options.json").read_text())["computed_in"] == "float32"
    assert run_plain_command(group, ["select", "picks", "--threshold", "0.95"]) == 0
    assert " in float32, at a threshold of 0.95" in capsys.readouterr().out
