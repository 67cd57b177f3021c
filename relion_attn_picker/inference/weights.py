"""Where the released weights are, and which file a user's choice means."""

from __future__ import annotations

from pathlib import Path

from relion_attn_picker.errors import InputError
from relion_attn_picker.io.checkpoint import read_header

RELEASED = Path(__file__).parent.parent / "weights"
DEFAULT_VARIANT = "attention"


def find_weights(variant: str | None, path: Path | None) -> Path:
    """Return the file of weights for a variant, a path, or both.

    Raises
    ------
    CheckpointError
        If the file cannot be read.
    InputError
        If the file at ``path`` holds another variant than ``variant``.
    """
    if path is None:
        path = RELEASED / f"{variant or DEFAULT_VARIANT}.safetensors"
    architecture = read_header(path).spec.architecture
    if variant is not None and architecture != variant:
        raise InputError(
            f"{path} holds the network {architecture!r}, but --variant says {variant!r}: leave out one of the two."
        )
    return path
