"""A miniature RELION project of simulated micrographs with their truth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from relion_attn_picker.errors import InputError
from relion_attn_picker.io.mrc import write_image
from relion_attn_picker.micrograph import Micrograph, OpticsGroup
from relion_attn_picker.relion.job_files import write_coordinate_index, write_truth
from relion_attn_picker.relion.micrographs import write_micrographs
from relion_attn_picker.simulation.conditions import Conditions, draw_conditions
from relion_attn_picker.simulation.micrograph import SimulatedMicrograph, simulate_micrograph
from relion_attn_picker.simulation.particles import BeadParticle

MICROGRAPHS_STAR = "micrographs.star"
TRUTH_STAR = "truth.star"


def write_project(
    folder: Path,
    particle: BeadParticle,
    count: int,
    shape: tuple[int, int],
    pixel_size: float,
    seed: int,
    report: Callable[[int, SimulatedMicrograph], None] = lambda number, micrograph: None,
) -> None:
    """Write ``count`` simulated micrographs of one kind of particle as a RELION project.

    The folder gets ``Micrographs/*.mrc`` (float32 counts), ``micrographs.star`` with CTF columns, ``truth.star`` with
    ``Truth/*_truth.star``. Names inside are relative to the folder: run jobs with it as the current folder.

    Parameters
    ----------
    folder
        The project's folder; made if absent.
    particle
        What the micrographs show.
    count, shape, pixel_size
        Number of micrographs, ``(h, w)``, Å per pixel.
    seed
        The same seed gives the same project.
    report
        Called after each micrograph with its number from 1.

    Raises
    ------
    InputError
        If the particle does not fit into the field, or the folder holds a project already.
    """
    if particle.diameter > 0.5 * min(shape) * pixel_size:
        raise InputError(
            f"A particle of {particle.diameter:.0f} Å is too large for a field of {min(shape) * pixel_size:.0f} Å: "
            "give more pixels or a larger pixel size."
        )
    if (folder / MICROGRAPHS_STAR).exists():
        raise InputError(f"{folder} holds a project already: give another folder, or remove this one.")
    for name in ("Micrographs", "Truth"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    group = OpticsGroup(1, "opticsGroup1", pixel_size, 300.0, 2.7, 0.1)
    micrographs, truths = [], []
    for number in range(1, count + 1):
        rng = np.random.default_rng([seed, number])
        simulated = simulate_micrograph(particle, shape, pixel_size, _draw_mild_conditions(rng, number), rng)
        name, truth = f"Micrographs/mic{number:04d}.mrc", f"Truth/mic{number:04d}_truth.star"
        write_image(folder / name, simulated.image, pixel_size)
        write_truth(folder / truth, simulated.yx)
        micrographs.append(Micrograph(name, group, simulated.optics.ctf))
        truths.append(truth)
        report(number, simulated)
    write_coordinate_index(folder / TRUTH_STAR, [micrograph.name for micrograph in micrographs], truths)
    write_micrographs(folder / MICROGRAPHS_STAR, micrographs)


def _draw_mild_conditions(rng: np.random.Generator, number: int) -> Conditions:
    """Draw the conditions of one session: one microscope, particles on every micrograph, every second with carbon."""
    return replace(
        draw_conditions(rng),
        voltage=300.0,
        spherical_aberration=2.7,
        amplitude_contrast=0.1,
        coverage=float(rng.uniform(0.1, 0.25)),
        min_separation=1.05,
        snr=float(rng.uniform(0.6, 1.5)),
        protein_noise=float(rng.uniform(0.1, 1.0)),
        carbon=number % 2 == 0,
        phase_shift=0.0,
        damaged=0.0,
        mottling=0.0,
        border=0,
        lowpass=1.0,
    )
