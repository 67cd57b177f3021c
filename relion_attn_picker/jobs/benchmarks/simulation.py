"""How fast fields are simulated: images with their truth, on a CPU or on a GPU, without writing them."""

from __future__ import annotations

import time
from dataclasses import dataclass
from statistics import mean, median

import numpy as np
import torch

from relion_attn_picker.inference.devices import choose_device
from relion_attn_picker.options import InferenceOptions, SimulationOptions, require
from relion_attn_picker.simulation.conditions import draw_conditions
from relion_attn_picker.simulation.micrograph import simulate_micrograph
from relion_attn_picker.simulation.particles import procedural_particle
from relion_attn_picker.simulation.project import check_size


@dataclass(frozen=True)
class SimulationBenchmark:
    """Seconds of a field, the median and the mean: what a field shows decides how long it takes."""

    median_seconds: float
    mean_seconds: float


def benchmark_simulation(
    shape: tuple[int, int], pixel_size: float, particle_diameter: float, inference: InferenceOptions, repeats: int
) -> SimulationBenchmark:
    """Measure ``repeats`` fields, each of another procedural particle under conditions as networks are trained on.

    Parameters
    ----------
    shape, pixel_size
        ``(h, w)`` in pixels, Å per pixel.
    particle_diameter
        Å.
    inference
        Device and threads.
    repeats
        Fields that count, after one that does not.

    Raises
    ------
    InputError
        If the shape, the pixel size or the number of runs cannot be meant, or the particle does not fit into the field
        or the pixels.
    DeviceError
        If the GPU is not there or cannot be used.
    """
    check_size(particle_diameter, SimulationOptions(shape=shape, pixel_size=pixel_size))
    require(repeats >= 1, f"The number of runs is {repeats}: expected 1 or more.")
    torch.set_num_threads(inference.threads)
    device = choose_device(inference.gpu)
    seconds = []
    for number in range(repeats + 1):
        rng = np.random.default_rng(number)
        particle, conditions = procedural_particle(particle_diameter, rng), draw_conditions(rng)
        start = time.perf_counter()
        simulate_micrograph(particle, shape, pixel_size, conditions, rng, device)  # the image comes back: GPU is done
        seconds.append(time.perf_counter() - start)
    return SimulationBenchmark(median(seconds[1:]), mean(seconds[1:]))
