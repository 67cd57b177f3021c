"""How an External job ends when it is stopped or breaks: exactly one marker, the right exit code."""

from __future__ import annotations

import errno
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from relion_attn_picker.cli._picking import ProgressLines
from relion_attn_picker.errors import InputError
from relion_attn_picker.inference.operating_point import OperatingPoint
from relion_attn_picker.jobs import saved_options
from relion_attn_picker.jobs.picking import job as picking_job
from relion_attn_picker.jobs.picking import session as picking_session
from relion_attn_picker.relion.job import JobDirectory
from tests.conftest import hold_elsewhere

if TYPE_CHECKING:
    from tests.cli.conftest import Project

ABORTED = (2, ["RELION_JOB_EXIT_ABORTED"])


def raiser(error: BaseException) -> Callable[..., Any]:
    """Return a function that raises ``error`` whatever it is called with."""

    def fail(*_: object, **__: object) -> None:
        raise error

    return fail


@pytest.mark.parametrize("error", [ZeroDivisionError("no"), KeyError("x"), SystemExit(0), RecursionError(), OSError()])
def test_bug(project: Project, monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    monkeypatch.setattr(picking_job, "find_candidates", raiser(error))
    run = project.run()
    assert (run.code, run.markers) == (1, ["RELION_JOB_EXIT_FAILURE"])
    assert "Traceback" in run.err
    assert run.err.endswith("ERROR: This is a bug of attnpick: please report the lines above.\n")


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (MemoryError(), "memory of this machine, or what a queue allows of it, does not suffice"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"), "does not suffice"),
        (OSError(errno.ESTALE, "Stale file handle", "a.star"), "a.star: the network file system has lost it"),
        (OSError(errno.ETIMEDOUT, "Timed out", "a.star"), "a.star: the network file system does not answer"),
        (OSError(errno.EPERM, "Not permitted", "a.star"), "a.star: permission is denied"),
    ],
)
def test_what_the_machine_does_not_give_is_no_bug(
    project: Project, monkeypatch: pytest.MonkeyPatch, error: Exception, sentence: str
) -> None:
    monkeypatch.setattr(picking_job, "find_candidates", raiser(error))
    project.run().assert_failed_with(sentence)


def test_reader_of_the_output_that_ends_early(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ProgressLines, "report", raiser(BrokenPipeError(errno.EPIPE, "Broken pipe")))
    project.run().assert_failed_with("whoever read the output has ended, such as head: write it into a file instead")


@pytest.mark.parametrize("closed", [">&-", "<&- >&- 2>&-"])
def test_streams_that_were_closed_at_the_start(project: Project, closed: str) -> None:
    """Python then has None in the place of stdout, whose flush at the job's end comes before the marker."""
    arguments = [sys.executable, "-m", "relion_attn_picker", "external", *project.arguments, "--diameter", "100"]
    ended = subprocess.run(["sh", "-c", f'"$@" {closed}', "sh", *arguments], check=False)
    assert (ended.returncode, project.markers()) == (0, ["RELION_JOB_EXIT_SUCCESS"])


def test_job_that_runs_already_is_left_alone(project: Project) -> None:
    """What it was asked, to abort, and the marker that it leaves as it ends, are not the second start's to remove."""
    markers = ["RELION_JOB_ABORT_NOW", "RELION_JOB_EXIT_SUCCESS"]
    with hold_elsewhere(project.job) as holder:
        for marker in markers:
            (project.job / marker).touch()
        run = project.run()
        holder.communicate("")
    assert (run.code, run.markers) == (1, markers)
    assert run.err.startswith(f"ERROR: External/job001 is being worked in by process {holder.pid} on ")
    project.run().assert_succeeded()


def test_bug_in_a_preparing_thread(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picking_job, "prepare_micrograph", raiser(ZeroDivisionError()))
    run = project.run()
    assert (run.code, run.markers) == (1, ["RELION_JOB_EXIT_FAILURE"])
    assert "Traceback" in run.err


