"""Simulated micrographs as data to train and to validate with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np

from relion_attn_picker.errors import InputError
from relion_attn_picker.simulation.conditions import (
    Conditions,
    draw_conditions,
    draw_training_conditions,
    vary_conditions,
)
from relion_attn_picker.simulation.library import ParticleLibrary, open_particle_library
from relion_attn_picker.simulation.micrograph import simulate_micrograph
from relion_attn_picker.simulation.particles import BeadParticle
from relion_attn_picker.training.crops import FieldSource, LabelledImage, LabelledSource
from relion_attn_picker.training.distributed import current_world, device_of

SESSION_SHAPE: Final = (720, 720)
SESSION_FIELDS: Final = 2
"""Pixels and number of the micrographs of a session."""

FIELD_SHAPE: Final = (400, 400)
"""Pixels of a field, close to the network's scale already."""

PIXELS_PER_DIAMETER: Final = (22.0, 30.0)
"""Pixels per particle diameter of a field, drawn uniformly; crops are then cut at the network's scale."""

PROCEDURAL_EVERY: Final = 3
"""Of so many fields one shows a made-up particle: shapes that no collection of structures holds."""

STREAMS: Final = {"crop file": 3, "on the fly": 5, "validation": 6, "session": 7}
"""Purpose → part of the seed: no two purposes ever see the same field."""

SOURCE_NAME: Final = "simulation"


@dataclass(frozen=True)
class Simulation:
    """Simulated fields, each of another particle under other conditions.

    Parameters
    ----------
    procedural
        Made-up particles: every ``PROCEDURAL_EVERY``-th field shows one.
    structures
        Particles of all other fields; ``None`` makes every field procedural.
    seed
        A field depends on the seed, its purpose, its number and the kind of device alone.
    device
        Where fields are made, as torch names it, such as ``"cuda:0"``: a GPU draws other noise than a CPU.
    """

    procedural: ParticleLibrary
    structures: ParticleLibrary | None
    seed: int
    device: str = "cpu"

    @property
    def description(self) -> str:
        """What is simulated."""
        libraries = [self.procedural] if self.structures is None else [self.structures, self.procedural]
        place = "" if self.device == "cpu" else ", made on a GPU"
        return f"{' and '.join(library.description for library in libraries)}, seed {self.seed}{place}"

    def make_field(self, purpose: str, number: int) -> LabelledImage:
        """Simulate one field; ``purpose`` is a key of ``STREAMS``."""
        rng = np.random.default_rng([self.seed, STREAMS[purpose], number])
        particle, pixel_size = self._draw_particle(number, rng)
        return self._simulate(particle, pixel_size, FIELD_SHAPE, draw_training_conditions(rng), rng)

    def make_session(self, number: int) -> list[LabelledImage]:
        """Simulate ``SESSION_FIELDS`` micrographs of one particle and one microscope, all with particles."""
        rng = np.random.default_rng([self.seed, STREAMS["session"], number])
        particle, pixel_size = self._draw_particle(number, rng)
        while not (session := draw_conditions(rng)).coverage:
            pass
        conditions = [vary_conditions(session, rng) for _ in range(SESSION_FIELDS)]
        return [self._simulate(particle, pixel_size, SESSION_SHAPE, each, rng) for each in conditions]

    def _draw_particle(self, number: int, rng: np.random.Generator) -> tuple[BeadParticle, float]:
        """Return a particle, and Å per pixel of its fields."""
        is_procedural = self.structures is None or number % PROCEDURAL_EVERY == 0
        particle = (self.procedural if is_procedural else self.structures).draw(rng)  # type: ignore[union-attr]
        return particle, particle.diameter / float(rng.uniform(*PIXELS_PER_DIAMETER))

    def _simulate(
        self,
        particle: BeadParticle,
        pixel_size: float,
        shape: tuple[int, int],
        conditions: Conditions,
        rng: np.random.Generator,
    ) -> LabelledImage:
        simulated = simulate_micrograph(particle, shape, pixel_size, conditions, rng, self.device)
        return LabelledImage(simulated.image, pixel_size, particle.diameter, simulated.yx, simulated.ignored_yx)


def open_simulation(structures: Path | None, seed: int, exclude: Sequence[str] = (), device: str = "cpu") -> Simulation:
    """Return the simulation of procedural particles and, if a folder is given, of the structures in it.

    Parameters
    ----------
    structures, exclude
        See ``simulation.library.open_particle_library``.
    seed, device
        See ``Simulation``.

    Raises
    ------
    InputError
        If the folder has no particles, a word to exclude fits none of them or all, or the seed is negative.
    """
    if seed < 0:
        raise InputError(f"The seed is {seed}: expected 0 or more.")
    if structures is None and exclude:
        raise InputError(f"--exclude {exclude[0]} has nothing to leave out: give --structures, or no --exclude.")
    library = None if structures is None else open_particle_library(structures, exclude=exclude)
    return Simulation(open_particle_library(None), library, seed, device)


def place_simulation(simulate_on: str, gpu: str) -> str:
    """Return the device on which the fields of a training are made, as torch names it.

    Parameters
    ----------
    simulate_on
        ``"cpu"``, or ``"gpu"``: the one that the training runs on.
    gpu
        Of the training, see ``inference.devices.choose_device``.

    Raises
    ------
    InputError
        If the training runs on no GPU.
    DeviceError
        If its GPU is not there or cannot be used.
    """
    if simulate_on == "cpu":
        return "cpu"
    device = device_of(gpu, current_world())
    if device.type == "cpu":
        raise InputError(
            "The training runs on the CPU, so there is no GPU to simulate on: leave out --simulate_on gpu."
        )
    return str(device)


def simulate_source(simulation: Simulation, count: int, purpose: str = "crop file") -> LabelledSource:
    """Return ``count`` simulated micrographs."""
    micrographs = [partial(simulation.make_field, purpose, number) for number in range(count)]
    return LabelledSource(SOURCE_NAME, f"{simulation.description}, {count} fields", micrographs, is_simulated=True)


def simulate_on_the_fly(simulation: Simulation, share: float, other_weights: float) -> FieldSource:
    """Return fields without end, made while a network is trained, for a share of its crops.

    Parameters
    ----------
    simulation
        See there.
    share
        Of the crops, 0 to 1.
    other_weights
        Sum of the weights of all other sources.

    Raises
    ------
    InputError
        If nothing is left for the other sources.
    """
    if other_weights and not 0 < share < 1:
        raise InputError(f"The share of simulated crops is {share:g}: expected between 0 and 1 beside other data.")
    weight = share / (1 - share) * other_weights if other_weights else 1.0
    description = f"{simulation.description}, fields made anew for each batch"
    return FieldSource("simulation on the fly", description, partial(simulation.make_field, "on the fly"), weight)
