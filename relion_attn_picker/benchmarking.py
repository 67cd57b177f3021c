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

from relion_attn_picker.imaging.prepare import NetworkImage
from relion_attn_picker.inference.operating_point import OperatingPoint
from relion_attn_picker.inference.predictor import ModelPredictor
from relion_attn_picker.io.mrc import read_image, write_image
from relion_attn_picker.micrograph import Micrograph, OpticsGroup
from relion_attn_picker.model_spec import CheckpointHeader, ModelSpec
from relion_attn_picker.models.builders import build_model
from relion_attn_picker.options import InferenceOptions, PickOptions
from relion_attn_picker.pipeline import candidates_of_map, select_picks
from relion_attn_picker.relion.job_files import write_picks

Result = TypeVar("Result")
STEPS = ("read", "resample", "network", "peaks", "write")


@dataclass(frozen=True)
class BenchmarkResult:
    """Median seconds of each step and of the whole, and the largest memory of the process in bytes."""

    seconds: dict[str, float]
    total: float
    peak_memory: int
    network_shape: tuple[int, int]
    precision: str


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
    spec: ModelSpec,
    shape: tuple[int, int],
    pixel_size: float,
    particle_diameter: float,
    inference: InferenceOptions,
    repeats: int,
) -> BenchmarkResult:
    """Measure one micrograph of noise, ``repeats`` times after one run that does not count.

    The weights are fresh: a network's time does not depend on its weights. Reading is from the page cache.
    """
    torch.set_num_threads(inference.threads)
    torch.manual_seed(1)
    predictor = ModelPredictor(build_model(spec), CheckpointHeader(spec, 24.0), inference)
    micrograph = Micrograph("benchmark.mrc", OpticsGroup(1, "opticsGroup1", pixel_size))
    options = PickOptions(particle_diameter=particle_diameter)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / micrograph.name
        write_image(path, np.random.default_rng(1).normal(size=shape).astype(np.float32), pixel_size)
        runs = [_time_once(path, micrograph, predictor, options) for _ in range(repeats + 1)][1:]
    seconds = {step: median(run[0][step] for run in runs) for step in STEPS}
    return BenchmarkResult(
        seconds, median(sum(run[0].values()) for run in runs), peak_memory(), runs[0][1], predictor.precision
    )


def _time_once(
    path: Path, micrograph: Micrograph, predictor: ModelPredictor, options: PickOptions
) -> tuple[dict[str, float], tuple[int, int]]:
    watch = Stopwatch()
    image = watch.time("read", lambda: read_image(path))
    prepared: NetworkImage = watch.time(
        "resample", lambda: predictor.prepare(image, micrograph.optics.pixel_size, options.particle_diameter)
    )
    shape = (image.shape[0], image.shape[1])
    probability_map = watch.time("network", lambda: predictor.predict(prepared))
    picks = watch.time(
        "peaks",
        lambda: select_picks(
            candidates_of_map(probability_map, micrograph, options), shape, options, OperatingPoint(0.5, "any")
        ),
    )
    watch.time("write", lambda: write_picks(path.with_suffix(".star"), picks.yx, picks.score, shape))
    return watch.seconds, (prepared.values.shape[0], prepared.values.shape[1])


def peak_memory() -> int:
    """Return the largest resident memory of this process so far, in bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
