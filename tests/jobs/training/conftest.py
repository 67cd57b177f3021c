"""A small simulated project, and the command that trains on it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from relion_attn_picker.cli import group
from relion_attn_picker.cli._plain_command import run_plain_command
from relion_attn_picker.micrograph import OpticsGroup
from relion_attn_picker.options import SimulationOptions
from relion_attn_picker.simulation.particles import procedural_particle
from relion_attn_picker.simulation.project import write_project

OPTICS = OpticsGroup(1, "opticsGroup1", 4.0)
SMALL = ["--base_features", "8", "--steps", "2", "--batch_size", "2", "--validate_every", "2", "--input_size", "64"]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    options = SimulationOptions(count=3, shape=(160, 200), pixel_size=6.0, seed=2)
    write_project(folder, procedural_particle(150.0, np.random.default_rng(1)), options)
    return folder


def train(project: Path, out: Path, *more: str, truth: Path | None = None) -> int:
    data = ["--data", str(project / "micrographs.star"), str(truth or project / "truth.star"), "150"]
    crops = ["--crops_per_source", "6", "--gpu", "cpu", "--j", "1", "--out", str(out)]
    return run_plain_command(group, ["train", *data, *SMALL, *crops, *more])


def data_of(project: Path) -> list[str]:
    return ["--data", str(project / "micrographs.star"), str(project / "truth.star"), "150"]
