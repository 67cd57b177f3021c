"""What both networks are and cost: parameters counted, times and memory measured side by side in one run.

What this module does not do: ``comparison.works`` holds what is measured, ``comparison.memory`` measures memory.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from statistics import median
from typing import Final

import numpy as np
import torch

from relion_attn_picker.evaluation.comparison_result import ArchitectureRow, CostRow
from relion_attn_picker.jobs.comparison.memory import measure_memory
from relion_attn_picker.jobs.comparison.picking import PickedSet
from relion_attn_picker.jobs.comparison.works import IMAGE_SIDE, describe_batch, make_answerer, make_noise, make_trainee
from relion_attn_picker.model_spec import ModelSpec
from relion_attn_picker.models.builders import build_model
from relion_attn_picker.options import ATTENTION, NETWORKS, STANDARD, InferenceOptions
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


def measure_networks(options: TrainOptions, inference: InferenceOptions) -> tuple[CostRow, ...]:
    """Measure what both networks cost in one run, at the width of ``options`` and at the study's.

    Returns
    -------
    tuple
        For each width the seconds of an answer and of a training step, and the memory that each of them takes.
    """
    rows: list[CostRow] = []
    for width in sorted({options.base_features, STUDY_FEATURES}):
        own = replace(options, base_features=width)
        rows += [measure_inference(width, inference), measure_training(own, inference)]
        rows += measure_memory(own, inference)
    return tuple(rows)


def measure_inference(base_features: int, inference: InferenceOptions, repeats: int = 15) -> CostRow:
    """Measure both networks' answers to one image of noise, in turns; medians of ``repeats``, one uncounted."""
    torch.set_num_threads(inference.threads)
    networks = {name: make_answerer(name, base_features, inference) for name in NETWORKS}
    image = make_noise()
    seconds = _time_in_turns({name: partial(network.answer, image) for name, network in networks.items()}, repeats)
    how = f"median of {repeats}, {IMAGE_SIDE}×{IMAGE_SIDE} pixels, {networks[STANDARD].description}"
    return _summarize_turns(f"inference at {base_features} base features, seconds", seconds, how)


def measure_training(options: TrainOptions, inference: InferenceOptions, repeats: int = 9) -> CostRow:
    """Measure training steps of both networks on random crops, in turns; medians of ``repeats``, one uncounted."""
    torch.set_num_threads(inference.threads)
    trainees = {name: make_trainee(name, options, inference) for name in NETWORKS}
    seconds = _time_in_turns({name: trainee.take_step for name, trainee in trainees.items()}, repeats)
    how = f"median of {repeats} steps, {describe_batch(options)}, {trainees[STANDARD].description}"
    return _summarize_turns(f"training at {options.base_features} base features, seconds a step", seconds, how)


def _time_in_turns(works: Mapping[str, Callable[[], None]], repeats: int) -> dict[str, list[float]]:
    """Return the seconds of each work, ``repeats`` of each; a busy machine slows all alike."""
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(repeats + 1):
        for name, work in works.items():
            start = time.perf_counter()
            work()
            seconds[name].append(time.perf_counter() - start)
    return {name: each[1:] for name, each in seconds.items()}


def _summarize_turns(what: str, seconds: Mapping[str, Sequence[float]], how: str) -> CostRow:
    standard = median(seconds[STANDARD])
    ratio = median(a / s for a, s in zip(seconds[ATTENTION], seconds[STANDARD], strict=True))
    return CostRow(what, standard * ratio, standard, how)
