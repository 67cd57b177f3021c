"""A diameter that the scores contradict is warned of; the right one, and micrographs that tell nothing, are not."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from relion_attn_picker.errors import JobAborted
from relion_attn_picker.inference.predictor import load_predictor
from relion_attn_picker.inference.weights import find_weights
from relion_attn_picker.io.mrc import write_image
from relion_attn_picker.jobs.picking.diameter_check import warn_of_another_diameter
from relion_attn_picker.micrograph import Micrograph, OpticsGroup
from relion_attn_picker.options import InferenceOptions, SimulationOptions
from relion_attn_picker.relion.micrographs import read_micrographs
from relion_attn_picker.simulation.particles import procedural_particle
from relion_attn_picker.simulation.project import write_project

CPU = InferenceOptions(gpu="cpu", precision="float32")
DIAMETER = 160.0


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    """Two micrographs with clear particles, and their diameter in Å."""
    folder = tmp_path_factory.mktemp("simulated")
    particle = procedural_particle(DIAMETER, np.random.default_rng(1))
    options = SimulationOptions(count=2, shape=(500, 600), pixel_size=6.0, seed=4, snr=(0.8, 1.5), coverage=(0.1, 0.2))
    write_project(folder, particle, options)
    return folder, particle.diameter


def check(folder: Path, micrographs: list[Micrograph], diameter: float) -> None:
    scout = load_predictor(find_weights("attention", None), CPU)
    warn_of_another_diameter(micrographs, folder, diameter, scout, lambda: False)


@pytest.mark.parametrize(("factor", "is_told"), [(1 / 3, True), (1, False), (1.2, False), (3, True), (20, True)])
def test_diameter_that_the_scores_contradict(
    simulated: tuple[Path, float], factor: float, is_told: bool, caplog: pytest.LogCaptureFixture
) -> None:
    folder, diameter = simulated
    check(folder, read_micrographs(folder / "micrographs.star"), factor * diameter)
    told = [record.message for record in caplog.records if record.levelno == logging.WARNING]
    assert len(told) == is_told
    if is_told:
        found = float(told[0].split(" of ")[1].split()[0])
        assert found == pytest.approx(diameter, rel=0.35)
        assert f"better than the {factor * diameter:g} Å that are given" in told[0]


@pytest.mark.parametrize("content", ["noise", "damaged"])
def test_what_shows_no_particles_tells_nothing(tmp_path: Path, content: str, caplog: pytest.LogCaptureFixture) -> None:
    micrographs = [Micrograph(f"{number}.mrc", OpticsGroup(1, "g", 6.0)) for number in range(2)]
    for micrograph in micrographs:
        image = np.random.default_rng(1).normal(size=(500, 600)).astype(np.float32)
        write_image(tmp_path / micrograph.name, image, 6.0)
        if content == "damaged":
            (tmp_path / micrograph.name).write_bytes(b"0" * 2000)
    check(tmp_path, micrographs, 40.0)
    assert "fit particles of" not in caplog.text


def test_a_request_to_stop_is_heard(simulated: tuple[Path, float]) -> None:
    folder, diameter = simulated
    scout = load_predictor(find_weights("attention", None), CPU)
    with pytest.raises(JobAborted):
        warn_of_another_diameter(read_micrographs(folder / "micrographs.star"), folder, diameter, scout, lambda: True)