def test_broken_package(real_project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    error = ImportError("libcudart.so.12: cannot open shared object file", name="torch")
    monkeypatch.setattr(picking_session, "load_predictor", raiser(error))
    real_project.run().assert_failed_with("The Python package torch cannot be loaded .*libcudart.*install it again")


def test_module_of_our_own_that_is_missing(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    error = ModuleNotFoundError("gone", name="relion_attn_picker.gone")
    monkeypatch.setattr(picking_session, "load_predictor", raiser(error))
    assert "This is a bug" in project.run().err


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
    assert run.err == "Aborted. The job was asked to stop. What is done is kept: the same job again goes on.\n"
    assert not (project.job / "RELION_JOB_ABORT_NOW").exists()
    listed = (project.job / "autopick.star").read_text()
    assert "a.mrc" in listed
    assert "b.mrc" not in listed
    assert "1/2 a.mrc 12 picks done before" in project.run().assert_succeeded().out


def test_aborted_continue_keeps_what_was_done_before_listed(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    project.run().assert_succeeded()
    before = (project.job / "autopick.star").read_text()
    with monkeypatch.context() as patch:
        patch.setattr(JobDirectory, "abort_requested", lambda job: True)
        run = project.run()
    assert (run.code, run.markers) == ABORTED
    assert (project.job / "autopick.star").read_text() == before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signal(project: Project, monkeypatch: pytest.MonkeyPatch, number: signal.Signals) -> None:
    def be_stopped(*_: object) -> None:
        os.kill(os.getpid(), number)
        time.sleep(10)

    monkeypatch.setattr(picking_job, "find_candidates", be_stopped)
    signal.signal(number, signal.SIG_DFL)  # a shell starts background jobs with SIGINT ignored, this test among them
    run = project.run()
    assert (run.code, run.markers) == ABORTED
    assert (
        run.err == f"Aborted. The job got the signal {number.name}. What is done is kept: the same job again goes on.\n"
    )


def test_signal_that_a_library_turns_into_its_own_error(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    def be_stopped(*_: object) -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(10)
        except BaseException as error:
            raise InputError("The file cannot be read.") from error

    monkeypatch.setattr(saved_options, "describe_point", be_stopped)
    run = project.run()
    assert (run.code, run.markers) == ABORTED


def test_signal_while_a_line_is_logged(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """The logging keeps each ``Exception`` of a handler to itself, and the job would go on."""

    class BeStopped(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            try:
                os.kill(os.getpid(), signal.SIGTERM)
                time.sleep(10)
            except Exception:
                self.handleError(record)

    find_candidates = picking_job.find_candidates
    logger = logging.getLogger("a library")
    logger.addHandler(BeStopped())

    def tell_and_find(*arguments: Any) -> Any:
        logger.warning("This may take a while.")
        return find_candidates(*arguments)

    monkeypatch.setattr(picking_job, "find_candidates", tell_and_find)
    run = project.run()
    assert (run.code, run.markers) == ABORTED


STOPPED_WHILE_LOADED = """
import os, signal, sys
import relion_attn_picker.cli as cli

load = cli.import_module

def load_and_be_stopped(name):
    os.kill(os.getpid(), signal.SIGTERM)
    return load(name)

cli.import_module = load_and_be_stopped
cli.main_external(sys.argv[1:])
"""


def test_signal_while_the_program_is_loaded(project: Project) -> None:
    arguments = [sys.executable, "-c", STOPPED_WHILE_LOADED, *project.arguments, "--diameter", "100"]
    ended = subprocess.run(arguments, check=False, capture_output=True, text=True)
    assert (ended.returncode, project.markers()) == ABORTED, ended.stderr
    assert ended.stderr.startswith("Aborted. The job got the signal SIGTERM.")


def test_nohup_is_respected(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    describe_point = saved_options.describe_point

    def hang_up(point: OperatingPoint) -> dict[str, Any]:
        os.kill(os.getpid(), signal.SIGHUP)
        return describe_point(point)

    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    monkeypatch.setattr(saved_options, "describe_point", hang_up)
    project.run().assert_succeeded()
