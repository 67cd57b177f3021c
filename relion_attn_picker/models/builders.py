"""The table of architectures, and the one way to build a network from its specification."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from relion_attn_picker.errors import CheckpointError
from relion_attn_picker.model_spec import ModelSpec
from relion_attn_picker.models.attention_unet import AttentionUNet
from relion_attn_picker.models.unet import UNet
from relion_attn_picker.options import ATTENTION, STANDARD

ARCHITECTURES: Final[dict[str, Callable[[int], UNet]]] = {ATTENTION: AttentionUNet, STANDARD: UNet}
"""Name of a variant → its network for a number of base features."""


def build_model(spec: ModelSpec) -> UNet:
    """Build the network of ``spec`` with fresh weights.

    Raises
    ------
    CheckpointError
        If the architecture is unknown.
    """
    if spec.architecture not in ARCHITECTURES:
        raise CheckpointError(
            f"Architecture {spec.architecture!r} is unknown: expected one of {', '.join(sorted(ARCHITECTURES))}."
        )
    return ARCHITECTURES[spec.architecture](spec.base_features)
