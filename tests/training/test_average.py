"""The running mean of a network follows its formula, batch-norm statistics included."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from relion_attn_picker.training.average import AveragedNetwork


def network(value: float) -> nn.Module:
    norm = nn.BatchNorm2d(2)
    for tensor in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
        assert tensor is not None
        nn.init.constant_(tensor, value)
    assert norm.num_batches_tracked is not None
    norm.num_batches_tracked.fill_(int(value))
    return norm


@pytest.mark.parametrize("decay", [0.0, 0.15, 0.5, 0.999])
def test_mean_follows_its_formula(decay: float) -> None:
    average, expected = AveragedNetwork(network(1.0), decay), 1.0
    for step, value in enumerate([2.0, 5.0, 3.0], start=1):
        average.update(network(value), step)
        factor = min(decay, (1 + step) / (10 + step))
        expected = factor * expected + (1 - factor) * value
    state = average.network.state_dict()
    for name in ("weight", "bias", "running_mean", "running_var"):
        torch.testing.assert_close(state[name], torch.full((2,), expected))
    assert state["num_batches_tracked"] == 3


def test_network_itself_is_left_alone() -> None:
    original = network(1.0)
    average = AveragedNetwork(original, 0.9)
    average.update(network(7.0), 1)
    assert original.state_dict()["weight"].eq(1).all()
    assert not average.network.training
    assert not any(parameter.requires_grad for parameter in average.network.parameters())
