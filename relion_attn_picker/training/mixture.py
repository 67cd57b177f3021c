"""Which crops a batch is made of: crops of a file and of fields made on the way, mixed by the weights of their sources.

Everything here is a function of the seed and the step alone, whatever process asks: a training that resumes sees the
very crops that it would have seen, with no state to keep, and it does not matter how many processes make the batches.

Steps come in blocks. Within a block each slot of the batch has one source. A slot of a file takes the file's crops one
after another, in an order of each epoch's own; a slot of fields takes all its crops from one field, a step each, so
that no two crops of a batch come from the same field and no field is made twice.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relion_attn_picker.errors import InputError
from relion_attn_picker.io.hdf5 import Crop, CropFile
from relion_attn_picker.model_spec import Normalization
from relion_attn_picker.training.crops import FieldSource, cut_crops, describe_source
from relion_attn_picker.training_options import CropOptions

PATTERN_LENGTH = 120
"""Slots after which the order of the sources repeats: weights are met to a part in this many. More sources than this
have a multiple of it, so that each has its turn."""


@dataclass(frozen=True)
class Mixture:
    """All that batches are drawn from.

    Parameters
    ----------
    crops
        Crops cut beforehand, or ``None``.
    fields
        Fields made on the way, or ``None``.
    options, normalization
        How crops are cut from fields; those of ``crops`` if there are any.
    """

    crops: CropFile | None
    fields: FieldSource | None
    options: CropOptions
    normalization: Normalization

    def __post_init__(self) -> None:
        if self.crops is None and self.fields is None:
            raise InputError("There is nothing to train on: give labelled micrographs, or simulate some.")

    @property
    def sources(self) -> list[dict[str, Any]]:
        """What a header tells of the sources, those of the file first."""
        on_file: list[dict[str, Any]] = [] if self.crops is None else self.crops.attributes["sources"]
        return [*on_file, *([] if self.fields is None else [describe_source(self.fields)])]

    def require_enough_for(self, batch_size: int) -> None:
        """Refuse batches that are larger than all there is.

        Raises
        ------
        InputError
            If there are fewer crops or fewer labelled particles than a batch has crops.
        """
        if self.crops is not None and self.fields is None:
            require_enough(len(self.crops), sum(each["labels"] for each in self.sources), batch_size)


def require_enough(n_crops: int, n_labels: int | None, batch_size: int) -> None:
    """Refuse batches that are larger than all crops of a file, or all labelled particles where their number is known.

    Raises
    ------
    InputError
        If they are.
    """
    for what, count, remedy in (
        ("crops", n_crops, "cut more crops (--crops_per_source, --shorten)"),
        ("labelled particles", n_labels, "label or simulate more"),
    ):
        if count is not None and count < batch_size:
            raise InputError(
                f"There are {count} {what} for batches of {batch_size}: {remedy} or give a smaller --batch_size."
            )


class Schedule:
    """Says which source each slot of a batch has.

    The sources follow each other in a fixed pattern in which each stands as evenly as its weight allows.
    """

    def __init__(self, weights: Sequence[float]) -> None:
        self._length = -(-len(weights) // PATTERN_LENGTH) * PATTERN_LENGTH
        counts = _divide_slots(np.array(weights, dtype=np.float64) / sum(weights), self._length)
        due = np.concatenate([(np.arange(count) + 0.5) / count for count in counts])
        owner = np.repeat(np.arange(len(counts)), counts)
        self._pattern = owner[np.lexsort((owner, due))]
        self._before = np.zeros((self._length + 1, len(counts)), dtype=np.int64)
        self._before[1:] = np.cumsum(self._pattern[:, None] == np.arange(len(counts)), axis=0)

    def source(self, position: int) -> int:
        """Return the source of a position in the endless sequence of slots."""
        return int(self._pattern[position % self._length])

    def count_before(self, position: int, source: int) -> int:
        """Return how many of the positions before this one are the source's."""
        cycles, rest = divmod(position, self._length)
        return int(cycles * self._before[-1, source] + self._before[rest, source])


def _divide_slots(share: NDArray[np.float64], length: int) -> NDArray[np.int64]:
    """Return how many of ``length`` slots each source has, by largest remainders; none has no slot at all."""
    counts = np.floor(share * length).astype(np.int64)
    for source in np.argsort(-(share * length - counts), kind="stable")[: length - counts.sum()]:
        counts[source] += 1
    for source in np.flatnonzero(counts == 0):
        counts[source] += 1
        counts[np.argmax(counts)] -= 1
    return counts


class CropDealer:
    """Deals the crops of a mixture to the slots of batches.

    Parameters
    ----------
    mixture
        See there.
    batch_size
        Slots of a whole batch, of all processes together.
    steps_per_block
        Steps of a block; also crops of a field.
    seed
        Seed of the order of the crops and of where crops are cut.
    """

    def __init__(self, mixture: Mixture, batch_size: int, steps_per_block: int, seed: int) -> None:
        self._mixture = mixture
        self._batch_size = batch_size
        self._steps_per_block = steps_per_block
        self._seed = seed
        self._schedule = Schedule([source["weight"] for source in mixture.sources])
        self._orders: dict[int, tuple[int, NDArray[np.int64]]] = {}
        self._cut: deque[tuple[int, list[Crop]]] = deque(maxlen=batch_size)
        n_fields = 0 if mixture.fields is None else 1
        self._n_on_file = len(mixture.sources) - n_fields

    @property
    def crop_size(self) -> int:
        """Side of the crops in network pixels."""
        return self._mixture.options.crop_size

    def deal(self, step: int, slot: int) -> Crop:
        """Return the crop of one slot at one step."""
        block, step_in_block = divmod(step, self._steps_per_block)
        start = block * self._batch_size
        source = self._schedule.source(start + slot)
        before = self._schedule.count_before(start, source)
        rank = self._schedule.count_before(start + slot, source) - before
        if source == self._n_on_file:
            return self._field_crops(before + rank)[step_in_block]
        own = self._schedule.count_before(start + self._batch_size, source) - before
        return self._file_crop(source, before * self._steps_per_block + step_in_block * own + rank)

    def _file_crop(self, source: int, position: int) -> Crop:
        """Return a crop of the endless sequence in which each epoch holds every crop of the source once."""
        assert self._mixture.crops is not None
        count = len(self._mixture.crops) // self._n_on_file
        epoch, place = divmod(position, count)
        if self._orders.get(source, (-1,))[0] != epoch:
            order = np.random.default_rng([self._seed, 1, source, epoch]).permutation(count)
            self._orders[source] = (epoch, order)
        return self._mixture.crops.read(source * count + int(self._orders[source][1][place]))

    def _field_crops(self, number: int) -> list[Crop]:
        """Make a field, unless it is one of those made last, and cut a crop for each step of a block."""
        for known, crops in self._cut:
            if known == number:
                return crops
        assert self._mixture.fields is not None
        count = self._steps_per_block
        rng = np.random.default_rng([self._seed, 4, number])
        field = self._mixture.fields.make(number)
        crops = cut_crops(field, count, self._mixture.options, self._mixture.normalization, rng, least=count)
        self._cut.append((number, crops))
        return crops
