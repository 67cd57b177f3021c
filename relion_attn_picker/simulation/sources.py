"""Reading a particle from any file that one can come from; the table of suffixes chooses how."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from relion_attn_picker.errors import InputError
from relion_attn_picker.simulation.maps import read_map_particle
from relion_attn_picker.simulation.particles import BeadParticle, read_bead_particle
from relion_attn_picker.simulation.residues import read_structure_particle


@dataclass(frozen=True)
class ParticleFormat:
    """How a kind of file is read, and by which options."""

    read: Callable[..., BeadParticle]
    options: tuple[str, ...] = ()


_STRUCTURE = ParticleFormat(read_structure_particle, ("assembly",))
_MAP = ParticleFormat(read_map_particle, ("mass", "threshold"))

FORMATS: dict[str, ParticleFormat] = {
    ".npz": ParticleFormat(read_bead_particle),
    **dict.fromkeys((".pdb", ".ent", ".cif", ".mmcif", ".pdb.gz", ".ent.gz", ".cif.gz", ".mmcif.gz"), _STRUCTURE),
    **dict.fromkeys((".mrc", ".map", ".ccp4", ".mrc.gz", ".map.gz", ".ccp4.gz"), _MAP),
}
"""Kinds of files by suffix, in lower case: bead files, atomic models, EM maps."""


def read_particle(
    path: Path, *, mass: float | None = None, threshold: float | None = None, assembly: str | None = None
) -> BeadParticle:
    """Read a particle from a file.

    Parameters
    ----------
    path
        A file whose suffix is in ``FORMATS``.
    mass, threshold
        Of maps: kDa, and the lowest density that belongs to the particle.
    assembly
        Of atomic models: name of the biological assembly in the file.

    Raises
    ------
    InputError
        If the file is absent or not what its suffix says, the suffix is unknown, or an option is not for this kind of
        file.
    """
    if not path.exists():
        raise InputError(f"There is no file {path}: check the path.")
    kind = FORMATS.get(particle_suffix(path))
    if kind is None:
        raise InputError(f"{path} has no suffix that is known here: expected one of {', '.join(FORMATS)}.")
    given = {"mass": mass, "threshold": threshold, "assembly": assembly}
    used = {name: value for name, value in given.items() if value is not None}
    for name in used:
        if name not in kind.options:
            suffixes = ", ".join(suffix for suffix, each in FORMATS.items() if name in each.options)
            raise InputError(f"{path} is read without the option {name}: it is for files of kind {suffixes}.")
    return kind.read(path, **used)


def particle_suffix(path: Path) -> str:
    """Return the suffix in lower case, that of a compressed file with what stands before it."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    return "".join(suffixes[-2:] if suffixes[-1:] == [".gz"] else suffixes[-1:])
