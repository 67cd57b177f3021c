"""A labelled project, a pool without labels, and a quick self-training on them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from relion_attn_picker.jobs.self_training.request import SelfTrainingRequest, UnlabelledData
from relion_attn_picker.jobs.training.labelled_data import TrainingData
from relion_attn_picker.jobs.training.request import TrainingRequest
from relion_attn_picker.options import InferenceOptions, SimulationOptions
from relion_attn_picker.simulation.particles import procedural_particle
from relion_attn_picker.simulation.project import write_project
from relion_attn_picker.training.fit import Progress
from relion_attn_picker.training_options import CropOptions, SelfTrainingOptions, TrainOptions

FIRST, SECOND = "iteration_1_self_training", "iteration_2_self_training"
ANY_STUDENT = 0.999
"""A tolerance with which every student is kept."""


class KilledError(Exception):
    """Stands for a kill."""


@pytest.fixture(scope="module")
def projects(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two projects of the same particle, ``labelled`` and ``pool``."""
    folder = tmp_path_factory.mktemp("projects")
    particle = procedural_particle(150.0, np.random.default_rng(1))
    write_project(folder / "labelled", particle, SimulationOptions(count=2, shape=(160, 200), pixel_size=6.0, seed=2))
    write_project(folder / "pool", particle, SimulationOptions(count=2, shape=(160, 200), pixel_size=6.0, seed=3))
    return folder


@pytest.fixture
def request_(projects: Path, tiny_checkpoint: Path) -> SelfTrainingRequest:
    """Rounds of two steps, begun by a teacher that picks what is dark, every student kept."""
    labelled = projects / "labelled"
    data = TrainingData(
        micrographs_star=labelled / "micrographs.star",
        coordinates=labelled / "truth.star",
        particle_diameter=150.0,
        hold_out=1,
    )
    return SelfTrainingRequest(
        training=TrainingRequest(
            data=[data],
            crops=CropOptions(crop_size=80, crops_per_source=6),
            train=TrainOptions(
                base_features=8, steps=2, batch_size=2, validate_every=1, input_size=64, learning_rate=1e-4
            ),
            inference=InferenceOptions(gpu="cpu", precision="float32"),
        ),
        unlabelled=[UnlabelledData(projects / "pool/micrographs.star", 150.0)],
        options=SelfTrainingOptions(rounds=2, positive=0.5, negative=0.2, tolerance=ANY_STUDENT, pictures=1),
        teacher=tiny_checkpoint,
    )


def with_training(request: SelfTrainingRequest, **changed: object) -> SelfTrainingRequest:
    return replace(request, training=replace(request.training, **changed))  # type: ignore[arg-type]


def with_options(request: SelfTrainingRequest, **options: object) -> SelfTrainingRequest:
    return replace(request, options=replace(request.options, **options))  # type: ignore[arg-type]


def kill_in(training: int, step: int) -> Callable[[], Callable[[Progress], None]]:
    """Return reports that kill the process in the n-th training at a step."""
    trainings = 0

    def start() -> Callable[[Progress], None]:
        nonlocal trainings
        trainings += 1
        is_last = trainings == training

        def report(progress: Progress) -> None:
            if is_last and progress.step == step:
                raise KilledError

        return report

    return start


def results(folder: Path) -> dict[str, bytes]:
    """Return what must not depend on interruptions: everything but the logs, the crops' and the states' containers."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in ("log.txt", "crops.h5", "state.pt")
    }
