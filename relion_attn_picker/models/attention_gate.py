"""The additive attention gate of the Attention U-Net.

What this module does not do: it keeps no maps; ``AttentionUNet.get_attention_maps`` listens to the gates for them.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class AttentionGate(nn.Module):
    """Weight a skip connection by where the decoder looks: ``x_att = α ⊙ x``.

    ``α(x, g) = σ(ψᵀ ReLU(W_x x + W_g g + b) + b_ψ)`` after Oktay et al. 2018 (arXiv:1804.03999, equations 1 and 2),
    with the 1×1 convolutions ``W_x``, ``W_g`` and ``ψ`` each followed by batch norm. Unlike the paper's grid gating,
    ``g`` is the decoder's feature after up-sampling, so that both inputs have the same size and ``α`` needs no
    interpolation.

    Parameters
    ----------
    channels
        Channels of the skip ``x`` and of the gating signal ``g``; the intermediate feature has half as many.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        intermediate = channels // 2
        self.project_skip = nn.Sequential(
            nn.Conv2d(channels, intermediate, kernel_size=1), nn.BatchNorm2d(intermediate)
        )
        self.project_gate = nn.Sequential(
            nn.Conv2d(channels, intermediate, kernel_size=1), nn.BatchNorm2d(intermediate)
        )
        self.psi = nn.Sequential(nn.Conv2d(intermediate, 1, kernel_size=1), nn.BatchNorm2d(1))

    def coefficients(self, skip: Tensor, gate: Tensor) -> Tensor:
        """Return ``α`` in [0, 1], shape ``(b, 1, h, w)``, for ``skip`` and ``gate`` of shape ``(b, c, h, w)``."""
        joint = functional.relu(self.project_skip(skip) + self.project_gate(gate), inplace=True)
        return torch.sigmoid(self.psi(joint))

    def forward(self, skip: Tensor, gate: Tensor) -> Tensor:
        """Return the gated skip ``α ⊙ x``, shape ``(b, c, h, w)``."""
        return self.coefficients(skip, gate) * skip
