"""A small RELION project of micrographs with dark discs, and the job run on it inside this process."""

from __future__ import annotations

import logging
import re
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import click
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter

from relion_attn_picker.cli._job_command import run_job_command
from relion_attn_picker.cli.external import command as external
from relion_attn_picker.imaging.prepare import NetworkImage, prepare_image
from relion_attn_picker.inference.answers import NetworkAnswer
from relion_attn_picker.io.checkpoint import read_header
from relion_attn_picker.io.mrc import write_image
from relion_attn_picker.jobs.picking import lists as job_lists
from relion_attn_picker.jobs.picking import logfile as job_logfile
from relion_attn_picker.jobs.picking import session as picking_session
from relion_attn_picker.micrograph import Micrograph, OpticsGroup
from relion_attn_picker.model_spec import CheckpointHeader
from relion_attn_picker.picks import FloatArray, ProbabilityMap
from relion_attn_picker.relion.micrographs import write_micrographs

SHAPE = (320, 400)
PIXEL_SIZE = 4.0
DIAMETER = 100.0
MARKERS = ("SUCCESS", "FAILURE", "ABORTED")


@cache
def draw_discs(seed: int) -> NDArray[np.float32]:
    """Return noise with a dark Gaussian disc at each centre of ``place_discs``."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    image = np.random.default_rng(seed).normal(0, 0.3, SHAPE)
    for cy, cx in place_discs(seed):
        image -= 3 * np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / (2 * 6.0**2))
    return image.astype(np.float32)


def place_discs(seed: int) -> NDArray[np.float64]:
    """Return 12 centres, about two diameters apart, none in a symmetric place."""
    grid = np.stack(np.meshgrid([60, 145, 250], [55, 140, 230, 330], indexing="ij"), -1).reshape(-1, 2)
    return grid + np.random.default_rng(seed).uniform(-12, 12, grid.shape)


@dataclass(frozen=True)
class Run:
    """What is left of a run of the job: exit code, both streams, the exit markers in the folder."""

    code: int
    out: str
    err: str
    markers: list[str]

    def assert_failed_with(self, sentence: str) -> None:
        """Assert that the job failed as the user's to mend: one ERROR sentence, no traceback, one marker."""
        errors = [line for line in self.err.splitlines() if line.startswith("ERROR: ")]
        assert len(errors) == 1, self.err
        assert re.search(sentence, errors[0]), self.err
        assert "Traceback" not in self.err
        assert (self.code, self.markers) == (1, ["RELION_JOB_EXIT_FAILURE"])

    def assert_succeeded(self) -> Run:
        """Assert that the job succeeded, and return itself."""
        assert (self.code, self.markers) == (0, ["RELION_JOB_EXIT_SUCCESS"]), self.err
        return self


