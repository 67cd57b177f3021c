"""The predictor: tiles agree with the whole, precisions agree, devices are never substituted silently."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from relion_attn_picker.errors import DeviceError, InputError
from relion_attn_picker.imaging.prepare import NetworkImage
from relion_attn_picker.inference import network as network_module
from relion_attn_picker.inference.devices import choose_device
from relion_attn_picker.inference.predictor import ModelPredictor, load_predictor
from relion_attn_picker.inference.weights import find_weights
from relion_attn_picker.model_spec import CheckpointHeader, ModelSpec
from relion_attn_picker.models.builders import ARCHITECTURES, build_model
from relion_attn_picker.options import InferenceOptions


def random_network(architecture: str) -> tuple[torch.nn.Module, CheckpointHeader]:
    """A network whose every level matters: fresh weights, with batch statistics from noise."""
    torch.manual_seed(3)
    spec = ModelSpec(architecture, 8)
    model = build_model(spec).train()
    with torch.no_grad():
        for _ in range(20):
            model(torch.randn(4, 1, 128, 128))
    model.head.weight.data.mul_(8)  # probabilities that use the whole range
    return model.eval(), CheckpointHeader(spec, 24.0)


@pytest.mark.parametrize("architecture", sorted(ARCHITECTURES))
@pytest.mark.parametrize("shape", [(600, 420), (411, 713)])
def test_tiled_and_whole_maps_agree_everywhere(architecture: str, shape: tuple[int, int]) -> None:
    model, header = random_network(architecture)
    image = NetworkImage(np.random.default_rng(5).normal(size=shape).astype(np.float32), 5.0)
    whole = ModelPredictor(model, header, InferenceOptions(gpu="cpu", tile_size=1024)).predict(image).values
    tiled = ModelPredictor(model, header, InferenceOptions(gpu="cpu", tile_size=288)).predict(image).values
    assert whole.std() > 0.05
    assert np.abs(whole - tiled).max() < 1e-3


def test_prediction_leaves_the_given_model_alone() -> None:
    model, header = random_network("attention")
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    image = NetworkImage(np.zeros((64, 64), dtype=np.float32), 5.0)
    ModelPredictor(model, header, InferenceOptions(gpu="cpu")).predict(image)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_bfloat16_that_changes_the_map_is_given_up_with_a_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(network_module, "is_faster_in_bfloat16", lambda device: True)
    monkeypatch.setattr(network_module, "PRECISION_TOLERANCE", 0.0)
    model, header = random_network("standard")
    image = NetworkImage(np.random.default_rng(5).normal(size=(64, 64)).astype(np.float32), 5.0)
    automatic = ModelPredictor(model, header, InferenceOptions(gpu="cpu"))
    exact = ModelPredictor(model, header, InferenceOptions(gpu="cpu", precision="float32"))
    np.testing.assert_array_equal(automatic.predict(image).values, exact.predict(image).values)
    assert automatic.precision == "float32"
    assert "float32 is used instead" in caplog.text


def test_bfloat16_stays_where_it_agrees(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network_module, "is_faster_in_bfloat16", lambda device: True)
    monkeypatch.setattr(network_module, "PRECISION_TOLERANCE", 1.0)
    model, header = random_network("standard")
    automatic = ModelPredictor(model, header, InferenceOptions(gpu="cpu"))
    automatic.predict(NetworkImage(np.zeros((64, 64), dtype=np.float32), 5.0))
    assert automatic.precision == "bfloat16"


def test_absent_gpu_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(DeviceError, match=r"GPU 0 was asked for, but there is no such GPU \(none found\)"):
        choose_device("0")


def test_auto_falls_back_to_the_cpu_and_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto").type == "cpu"
    assert "No GPU was found: the CPU is used" in caplog.text


@pytest.mark.parametrize("gpu", ["cuda", "-1", "0,1", ""])
def test_odd_gpu_names_are_refused(gpu: str) -> None:
    with pytest.raises(InputError, match="expected auto, cpu, or one number"):
        InferenceOptions(gpu=gpu)


def test_variant_that_contradicts_the_file_is_refused(tiny_checkpoint: Path) -> None:
    with pytest.raises(InputError, match="holds the network 'attention', but --variant says 'standard'"):
        find_weights("standard", tiny_checkpoint)


def test_scale_comes_from_the_checkpoint(tiny_checkpoint: Path, rng: np.random.Generator) -> None:
    predictor = load_predictor(tiny_checkpoint, InferenceOptions(gpu="cpu"))
    prepared = predictor.prepare(rng.normal(size=(400, 500)).astype(np.float32), 1.5, 120.0)
    assert 120.0 / prepared.pixel_size == pytest.approx(24.0, rel=0.005)
    probability_map = predictor.predict(prepared)
    assert probability_map.values.shape == prepared.values.shape
    assert probability_map.pixel_size == prepared.pixel_size
    assert 0 <= probability_map.values.min() <= probability_map.values.max() <= 1
