"""How fast a network is trained, beside what the machine can do at most, measured in one run.

The ceiling is that of ``torch.mm`` on large matrices in the precision of the training: no convolution is faster. In
float32 both are without TensorFloat-32 (``inference.devices``).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from relion_attn_picker.inference.devices import choose_precision
from relion_attn_picker.inference.network import DTYPES
from relion_attn_picker.jobs.training.simulated_data import open_simulation
from relion_attn_picker.model_spec import Normalization
from relion_attn_picker.options import InferenceOptions, require
from relion_attn_picker.training.batches import random_batch
from relion_attn_picker.training.crops import cut_crops
from relion_attn_picker.training.distributed import World, device_of
from relion_attn_picker.training.fit import Trainer
from relion_attn_picker.training.state import new_state
from relion_attn_picker.training_options import CropOptions, TrainOptions

MATRIX_SIDES = {"cpu": 2048, "cuda": 8192}
"""Type of device → side of the matrices whose product gives the ceiling."""


@dataclass(frozen=True)
class TrainingBenchmark:
    """What was measured.

    Parameters
    ----------
    precision
        Of the training and of the ceiling.
    crops_per_second
        Forward and backward pass, optimiser and running mean; no data are made.
    flops_per_crop
        Floating-point operations of the forward and backward pass of one crop, counted.
    ceiling
        Floating-point operations a second of a matrix product.
    fields_per_second, crops_per_field
        Simulated fields by one process, normalised and cut, by where they are simulated (``"cpu"``, and ``"gpu"`` if
        the training runs on one), and how many crops cover one.
    """

    precision: str
    crops_per_second: float
    flops_per_crop: float
    ceiling: float
    fields_per_second: dict[str, float]
    crops_per_field: int

    @property
    def flops_per_second(self) -> float:
        """What the training achieves."""
        return self.crops_per_second * self.flops_per_crop


def benchmark_training(options: TrainOptions, inference: InferenceOptions, repeats: int) -> TrainingBenchmark:
    """Measure steps of a training on random crops, and the making of simulated ones; medians of ``repeats`` runs.

    Raises
    ------
    InputError
        If the number of runs is below 1.
    """
    require(repeats >= 1, f"The number of runs is {repeats}: expected 1 or more.")
    torch.set_num_threads(inference.threads)
    device = device_of(inference.gpu, World())
    precision = choose_precision(inference.precision, device)
    trainer = Trainer(new_state(options, None, device), options, device, precision, World())
    batch = random_batch(options)
    with FlopCounterMode(display=False) as counter:
        trainer.take_step(batch)
    step_seconds = _median_seconds(lambda: trainer.take_step(batch), repeats, device)
    places = {"cpu": "cpu"} if device.type == "cpu" else {"cpu": "cpu", "gpu": str(device)}
    fields = {name: [_time_field(number, place) for number in range(repeats)] for name, place in places.items()}
    return TrainingBenchmark(
        precision,
        options.batch_size / step_seconds,
        counter.get_total_flops() / options.batch_size,
        _ceiling(device, DTYPES[precision], repeats),
        {name: 1 / median(seconds for seconds, _ in timed) for name, timed in fields.items()},
        round(median(count for _, count in fields["cpu"])),
    )


def _ceiling(device: torch.device, dtype: torch.dtype, repeats: int) -> float:
    side = MATRIX_SIDES[device.type]
    one, other = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    return 2 * side**3 / _median_seconds(lambda: torch.mm(one, other), repeats, device)


def _median_seconds(work: Callable[[], object], repeats: int, device: torch.device) -> float:
    """Return the median time of ``repeats`` runs after one that does not count."""
    seconds = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds.append(time.perf_counter() - start)
    return median(seconds[1:])


def _time_field(number: int, device: str) -> tuple[float, int]:
    """Return the seconds that a simulated field takes, cut into crops, and how many crops cover it."""
    options, simulation = CropOptions(), open_simulation(None, seed=1, device=device)
    start = time.perf_counter()
    field = simulation.make_field("on the fly", number)
    crops = cut_crops(field, 10_000, options, Normalization(), np.random.default_rng(number))
    return time.perf_counter() - start, len(crops)