class Project:
    """The current folder as a RELION project, with the job ``External/job001/``."""

    def __init__(self, folder: Path, weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self.weights, self._capsys = folder, weights, capsys
        self.job = folder / "External" / "job001"
        self.star = folder / "micrographs.star"
        self.centres: dict[str, NDArray[np.float64]] = {}
        (folder / "Micrographs").mkdir()

    def add(self, *names: str) -> None:
        """Write micrographs with discs, and the list of all micrographs until now."""
        for name in names:
            seed = len(self.centres)
            self.centres[name] = place_discs(seed)
            write_image(self.folder / name, draw_discs(seed), PIXEL_SIZE)
        self.list(list(self.centres))

    def list(self, names: Sequence[str], pixel_size: float = PIXEL_SIZE) -> None:
        """Write the micrographs STAR file with these names."""
        group = OpticsGroup(1, "opticsGroup1", pixel_size)
        write_micrographs(self.star, [Micrograph(name, group) for name in names])

    @property
    def arguments(self) -> list[str]:
        """What RELION puts on the command line, without the diameter."""
        given = f"--o External/job001/ --in_mics micrographs.star --weights {self.weights} --gpu cpu"
        return given.split()

    def run(self, *more: str) -> Run:
        """Run the job with the usual arguments, the diameter, a threshold above the noise, and some more."""
        return self.run_only(*self.arguments, "--diameter", str(DIAMETER), "--threshold", "0.9", *more, "--j", "1")

    def run_only(self, *arguments: str) -> Run:
        """Run the job with these arguments only."""
        return self.run_command(external, arguments, self.job)

    def run_command(self, command: click.Command, arguments: Sequence[str], job: Path) -> Run:
        """Run any job with these arguments, in the folder ``job``."""
        code = run_job_command(command, list(arguments), "--o")
        out, err = self._capsys.readouterr()
        return Run(code, out, err, sorted(path.name for path in job.glob("RELION_JOB_*")))

    def markers(self) -> list[str]:
        """Return the names of all exit markers in the job folder."""
        return sorted(path.name for path in self.job.glob("RELION_JOB_*"))

    def picks_path(self, name: str) -> Path:
        """Return where RELION looks for the coordinates of a micrograph."""
        return self.job / (name.removesuffix(".mrc") + "_autopick.star")

    def picks(self, name: str) -> NDArray[np.float64]:
        """Read a coordinate file by plain text: ``(n, 3)`` of y, x, score."""
        return read_picks(self.picks_path(name))

    def picks_text(self) -> dict[str, str]:
        """Return the text of every coordinate file and list of the job."""
        return {str(path.relative_to(self.job)): path.read_text() for path in sorted(self.job.rglob("*.star"))}


def read_picks(path: Path) -> NDArray[np.float64]:
    """Read a coordinate file by plain text: ``(n, 3)`` of y, x, score."""
    rows = [line.split() for line in path.read_text().splitlines() if re.match(r"\s+\d", line)]
    return np.array([[float(row[1]), float(row[0]), float(row[2])] for row in rows]).reshape(-1, 3)


class DarkPredictor:
    """Nearly what the network of ``tiny_checkpoint`` computes, without a network: high where the 5×5 mean is dark."""

    precision = "float32"

    def __init__(self, header: CheckpointHeader) -> None:
        self.header = header

    def prepare(self, image: FloatArray, pixel_size: float, particle_diameter: float) -> NetworkImage:
        """Bring an image to the network's scale, as the real one."""
        normalization = self.header.normalization
        return prepare_image(image, pixel_size, particle_diameter, self.header.particle_diameter_px, normalization)

    def predict(self, image: NetworkImage) -> ProbabilityMap:
        """Return the logistic function of a linear one."""
        dark = uniform_filter(-image.values, 5, mode="constant")
        return ProbabilityMap((1 / (1 + np.exp(4 - 4 * dark))).astype(np.float32), image.pixel_size)

    def answer(self, image: NetworkImage) -> NetworkAnswer:
        """Answer as a network alone does."""
        return NetworkAnswer(self.predict(image))


@pytest.fixture
def real_project(
    tmp_path: Path, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Project:
    """A project with two micrographs; the current folder."""
    monkeypatch.chdir(tmp_path)
    project = Project(tmp_path, tiny_checkpoint, capsys)
    project.add("Micrographs/a.mrc", "Micrographs/b.mrc")
    return project


@pytest.fixture
def project(real_project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project whose job is quick: no torch and no matplotlib, everything else is real."""
    monkeypatch.setattr(picking_session, "load_predictor", lambda path, _: DarkPredictor(read_header(path)))
    for module in (job_lists, job_logfile):
        monkeypatch.setattr(module, "write_logfile", lambda path, *_: path.write_bytes(b"%PDF"))
    monkeypatch.setattr(job_logfile, "plot_examples", lambda *_: [])
    return real_project


@pytest.fixture(autouse=True)
def _restore_process() -> Iterator[None]:
    """Commands take over signals and logging of their process; give both back."""
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    logger = logging.getLogger("relion_attn_picker")
    handlers, level, propagate = logger.handlers, logger.level, logger.propagate
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)
    logger.handlers, logger.level, logger.propagate = handlers, level, propagate
