"""What both networks are timed and weighed at: an answer to one image, and a training step on random crops.

The weights are fresh and the pixels noise: neither time nor memory depends on them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import torch

from relion_attn_picker.imaging.prepare import NetworkImage
from relion_attn_picker.inference.devices import choose_precision
from relion_attn_picker.inference.network import DeviceNetwork
from relion_attn_picker.model_spec import ModelSpec
from relion_attn_picker.models.builders import build_model
from relion_attn_picker.options import InferenceOptions
from relion_attn_picker.picks import FloatArray
from relion_attn_picker.training.batches import Batch, random_batch
from relion_attn_picker.training.distributed import World, device_of
from relion_attn_picker.training.fit import Trainer
from relion_attn_picker.training.state import new_state
from relion_attn_picker.training_options import TrainOptions

IMAGE_SIDE: Final = 512
"""Network pixels on each side of the image that is answered."""


@dataclass(frozen=True)
class Answerer:
    """A network that answers images on its device."""

    network: DeviceNetwork

    def answer(self, image: FloatArray) -> None:
        """Compute the probabilities ``(h, w)`` and bring them back from the device."""
        self.network.probabilities(self.network.load(image))

    @property
    def description(self) -> str:
        """Precision and device, for people."""
        return f"{self.network.precision}, {self.network.device.type}"


@dataclass(frozen=True)
class Trainee:
    """A network in training, and the batch it is trained on."""

    trainer: Trainer
    batch: Batch
    device: torch.device
    precision: str

    def take_step(self) -> None:
        """Take one optimiser step and wait until the device has taken it."""
        self.trainer.take_step(self.batch)
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    @property
    def description(self) -> str:
        """Precision and device, for people."""
        return f"{self.precision}, {self.device.type}"


def make_noise() -> FloatArray:
    """Return the image that is answered, ``(IMAGE_SIDE, IMAGE_SIDE)``."""
    return np.random.default_rng(1).normal(size=(IMAGE_SIDE, IMAGE_SIDE)).astype(np.float32)


def make_answerer(architecture: str, base_features: int, inference: InferenceOptions) -> Answerer:
    """Build a network that answers; bfloat16 is checked against float32 here, not in what is measured."""
    torch.manual_seed(1)
    network = DeviceNetwork(build_model(ModelSpec(architecture, base_features)), inference)
    network.check_precision(NetworkImage(make_noise(), 1.0))
    return Answerer(network)


def make_trainee(architecture: str, options: TrainOptions, inference: InferenceOptions) -> Trainee:
    """Build a network in training, with a batch of noise of the size that ``options`` says."""
    own = replace(options, architecture=architecture)
    device = device_of(inference.gpu, World())
    precision = choose_precision(inference.precision, device)
    batch = random_batch(own)
    return Trainee(Trainer(new_state(own, None, device), own, device, precision, World()), batch, device, precision)


def describe_batch(options: TrainOptions) -> str:
    """Return the size of a batch, for people."""
    return f"{options.batch_size} crops of {options.input_size}×{options.input_size}"
