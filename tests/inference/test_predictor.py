"""The predictor: tiles agree with the whole, precisions agree, devices are never substituted silently."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from relion_attn_picker.errors import DeviceError, InputError
from relion_attn_picker.imaging.prepare import NetworkImage
from relion_attn_picker.inference import devices
from relion_attn_picker.inference import network as network_module
from relion_attn_picker.inference.combination import Combination
from relion_attn_picker.inference.devices import choose_device, choose_precision
from relion_attn_picker.inference.network import DeviceNetwork
from relion_attn_picker.inference.predictor import HybridPredictor, ModelPredictor, load_predictor
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
    monkeypatch.setattr(devices, "is_faster_in_bfloat16", lambda device: True)
    monkeypatch.setattr(network_module, "PRECISION_TOLERANCE", 0.0)
    model, header = random_network("standard")
    image = NetworkImage(np.random.default_rng(5).normal(size=(64, 64)).astype(np.float32), 5.0)
    automatic = ModelPredictor(model, header, InferenceOptions(gpu="cpu"))
    exact = ModelPredictor(model, header, InferenceOptions(gpu="cpu", precision="float32"))
    np.testing.assert_array_equal(automatic.predict(image).values, exact.predict(image).values)
    assert automatic.precision == "float32"
    assert "float32 is used instead" in caplog.text


def test_bfloat16_stays_where_it_agrees(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "is_faster_in_bfloat16", lambda device: True)
    model, header = random_network("standard")
    image = NetworkImage(np.random.default_rng(5).normal(size=(64, 64)).astype(np.float32), 5.0)
    automatic = ModelPredictor(model, header, InferenceOptions(gpu="cpu"))
    exact = ModelPredictor(model, header, InferenceOptions(gpu="cpu", precision="float32"))
    difference = np.abs(automatic.predict(image).values - exact.predict(image).values).max()
    assert automatic.precision == "bfloat16"
    assert 0 < difference < network_module.PRECISION_TOLERANCE


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


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Two GPUs of compute capability 7.5 that are not there; another job fills the first."""
    devices._find_freest_gpu.cache_clear()
    as_before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda number: [(1e9, 8e9), (7e9, 8e9)][number])
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Tesla T4")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    monkeypatch.setattr(devices, "_run_kernel", lambda device: None)
    yield monkeypatch
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = as_before
    devices._find_freest_gpu.cache_clear()


