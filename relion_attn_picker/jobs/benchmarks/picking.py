"""Where the time and the memory of one micrograph go, measured on the way that a job takes."""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TypeVar

import numpy as np
import torch

from relion_attn_picker.imaging.surroundings import survey_micrograph
from relion_attn_picker.inference.combination import Combination
from relion_attn_picker.inference.operating_point import OperatingPoint
from relion_attn_picker.inference.predictor import HybridPredictor, ModelPredictor
from relion_attn_picker.io.mrc import read_image, write_image
from relion_attn_picker.micrograph import Micrograph, OpticsGroup
from relion_attn_picker.model_spec import CheckpointHeader, ModelSpec
from relion_attn_picker.models.builders import build_model
from relion_attn_picker.models.unet import UNet
from relion_attn_picker.options import HYBRID, NETWORKS, InferenceOptions, PickOptions, check_base_features, require
from relion_attn_picker.pipeline import PreparedMicrograph, find_candidates, select_picks
from relion_attn_picker.relion.job_files import write_picks

Result = TypeVar("Result")
STEPS = ("read", "resample", "survey", "network", "peaks", "write")


@dataclass(frozen=True)
class BenchmarkResult:
    """Median seconds of each step and of the whole, and the largest memory of the process in bytes.

    ``gpu_memory`` is what torch allocated at most on the GPU, in bytes; ``None`` on a CPU.
    """

    seconds: dict[str, float]
    total: float
    peak_memory: int
    network_shape: tuple[int, int]
    precision: str
    gpu_memory: int | None = None


class Stopwatch:
    """Adds up the time of named steps."""

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(STEPS, 0.0)

    def time(self, step: str, work: Callable[[], Result]) -> Result:
        """Do ``work`` and add its time to ``step``."""
        start = time.perf_counter()
        result = work()
        self.seconds[step] += time.perf_counter() - start
        return result


def benchmark(
    variant: str,
    base_features: int,
    shape: tuple[int, int],
    pixel_size: float,
    particle_diameter: float,
    inference: InferenceOptions,
    repeats: int,
) -> BenchmarkResult:
    """Measure one micrograph of noise, ``repeats`` times after one run that does not count.

    The weights are fresh: a network's time does not depend on its weights. Reading is from the page cache.
    ``variant`` is one of ``options.VARIANTS``.

    Raises
    ------
    InputError
        If the width of the network, the image's shape or the number of runs cannot be meant.
    """
    check_base_features(base_features)
    require(min(shape) >= 1, f"The micrograph has {shape[1]}×{shape[0]} pixels: expected 1 or more each way.")
    require(repeats >= 1, f"The number of runs is {repeats}: expected 1 or more.")
    torch.set_num_threads(inference.threads)
    torch.manual_seed(1)
    predictor = make_fresh_predictor(variant, base_features, inference)
    micrograph = Micrograph("benchmark.mrc", OpticsGroup(1, "opticsGroup1", pixel_size))
    options = PickOptions(particle_diameter=particle_diameter)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / micrograph.name
        write_image(path, np.random.default_rng(1).normal(size=shape).astype(np.float32), pixel_size)
        runs = [_time_once(path, micrograph, predictor, options) for _ in range(repeats + 1)][1:]
    seconds = {step: median(run[0][step] for run in runs) for step in STEPS}
    return BenchmarkResult(
        seconds,
        median(sum(run[0].values()) for run in runs),
        peak_memory(),
        runs[0][1],
        predictor.precision,
        gpu_memory(predictor.device),
    )


def make_fresh_predictor(
    variant: str, base_features: int, inference: InferenceOptions
) -> ModelPredictor | HybridPredictor:
    """Return a predictor with random weights."""
    names = NETWORKS if variant == HYBRID else (variant,)
    models, headers = zip(*(_make_fresh_network(ModelSpec(name, base_features)) for name in names), strict=True)
    if variant != HYBRID:
        return ModelPredictor(models[0], headers[0], inference)
    return HybridPredictor(models, headers, Combination("average"), headers[0].calibration, inference)


def _make_fresh_network(spec: ModelSpec) -> tuple[UNet, CheckpointHeader]:
    return build_model(spec), CheckpointHeader(spec, 24.0)


def _time_once(
    path: Path, micrograph: Micrograph, predictor: ModelPredictor | HybridPredictor, options: PickOptions
) -> tuple[dict[str, float], tuple[int, int]]:
    watch = Stopwatch()
    image = watch.time("read", lambda: read_image(path))
    resampled = watch.time(
        "resample", lambda: predictor.prepare(image, micrograph.optics.pixel_size, options.particle_diameter)
    )
    shape = (image.shape[0], image.shape[1])
    surroundings = watch.time(
        "survey",
        lambda: survey_micrograph(image, micrograph.optics.pixel_size, resampled, options.particle_diameter),
    )
    prepared = PreparedMicrograph(micrograph, shape, resampled, surroundings)
    answer = watch.time("network", lambda: predictor.answer(prepared.image))
    picks = watch.time(
        "peaks",
        lambda: select_picks(find_candidates(answer, prepared, options), shape, options, OperatingPoint(0.5, "any")),
    )
    watch.time("write", lambda: write_picks(path.with_suffix(".star"), picks.yx, picks.score, shape))
    return watch.seconds, (resampled.values.shape[0], resampled.values.shape[1])


def gpu_memory(device: torch.device) -> int | None:
    """Return what torch allocated on a GPU at most so far, in bytes; ``None`` for a CPU."""
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None


def peak_memory() -> int:
    """Return the largest resident memory of this process so far, in bytes.

    Linux: ``VmHWM`` of proc(5), for ``ru_maxrss`` there is at first that of the process which started this one.
    """
    status = Path("/proc/self/status")
    if status.exists():
        (line,) = (line for line in status.read_text(encoding="ascii").splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
