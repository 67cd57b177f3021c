"""The options that say which particle to simulate. Click only; everything else is imported where it is used."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from relion_attn_picker.cli._options import Decorated, add_options
from relion_attn_picker.errors import InputError

if TYPE_CHECKING:
    from relion_attn_picker.simulation.particles import BeadParticle

DIAMETER: Final = 160.0
"""Å: the default of ``--diameter``."""

PARTICLE_OPTIONS: Final = ("particle", "include", "exclude", "assembly", "mass", "map_threshold", "diameter")
"""Names of the arguments that ``particle_options`` gives a command and ``choose_particle`` takes."""


def particle_options(function: Decorated) -> Decorated:
    """Decorate a command with the options that choose a particle."""
    options = [
        click.option(
            "--particle",
            help="What to show: PDB or mmCIF file, EM map (MRC), bead file (*.npz), or a folder of them, of which the "
            "seed chooses one.  [default: a procedural particle]",
        ),
        click.option("--include", multiple=True, metavar="WORD", help="Of a folder: only ids or titles with this."),
        click.option("--exclude", multiple=True, metavar="WORD", help="Of a folder: leave those out."),
        click.option("--assembly", help="Of a PDB or mmCIF file: the assembly's name, or none.  [default: the first]"),
        click.option("--mass", type=float, help="Of a map: kDa.  [default: that of the volume within the threshold]"),
        click.option("--map_threshold", type=float, help="Of a map: lowest density of the particle.  [default: found]"),
        click.option("--diameter", type=float, help=f"Å, of the procedural particle.  [default: {DIAMETER:g}]"),
    ]
    return add_options(function, options)


def choose_particle(
    seed: int,
    *,
    particle: str | None,
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    assembly: str | None,
    mass: float | None,
    map_threshold: float | None,
    diameter: float | None,
) -> tuple[BeadParticle, str]:
    """Return the particle and where it comes from.

    Raises
    ------
    InputError
        If it cannot be read, or an option does not belong to what ``particle`` is.
    """
    import numpy as np

    from relion_attn_picker.simulation.library import open_particle_library
    from relion_attn_picker.simulation.particles import procedural_particle
    from relion_attn_picker.simulation.sources import read_particle

    has_file_options = any(value is not None for value in (assembly, mass, map_threshold))
    rng = np.random.default_rng(seed)
    if particle is None:
        if has_file_options or include or exclude:
            raise InputError("--include, --exclude, --assembly, --mass and --map_threshold need --particle.")
        return procedural_particle(DIAMETER if diameter is None else diameter, rng), "procedural"
    if diameter is not None:
        raise InputError("--diameter is for procedural particles: a file (--particle) has its own.")
    if not Path(particle).is_dir():
        if include or exclude:
            raise InputError(f"--include and --exclude choose from a folder, and {particle} is none.")
        return read_particle(Path(particle), mass=mass, threshold=map_threshold, assembly=assembly), particle
    if has_file_options:
        raise InputError(f"--assembly, --mass and --map_threshold are for one file, and {particle} is a folder.")
    library = open_particle_library(Path(particle), include=include, exclude=exclude)
    return library.draw(rng), f"one of {library.description}"
