"""``attnpick simulate``: write a small RELION project of simulated micrographs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from relion_attn_picker.cli._options import GPU_HELP, LIKE_RELION, OUTPUT_NAME
from relion_attn_picker.cli._particle import PARTICLE_OPTIONS, choose_particle, particle_options
from relion_attn_picker.errors import InputError
from relion_attn_picker.options import DIRT_NAMES, PIXEL_TYPES, InferenceOptions, SimulationOptions

if TYPE_CHECKING:
    from relion_attn_picker.simulation.project import SimulationProgress

MOST_DEFOCUS: Final = 10.0
"""µm: ``SimulationOptions`` takes no more; told here in the unit that the user types."""


@click.command(name="simulate", context_settings=LIKE_RELION)
@click.option(
    "--out", type=OUTPUT_NAME, required=True, help="Folder of the project; an interrupted one goes on where it stopped."
)
@click.option("--count", type=int, default=4, show_default=True, help="Number of micrographs.")
@click.option("--width", type=int, default=1440, show_default=True, help="Pixels along x, such as 4096 or 5760 (K3).")
@click.option("--height", type=int, default=1024, show_default=True, help="Pixels along y, such as 4096 or 4092 (K3).")
@click.option("--pixel_size", "--angpix", type=float, default=2.0, show_default=True, help="Å per pixel.")
@particle_options
@click.option("--voltage", type=float, default=300.0, show_default=True, help="kV.")
@click.option("--dose", type=float, help="Electrons per Å².  [default: drawn for each, 18 to 70]")
@click.option("--defocus", type=(float, float), metavar="MIN MAX", help="µm under focus.  [default: 0.6 4, mostly 1.6]")
@click.option(
    "--snr",
    type=(float, float),
    default=(0.6, 1.5),
    show_default=True,
    help="Signal to noise, from to; the noise of counting is scaled to it, whatever the dose.",
)
@click.option(
    "--coverage",
    type=(float, float),
    default=(0.1, 0.25),
    show_default=True,
    help="Covered share of the area.",
)
@click.option("--empty", type=float, default=0.0, show_default=True, help="Share of micrographs without particles.")
@click.option(
    "--dirt",
    type=click.Choice(DIRT_NAMES),
    default="usual",
    show_default=True,
    help="Carbon, ice, clumps.",
)
@click.option("--pixel_type", type=click.Choice(PIXEL_TYPES), default="float32", show_default=True, help="Of the MRC.")
@click.option("--seed", type=int, default=1, show_default=True, help="The same seed gives the same project.")
@click.option(
    "--gpu",
    default="cpu",
    show_default=True,
    help=f"Where it is computed: {GPU_HELP}.",
)
def command(
    out: str, width: int, height: int, defocus: tuple[float, float] | None, count: int, gpu: str, **others: Any
) -> None:
    """Write a RELION project of simulated micrographs with known particles: MRC files, micrographs.star, truth.star.

    Broken particles and ones in junk are in ignored.star, masks of the junk in Junk/, all options in simulation.json.
    With usual dirt every second micrograph has a carbon edge. Run jobs with the folder as the current one.
    """
    choice = {name: others.pop(name) for name in PARTICLE_OPTIONS}
    if defocus is not None and max(defocus) > MOST_DEFOCUS:
        raise InputError(
            f"--defocus is {defocus[0]:g} {defocus[1]:g} µm: expected {MOST_DEFOCUS:g} or less; 10,000 Å are 1 µm."
        )
    underfocus = None if defocus is None else (1e4 * defocus[0], 1e4 * defocus[1])
    options = SimulationOptions(count=count, shape=(height, width), defocus=underfocus, **others)

    from relion_attn_picker.inference.devices import choose_device
    from relion_attn_picker.simulation.project import write_project

    device = str(choose_device(InferenceOptions(gpu=gpu).gpu))
    beads, source = choose_particle(options.seed, **choice)

    def report(progress: SimulationProgress) -> None:
        what = "is there already" if progress.was_there else f"{progress.particles} particles of {beads.diameter:.0f} Å"
        print(f"{progress.number}/{progress.count} {what}", flush=True)

    print(f"{beads.name}: {source}", flush=True)
    write_project(Path(out), beads, options, source, report, device)
    print(f"Written: {out}/micrographs.star, {out}/truth.star and {out}/ignored.star")
