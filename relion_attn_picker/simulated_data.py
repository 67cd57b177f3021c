"""Simulated micrographs as data to train and to validate with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np

from relion_attn_picker.errors import InputError
from relion_attn_picker.simulation.conditions import draw_conditions
from relion_attn_picker.simulation.micrograph import SimulatedMicrograph, simulate_micrograph
from relion_attn_picker.simulation.particles import BeadParticle, procedural_particle, read_bead_particle
from relion_attn_picker.training.crops import FieldSource, LabelledImage, LabelledSource

FIELD_SHAPE: Final = (400, 400)
"""Pixels of a field, close to the network's scale already."""

STREAMS: Final = {"crop file": 3, "on the fly": 5, "validation": 6}
"""Purpose → part of the seed: no two purposes ever see the same field."""

SOURCE_NAME: Final = "simulation"


@dataclass(frozen=True)
class Simulation:
    """Simulated fields, each of another particle under other conditions.

    Parameters
    ----------
    files
        Bead files from which every second particle comes; the others are procedural, 80 to 400 Å across.
    excluded
        Words by which structures were left out.
    seed
        A field depends on the seed, its purpose and its number alone.
    """

    files: tuple[Path, ...]
    excluded: tuple[str, ...]
    seed: int

    @property
    def description(self) -> str:
        """What is simulated."""
        kinds = "procedural particles" + (f" and {len(self.files)} structures" if self.files else "")
        without = f" without {', '.join(self.excluded)}" if self.excluded else ""
        return f"{kinds}{without}, seed {self.seed}"

    def make_field(self, purpose: str, number: int) -> LabelledImage:
        """Simulate one field; ``purpose`` is a key of ``STREAMS``."""
        rng = np.random.default_rng([self.seed, STREAMS[purpose], number])
        particle = self._draw_particle(number, rng)
        pixel_size = particle.diameter / float(rng.uniform(22, 30))
        simulated = _simulate(particle, pixel_size, rng)
        return LabelledImage(simulated.image, pixel_size, particle.diameter, simulated.yx, simulated.ignored_yx)

    def _draw_particle(self, number: int, rng: np.random.Generator) -> BeadParticle:
        if self.files and number % 2:
            return read_bead_particle(self.files[int(rng.integers(len(self.files)))])
        return procedural_particle(float(rng.uniform(80, 400)), rng)


def _simulate(particle: BeadParticle, pixel_size: float, rng: np.random.Generator) -> SimulatedMicrograph:
    return simulate_micrograph(particle, FIELD_SHAPE, pixel_size, draw_conditions(rng), rng)


def open_simulation(structures: Path | None, seed: int, exclude: Sequence[str] = ()) -> Simulation:
    """Return the simulation of procedural particles and, if a folder is given, of the structures in it.

    Raises
    ------
    InputError
        If the folder has no bead files, or a word to exclude fits none of them or all.
    """
    files = [] if structures is None else sorted(structures.glob("*.npz"))
    if structures is not None and not files:
        raise InputError(f"There are no bead files (*.npz) in {structures}.")
    for word in exclude:
        if not any(word.casefold() in file.name.casefold() for file in files):
            raise InputError(f"{word!r} fits no structure in {structures}: check the words of --exclude.")
    kept = tuple(file for file in files if not any(word.casefold() in file.name.casefold() for word in exclude))
    if files and not kept:
        raise InputError(f"No structure of {structures} is left: give fewer words to --exclude.")
    return Simulation(kept, tuple(exclude), seed)


def simulate_source(simulation: Simulation, count: int, purpose: str = "crop file") -> LabelledSource:
    """Return ``count`` simulated micrographs."""
    micrographs = [partial(simulation.make_field, purpose, number) for number in range(count)]
    return LabelledSource(SOURCE_NAME, f"{simulation.description}, {count} fields", micrographs)


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
