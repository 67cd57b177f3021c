"""A running mean of a network while it is trained: less noisy than the network itself at any one step."""

from __future__ import annotations

import copy

import torch
from torch import nn


class AveragedNetwork:
    """The exponential moving average of a network's parameters and of its batch norms' statistics.

    After the n-th step the mean is ``d · mean + (1 - d) · network`` with ``d = min(decay, (1 + n) / (10 + n))``: at the
    beginning the mean forgets faster, so that the random initial weights have no part in it (the rule of TensorFlow's
    ``ExponentialMovingAverage``). The statistics of batch norms are means over time already; averaged with the same
    factor they stay those of the averaged weights.

    Parameters
    ----------
    network
        As it is before the first step; it is copied.
    decay
        In [0, 1); 0: the mean is the network.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self._decay = decay

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Take in ``network`` after step ``step`` (1 for the first)."""
        decay = min(self._decay, (1 + step) / (10 + step))
        current = network.state_dict()
        for name, tensor in self.network.state_dict().items():
            if tensor.is_floating_point():
                tensor.lerp_(current[name], 1 - decay)
            else:
                tensor.copy_(current[name])
