"""Training one network: steps, validation, early stopping, and a state that survives a kill at any moment.

A run's folder holds ``options.json``, ``state.pt`` (to resume), ``best.safetensors``, ``last.safetensors`` and
``curves.csv``. On a CPU nothing in it depends on when or how often the run was interrupted, nor on how many processes
made the batches. On a GPU the batches do not either, but its sums of gradients come in no fixed order (cuDNN): two runs
of the same training differ in the last digits, and more as they go on.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from relion_attn_picker.errors import DeviceError, InputError, JobAborted
from relion_attn_picker.inference.devices import describe_device, gpu_option_of
from relion_attn_picker.model_spec import BEST_NAME, Normalization
from relion_attn_picker.options import InferenceOptions
from relion_attn_picker.training.batches import Batch, BatchMaker
from relion_attn_picker.training.claim import OPTIONS_NAME, claim_folder, describe_run
from relion_attn_picker.training.distributed import (
    World,
    agree,
    current_world,
    device_of,
    distribute,
    join_world,
    whole_batch,
)
from relion_attn_picker.training.keeper import LAST_NAME, Keeper
from relion_attn_picker.training.loader import choose_workers, iterate_batches
from relion_attn_picker.training.losses import LOSSES
from relion_attn_picker.training.mixture import Mixture
from relion_attn_picker.training.starting import StartingWeights
from relion_attn_picker.training.state import STATE_NAME, Saver, TrainingState, start_or_resume
from relion_attn_picker.training.validation import ValidationScores, ValidationSet
from relion_attn_picker.training_options import CropOptions, RunOptions, TrainOptions

log = logging.getLogger(__name__)

GRADIENT_NORM = 1.0
"""Gradients are scaled down to this norm: one odd batch must not undo the training."""


@dataclass(frozen=True)
class Progress:
    """What a training tells while it runs: after each step, with ``scores`` after a validation.

    ``loss`` is that of the step, with ``scores`` the mean since the validation before, as in ``curves.csv``.
    """

    step: int
    steps: int
    loss: float
    scores: ValidationScores | None = None


def fit(
    folder: Path,
    mixture: Mixture,
    validation_sets: Sequence[ValidationSet],
    options: TrainOptions,
    inference: InferenceOptions,
    report: Callable[[Progress], None] = lambda progress: None,
    *,
    start: StartingWeights | None = None,
    keeps_start: bool = True,
    run: RunOptions = RunOptions(),  # noqa: B008  (frozen)
) -> Path:
    """Train a network in ``folder``, or go on where an earlier, interrupted run there stopped.

    Parameters
    ----------
    folder
        The run's folder; made if absent.
    mixture
        Training crops.
    validation_sets
        Whole micrographs held out; the network with the highest mean average precision on them is kept.
    options
        See ``TrainOptions``. A folder that was begun with other options is refused.
    inference
        Device, precision and threads, of the training as well.
    report
        Called after every step; ``JobAborted`` from it ends the training with its state saved.
    start
        Weights to start from, validated before the first step; ``None``: random ones.
    keeps_start
        Whether it may be the best checkpoint; otherwise the best one has taken a step at least.
    run
        See ``RunOptions``.

    Returns
    -------
    Path
        The best checkpoint, with the threshold calibrated on the validation sets.

    Raises
    ------
    InputError
        If the folder is another run's or has lost its state, crops or labels do not fill a batch, or options contradict
        the starting weights.
    DeviceError
        If the GPU is not there, cannot be used, has too little memory, or is one for several processes.
    """
    mixture.require_enough_for(options.batch_size)
    check_beginning(folder, validation_sets, options, start, mixture.options, mixture.normalization)
    world = current_world()
    maker = BatchMaker(mixture, options, world.slots(options.batch_size))
    torch.set_num_threads(inference.threads)
    device = device_of(inference.gpu, world)
    with join_world(world):
        precision = _claim(folder, mixture, validation_sets, options, start, inference.precision, device, world)
        inference = replace(inference, gpu=gpu_option_of(device), precision=precision)
        state = start_or_resume(folder, options, start, device)
        keeper = Keeper(folder, mixture, validation_sets, options, start, inference, keeps_start=keeps_start)
        if world.is_first:
            _go_on(folder, keeper, state)
        trainer = Trainer(state, options, device, precision, world)
        saver = Saver(folder, run.save_every)
        if start is not None and not state.rows:
            _tell_start(_validate(keeper, saver, state, world))
        workers = choose_workers(run.workers, device)
        batches = iterate_batches(maker, state.step, state.step if state.finished else options.steps, workers)
        _take_steps(batches, trainer, keeper, saver, state, options, world, report)
    return folder / BEST_NAME


def _claim(
    folder: Path,
    mixture: Mixture,
    validation_sets: Sequence[ValidationSet],
    options: TrainOptions,
    start: StartingWeights | None,
    precision: str,
    device: torch.device,
    world: World,
) -> str:
    """Claim the folder for this run, or find it claimed by it; return the precision of all of its processes."""
    if world.is_first:
        crops, sources = mixture.options, mixture.sources
        claim = describe_run(options, start, validation_sets, crops, mixture.normalization, sources)
        precision = claim_folder(folder, claim, precision, device)
    agreed: str = agree(precision, world)
    return agreed


def _go_on(folder: Path, keeper: Keeper, state: TrainingState) -> None:
    """Check what an earlier piece of the run left; save a state before any weights, which are refused without one."""
    keeper.go_on(state)
    if not (folder / STATE_NAME).exists():
        state.save(folder)


def _take_steps(
    batches: Iterable[Batch],
    trainer: Trainer,
    keeper: Keeper,
    saver: Saver,
    state: TrainingState,
    options: TrainOptions,
    world: World,
    report: Callable[[Progress], None],
) -> None:
    """Take a step with each batch until the training is finished; validate, save and report as it goes."""
    for batch in batches:
        loss = trainer.take_step(batch)
        scores = None
        if state.step % options.validate_every == 0 or state.step == options.steps:
            scores = _validate(keeper, saver, state, world)
            loss = loss if scores is None else state.rows[-1]["loss"]
        elif world.is_first:
            saver.save_if_due(state)
        try:
            report(Progress(state.step, options.steps, loss, scores))
        except JobAborted:
            if world.is_first:
                saver.save(state)
            raise
        if state.finished:
            break


def check_beginning(
    folder: Path,
    validation_sets: Sequence[ValidationSet],
    options: TrainOptions,
    start: StartingWeights | None,
    crops: CropOptions,
    normalization: Normalization,
) -> None:
    """Refuse what cannot be trained, before any crop is cut and anything is written; parameters as in ``fit``.

    Raises
    ------
    InputError
        If the folder holds weights that no training left there or whose training has lost its state, options contradict
        the starting weights, there is nothing to validate with, or two sets have one name.
    """
    if not (folder / OPTIONS_NAME).exists():
        for name in (BEST_NAME, LAST_NAME, STATE_NAME):
            if (folder / name).exists():
                raise InputError(
                    f"{folder} holds {name}, but no {OPTIONS_NAME} of a training that would have left it: "
                    "give another folder, so that nothing is overwritten."
                )
    elif (folder / BEST_NAME).exists() and not (folder / STATE_NAME).exists():
        raise InputError(
            f"{folder} holds {BEST_NAME} of a training that cannot go on, for its {STATE_NAME} is gone: put it back, "
            "or give another folder, so that the weights are kept."
        )
    if start is not None:
        start.require_fit(options, crops.particle_diameter_px, normalization)
    names = [each.name for each in validation_sets]
    for each in validation_sets:
        if names.count(each.name) > 1:
            raise InputError(
                f"Several sets of validation micrographs are named {each.name}, under which the figures of each are "
                "kept: give each a name of its own."
            )
        require_particles(each)


def require_particles(validation_set: ValidationSet) -> None:
    """Refuse micrographs without any particle: no figure could be measured on them.

    Raises
    ------
    InputError
        If the set has none.
    """
    if not any(len(micrograph.yx) for micrograph in validation_set.micrographs):
        raise InputError(
            f"None of the {len(validation_set.micrographs)} simulated fields to validate with shows a particle: "
            "simulate more of them."
            if validation_set.is_simulated
            else f"No particle is labelled on the validation micrographs of {validation_set.name}: hold out others, or "
            "more."
        )


class Trainer:
    """Takes the steps of a training.

    Parameters
    ----------
    state
        What the steps change.
    options
        See there.
    device, precision
        ``precision`` is ``"float32"`` or ``"bfloat16"``; the loss is computed in float32.
    world
        The processes that train together.
    """

    def __init__(
        self, state: TrainingState, options: TrainOptions, device: torch.device, precision: str, world: World
    ) -> None:
        self._state = state
        self._options = options
        self._device = device
        self._in_bfloat16 = precision == "bfloat16"
        self._world = world
        self._network = distribute(state.network, world, device)

    def take_step(self, batch: Batch) -> float:
        """Take one step and return the loss.

        Raises
        ------
        InputError
            If the loss or its gradient is not a finite number; the parameters are as they were before the step, but the
            running means and variances of the batch normalisation are not: go on from a saved state.
        DeviceError
            If the memory of the GPU does not suffice.
        """
        try:
            return self._take_step(batch)
        except torch.cuda.OutOfMemoryError as error:
            raise DeviceError(
                f"The memory of {describe_device(self._device)} does not suffice for a training step of "
                f"{self._options.batch_size} crops with {self._options.base_features} base features: give a smaller "
                "--batch_size or --base_features, or wait until other programs on it have ended."
            ) from error

    def _take_step(self, batch: Batch) -> float:
        state = self._state
        loss = self._loss(batch)
        self._require_finite("loss", loss)
        for group in state.optimizer.param_groups:
            group["lr"] = self._options.learning_rate * learning_rate_factor(state.step, self._options)
        state.optimizer.zero_grad(set_to_none=True)
        (loss * self._world.size).backward()  # type: ignore[no-untyped-call]
        self._require_finite("gradient", nn.utils.clip_grad_norm_(state.network.parameters(), GRADIENT_NORM))
        state.optimizer.step()
        state.step += 1
        state.average.update(state.network, state.step)
        state.losses.append(float(loss.detach()))
        return state.losses[-1]

    def _require_finite(self, name: str, value: torch.Tensor) -> None:
        if not torch.isfinite(value):
            raise InputError(
                f"The {name} is not a finite number at step {self._state.step + 1}: give a lower --learning_rate; what "
                "was trained up to the last validation is kept."
            )

    def _loss(self, batch: Batch) -> torch.Tensor:
        self._network.train()
        moved = batch.to(self._device)
        with torch.autocast(self._device.type, dtype=torch.bfloat16, enabled=self._in_bfloat16):
            logits = self._network(moved.images).float()
        return LOSSES[self._options.loss](*whole_batch(logits, moved, self._world))


def learning_rate_factor(step: int, options: TrainOptions) -> float:
    """Return the factor on the learning rate: a linear warm-up, then half a cosine down to zero at ``steps``."""
    if step < options.warmup_steps:
        return (step + 1) / options.warmup_steps
    done = (step - options.warmup_steps) / max(1, options.steps - options.warmup_steps)
    return 0.5 * (1 + math.cos(math.pi * done))


def _tell_start(scores: ValidationScores | None) -> None:
    if scores is not None:
        log.info("the starting weights: AP %.3f F1 %.3f at %.2f", scores.average_precision, scores.f1, scores.threshold)


def _validate(keeper: Keeper, saver: Saver, state: TrainingState, world: World) -> ValidationScores | None:
    """Let rank 0 validate, and tell all whether the training is finished; return the scores on rank 0."""
    scores = None
    if world.is_first:
        scores = keeper.validate(state)
        saver.save(state)
    state.losses.clear()
    state.finished = agree(state.finished, world)
    return scores
