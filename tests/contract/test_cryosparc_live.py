"""``attnpick cryosparc run`` and the example, with the real client libraries against ``cryosparc_stand_in``.

No CryoSPARC was at hand: see there for what this shows and what it does not.
"""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mrcfile
import numpy as np
import pytest

from relion_attn_picker.io.cryosparc import make_table, read_cs, write_cs
from tests.conftest import write_tiny_checkpoint

if TYPE_CHECKING:
    from tests.contract.conftest import CryosparcClient

pytestmark = pytest.mark.slow

STAND_IN = Path(__file__).parent / "cryosparc_stand_in"
EXAMPLE = Path(__file__).parent.parent.parent / "examples/cryosparc_external_job.py"
SHAPE, MARK = (480, 640), (300, 100)
CREDENTIALS = {
    "CRYOSPARC_MASTER_HOSTNAME": "127.0.0.1",
    "CRYOSPARC_EMAIL": "me@example.com",
    "CRYOSPARC_PASSWORD": "secret",
    "CRYOSPARC_LICENSE_ID": "a" * 8 + "-1111-2222-3333-" + "b" * 12,
    "CRYOSPARC_COMMAND_RETRY_SECONDS": "0",
}
DRIVER = """
import json, sys
from relion_attn_picker.cli import group
from relion_attn_picker.cli._plain_command import run_plain_command
codes = [run_plain_command(group, arguments) for arguments in json.loads(sys.argv[1])]
print("codes", json.dumps(codes))
"""
"""Several commands in one process: torch is imported once."""
MARGIN_RUNS = {"default": [], "border": ["--border", "0"]}


@dataclass(frozen=True)
class Server:
    """The stand-in of one version, with its folder."""

    client: CryosparcClient
    port: int
    folder: Path

    def run(self, arguments: list[str], **env: str) -> subprocess.CompletedProcess[str]:
        address = {"CRYOSPARC_BASE_PORT": str(self.port), "HOME": str(self.folder)}
        return self.client.run(arguments, CREDENTIALS | address | env)

    def jobs(self) -> dict[str, Any]:
        jobs: dict[str, Any] = json.loads((self.folder / "state.json").read_text())
        return jobs


def free_port() -> int:
    """Return a port that is free, and so are those up to 5 above it."""
    for _ in range(100):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        if port < 65000 and all(is_free(port + more) for more in (2, 3, 5)):
            return port
    raise AssertionError("no free ports")


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


