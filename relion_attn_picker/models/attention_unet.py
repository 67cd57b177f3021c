"""The Attention U-Net: a U-Net with a gate on each skip connection (Oktay et al. 2018)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from relion_attn_picker.models.attention_gate import AttentionGate
from relion_attn_picker.models.unet import DEPTH, SKIP_LEVELS, UNet


class AttentionUNet(UNet):
    """The U-Net with an attention gate on each of its four skips (Oktay et al. 2018, arXiv:1804.03999).

    31,393,901 parameters at 64 base features, 351,532 more than the standard U-Net.

    Parameters
    ----------
    base_features
        Channels of the finest level, 8 to 64, even.
    """

    def __init__(self, base_features: int) -> None:
        super().__init__(base_features)
        self.gates = nn.ModuleList(AttentionGate(base_features * 2**level) for level in range(DEPTH))

    def filter_skip(self, level: int, skip: Tensor, upsampled: Tensor) -> Tensor:
        """Return the encoder's feature at ``level`` (0 = finest) weighted by the gate's ``α``."""
        gated: Tensor = self.gates[level](skip, upsampled)
        return gated

    @torch.inference_mode()
    def get_attention_maps(self, images: Tensor) -> dict[str, Tensor]:
        """Return the four gates' ``α`` for images of shape ``(b, 1, h, w)``.

        The forward pass itself is unchanged: the gates are listened to for its duration and left as they were.

        Returns
        -------
        dict
            ``level_1`` (finest) to ``level_4``: shape ``(b, 1, ⌈h/2ˡ⌉, ⌈w/2ˡ⌉)`` with ``l`` = 0 … 3 of the image padded
            to a multiple of 16, values in [0, 1].
        """
        maps: dict[str, Tensor] = {}

        def keep(name: str) -> Callable[[nn.Module, tuple[Tensor, Tensor], Tensor], None]:
            def hook(gate: nn.Module, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
                assert isinstance(gate, AttentionGate)
                maps[name] = gate.coefficients(*inputs)

            return hook

        handles = [gate.register_forward_hook(keep(name)) for name, gate in zip(SKIP_LEVELS, self.gates, strict=True)]
        try:
            self(images)
        finally:
            for handle in handles:
                handle.remove()
        return {name: maps[name] for name in SKIP_LEVELS}