def test_auto_takes_the_gpu_with_most_free_memory_and_stays_there(
    two_gpus: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    assert choose_device("auto") == torch.device("cuda", 1)
    assert "GPU 1 of 2 is used: it has the most free memory, 7.0 of 8.0 GB" in caplog.text
    two_gpus.setattr(torch.cuda, "mem_get_info", lambda number: [(8e9, 8e9), (1e9, 8e9)][number])
    assert choose_device("auto") == torch.device("cuda", 1)
    assert choose_device("0") == torch.device("cuda", 0)


def test_auto_leaves_out_a_gpu_that_another_program_keeps_to_itself(
    two_gpus: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse_second(number: int) -> tuple[float, float]:
        if number == 1:
            raise RuntimeError("CUDA error: all CUDA-capable devices are busy or unavailable\nmore")
        return 1e9, 8e9

    two_gpus.setattr(torch.cuda, "mem_get_info", refuse_second)
    assert choose_device("auto") == torch.device("cuda", 0)
    assert "GPU 1 is left out: CUDA error: all CUDA-capable devices are busy or unavailable\n" in caplog.text


def test_float32_is_float32_on_a_gpu(two_gpus: pytest.MonkeyPatch) -> None:
    choose_device("0")
    assert not torch.backends.cuda.matmul.allow_tf32
    assert not torch.backends.cudnn.allow_tf32


@pytest.mark.parametrize(("capability", "expected"), [((7, 5), "float32"), ((8, 0), "bfloat16"), ((9, 0), "bfloat16")])
def test_gpu_is_asked_whether_it_computes_in_bfloat16(
    capability: tuple[int, int], expected: str, two_gpus: pytest.MonkeyPatch
) -> None:
    def refuse(device: torch.device) -> bool:
        raise AssertionError("a GPU was timed")

    two_gpus.setattr(devices, "is_faster_in_bfloat16", refuse)
    two_gpus.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    two_gpus.setattr(torch.nn.Module, "to", lambda module, *args, **kwargs: module)
    assert choose_precision("auto", torch.device("cuda", 0)) == expected
    network = DeviceNetwork(random_network("standard")[0], InferenceOptions(gpu="0"))
    assert network.precision == expected
    assert network._unchecked == (expected == "bfloat16")


@pytest.mark.parametrize(
    ("message", "sentence"),
    [
        (
            "CUDA error: no kernel image is available for execution on the device",
            r"has no code for GPU 0 \(Tesla T4\), of compute capability 7\.5: install a torch .* or give --gpu cpu",
        ),
        ("CUDA error: out of memory", r"GPU 0 \(Tesla T4\) has no memory left: wait until .* or --gpu cpu"),
        (
            "CUDA error: CUDA-capable device(s) is/are busy or unavailable",
            r"GPU 0 \(Tesla T4\) is kept by another program: wait until .* or --gpu cpu",
        ),
    ],
)
def test_gpu_that_cannot_compute(message: str, sentence: str, two_gpus: pytest.MonkeyPatch) -> None:
    def fail(device: torch.device) -> None:
        raise RuntimeError(message)

    two_gpus.setattr(devices, "_run_kernel", fail)
    with pytest.raises(DeviceError, match=sentence):
        choose_device("0")


def limit_memory(monkeypatch: pytest.MonkeyPatch, side: int) -> list[int]:
    """Let networks run out of memory for tiles longer than ``side``; return the list of the sides that were tried."""
    tried: list[int] = []
    run = DeviceNetwork._run

    def run_or_fail(network: DeviceNetwork, images: torch.Tensor, precision: str) -> object:
        tried.append(max(images.shape))
        if max(images.shape) > side:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return run(network, images, precision)

    monkeypatch.setattr(DeviceNetwork, "_run", run_or_fail)
    return tried


@pytest.mark.parametrize("variant", ["attention", "hybrid"])
def test_tiles_become_smaller_where_memory_is_short(
    variant: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    options = InferenceOptions(gpu="cpu", precision="float32")
    model, header = random_network("attention")
    if variant == "hybrid":
        other, its_header = random_network("standard")

    def make() -> ModelPredictor | HybridPredictor:
        if variant != "hybrid":
            return ModelPredictor(model, header, options)
        pair = Combination("average")
        return HybridPredictor((model, other), (header, its_header), pair, header.calibration, options)

    image = NetworkImage(np.random.default_rng(5).normal(size=(830, 420)).astype(np.float32), 5.0)
    whole = make().predict(image).values
    tried = limit_memory(monkeypatch, 400)
    predictor = make()
    assert np.abs(predictor.predict(image).values - whole).max() < 1e-3
    assert tried[:2] == [830, 400]
    n_tried = len(tried)
    assert np.abs(predictor.predict(image).values - whole).max() < 1e-3
    assert max(tried[n_tried:]) <= 400
    assert caplog.text.count("does not suffice for tiles of 830 pixels: 415 are used from here on") == 1
    assert len(caplog.records) == 1


@pytest.mark.parametrize("shape", [(830, 420), (300, 64)])
def test_memory_that_suffices_for_no_tile(shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    limit_memory(monkeypatch, 10)
    predictor = ModelPredictor(*random_network("standard"), InferenceOptions(gpu="cpu", precision="float32"))
    with pytest.raises(
        DeviceError, match=r"The memory of the CPU does not suffice for tiles of \d+ pixels: wait until"
    ):
        predictor.predict(NetworkImage(np.zeros(shape, dtype=np.float32), 5.0))


def test_precision_is_checked_in_the_tile_that_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "is_faster_in_bfloat16", lambda device: True)
    monkeypatch.setattr(network_module, "PRECISION_TOLERANCE", 0.0)
    predictor = ModelPredictor(*random_network("standard"), InferenceOptions(gpu="cpu"))
    limit_memory(monkeypatch, 400)
    predictor.predict(NetworkImage(np.random.default_rng(5).normal(size=(600, 600)).astype(np.float32), 5.0))
    assert predictor.precision == "float32"
