"""Validating a network in training, and keeping the best one, the last one and the curves."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from relion_attn_picker import __version__
from relion_attn_picker.errors import CheckpointError, InputError
from relion_attn_picker.inference.predictor import ModelPredictor
from relion_attn_picker.io.checkpoint import read_checkpoint, write_checkpoint
from relion_attn_picker.model_spec import BEST_NAME, Calibration, CheckpointHeader
from relion_attn_picker.options import InferenceOptions
from relion_attn_picker.replacing import replacing
from relion_attn_picker.training.mixture import Mixture
from relion_attn_picker.training.starting import StartingWeights, network_spec
from relion_attn_picker.training.state import TrainingState
from relion_attn_picker.training.validation import ValidationScores, ValidationSet, list_figures, validate
from relion_attn_picker.training_options import TrainOptions

LAST_NAME = "last.safetensors"
CURVES_NAME = "curves.csv"


class Keeper:
    """Writes ``best.safetensors``, ``last.safetensors`` and ``curves.csv`` into a run's folder.

    Parameters
    ----------
    folder
        The run's folder.
    mixture, validation_sets, options, start
        Of the run; they go into the headers.
    inference
        Device, precision and threads of the validations.
    keeps_start
        Whether the starting weights may be the best.
    """

    def __init__(
        self,
        folder: Path,
        mixture: Mixture,
        validation_sets: Sequence[ValidationSet],
        options: TrainOptions,
        start: StartingWeights | None,
        inference: InferenceOptions,
        *,
        keeps_start: bool = True,
    ) -> None:
        self._folder = folder
        self._keeps_start = keeps_start
        self._sets = validation_sets
        self._options = options
        self._inference = inference
        self._header = CheckpointHeader(
            spec=network_spec(options),
            particle_diameter_px=mixture.options.particle_diameter_px,
            normalization=mixture.normalization,
            trained_with={
                "version": __version__,
                "data": mixture.sources,
                "validation": {each.name: count_validation(each) for each in validation_sets},
                "seed": options.seed,
                "options": asdict(options),
                **({} if start is None else {"start_from": start.describe()}),
            },
            label_margin=min(source.get("label_margin", 0.0) for source in mixture.sources),
        )

    def go_on(self, state: TrainingState) -> None:
        """Check that the best weights of an earlier run are there, and write its curves again.

        Raises
        ------
        InputError
            If they are not.
        """
        if any(self._may_be_best(row["step"]) for row in state.rows):
            self._require_best(state.step)
        if state.rows:
            _write_curves(self._folder / CURVES_NAME, state.rows)

    def _may_be_best(self, step: float) -> bool:
        return step > 0 or self._keeps_start

    def _require_best(self, step: int) -> None:
        path = self._folder / BEST_NAME
        try:
            read_checkpoint(path)
        except CheckpointError as error:
            raise InputError(
                f"{path}, which the training had left by step {step}, is gone or damaged ({error}) Put it back, "
                "or remove the folder to start afresh."
            ) from error

    def validate(self, state: TrainingState) -> ValidationScores:
        """Validate the running mean, write it where it is the best, and decide whether the training is finished."""
        network = state.average.network
        scores = validate(ModelPredictor(network, self._header, self._inference), self._sets)
        loss = sum(state.losses) / len(state.losses) if state.losses else float("nan")
        state.losses.clear()
        state.rows.append({"step": state.step, "loss": loss, **list_figures(scores)})
        header = self._describe(state.step, scores)
        if not self._may_be_best(state.step):
            pass
        elif scores.average_precision > state.best_score:
            state.best_score, state.validations_since_best = scores.average_precision, 0
            write_checkpoint(self._folder / BEST_NAME, network, header)
        else:
            state.validations_since_best += 1
        state.finished = state.step >= self._options.steps or state.validations_since_best >= self._options.patience
        write_checkpoint(self._folder / LAST_NAME, network, header)
        _write_curves(self._folder / CURVES_NAME, state.rows)
        return scores

    def _describe(self, step: int, scores: ValidationScores) -> CheckpointHeader:
        """Return the header with the threshold that the validation chose and with where the weights come from."""
        names = ", ".join(each.name for each in self._sets)
        return replace(
            self._header,
            calibration=Calibration(scores.threshold, f"highest mean F1 on the validation micrographs of {names}"),
            trained_with={**self._header.trained_with, "steps": step, "figures": list_figures(scores)},
        )


def count_validation(validation_set: ValidationSet) -> dict[str, int]:
    """Return how many micrographs and particles a validation set has."""
    micrographs = validation_set.micrographs
    return {"micrographs": len(micrographs), "particles": sum(len(micrograph.yx) for micrograph in micrographs)}


def _write_curves(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    with replacing(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def read_curves(folder: Path) -> dict[str, list[float]]:
    """Return the columns of a run's ``curves.csv``, one row a validation."""
    with (folder / CURVES_NAME).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return {name: [float(row[name]) for row in rows] for name in rows[0]}
