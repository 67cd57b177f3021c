"""Libraries of particles to draw from: built-in procedural ones, one file, or a folder of files with its manifest.

A folder's particles are not drawn alike: most entries of any collection are soluble proteins of some 50 to 200 kDa,
and a network that saw little else would know little else. So each class of the manifest has a share
(``CLASS_SHARES``), within a class each octave of mass that occurs is as likely as any other, and within an octave
each particle.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from relion_attn_picker.errors import InputError
from relion_attn_picker.simulation.particles import BeadParticle, procedural_particle
from relion_attn_picker.simulation.sources import FORMATS, particle_suffix, read_particle

MANIFEST = "manifest.csv"
"""Optional table in the folder, or in the one above it, with the columns file, name, cls and mass_kda."""

CLASS_SHARES = {"protein": 0.45, "membrane": 0.2, "nucleoprotein": 0.12, "ribosome": 0.08, "virus": 0.08, "map": 0.07}
"""How often a class of the manifest is drawn; shares of classes that do not occur go to the others in proportion."""

UNKNOWN_CLASS = "protein"
"""The class of files that no manifest lists."""

PROCEDURAL_DIAMETERS = (57.0, 600.0)
"""Å: the visible diameters that procedural particles are drawn from, log-uniformly."""


class ParticleLibrary(Protocol):
    """Where particles come from."""

    @property
    def description(self) -> str:
        """What the library holds, for model cards."""

    def draw(self, rng: np.random.Generator) -> BeadParticle:
        """Return one particle."""


@dataclass(frozen=True)
class ProceduralLibrary:
    """Protein-like assemblies made up on the spot; needs no file."""

    diameters: tuple[float, float] = PROCEDURAL_DIAMETERS

    @property
    def description(self) -> str:
        """What is drawn."""
        return f"procedural particles of {self.diameters[0]:g} to {self.diameters[1]:g} Å"

    def draw(self, rng: np.random.Generator) -> BeadParticle:
        """Return a new particle."""
        return procedural_particle(float(np.exp(rng.uniform(*np.log(self.diameters)))), rng)


@dataclass(frozen=True)
class Entry:
    """A file of a library with what the manifest says of it; mass in kDa, if known."""

    path: Path
    title: str = ""
    kind: str = UNKNOWN_CLASS
    mass: float | None = None

    def mentions(self, word: str) -> bool:
        """Return whether the file's name (which begins with its id) or its title contains a word in any case."""
        return word.casefold() in f"{self.path.name} {self.title}".casefold()


@dataclass(frozen=True)
class FileLibrary:
    """Particles from files, each read when it is first drawn and then kept."""

    entries: tuple[Entry, ...]
    description: str
    _particles: dict[Path, BeadParticle] = field(default_factory=dict, repr=False, compare=False)

    def draw(self, rng: np.random.Generator) -> BeadParticle:
        """Return a particle, drawn with ``draw_probabilities``."""
        path = self.entries[int(rng.choice(len(self.entries), p=draw_probabilities(self.entries)))].path
        if path not in self._particles:
            self._particles[path] = read_particle(path)
        return self._particles[path]


def draw_probabilities(entries: Sequence[Entry]) -> NDArray[np.float64]:
    """Return the probability of each entry, ``(n,)``: see the module's docstring."""
    strata = [(entry.kind, None if entry.mass is None else int(np.floor(np.log2(entry.mass)))) for entry in entries]
    members = Counter(strata)
    octaves = Counter(kind for kind, _ in members)
    smallest = min(CLASS_SHARES.values())
    shares = [CLASS_SHARES.get(kind, smallest) / octaves[kind] / members[kind, octave] for kind, octave in strata]
    return np.array(shares) / sum(shares)


def open_particle_library(
    path: Path | None, *, include: Sequence[str] = (), exclude: Sequence[str] = ()
) -> ParticleLibrary:
    """Open a library.

    Parameters
    ----------
    path
        A file or a folder of files of any kind in ``sources.FORMATS`` (or a folder whose folder ``beads`` holds them);
        ``None`` for procedural particles.
    include, exclude
        Words; a particle is taken if its id, file name or title contains one of ``include`` (all, if there is none)
        and none of ``exclude``, in upper or lower case. A word that fits nothing is refused: a structure that was to
        be left out must not slip in by a misspelling.

    Raises
    ------
    InputError
        If there is no such folder, it has no particles, the manifest cannot be read, a word fits nothing or all.
    """
    if path is None:
        if include or exclude:
            raise InputError("Words to include or exclude need a folder of particles: procedural ones have no names.")
        return ProceduralLibrary()
    entries = _list_entries(path)
    for word in (*include, *exclude):
        if not any(entry.mentions(word) for entry in entries):
            raise InputError(f"{word!r} fits no particle in {path}: expected an id, a file name or a word of a title.")
    kept = [entry for entry in entries if not include or any(entry.mentions(word) for word in include)]
    left_out = [entry for entry in kept if any(entry.mentions(word) for word in exclude)]
    kept = [entry for entry in kept if entry not in left_out]
    if not kept:
        raise InputError(f"No particle of {path} is left: include more words or exclude fewer.")
    return FileLibrary(tuple(kept), _describe(path, kept, include, left_out))


def _describe(path: Path, entries: Sequence[Entry], include: Sequence[str], left_out: Sequence[Entry]) -> str:
    classes = Counter(entry.kind for entry in entries).most_common()
    text = f"{len(entries)} structures of {path.name} ({', '.join(f'{n} {kind}' for kind, n in classes)})"
    if include:
        text += f", chosen by {', '.join(include)}"
    if left_out:
        text += f", without {', '.join(sorted(entry.path.name for entry in left_out))}"
    return text


def _list_entries(path: Path) -> list[Entry]:
    if path.is_file():
        return [Entry(path)]
    if not path.is_dir():
        raise InputError(f"There is no file or folder {path}: check the path.")
    folders = [path, path / "beads"]
    files = next(filter(None, ([f for f in sorted(d.glob("*")) if particle_suffix(f) in FORMATS] for d in folders)), [])
    if not files:
        raise InputError(f"{path} holds no bead files, atomic models or maps: expected {', '.join(FORMATS)}.")
    manifest = next((d / MANIFEST for d in (path, path.parent) if (d / MANIFEST).is_file()), None)
    listed = {} if manifest is None else _read_manifest(manifest)
    return [listed.get(file.resolve(), Entry(file)) for file in files]


def _read_manifest(manifest: Path) -> dict[Path, Entry]:
    """Return the entries of a manifest by the files that they are about."""
    entries = {}
    try:
        with manifest.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                path = (manifest.parent / row["file"]).resolve()
                mass = float(row["mass_kda"])
                entries[path] = Entry(path, row["name"], row["cls"], mass if mass > 0 else None)
    except (OSError, KeyError, ValueError, TypeError, csv.Error) as error:
        raise InputError(
            f"{manifest} is no manifest of structures ({error!r}): expected the columns file, name, cls, mass_kda."
        ) from error
    return entries
