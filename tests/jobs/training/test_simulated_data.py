"""Simulated fields to train on: made where they shall be, and told apart by where that is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from relion_attn_picker.errors import InputError
from relion_attn_picker.jobs.training import simulated_data
from relion_attn_picker.jobs.training.simulated_data import (
    STREAMS,
    open_simulation,
    place_simulation,
    simulate_on_the_fly,
    simulate_source,
)
from relion_attn_picker.model_spec import Normalization
from relion_attn_picker.simulation.micrograph import SimulatedMicrograph
from relion_attn_picker.training.batches import BatchMaker
from relion_attn_picker.training.mixture import Mixture
from relion_attn_picker.training_options import CropOptions, TrainOptions


def test_fields_are_made_on_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    places = []
    original = simulated_data.simulate_micrograph

    def simulate(*arguments: Any) -> SimulatedMicrograph:
        places.append(arguments[-1])
        return original(*arguments[:-1], "cpu")

    monkeypatch.setattr(simulated_data, "simulate_micrograph", simulate)
    simulation = open_simulation(None, seed=1, device="cuda:1")
    fields = [simulate_on_the_fly(simulation, 1.0, 0.0).make(2), simulation.make_session(3)[0]]
    assert places == ["cuda:1"] * 3
    np.testing.assert_array_equal(fields[0].image, open_simulation(None, seed=1).make_field("on the fly", 2).image)


def test_other_noise_is_told_by_the_description() -> None:
    cpu, one, other = (open_simulation(None, 1, device=place).description for place in ("cpu", "cuda:0", "cuda:1"))
    assert "seed 1" in cpu
    assert "GPU" not in cpu
    assert one == other == f"{cpu}, made on a GPU"


@pytest.mark.parametrize(("gpu", "device"), [("auto", "cuda:0"), ("3", "cuda:3")])
def test_gpu_of_the_training_simulates(monkeypatch: pytest.MonkeyPatch, gpu: str, device: str) -> None:
    monkeypatch.setattr(
        simulated_data, "device_of", lambda asked, world: torch.device({"auto": "cuda:0"}.get(asked, f"cuda:{asked}"))
    )
    assert place_simulation("gpu", gpu) == device
    assert place_simulation("cpu", gpu) == "cpu"


def test_no_gpu_to_simulate_on() -> None:
    with pytest.raises(InputError, match=r"there is no GPU to simulate on: leave out --simulate_on gpu"):
        place_simulation("gpu", "cpu")


@pytest.mark.gpu
def test_batches_of_fields_from_a_gpu_repeat() -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    fields = simulate_on_the_fly(open_simulation(None, 1, device="cuda:0"), 1.0, 0.0)
    mixture = Mixture(None, fields, CropOptions(crop_size=64), Normalization())
    options = TrainOptions(batch_size=2, input_size=48, crops_per_field=2)
    one, again = (BatchMaker(mixture, options).make(3) for _ in range(2))
    assert torch.equal(one.images, again.images)
    assert float(one.images.std()) == pytest.approx(1, abs=0.5)


def test_no_two_purposes_share_a_field() -> None:
    simulation = open_simulation(None, 5)
    fields = [simulation.make_field(purpose, 0).image for purpose in STREAMS]
    assert len({field.tobytes() for field in fields}) == len(STREAMS)


def test_excluded_structures(tmp_path: Path) -> None:
    for name in ("ferritin_1.npz", "other.npz"):
        (tmp_path / name).touch()
    simulation = open_simulation(tmp_path, 1, ["Ferritin"])
    assert simulation.structures is not None
    assert "1 structures of" in simulation.description
    assert "without ferritin_1.npz" in simulation.description
    with pytest.raises(InputError, match="feritin"):
        open_simulation(tmp_path, 1, ["feritin"])


def test_nothing_to_exclude_from() -> None:
    with pytest.raises(InputError, match="--exclude ferritin has nothing to leave out: give --structures"):
        open_simulation(None, 1, ["ferritin"])


def test_seed_of_a_simulation_that_is_none() -> None:
    with pytest.raises(InputError, match="The seed is -1: expected 0 or more"):
        open_simulation(None, -1)


def test_simulated_source_is_reproducible() -> None:
    first, again = (simulate_source(open_simulation(None, 5), 2) for _ in range(2))
    for one, other in zip(first.micrographs, again.micrographs, strict=True):
        np.testing.assert_array_equal(one().image, other().image)
    assert first.description == "procedural particles of 57 to 600 Å, seed 5, 2 fields"


def test_folder_without_bead_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no bead files"):
        open_simulation(tmp_path, 5)
