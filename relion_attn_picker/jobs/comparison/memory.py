"""How much memory both networks take to answer an image and to be trained: each in a process of its own.

On a GPU it is what torch allocated at most; on a CPU how far the process grew beyond what Python and torch take.
"""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from statistics import median
from typing import Final

import torch

from relion_attn_picker.evaluation.comparison_result import CostRow
from relion_attn_picker.jobs.benchmarks.picking import peak_memory
from relion_attn_picker.jobs.comparison.works import IMAGE_SIDE, describe_batch, make_answerer, make_noise, make_trainee
from relion_attn_picker.options import ATTENTION, NETWORKS, STANDARD, InferenceOptions
from relion_attn_picker.training_options import TrainOptions

MEGABYTE: Final = 1e6
RUNS: Final = 3
"""Processes whose median is taken: what an allocator keeps differs a little from one to the next."""

STEPS: Final = 2
"""Training steps: the optimiser takes its memory in the first."""


def measure_memory(options: TrainOptions, inference: InferenceOptions) -> tuple[CostRow, CostRow]:
    """Return the memory of an answer and of training, in megabytes, at the width of ``options``."""
    width = options.base_features
    answers = {name: median(_in_a_process(False, name, options, inference) for _ in range(RUNS)) for name in NETWORKS}
    training = {name: median(_in_a_process(True, name, options, inference) for _ in range(RUNS)) for name in NETWORKS}
    image, batch = f"{IMAGE_SIDE}×{IMAGE_SIDE} pixels", describe_batch(options)
    return (
        _row(f"memory of inference at {width} base features, MB", answers, f"peak, median of {RUNS}, {image}"),
        _row(f"memory of training at {width} base features, MB", training, f"peak, median of {RUNS}, {batch}"),
    )


def _row(what: str, memory: dict[str, float], how: str) -> CostRow:
    return CostRow(what, memory[ATTENTION] / MEGABYTE, memory[STANDARD] / MEGABYTE, how)


def _in_a_process(trains: bool, architecture: str, options: TrainOptions, inference: InferenceOptions) -> int:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_weigh, trains, architecture, options, inference).result()


def _weigh(trains: bool, architecture: str, options: TrainOptions, inference: InferenceOptions) -> int:
    """Return the bytes that answering or training takes at most; for a process that has done nothing else."""
    torch.set_num_threads(inference.threads)
    before = peak_memory()
    if trains:
        trainee = make_trainee(architecture, options, inference)
        for _ in range(STEPS):
            trainee.take_step()
        device = trainee.device
    else:
        answerer = make_answerer(architecture, options.base_features, inference)
        answerer.answer(make_noise())
        device = answerer.network.device
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else peak_memory() - before
