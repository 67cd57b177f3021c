"""Checkpoints: what is written comes back; what is damaged is refused with one sentence."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from relion_attn_picker.errors import CheckpointError
from relion_attn_picker.io.checkpoint import (
    HEADER_KEY,
    read_checkpoint,
    read_header,
    read_training_state,
    write_checkpoint,
    write_training_state,
)
from relion_attn_picker.model_spec import Calibration, CheckpointHeader, ModelSpec, Normalization
from relion_attn_picker.models.builders import ARCHITECTURES, build_model

HEADER = CheckpointHeader(
    ModelSpec("standard", 8), 26.0, Normalization(2.0, 9.0, 4.0), Calibration(0.37, "a test"), {"seed": 5, "steps": 12}
)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    path = tmp_path / "weights.safetensors"
    write_checkpoint(path, build_model(HEADER.spec), HEADER)
    return path


def rewrite(path: Path, tensors: dict[str, torch.Tensor] | None = None, **changes: Any) -> None:
    """Write the checkpoint anew with other tensors or other fields of its header."""
    present = load_file(path)
    record = HEADER.to_dict() | changes
    save_file(present if tensors is None else tensors, path, metadata={HEADER_KEY: json.dumps(record)})


@pytest.mark.parametrize("architecture", sorted(ARCHITECTURES))
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_round_trip(architecture: str, dtype: torch.dtype, tmp_path: Path) -> None:
    spec = ModelSpec(architecture, 8)
    header = CheckpointHeader(spec, 24.0)
    model, path = build_model(spec).train(), tmp_path / "model.safetensors"
    model(torch.randn(2, 1, 32, 32))
    write_checkpoint(path, model, header, dtype)
    checkpoint = read_checkpoint(path)
    restored = build_model(checkpoint.header.spec)
    checkpoint.load_into(restored, path)
    assert checkpoint.header == header
    image = torch.randn(1, 1, 32, 32)
    tolerance = 1e-6 if dtype == torch.float32 else 2e-2
    torch.testing.assert_close(restored.eval()(image), model.eval()(image), atol=tolerance, rtol=tolerance)
    assert [p.name for p in tmp_path.iterdir()] == ["model.safetensors"]


def test_header_alone(checkpoint: Path) -> None:
    assert read_header(checkpoint) == HEADER


def test_header_of_weights_that_know_no_margin_of_labels(checkpoint: Path) -> None:
    record = HEADER.to_dict()
    del record["label_margin"]
    save_file(load_file(checkpoint), checkpoint, metadata={HEADER_KEY: json.dumps(record)})
    assert read_header(checkpoint) == HEADER


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"There is no file of weights at .*nothing\.safetensors: give the path"):
        read_checkpoint(tmp_path / "nothing.safetensors")


@pytest.mark.parametrize("content", [b"", b"garbage" * 100, b"\x80\x04\x95"])
def test_file_that_is_no_safetensors(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="is not a readable safetensors file"):
        read_checkpoint(path)


def test_truncated_file(checkpoint: Path) -> None:
    checkpoint.write_bytes(checkpoint.read_bytes()[:-1000])
    with pytest.raises(CheckpointError, match="is not a readable safetensors file"):
        read_checkpoint(checkpoint)


def test_foreign_safetensors(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(2)}, tmp_path / "foreign.safetensors")
    with pytest.raises(CheckpointError, match="has no 'attnpick' header: it is not a checkpoint"):
        read_checkpoint(tmp_path / "foreign.safetensors")


def test_unknown_format_version(checkpoint: Path) -> None:
    rewrite(checkpoint, format_version=99)
    with pytest.raises(CheckpointError, match="has checkpoint format 99, this program reads format 1"):
        read_checkpoint(checkpoint)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("spec", {"architecture": "standard", "base_features": 7}),
        ("particle_diameter_px", "24"),
        ("normalization", {"highpass_diameters": -1}),
        ("calibration", {"threshold": 3}),
        ("calibration", None),
    ],
)
def test_damaged_header(checkpoint: Path, field: str, value: object) -> None:
    rewrite(checkpoint, **{field: value})
    with pytest.raises(CheckpointError, match="has a damaged header"):
        read_checkpoint(checkpoint)


def test_missing_tensor(checkpoint: Path) -> None:
    tensors = load_file(checkpoint)
    del tensors["head.bias"]
    rewrite(checkpoint, tensors)
    with pytest.raises(CheckpointError, match=r"lacks the tensor head\.bias"):
        read_checkpoint(checkpoint).load_into(build_model(HEADER.spec), checkpoint)


def test_foreign_tensor(checkpoint: Path) -> None:
    rewrite(checkpoint, load_file(checkpoint) | {"extra": torch.zeros(1)})
    with pytest.raises(CheckpointError, match="holds the unknown tensor extra"):
        read_checkpoint(checkpoint).load_into(build_model(HEADER.spec), checkpoint)


def test_misshapen_tensor(checkpoint: Path) -> None:
    rewrite(checkpoint, load_file(checkpoint) | {"head.bias": torch.zeros(3)})
    with pytest.raises(CheckpointError, match=r"tensor head\.bias has shape \(3,\), expected \(1,\)"):
        read_checkpoint(checkpoint).load_into(build_model(HEADER.spec), checkpoint)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite(checkpoint: Path, value: float) -> None:
    rewrite(checkpoint, load_file(checkpoint) | {"head.bias": torch.tensor([value])})
    with pytest.raises(CheckpointError, match=r"tensor head\.bias holds values that are not finite"):
        read_checkpoint(checkpoint)


def test_training_state_round_trip_and_no_code_runs(tmp_path: Path) -> None:
    path = tmp_path / "state.pt"
    write_training_state(path, {"step": 3, "tensor": torch.arange(4)})
    assert read_training_state(path)["step"] == 3

    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path.touch, (Path(tmp_path / "touched"),))  # type: ignore[return-value]

    torch.save({"evil": Evil()}, path)
    with pytest.raises(CheckpointError, match="is not a readable training state"):
        read_training_state(path)
    assert not (tmp_path / "touched").exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_state_on_a_full_disk(tmp_path: Path) -> None:
    (tmp_path / "state.pt").write_text("the one before")
    (tmp_path / "state.pt.partial").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left") as caught:
        write_training_state(tmp_path / "state.pt", {"network": {"a": torch.zeros(100_000)}})
    assert caught.value.errno == errno.ENOSPC
    assert (tmp_path / "state.pt").read_text() == "the one before"
