"""What both networks are and cost: parameters counted, times measured side by side in one run."""

from __future__ import annotations

import time
from collections.abc import Sequence
from statistics import median
from typing import Final

import numpy as np
import torch

from relion_attn_picker.comparison_picking import PickedSet
from relion_attn_picker.comparison_request import ATTENTION, NETWORKS, STANDARD
from relion_attn_picker.evaluation.comparison_result import ArchitectureRow, CostRow
from relion_attn_picker.model_spec import ModelSpec
from relion_attn_picker.models.builders import build_model
from relion_attn_picker.options import InferenceOptions
from relion_attn_picker.training.batches import Batch
from relion_attn_picker.training.distributed import World
from relion_attn_picker.training.fit import Trainer, choose_precision, device_of
from relion_attn_picker.training.state import new_state
from relion_attn_picker.training_options import TrainOptions

STUDY_FEATURES: Final = 64
"""Width of the study's networks."""


def count_parameters(base_features: Sequence[int]) -> tuple[ArchitectureRow, ...]:
    """Count the parameters of both networks at the study's width and at those given; no memory is taken for them."""
    rows = []
    for width in sorted({STUDY_FEATURES, *base_features}, reverse=True):
        with torch.device("meta"):
            counts = {
                name: sum(each.numel() for each in build_model(ModelSpec(name, width)).parameters())
                for name in NETWORKS
            }
        rows.append(ArchitectureRow(width, counts[ATTENTION], counts[STANDARD]))
    return tuple(rows)


def summarize_inference(picked: Sequence[PickedSet]) -> CostRow | None:
    """Return the seconds of each network for a micrograph, as they were measured while it was picked; medians.

    Both networks saw each micrograph one after the other, in turns, so that a busy machine slows both.
    """
    seconds = {name: np.concatenate([each.seconds[name] for each in picked]) for name in NETWORKS}
    if not len(seconds[ATTENTION]):
        return None
    standard = float(np.median(seconds[STANDARD]))
    ratio = float(np.median(seconds[ATTENTION] / seconds[STANDARD]))
    how = f"median of {len(seconds[STANDARD])} micrographs, both networks in turns"
    return CostRow("inference, seconds a micrograph", standard * ratio, standard, how)


def measure_training(options: TrainOptions, inference: InferenceOptions, repeats: int = 9) -> CostRow:
    """Measure training steps of both networks on random crops, in turns; medians of ``repeats``, one uncounted."""
    torch.set_num_threads(inference.threads)
    device = device_of(inference.gpu, World())
    precision = choose_precision(inference.precision, device)
    trainers = {}
    for name in NETWORKS:
        own = TrainOptions(**{**vars(options), "architecture": name})
        trainers[name] = Trainer(new_state(own, None, device), own, device, precision, World())
    shape = (options.batch_size, 1, options.input_size, options.input_size)
    torch.manual_seed(1)
    batch = Batch(torch.randn(shape), torch.rand(shape), torch.ones(shape))
    seconds: dict[str, list[float]] = {name: [] for name in NETWORKS}
    for _ in range(repeats + 1):
        for name, trainer in trainers.items():
            start = time.perf_counter()
            trainer.take_step(batch)
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            seconds[name].append(time.perf_counter() - start)
    standard = median(seconds[STANDARD][1:])
    ratio = median(a / s for a, s in zip(seconds[ATTENTION][1:], seconds[STANDARD][1:], strict=True))
    how = (
        f"median of {repeats} steps in turns, {options.batch_size} crops of {options.input_size}×{options.input_size}, "
        f"{precision}, {device.type}"
    )
    return CostRow("training, seconds a step", standard * ratio, standard, how)
