"""Training batches from a crop file, each a function of the seed and the step alone.

A training that resumes at step n therefore sees the very batches that it would have seen, with no state to keep.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from relion_attn_picker.io.hdf5 import Crop, CropFile
from relion_attn_picker.options import TrainOptions
from relion_attn_picker.picks import FloatArray
from relion_attn_picker.training.augment import flip_and_turn, vary_intensity
from relion_attn_picker.training.targets import draw_target, draw_weights


@dataclass(frozen=True)
class Batch:
    """Images, targets and loss weights, each ``(b, 1, s, s)`` float32."""

    images: Tensor
    targets: Tensor
    weights: Tensor


class BatchMaker:
    """Draws augmented batches from a crop file."""

    def __init__(self, crops: CropFile, particle_diameter_px: float, options: TrainOptions) -> None:
        self._crops = crops
        self._particle_diameter_px = particle_diameter_px
        self._options = options
        self._epoch = -1
        self._order: NDArray[np.int64] = np.zeros(0, dtype=np.int64)

    def make(self, step: int) -> Batch:
        """Return the batch of one step."""
        rng = np.random.default_rng([self._options.seed, 2, step])
        parts = [self._augment(self._crops.read(index), rng) for index in self._indices(step)]
        images, targets, weights = (torch.from_numpy(np.stack(arrays)[:, None]) for arrays in zip(*parts, strict=True))
        return Batch(images, targets, weights)

    def _indices(self, step: int) -> list[int]:
        """Return the crops of one step: each epoch visits every crop once, in an order of its own."""
        count, batch_size = len(self._crops), self._options.batch_size
        indices = []
        for position in range(step * batch_size, (step + 1) * batch_size):
            epoch, place = divmod(position, count)
            if epoch != self._epoch:
                self._epoch = epoch
                self._order = np.random.default_rng([self._options.seed, 1, epoch]).permutation(count)
            indices.append(int(self._order[place]))
        return indices

    def _augment(self, crop: Crop, rng: np.random.Generator) -> tuple[FloatArray, FloatArray, FloatArray]:
        size = min(self._options.input_size, self._crops.crop_size)
        corner = rng.integers(0, self._crops.crop_size - size + 1, 2)
        image = crop.image[corner[0] : corner[0] + size, corner[1] : corner[1] + size]
        shift = corner.astype(np.float32)
        image, (yx, ignored_yx) = flip_and_turn(image, (crop.yx - shift, crop.ignored_yx - shift), int(rng.integers(8)))
        image = np.ascontiguousarray(vary_intensity(image, rng), dtype=np.float32)
        target = draw_target((size, size), yx, self._particle_diameter_px, self._options.target)
        return image, target, draw_weights((size, size), ignored_yx, self._particle_diameter_px)


def iterate_batches(maker: BatchMaker, first_step: int, last_step: int) -> Iterator[Batch]:
    """Yield the batches of steps ``first_step`` … ``last_step - 1``, the next one being made in a thread meanwhile."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        upcoming = pool.submit(maker.make, first_step)
        for step in range(first_step, last_step):
            batch = upcoming.result()
            if step + 1 < last_step:
                upcoming = pool.submit(maker.make, step + 1)
            yield batch
