"""One simulated micrograph as arrays; ``field`` makes it, on any device."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from relion_attn_picker.picks import FloatArray
from relion_attn_picker.simulation.chance import Chance
from relion_attn_picker.simulation.conditions import Conditions
from relion_attn_picker.simulation.field import simulate_field
from relion_attn_picker.simulation.optics import Optics
from relion_attn_picker.simulation.particles import BeadParticle


@dataclass(frozen=True)
class SimulatedMicrograph:
    """A simulated micrograph with its truth.

    Parameters
    ----------
    image
        Counts (or grey values, where the image was processed), ``(h, w)``; particles are dark.
    yx, ignored_yx
        Centres of whole particles on clear ice, and of broken ones, hidden ones and ones in junk or in a spoilt strip,
        ``(n, 2)`` pixels.
    junk
        Where films, ice, aggregates and debris lie, ``(h, w)``.
    pixel_size, particle_diameter
        Å.
    optics
        As imaged.
    noise_gain
        Variance of the counts over Poisson's: what ``Conditions.snr`` asked for.
    """

    image: FloatArray
    yx: FloatArray
    ignored_yx: FloatArray
    junk: NDArray[np.bool_]
    pixel_size: float
    particle_diameter: float
    optics: Optics
    noise_gain: float


def simulate_micrograph(
    particle: BeadParticle,
    shape: tuple[int, int],
    pixel_size: float,
    conditions: Conditions,
    rng: np.random.Generator,
    device: str | torch.device = "cpu",
) -> SimulatedMicrograph:
    """Simulate one micrograph of one kind of particle.

    Parameters
    ----------
    particle
        What is to be picked.
    shape
        ``(h, w)`` of the micrograph in pixels.
    pixel_size
        Å per pixel.
    conditions
        See there.
    rng
        Everything random comes from here: on one machine, the same seed makes the same micrograph.
    device
        Where it is computed.
    """
    place = torch.device(device)
    with torch.inference_mode():
        field = simulate_field(particle, shape, pixel_size, conditions, Chance.seeded(rng, place), place)
        image, yx, ignored_yx, junk = (
            tensor.cpu().numpy() for tensor in (field.image, field.yx, field.ignored_yx, field.junk)
        )
    return SimulatedMicrograph(
        image, yx, ignored_yx, junk, pixel_size, particle.diameter, field.optics, field.noise_gain
    )
