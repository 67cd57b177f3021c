"""Training one network: steps, validation, early stopping, and a state that survives a kill at any moment.

A run's folder holds ``options.json``, ``state.pt`` (to resume), ``best.safetensors``, ``curves.csv`` and, at the end,
``curves.png``. Nothing in it depends on when or how often the run was interrupted.
"""

from __future__ import annotations

import csv
import json
import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from relion_attn_picker import __version__
from relion_attn_picker.errors import InputError
from relion_attn_picker.inference.devices import choose_device, device_name
from relion_attn_picker.inference.predictor import ModelPredictor
from relion_attn_picker.io.checkpoint import (
    read_training_state,
    write_checkpoint,
    write_training_state,
)
from relion_attn_picker.io.hdf5 import CropFile
from relion_attn_picker.model_spec import Calibration, CheckpointHeader, ModelSpec, Normalization
from relion_attn_picker.models.builders import build_model
from relion_attn_picker.options import InferenceOptions, TrainOptions
from relion_attn_picker.training.batches import Batch, BatchMaker, iterate_batches
from relion_attn_picker.training.losses import LOSSES
from relion_attn_picker.training.validation import ValidationScores, ValidationSet, validate

log = logging.getLogger(__name__)

GRADIENT_NORM = 1.0
"""Gradients are scaled down to this norm: one odd batch must not undo the training."""


@dataclass(frozen=True)
class Progress:
    """What a training tells while it runs: after each step, with ``scores`` after a validation."""

    step: int
    steps: int
    loss: float
    scores: ValidationScores | None = None


@dataclass
class _Run:
    """What changes while a network is trained; everything that ``state.pt`` holds."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    step: int = 0
    best_score: float = -1.0
    validations_since_best: int = 0
    finished: bool = False
    rows: list[dict[str, float]] = field(default_factory=list)

    def state(self) -> dict[str, Any]:
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "best_score": self.best_score,
            "validations_since_best": self.validations_since_best,
            "finished": self.finished,
            "rows": self.rows,
        }

    def restore(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.best_score = state["step"], state["best_score"]
        self.validations_since_best, self.finished = state["validations_since_best"], state["finished"]
        self.rows = state["rows"]


def fit(
    folder: Path,
    crops: CropFile,
    validation_sets: Sequence[ValidationSet],
    options: TrainOptions,
    inference: InferenceOptions,
    report: Callable[[Progress], None] = lambda progress: None,
) -> Path:
    """Train a network in ``folder``, or go on where an earlier, interrupted run there stopped.

    Parameters
    ----------
    folder
        The run's folder; made if absent.
    crops
        Training crops.
    validation_sets
        Whole micrographs held out; the network with the highest mean average precision on them is kept.
    options
        See ``TrainOptions``. A folder that was begun with other options is refused.
    inference
        Device and threads.
    report
        Called after every step.

    Returns
    -------
    Path
        The best checkpoint, with the threshold calibrated on the validation sets.

    Raises
    ------
    InputError
        If the folder belongs to a run with other options, or there are fewer crops than a batch needs.
    """
    if len(crops) < options.batch_size:
        raise InputError(
            f"There are {len(crops)} crops for batches of {options.batch_size}: give more labelled micrographs or a "
            "smaller batch size."
        )
    folder.mkdir(parents=True, exist_ok=True)
    _claim_folder(folder, options, crops)
    torch.set_num_threads(inference.threads)
    device = choose_device(inference.gpu)
    run = _start_or_resume(folder, options, device)
    keeper = _Keeper(folder, crops, validation_sets, options, replace(inference, gpu=device_name(device)))
    maker = BatchMaker(crops, keeper.header.particle_diameter_px, options)
    losses: list[float] = []
    for batch in iterate_batches(maker, run.step, run.step if run.finished else options.steps):
        losses.append(_train_step(run, batch, options, device))
        run.step += 1
        scores = None
        if run.step % options.validate_every == 0 or run.step == options.steps:
            scores = keeper.validate(run, sum(losses) / len(losses))
            losses.clear()
        report(Progress(run.step, options.steps, losses[-1] if losses else run.rows[-1]["loss"], scores))
        if run.finished:
            break
    return folder / "best.safetensors"


def learning_rate_factor(step: int, options: TrainOptions) -> float:
    """Return the factor on the learning rate: a linear warm-up, then half a cosine down to zero at ``steps``."""
    if step < options.warmup_steps:
        return (step + 1) / options.warmup_steps
    done = (step - options.warmup_steps) / max(1, options.steps - options.warmup_steps)
    return 0.5 * (1 + math.cos(math.pi * done))


def _claim_folder(folder: Path, options: TrainOptions, crops: CropFile) -> None:
    """Write the run's options, or refuse a folder whose options differ."""
    record = {"version": __version__, "train": asdict(options), "crops": crops.attributes}
    path = folder / "options.json"
    if path.exists():
        present = json.loads(path.read_text())
        if present["train"] != record["train"] or present["crops"] != json.loads(json.dumps(record["crops"])):
            raise InputError(
                f"{folder} holds a training with other options or other crops (see {path.name}): "
                "give another folder, or the same options to resume."
            )
        return
    partial = folder / "options.json.partial"
    partial.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n")
    partial.replace(path)


