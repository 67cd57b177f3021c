"""``attnpick simulate``: write a small RELION project of simulated micrographs."""

from __future__ import annotations

from pathlib import Path

import click

from relion_attn_picker.cli._options import LIKE_RELION


@click.command(name="simulate", context_settings=LIKE_RELION)
@click.option("--out", required=True, help="Folder of the project; made if absent.")
@click.option("--count", type=click.IntRange(1), default=4, show_default=True, help="Number of micrographs.")
@click.option("--width", type=click.IntRange(64), default=1440, show_default=True, help="Pixels along x.")
@click.option("--height", type=click.IntRange(64), default=1024, show_default=True, help="Pixels along y.")
@click.option("--pixel_size", "--angpix", type=float, default=2.0, show_default=True, help="Å per pixel.")
@click.option("--diameter", type=float, default=160.0, show_default=True, help="Diameter of procedural particles in Å.")
@click.option("--particle", help="Bead file (*.npz) of the particle.  [default: a procedural one]")
@click.option("--seed", type=int, default=1, show_default=True, help="The same seed gives the same project.")
def command(
    out: str, count: int, width: int, height: int, pixel_size: float, diameter: float, particle: str | None, seed: int
) -> None:
    """Write a RELION project of simulated micrographs with known particles: MRC files, micrographs.star, truth.star.

    Half of the micrographs have a carbon edge. Run jobs with the folder as the current one.
    """
    import numpy as np

    from relion_attn_picker.simulation.micrograph import SimulatedMicrograph
    from relion_attn_picker.simulation.particles import procedural_particle, read_bead_particle
    from relion_attn_picker.simulation.project import write_project

    rng = np.random.default_rng(seed)
    beads = procedural_particle(diameter, rng) if particle is None else read_bead_particle(Path(particle))

    def report(number: int, simulated: SimulatedMicrograph) -> None:
        print(f"{number}/{count} {len(simulated.yx)} particles of {beads.diameter:.0f} Å", flush=True)

    write_project(Path(out), beads, count, (height, width), pixel_size, seed, report)
    print(f"Written: {out}/micrographs.star and {out}/truth.star")
