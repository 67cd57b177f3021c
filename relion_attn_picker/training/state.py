"""What changes while a network is trained: everything that a killed training needs to go on as if nothing had been."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from relion_attn_picker.errors import CheckpointError
from relion_attn_picker.io.checkpoint import read_training_state, write_training_state
from relion_attn_picker.models.builders import build_model
from relion_attn_picker.training.average import AveragedNetwork
from relion_attn_picker.training.starting import StartingWeights, network_spec
from relion_attn_picker.training_options import TrainOptions

log = logging.getLogger(__name__)

STATE_NAME = "state.pt"

MAX_SAVING_SHARE = 0.05
"""Largest share of a training's time that may go into saving its state."""


@dataclass
class TrainingState:
    """A network in training.

    Parameters
    ----------
    network, average, optimizer
        The network, its running mean, which is validated and kept, and its optimiser.
    step
        Steps done.
    best_score, validations_since_best, finished
        Course of the validations.
    losses
        Of the steps since the last validation.
    rows
        Figures of each validation.
    """

    network: nn.Module
    average: AveragedNetwork
    optimizer: torch.optim.Optimizer
    step: int = 0
    best_score: float = -1.0
    validations_since_best: int = 0
    finished: bool = False
    losses: list[float] = field(default_factory=list)
    rows: list[dict[str, float]] = field(default_factory=list)

    def save(self, folder: Path) -> None:
        """Write ``state.pt``; a kill meanwhile leaves the one before."""
        counts = {name: getattr(self, name) for name in COUNTS}
        write_training_state(
            folder / STATE_NAME,
            {
                "network": self.network.state_dict(),
                "average": self.average.network.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                **counts,
            },
        )

    def restore(self, folder: Path) -> None:
        """Take up what ``save`` wrote.

        Raises
        ------
        CheckpointError
            If it cannot be read, or is no state of this network.
        """
        state: dict[str, Any] = read_training_state(folder / STATE_NAME)
        try:
            self.network.load_state_dict(state["network"])
            self.average.network.load_state_dict(state["average"])
            self.optimizer.load_state_dict(state["optimizer"])
            for name in COUNTS:
                setattr(self, name, state[name])
        except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            raise CheckpointError(
                f"{folder / STATE_NAME} is no state of this training ({type(error).__name__}): remove the folder to "
                "start afresh."
            ) from error


COUNTS = ("step", "best_score", "validations_since_best", "finished", "losses", "rows")


def new_state(options: TrainOptions, start: StartingWeights | None, device: torch.device) -> TrainingState:
    """Return the state before the first step, with random weights or with those of ``start``."""
    torch.manual_seed(options.seed)
    network: nn.Module = build_model(network_spec(options))
    if start is not None:
        start.checkpoint.load_into(network, start.path)
    network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(network.parameters(), lr=options.learning_rate, weight_decay=options.weight_decay)
    return TrainingState(network, AveragedNetwork(network, options.ema_decay), optimizer)


def start_or_resume(
    folder: Path, options: TrainOptions, start: StartingWeights | None, device: torch.device
) -> TrainingState:
    """Return the state of the training in ``folder``, or a new one."""
    state = new_state(options, start, device)
    if (folder / STATE_NAME).exists():
        state.restore(folder)
        log.info("Finished before, with step %d." if state.finished else "Going on after step %d.", state.step)
    return state


class Saver:
    """Saves a state every so many seconds, less often where saving is slow."""

    def __init__(self, folder: Path, save_every: float) -> None:
        self._folder = folder
        self._save_every = save_every
        self._took = 0.0
        self._saved_at = time.monotonic()

    def save_if_due(self, state: TrainingState) -> None:
        """Save if it is time to."""
        if time.monotonic() - self._saved_at >= max(self._save_every, self._took / MAX_SAVING_SHARE):
            self.save(state)

    def save(self, state: TrainingState) -> None:
        """Save now."""
        start = time.monotonic()
        state.save(self._folder)
        self._saved_at = time.monotonic()
        self._took = self._saved_at - start