def _start_or_resume(folder: Path, options: TrainOptions, device: torch.device) -> _Run:
    torch.manual_seed(options.seed)
    model = build_model(ModelSpec(options.architecture, options.base_features))
    model = model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(model.parameters(), lr=options.learning_rate, weight_decay=options.weight_decay)
    run = _Run(model, optimizer)
    if (folder / "state.pt").exists():
        run.restore(read_training_state(folder / "state.pt"))
        log.info("Resuming at step %d.", run.step)
    return run


def _train_step(run: _Run, batch: Batch, options: TrainOptions, device: torch.device) -> float:
    run.model.train()
    for group in run.optimizer.param_groups:
        group["lr"] = options.learning_rate * learning_rate_factor(run.step, options)
    run.optimizer.zero_grad(set_to_none=True)
    logits = run.model(batch.images.to(device, memory_format=torch.channels_last))
    loss = LOSSES[options.loss](logits, batch.targets.to(device), batch.weights.to(device))
    if not torch.isfinite(loss):
        raise InputError(
            f"The loss is not a finite number at step {run.step + 1}: give a lower --learning_rate; what was trained "
            "up to the last validation is kept."
        )
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(run.model.parameters(), GRADIENT_NORM)
    run.optimizer.step()
    return float(loss.detach())


class _Keeper:
    """Validates a network and keeps the best one, the curves and, last of all, the state to resume from."""

    def __init__(
        self,
        folder: Path,
        crops: CropFile,
        validation_sets: Sequence[ValidationSet],
        options: TrainOptions,
        inference: InferenceOptions,
    ) -> None:
        self._folder = folder
        self._sets = validation_sets
        self._options = options
        self._inference = inference
        self._sources = crops.attributes["sources"]
        self.header = CheckpointHeader(
            spec=ModelSpec(options.architecture, options.base_features),
            particle_diameter_px=crops.attributes["options"]["particle_diameter_px"],
            normalization=Normalization(**crops.attributes["normalization"]),
        )

    def validate(self, run: _Run, loss: float) -> ValidationScores:
        """Validate ``run`` after a stretch of steps with the mean ``loss``; decide whether it is finished."""
        scores = validate(ModelPredictor(run.model, self.header, self._inference), self._sets)
        run.rows.append({"step": run.step, "loss": loss, **_figures(scores)})
        if scores.average_precision > run.best_score:
            run.best_score, run.validations_since_best = scores.average_precision, 0
            write_checkpoint(self._folder / "best.safetensors", run.model, self._describe(run.step, scores))
        else:
            run.validations_since_best += 1
        run.finished = run.step >= self._options.steps or run.validations_since_best >= self._options.patience
        _write_curves(self._folder / "curves.csv", run.rows)
        write_training_state(self._folder / "state.pt", run.state())
        return scores

    def _describe(self, step: int, scores: ValidationScores) -> CheckpointHeader:
        """Return the header with the threshold that the validation chose and with where the weights come from."""
        validation = {
            each.name: {
                "micrographs": len(each.micrographs),
                "particles": int(sum(len(micrograph.yx) for micrograph in each.micrographs)),
            }
            for each in self._sets
        }
        return replace(
            self.header,
            calibration=Calibration(
                scores.threshold, f"highest mean F1 on the validation micrographs of {', '.join(validation)}"
            ),
            trained_with={
                "version": __version__,
                "data": self._sources,
                "validation": validation,
                "seed": self._options.seed,
                "steps": step,
                "options": asdict(self._options),
                "figures": _figures(scores),
            },
        )


def _figures(scores: ValidationScores) -> dict[str, float]:
    row = {
        "average_precision": scores.average_precision,
        "best_f1": scores.best_f1,
        "threshold": scores.threshold,
        "f1": scores.f1,
    }
    for name, (precision, best_f1, f1) in scores.per_set.items():
        row |= {f"{name}: average_precision": precision, f"{name}: best_f1": best_f1, f"{name}: f1": f1}
    return row


def _write_curves(path: Path, rows: Sequence[dict[str, float]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def read_curves(folder: Path) -> dict[str, list[float]]:
    """Return the columns of a run's ``curves.csv``, one row a validation."""
    with (folder / "curves.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {name: [float(row[name]) for row in rows] for name in rows[0]}
