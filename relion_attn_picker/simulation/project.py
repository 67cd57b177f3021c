"""A miniature RELION project of simulated micrographs with their truth.

One project shows one kind of particle, as one session at a microscope does. A project that was interrupted goes on
where it stopped; nothing that is there is ever overwritten.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relion_attn_picker import __version__
from relion_attn_picker.errors import InputError
from relion_attn_picker.io.folder_lock import hold_folder
from relion_attn_picker.io.mrc import write_image
from relion_attn_picker.micrograph import CtfParameters, Micrograph, OpticsGroup
from relion_attn_picker.options import SimulationOptions
from relion_attn_picker.picks import FloatArray
from relion_attn_picker.relion.job_files import write_coordinate_index, write_truth
from relion_attn_picker.relion.micrographs import write_micrographs
from relion_attn_picker.simulation.conditions import Conditions
from relion_attn_picker.simulation.micrograph import SimulatedMicrograph, simulate_micrograph
from relion_attn_picker.simulation.particles import BeadParticle
from relion_attn_picker.simulation.project_folder import (
    CONDITIONS_JSONL,
    IGNORED_STAR,
    MICROGRAPHS_STAR,
    TRUTH_STAR,
    open_project_folder,
)
from relion_attn_picker.simulation.session import AMPLITUDE_CONTRAST, SPHERICAL_ABERRATION, draw_session_conditions

JUNK_PIXELS = 16
"""Junk masks have about this many pixels per particle diameter, or those of the micrograph if it has fewer."""

MIN_DIAMETER_PIXELS = 4
"""A particle with fewer pixels across is a dot."""

INT16 = np.iinfo(np.int16)

MOST_CLIPPED = 0.001
"""Share of the pixels that may count more than int16 holds, as hot ones do."""


@dataclass(frozen=True)
class SimulationProgress:
    """One micrograph more is there: its number from 1, how many there will be, its particles, whether it was before."""

    number: int
    count: int
    particles: int
    was_there: bool


@dataclass(frozen=True)
class _Files:
    """The files of one micrograph, relative to the project."""

    micrograph: str
    truth: str
    ignored: str
    junk: str

    def are_in(self, folder: Path) -> bool:
        return all((folder / name).is_file() for name in asdict(self).values())


def write_project(
    folder: Path,
    particle: BeadParticle,
    options: SimulationOptions,
    source: str = "",
    report: Callable[[SimulationProgress], None] = lambda progress: None,
    device: str = "cpu",
) -> None:
    """Write simulated micrographs of one kind of particle as a RELION project.

    The folder gets

    - ``Micrographs/*.mrc`` and, last of all, ``micrographs.star`` with the CTF as simulated,
    - ``truth.star`` with ``Truth/*_truth.star``: whole particles on clear ice,
    - ``ignored.star`` with ``Ignored/*_ignored.star``: broken ones and ones in junk, neither right nor wrong to pick,
    - ``Junk/*_junk.mrc``: 1 where carbon, ice or aggregates lie, on pixels that are whole multiples of the
      micrograph's (see the header's pixel size),
    - ``simulation.json``: version, options, particle; ``conditions.jsonl``: what was drawn for each micrograph,
      and the variance of its counts over Poisson's.

    Names inside are relative to the folder: run jobs with it as the current folder.

    Parameters
    ----------
    folder
        The project's folder; made if absent.
    particle
        What the micrographs show.
    options
        See there.
    source
        Where the particle comes from, for ``simulation.json``.
    report
        Called after each micrograph.
    device
        Where the images are made, as torch names it; a GPU draws other noise than a CPU.

    Raises
    ------
    InputError
        If the particle does not fit into the field or the pixels, or counts into the type of the pixels, or the folder
        holds a project already, or an unfinished one of other options, or another process is at work in it.
    """
    check_size(particle.diameter, options)
    _check_counts(options)
    with hold_folder(folder):
        _write_into(folder, particle, options, _describe(particle, options, source, device), report, device)


def _write_into(
    folder: Path,
    particle: BeadParticle,
    options: SimulationOptions,
    settings: dict[str, Any],
    report: Callable[[SimulationProgress], None],
    device: str,
) -> None:
    records, names = [], [_name_files(number) for number in range(1, options.count + 1)]
    there = {files.micrograph for files in names if files.are_in(folder)}
    done = open_project_folder(folder, settings, there)
    with (folder / CONDITIONS_JSONL).open("a", encoding="utf-8") as log:
        for number, files in enumerate(names, start=1):
            record = done.get(files.micrograph)
            was_there = record is not None
            if record is None:
                record = _write_micrograph(folder, files, particle, options, number, device)
                log.write(json.dumps(record) + "\n")
                log.flush()
            records.append(record)
            report(SimulationProgress(number, options.count, record["particles"], was_there))
    _write_lists(folder, options, records, names)


def _write_lists(
    folder: Path, options: SimulationOptions, records: Sequence[dict[str, Any]], names: Sequence[_Files]
) -> None:
    """Write the STAR files of the whole project, that of the micrographs last: it tells that all is there."""
    group = OpticsGroup(
        1, "opticsGroup1", options.pixel_size, options.voltage, SPHERICAL_ABERRATION, AMPLITUDE_CONTRAST
    )
    listed = [Micrograph(each["micrograph"], group, CtfParameters(**each["ctf"])) for each in records]
    write_coordinate_index(folder / TRUTH_STAR, [each.name for each in listed], [files.truth for files in names])
    write_coordinate_index(folder / IGNORED_STAR, [each.name for each in listed], [files.ignored for files in names])
    write_micrographs(folder / MICROGRAPHS_STAR, listed)


def check_size(particle_diameter: float, options: SimulationOptions) -> None:
    """Refuse a particle diameter (Å) that does not fit into the field or the pixels.

    Raises
    ------
    InputError
        If it does not.
    """
    field = min(options.shape) * options.pixel_size
    if particle_diameter > 0.5 * field:
        raise InputError(
            f"A particle of {particle_diameter:.0f} Å is too large for a field of {field:.0f} Å: "
            "give more pixels or a larger pixel size."
        )
    if particle_diameter < MIN_DIAMETER_PIXELS * options.pixel_size:
        raise InputError(
            f"A particle of {particle_diameter:.0f} Å has fewer than {MIN_DIAMETER_PIXELS} pixels of "
            f"{options.pixel_size:g} Å across: give a smaller pixel size."
        )


def _check_counts(options: SimulationOptions) -> None:
    """Refuse whole counts where a pixel without a specimen counts more electrons than int16 holds."""
    if options.pixel_type != "int16":
        return
    for number in range(1, options.count + 1):
        conditions, _ = _draw_conditions(options, number)
        electrons = conditions.dose * conditions.efficiency * options.pixel_size**2
        if electrons > INT16.max:
            raise InputError(
                f"A pixel of {options.pixel_size:g} Å counts {electrons:.0f} electrons at {conditions.dose:.0f} e/Å², "
                f"and int16 holds {INT16.max}: give --pixel_type float32, a smaller pixel size or a lower dose."
            )


def _draw_conditions(options: SimulationOptions, number: int) -> tuple[Conditions, np.random.Generator]:
    """Return the conditions of a micrograph, and what draws everything else of it."""
    rng = np.random.default_rng([options.seed, number])
    return draw_session_conditions(options, number, rng), rng


def _describe(particle: BeadParticle, options: SimulationOptions, source: str, device: str) -> dict[str, Any]:
    """Return what ``simulation.json`` holds, as JSON gives it back."""
    described = {
        "version": __version__,
        "options": asdict(options),
        "particle": {
            "name": particle.name,
            "source": source,
            "diameter": round(particle.diameter, 3),
            "beads": len(particle.xyz),
            "scattering": round(float(particle.weight.sum()), 3),
        },
        "made_on": "a CPU" if device == "cpu" else "a GPU",
    }
    return dict(json.loads(json.dumps(described)))


def _name_files(number: int) -> _Files:
    stem = f"mic{number:04d}"
    return _Files(
        f"Micrographs/{stem}.mrc", f"Truth/{stem}_truth.star", f"Ignored/{stem}_ignored.star", f"Junk/{stem}_junk.mrc"
    )


def _write_micrograph(
    folder: Path, files: _Files, particle: BeadParticle, options: SimulationOptions, number: int, device: str
) -> dict[str, Any]:
    """Simulate and write one micrograph; return its record."""
    conditions, rng = _draw_conditions(options, number)
    simulated = simulate_micrograph(particle, options.shape, options.pixel_size, conditions, rng, device)
    write_image(folder / files.micrograph, CONVERT[options.pixel_type](simulated.image), options.pixel_size)
    write_truth(folder / files.truth, simulated.yx)
    write_truth(folder / files.ignored, simulated.ignored_yx)
    _write_junk(folder / files.junk, simulated)
    return {
        "micrograph": files.micrograph,
        "particles": len(simulated.yx),
        "ignored": len(simulated.ignored_yx),
        "ctf": asdict(simulated.optics.ctf),
        "conditions": asdict(conditions),
        "noise_gain": simulated.noise_gain,
    }


def _write_junk(path: Path, simulated: SimulatedMicrograph) -> None:
    factor = max(1, int(simulated.particle_diameter / simulated.pixel_size / JUNK_PIXELS))
    write_image(path, coarsen_mask(simulated.junk, factor).astype(np.int8), simulated.pixel_size * factor)


def coarsen_mask(mask: NDArray[np.bool_], factor: int) -> NDArray[np.bool_]:
    """Return whether any pixel of each block of ``factor``² is set; blocks at the far edges may be smaller."""
    padded = np.pad(mask, [(0, -n % factor) for n in mask.shape])
    h, w = (n // factor for n in padded.shape)
    return np.asarray(padded.reshape(h, factor, w, factor).any(axis=(1, 3)))


def _keep(image: FloatArray) -> FloatArray:
    return image


def round_counts(image: FloatArray) -> NDArray[np.int16]:
    """Return whole counts; a few hot pixels end at the limit of int16.

    Raises
    ------
    InputError
        If more than a few do.
    """
    counts = np.rint(image)
    within = np.clip(counts, INT16.min, INT16.max)
    clipped = float(np.mean(counts != within))
    if clipped > MOST_CLIPPED:
        raise InputError(
            f"{clipped:.1%} of the pixels of a micrograph do not fit into int16, which holds {INT16.max} electrons: "
            "give --pixel_type float32, a smaller pixel size or a lower dose, and another folder."
        )
    return within.astype(np.int16)


CONVERT: dict[str, Callable[[FloatArray], NDArray[Any]]] = {"float32": _keep, "int16": round_counts}
"""How pixels are stored: electrons per pixel, as they are or rounded."""
