"""What a training is made of: micrographs to learn from and to validate with, the network, and how it is trained.

What this module does not do: it trains nothing; ``jobs.training.job`` does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from relion_attn_picker.jobs.training.labelled_data import TrainingData, read_labelled_sources, split_source
from relion_attn_picker.options import InferenceOptions
from relion_attn_picker.training.crops import FieldSource, LabelledSource
from relion_attn_picker.training_options import CropOptions, RunOptions, TrainOptions


@dataclass(frozen=True, kw_only=True)
class TrainingRequest:
    """What a training is made of.

    Parameters
    ----------
    crops, train
        See there.
    inference
        Device, precision and threads, of the training as well.
    data
        Labelled sets, each trained on but for its last micrographs, which are held out for validation.
    sources
        Further micrographs to train on, simulated or with pseudo-labels, of which crops are cut beforehand.
    fields
        Fields to train on that are made on the way.
    validation
        Further micrographs to validate with.
    start_from
        Checkpoint to start from; ``None``: random weights.
    keeps_start
        Whether the starting weights may be the best checkpoint, where no step makes them better.
    run
        See ``RunOptions``.
    """

    crops: CropOptions
    train: TrainOptions
    inference: InferenceOptions
    data: Sequence[TrainingData] = ()
    sources: Sequence[LabelledSource] = ()
    fields: FieldSource | None = None
    validation: Sequence[LabelledSource] = ()
    start_from: Path | None = None
    keeps_start: bool = True
    run: RunOptions = field(default_factory=RunOptions)

    def split(self) -> tuple[list[LabelledSource], list[LabelledSource]]:
        """Return what crops are cut from, and what is held out for validation.

        Raises
        ------
        InputError
            If a labelled set cannot be used.
        """
        taken = {each.name for each in (*self.sources, *self.validation)}
        taken |= set() if self.fields is None else {self.fields.name}
        labelled = read_labelled_sources(self.data, taken)
        halves = [split_source(source, each.hold_out) for source, each in zip(labelled, self.data, strict=True)]
        trained_on = [source for source, _ in halves] + list(self.sources)
        return trained_on, [source for _, source in halves if source.micrographs] + list(self.validation)
