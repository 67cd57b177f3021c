"""Losses between a map of logits and a soft target map. Tensors only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

LEAST_TARGET: Final = 64.0
"""Summed target that a batch counts for at least: about one particle's (2πσ² = 74 with σ = d/7 and 24 pixels)."""


def cross_entropy(logits: Tensor, target: Tensor, weights: Tensor) -> Tensor:
    """Weighted mean of the binary cross-entropy with a soft target; all of shape ``(b, 1, h, w)``."""
    loss = functional.binary_cross_entropy_with_logits(logits, target, weight=weights, reduction="sum")
    return loss / weights.sum().clamp(min=1)


def focal(logits: Tensor, target: Tensor, weights: Tensor, gamma: float = 2.0) -> Tensor:
    """Cross-entropy with a soft target, each pixel weighted by ``|target - p|^gamma``.

    The quality focal loss of Li et al. 2020 (arXiv:2006.04388, equation 5; their exponent is called β): pixels that
    are right already count little, so that the few near particle centres are not drowned by the background. Divided
    by the summed target, i.e. by the number of particles but for a factor; by ``LEAST_TARGET`` where there are none.
    """
    entropy = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    focus = (target - torch.sigmoid(logits)).abs().pow(gamma)
    return (weights * focus * entropy).sum() / (weights * target).sum().clamp(min=LEAST_TARGET)


LOSSES: Final[dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]]] = {
    "cross_entropy": cross_entropy,
    "focal": focal,
}
"""Name → loss(logits, target, weights), a scalar."""
