"""Training batches, each a function of the seed and the step alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from relion_attn_picker.io.hdf5 import Crop
from relion_attn_picker.picks import FloatArray
from relion_attn_picker.training.augment import degrade, flip_and_turn, vary_intensity
from relion_attn_picker.training.mixture import CropDealer, Mixture
from relion_attn_picker.training.targets import draw_target, draw_weights
from relion_attn_picker.training_options import TrainOptions


@dataclass(frozen=True)
class Batch:
    """Images, targets and loss weights, each ``(b, 1, s, s)`` float32."""

    images: Tensor
    targets: Tensor
    weights: Tensor

    def to(self, device: torch.device) -> Batch:
        """Return the batch on a device; to a GPU it is on its way while the GPU still computes the step before."""
        images, targets, weights = (
            (tensor.pin_memory() if device.type == "cuda" else tensor)
            for tensor in (self.images, self.targets, self.weights)
        )
        return Batch(
            images.to(device, memory_format=torch.channels_last, non_blocking=True),
            targets.to(device, non_blocking=True),
            weights.to(device, non_blocking=True),
        )


class BatchMaker:
    """Makes augmented batches from a mixture of crops.

    Parameters
    ----------
    mixture
        What the crops come from.
    options
        See there; ``batch_size`` counts the slots of all processes together.
    slots
        The slots of each batch that are made here; ``None``: all.
    """

    def __init__(self, mixture: Mixture, options: TrainOptions, slots: range | None = None) -> None:
        self.steps_per_block = options.crops_per_field
        self._options = options
        self._particle_diameter_px = mixture.options.particle_diameter_px
        self._slots = range(options.batch_size) if slots is None else slots
        self._dealer = CropDealer(mixture, options.batch_size, self.steps_per_block, options.seed)

    def make(self, step: int) -> Batch:
        """Return the batch of one step."""
        return batch_of(self.make_arrays(step))

    def make_arrays(self, step: int) -> list[FloatArray]:
        """Return images, targets and weights of one step as arrays ``(b, 1, s, s)``."""
        parts = [
            self._augment(self._dealer.deal(step, slot), np.random.default_rng([self._options.seed, 2, step, slot]))
            for slot in self._slots
        ]
        return [np.stack(arrays)[:, None] for arrays in zip(*parts, strict=True)]

    def _augment(self, crop: Crop, rng: np.random.Generator) -> tuple[FloatArray, FloatArray, FloatArray]:
        stored = self._dealer.crop_size
        size = min(self._options.input_size, stored)
        corner = rng.integers(0, stored - size + 1, 2)
        image = crop.image[corner[0] : corner[0] + size, corner[1] : corner[1] + size]
        shift = corner.astype(np.float32)
        if rng.random() < self._options.degraded:
            image = degrade(image, self._particle_diameter_px, rng)
        image, (yx, ignored_yx) = flip_and_turn(image, (crop.yx - shift, crop.ignored_yx - shift), int(rng.integers(8)))
        image = np.ascontiguousarray(vary_intensity(image, rng), dtype=np.float32)
        target = draw_target((size, size), yx, self._particle_diameter_px, self._options.target)
        return image, target, draw_weights((size, size), ignored_yx, self._particle_diameter_px)


def batch_of(arrays: list[FloatArray]) -> Batch:
    """Return arrays of images, targets and weights as a batch of tensors."""
    images, targets, weights = map(torch.from_numpy, arrays)
    return Batch(images, targets, weights)


def random_batch(options: TrainOptions) -> Batch:
    """Return a batch of noise, always the same, for steps whose time or memory is measured."""
    torch.manual_seed(1)
    shape = (options.batch_size, 1, options.input_size, options.input_size)
    return Batch(torch.randn(shape), torch.rand(shape), torch.ones(shape))
