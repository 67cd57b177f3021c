"""The live job against a double of the client library: what may fail without losing the night, and what may not.

With the real libraries it runs in ``tests/contract/test_cryosparc_live.py``.
"""

from __future__ import annotations

import http.client
from collections.abc import Callable
from pathlib import Path
from types import FunctionType
from typing import Any

import pytest

from relion_attn_picker.errors import InputError
from relion_attn_picker.inference.weights import find_weights
from relion_attn_picker.jobs.cryosparc import job as cryosparc_job
from relion_attn_picker.jobs.cryosparc.job import LiveSource, run_live_job, running_job
from relion_attn_picker.jobs.picking.job import MicrographResult
from relion_attn_picker.jobs.picking.request import JobSummary, PickingRequest
from relion_attn_picker.options import InferenceOptions, PickOptions
from relion_attn_picker.relion.job import JobDirectory
from tests.jobs.cryosparc.conftest import PATHS, exposure_columns

SOURCE = LiveSource(project="P1", workspace="W1", job="J2")


class CommandError(Exception):
    """What 4.x raises when its server does not answer."""

    __module__ = "cryosparc.errors"


class Client:
    """Client, project and external job in one: remembers all calls, and raises ``error`` in those of ``failing``."""

    uid = "J3"
    dir = Path()

    def __init__(self, *failing: str, error: Exception | None = None) -> None:
        self.failing = failing
        self.error = error or CommandError("URL Error timed out")
        self.calls: list[tuple[str, Any]] = []

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(*given: Any, **more: Any) -> Any:
            self.calls.append((name, more.get("error") if name == "stop" else (given or (None,))[0]))
            if name in self.failing:
                raise_within_client(self.error)
            return exposure_columns() if name == "load_input" else self

        return call

    def names(self) -> list[str]:
        return [name for name, _ in self.calls]


def raise_within_client(error: Exception) -> None:
    """Raise from a function whose module is the client library's, through one of the standard library's."""

    def call(fail: Callable[[], None]) -> None:
        fail()

    def fail() -> None:
        raise error

    FunctionType(call.__code__, {"__name__": "cryosparc.command"})(fail)


@pytest.fixture(autouse=True)
def _without_client_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cryosparc_job, "as_dataset", lambda table: table)


def pick(client: Client, checkpoint: Path) -> JobSummary:
    request = PickingRequest(
        micrographs=[],
        project_dir=Path(),
        micrographs_star="",
        weights=find_weights(None, checkpoint),
        options=PickOptions(particle_diameter=72, threshold=0.99),
        inference=InferenceOptions(gpu="cpu", threads=1),
    )

    def report(number: int, total: int, result: MicrographResult) -> None:
        """Tell nobody."""

    return run_live_job(client, SOURCE, request, JobDirectory.open("job"), report)[1]


@pytest.mark.parametrize(
    ("failing", "error"),
    [("log", http.client.RemoteDisconnected("no answer")), ("log_plot", CommandError("URL Error"))],
)
def test_lines_and_plots_that_fail_do_not_end_the_job(
    project: Path, tiny_checkpoint: Path, caplog: pytest.LogCaptureFixture, failing: str, error: Exception
) -> None:
    client = Client(failing, error=error)
    summary = pick(client, tiny_checkpoint)
    assert [result.n_picks for result in summary.results] == [1, 1]
    assert dict(client.calls)["save_output"] == "picks"
    assert client.calls[-1] == ("stop", None)
    assert client.names().index("save_output") < client.names().index("log_plot")
    warned = [record.message for record in caplog.records if "the job goes on" in record.message]
    assert len(warned) == 1
    assert warned[0].startswith(f"The event log: CryoSPARC says: {error}; the job goes on")


def test_image_that_is_gone_does_not_end_the_job(
    project: Path, tiny_checkpoint: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Continued, the job needs it for its plot only."""
    pick(Client(), tiny_checkpoint)
    Path(PATHS[1]).unlink()
    client = Client()
    pick(client, tiny_checkpoint)
    assert client.calls[-1] == ("stop", None)
    assert "There is no micrograph at" in caplog.text


def test_image_that_is_missing_from_the_beginning_is_left_out(project: Path, tiny_checkpoint: Path) -> None:
    Path(PATHS[0]).unlink()
    client = Client()
    summary = pick(client, tiny_checkpoint)
    assert [result.n_picks for result in summary.results] == [0, 1]
    assert f"There is no micrograph at {PATHS[0]}" in Path("job/failed_micrographs.star").read_text()
    assert client.calls[-1] == ("stop", None)
    Path(PATHS[1]).unlink()
    with pytest.raises(InputError, match=r"None of the first 2 micrographs is there .*give --project_dir"):
        pick(Client(), tiny_checkpoint)


@pytest.mark.parametrize("failing", ["connect", "start", "load_input", "save_output"])
def test_what_a_job_cannot_do_without(project: Path, tiny_checkpoint: Path, failing: str) -> None:
    client = Client(failing)
    with pytest.raises(InputError, match="CryoSPARC says: URL Error timed out"):
        pick(client, tiny_checkpoint)
    assert client.calls[-2][0] == "log"
    assert client.calls[-1][0] == "stop" and "URL Error timed out" in client.calls[-1][1]


def test_reason_of_a_failure_outlives_the_line_that_tells_it() -> None:
    client = Client("log")
    with pytest.raises(KeyError, match="a bug"), running_job(client, SOURCE):
        raise KeyError("a bug")
    assert client.calls[-1] == ("stop", "'a bug'")


def test_faults_of_our_own_are_not_told_as_those_of_cryosparc(tiny_checkpoint: Path, project: Path) -> None:
    with pytest.raises(KeyError):
        pick(Client("log", error=KeyError("a bug")), tiny_checkpoint)
