"""Checkpoints: a safetensors file with a JSON header, and the state of a training that can be resumed.

Reading runs no code from the file. A released checkpoint may hold float16 numbers; networks get float32.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from relion_attn_picker.errors import CheckpointError
from relion_attn_picker.model_spec import FORMAT_VERSION, CheckpointHeader
from relion_attn_picker.replacing import replacing

HEADER_KEY = "attnpick"


@dataclass(frozen=True)
class Checkpoint:
    """A header and its tensors by name, float32."""

    header: CheckpointHeader
    tensors: dict[str, Tensor]

    def load_into(self, model: nn.Module, path: Path) -> None:
        """Give the tensors to ``model``; ``path`` is named in errors.

        Raises
        ------
        CheckpointError
            If a tensor is missing, misshapen or not the model's.
        """
        expected = {name: tensor.shape for name, tensor in _stored_tensors(model).items()}
        missing, foreign = sorted(expected.keys() - self.tensors.keys()), sorted(self.tensors.keys() - expected.keys())
        if missing or foreign:
            what = f"lacks the tensor {missing[0]}" if missing else f"holds the unknown tensor {foreign[0]}"
            raise CheckpointError(f"{path} {what}: it does not fit its own header; get the file again.")
        for name, shape in expected.items():
            if self.tensors[name].shape != shape:
                raise CheckpointError(
                    f"{path}: tensor {name} has shape {tuple(self.tensors[name].shape)}, expected {tuple(shape)}; "
                    "get the file again."
                )
        model.load_state_dict(self.tensors, strict=False)


def _stored_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Return the model's floating-point tensors; batch norm's integer counters are of no use after training."""
    return {name: tensor for name, tensor in model.state_dict().items() if tensor.is_floating_point()}


def write_checkpoint(
    path: Path, model: nn.Module, header: CheckpointHeader, dtype: torch.dtype = torch.float32
) -> None:
    """Write the model's weights and header to ``path``, by a temporary file and a rename."""
    tensors = {name: tensor.detach().to("cpu", dtype).contiguous() for name, tensor in _stored_tensors(model).items()}
    with replacing(path) as partial:
        partial.write_bytes(save(tensors, metadata={HEADER_KEY: json.dumps(header.to_dict())}))


def read_header(path: Path) -> CheckpointHeader:
    """Return the header of the checkpoint at ``path`` without reading its weights.

    Raises
    ------
    CheckpointError
        If the file is absent, is not a checkpoint of this program, or has a header of another format version.
    """
    return _read(path, with_tensors=False).header


def read_checkpoint(path: Path) -> Checkpoint:
    """Return header and weights of the checkpoint at ``path``.

    Raises
    ------
    CheckpointError
        As ``read_header``; also if a weight is not finite.
    """
    return _read(path, with_tensors=True)


def _read(path: Path, with_tensors: bool) -> Checkpoint:
    if not path.is_file():
        raise CheckpointError(f"There is no file of weights at {path}: give the path of a .safetensors checkpoint.")
    try:
        with safe_open(path, framework="pt") as file:  # type: ignore[no-untyped-call]
            header = _parse_header(path, file.metadata())
            tensors = {name: file.get_tensor(name) for name in file.keys()} if with_tensors else {}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is not a readable safetensors file ({error}): get the file again.") from error
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise CheckpointError(f"{path}: tensor {name} holds values that are not finite; the weights are unusable.")
    return Checkpoint(header, {name: tensor.float() for name, tensor in tensors.items()})


def _parse_header(path: Path, metadata: dict[str, str] | None) -> CheckpointHeader:
    if not metadata or HEADER_KEY not in metadata:
        raise CheckpointError(f"{path} has no {HEADER_KEY!r} header: it is not a checkpoint that this program wrote.")
    try:
        record = json.loads(metadata[HEADER_KEY])
        version = record["format_version"]
        if version != FORMAT_VERSION:
            raise CheckpointError(
                f"{path} has checkpoint format {version}, this program reads format {FORMAT_VERSION}: "
                "install the version of attnpick that wrote it."
            )
        return CheckpointHeader.from_dict(record)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path} has a damaged header ({error}): get the file again.") from error


def write_training_state(path: Path, state: dict[str, Any]) -> None:
    """Write tensors and plain values of a training, by a temporary file and a rename.

    Raises
    ------
    OSError
        If the disk is full, say: of that torch makes an error of its own, which tells nobody.
    """
    try:
        with replacing(path) as partial, partial.open("wb") as file:
            torch.save(state, file)
    except RuntimeError as error:
        if isinstance(error.__context__, OSError):
            raise error.__context__ from error
        raise


def read_training_state(path: Path) -> dict[str, Any]:
    """Read what ``write_training_state`` wrote; torch's restricted reader accepts nothing but tensors and values.

    Raises
    ------
    CheckpointError
        If the file cannot be read.
    """
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for damaged files
        raise CheckpointError(
            f"{path} is not a readable training state ({type(error).__name__}): remove the folder to start afresh."
        ) from error
    return state