@pytest.fixture(scope="module")
def server(cryosparc_client: CryosparcClient, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A stand-in with two rectangular micrographs, the second of which cannot be read."""
    folder = tmp_path_factory.mktemp("instance")
    paths = ["J1/imported/good.mrc", "J1/imported/bad.mrc"]
    y, x = np.indices(SHAPE)
    image = np.random.default_rng(3).normal(0, 0.3, SHAPE)
    image -= 5 * np.exp(-((y - MARK[0]) ** 2 + (x - MARK[1]) ** 2) / (2 * 12**2))
    (folder / "project/J1/imported").mkdir(parents=True)
    mrcfile.write(folder / "project" / paths[0], image.astype(np.float32), voxel_size=1.5)
    (folder / "project" / paths[1]).write_bytes(b"")
    columns = {
        "uid": np.array([2**63 + 5, 8], "u8"),
        "micrograph_blob/path": np.array(paths),
        "micrograph_blob/shape": np.array([SHAPE] * 2, "<u4"),
        "micrograph_blob/psize_A": np.full(2, 1.5, "<f4"),
        "mscope_params/accel_kv": np.full(2, 300, "<f4"),
        "mscope_params/exp_group_id": np.array([3, 3], "<u4"),
        "ctf/df1_A": np.zeros(2, "<f4"),
    }
    write_cs(folder / "exposures.cs", make_table(columns))
    port = free_port()
    process = subprocess.Popen(
        [cryosparc_client.python, STAND_IN, cryosparc_client.version, str(port), folder],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    yield Server(cryosparc_client, port, folder)
    process.kill()
    process.wait()
    process.stdout.close()


def command(out: Path, *more: str, output: str = "exposures", project: str = "P1", weights: Path) -> list[str]:
    place = ["--project", project, "--workspace", "W1", "--job", "J2", "--output", output, "--out", str(out)]
    picking = ["--diameter", "72", "--threshold", "0.99", "--gpu", "cpu", "--weights", str(weights), "--j", "1"]
    return ["cryosparc", "run", *place, *picking, *more]


def assert_picks(path: Path) -> None:
    """The one particle is where it was drawn, and every column has the type that the server asks for."""
    (row,) = read_cs(path)
    assert row["location/micrograph_path"] == b"J1/imported/good.mrc"
    assert row["location/micrograph_uid"] == 2**63 + 5
    assert row["location/micrograph_shape"].tolist() == [480, 640]
    assert row["location/exp_group_id"] == 3
    np.testing.assert_allclose(row["location/center_y_frac"] * 480, 300, atol=0.6)
    np.testing.assert_allclose(row["location/center_x_frac"] * 640, 100, atol=0.6)
    assert row["pick_stats/ncc_score"] == row["pick_stats/power"] > 0.99


def test_command(server: Server, tmp_path: Path, tiny_checkpoint: Path) -> None:
    """A run that succeeds, the same again from the folder, and four that fail: each told here and in CryoSPARC."""
    commands = [
        command(tmp_path / "a", weights=tiny_checkpoint),
        command(tmp_path / "a", weights=tiny_checkpoint),
        command(tmp_path / "b", "--max_failures", "0", weights=tiny_checkpoint),
        command(tmp_path / "c", output="nothing", weights=tiny_checkpoint),
        command(tmp_path / "d", project="P9", weights=tiny_checkpoint),
        command(tmp_path / "e", "--project_dir", str(tmp_path / "elsewhere"), weights=tiny_checkpoint),
    ]
    done = server.run(["-c", DRIVER, json.dumps(commands)])
    assert done.returncode == 0, done.stdout + done.stderr
    assert "codes [0, 0, 1, 1, 1, 1]" in done.stdout, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    jobs = server.jobs()
    assert [(uid, job["status"]) for uid, job in jobs.items()] == [
        ("J2", "completed"),
        ("J3", "completed"),
        ("J4", "completed"),
        ("J5", "failed"),
        ("J6", "failed"),
        ("J7", "failed"),
    ]
    log = [text for _, text in jobs["J3"]["log"]]
    assert log[0] == "attnpick picks 2 micrographs with tiny.safetensors."
    assert log[1] == "1/2 good.mrc 1 picks"
    assert log[2].startswith("2/2 bad.mrc is left out: ")
    assert log[-1] == "Saved 1 picks on 1 micrographs, threshold 0.99."
    assert jobs["J3"]["plots"] >= 2
    assert jobs["J3"]["inputs"]["micrographs"]["source"] == ["J2", "exposures"]
    assert jobs["J3"]["outputs"] == {"picks": ["location", "pick_stats"]}
    assert_picks(server.folder / "J3_picks.cs")
    assert_picks(server.folder / "J4_picks.cs")
    assert not (server.folder / "J5_picks.cs").exists()
    for uid, sentence in {"J5": "more than the 0", "J6": "nothing", "J7": "give --project_dir"}.items():
        level, text = jobs[uid]["log"][-1]
        assert level == "error" and sentence in text
        assert sentence in done.stderr
    assert "P9" in done.stderr
    assert (tmp_path / "a/RELION_JOB_EXIT_SUCCESS").exists() and (tmp_path / "c/RELION_JOB_EXIT_FAILURE").exists()
    assert "done before" in done.stdout


def test_picks_stop_where_the_labels_of_the_weights_did(server: Server, tmp_path: Path) -> None:
    """The particle lies 150 Å from the edge, the labels stopped 180 Å from it: CryoSPARC gets what the job picks."""
    weights = write_tiny_checkpoint(tmp_path / "margin.safetensors", "attention", label_margin=2.5)
    commands = [command(tmp_path / name, *more, weights=weights) for name, more in MARGIN_RUNS.items()]
    done = server.run(["-c", DRIVER, json.dumps(commands)])
    assert "codes [0, 0]" in done.stdout, done.stdout + done.stderr
    ends = [job["log"][-1][1] for job in list(server.jobs().values())[-2:]]
    assert ends == [f"Saved {n} picks on 1 micrographs, threshold 0.99." for n in (0, 1)]


RUN_TWICE = """
import runpy, shutil, sys
script, good, bad, *sys.argv[1:] = sys.argv[1:]
try:
    runpy.run_path(script)
except Exception as error:
    print("failed:", error)
shutil.copyfile(good, bad)
runpy.run_path(script)
"""


def test_example(server: Server, tiny_checkpoint: Path) -> None:
    """The script stops at the micrograph that cannot be read, and says so in CryoSPARC; without it, it succeeds."""
    good, bad = (server.folder / f"project/J1/imported/{name}.mrc" for name in ("good", "bad"))
    before = set(server.jobs())
    arguments = [EXAMPLE, good, bad, "P1", "W1", "J2", "exposures", "72", tiny_checkpoint]
    try:
        done = server.run(["-c", RUN_TWICE, *map(str, arguments)])
    finally:
        bad.write_bytes(b"")
    assert done.returncode == 0, done.stderr
    assert "failed: " in done.stdout and "bad.mrc is empty" in done.stdout
    (failed, completed) = [(uid, job) for uid, job in server.jobs().items() if uid not in before]
    assert (failed[1]["status"], completed[1]["status"]) == ("failed", "completed")
    table = read_cs(server.folder / f"{completed[0]}_picks.cs")
    assert set(table["location/micrograph_path"]) == {b"J1/imported/good.mrc", b"J1/imported/bad.mrc"}


INTERRUPTED = """
from cryosparc.dataset import Dataset
from relion_attn_picker.jobs.cryosparc.job import LiveSource, connect, running_job

source = LiveSource(project="P1", workspace="W1", job="J2")
project = connect().find_project("P1")
try:
    with running_job(project.create_external_job("W1", title="interrupted"), source):
        raise KeyboardInterrupt
except KeyboardInterrupt:
    print("interrupted")
with running_job(project.create_external_job("W1", title="wrong shape"), source) as external:
    external.save_output("picks", Dataset.allocate(1, [("location/micrograph_shape", "<u4")]))
"""


def test_interruption_and_refusal_mark_the_job_as_failed(server: Server) -> None:
    """After Ctrl-C, ``ExternalJob.run`` of both client libraries would mark it as completed.

    The refusal is the stand-in's own check, which the runs above passed.
    """
    done = server.run(["-c", INTERRUPTED])
    assert done.stdout == "interrupted\n"
    assert "InputError: External job" in done.stderr
    assert "missing the following required fields" in done.stderr
    assert [job["status"] for job in list(server.jobs().values())[-2:]] == ["failed", "failed"]


def test_no_credentials(cryosparc_client: CryosparcClient, tmp_path: Path) -> None:
    code = "from relion_attn_picker.jobs.cryosparc.job import connect; connect()"
    done = cryosparc_client.run(["-c", code], {"HOME": str(tmp_path), "CRYOSPARC_BASE_PORT": "1"})
    assert "InputError: No connection to CryoSPARC: " in done.stderr
    assert "Set CRYOSPARC_MASTER_HOSTNAME, CRYOSPARC_BASE_PORT, CRYOSPARC_EMAIL" in done.stderr


def test_without_the_client_library(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    from relion_attn_picker.errors import InputError
    from relion_attn_picker.jobs.cryosparc.job import connect

    monkeypatch.setitem(sys.modules, "cryosparc", None)
    with pytest.raises(InputError, match="cryosparc-tools cannot be loaded"):
        connect()
