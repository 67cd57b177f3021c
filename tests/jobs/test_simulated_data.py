"""Simulated fields to train on: made where they shall be, and told apart by where that is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from relion_attn_picker.errors import InputError
from relion_attn_picker.jobs import simulated_data
from relion_attn_picker.jobs.simulated_data import open_simulation, place_simulation, simulate_on_the_fly
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
