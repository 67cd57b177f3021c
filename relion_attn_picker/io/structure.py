"""Atomic models (PDB, mmCIF): the only place that knows gemmi, which is an extra (``structures``).

A model becomes one row a residue, its biological assembly applied. Waters, hydrogens, second conformations and all
models but the first are left out. What a residue scatters is not known here, apart from what its atoms would do in
vacuum; ``simulation.residues`` knows the rest.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from relion_attn_picker.errors import InputError

if TYPE_CHECKING:
    import gemmi

AS_DEPOSITED = "none"
"""Name that asks for the model as it lies in the file, without an assembly."""


@dataclass(frozen=True)
class Residues:
    """The residues of an assembly; ions and ligands count as residues.

    Parameters
    ----------
    xyz
        Centroids of the atoms, Å, ``(n, 3)``.
    parent
        Standard name of each residue, such as ``MET`` also for selenomethionine; empty where there is none, ``(n,)``.
    is_nucleic
        Whether it belongs to a nucleic acid, ``(n,)``.
    scattering, mass
        Electron scattering lengths f(0) in Å and masses in Da of the atoms in the file, with the hydrogens that the
        chemical dictionary gives the residue, summed, ``(n,)``.
    """

    xyz: NDArray[np.float64]
    parent: NDArray[np.str_]
    is_nucleic: NDArray[np.bool_]
    scattering: NDArray[np.float64]
    mass: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.xyz)


def read_residues(path: Path, assembly: str | None = None) -> Residues:
    """Read the residues of a model's biological assembly.

    Parameters
    ----------
    path
        ``.pdb``, ``.ent``, ``.cif`` or ``.mmcif``, also compressed (``.gz``).
    assembly
        Name of the assembly in the file, such as ``"1"``; ``None`` takes the first (a file without any is taken as it
        is), ``"none"`` the model as it is.

    Raises
    ------
    InputError
        If gemmi is not installed, the file cannot be read, has no atoms, or lacks that assembly.
    """
    structure = _parse(path)
    structure.remove_alternative_conformations()
    structure.remove_hydrogens()
    structure.remove_waters()
    rows, chains = _list_residues(structure)
    if not rows:
        raise InputError(f"{path} has no atoms beside water and hydrogen: expected a model of a protein or a complex.")
    xyz, parent, is_nucleic, scattering, mass = (np.array(column) for column in zip(*rows, strict=True))
    copies = _copies(path, structure, chains, assembly)
    moved = [xyz[index] @ turn.T + shift for index, turn, shift in copies]
    if not all(np.isfinite(each).all() for each in moved):
        raise InputError(f"{path} has an atom, or a copy of it in the assembly, at no place in space: mend the file.")
    index = np.concatenate([index for index, _, _ in copies])
    return Residues(np.concatenate(moved), parent[index], is_nucleic[index], scattering[index], mass[index])


def _parse(path: Path) -> gemmi.Structure:
    try:
        import gemmi
    except ImportError as error:
        raise InputError(
            f"{path} is an atomic model, and the Python package gemmi that reads it is not installed: "
            "pip install 'relion_attn_picker[structures]'."
        ) from error
    if not path.is_file():
        raise InputError(f"There is no file {path}: check the path.")
    try:
        return gemmi.read_structure(str(path))
    except (RuntimeError, ValueError, OSError, IndexError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path} cannot be read as an atomic model ({reason}): expected PDB or mmCIF.") from error


def _list_residues(structure: gemmi.Structure) -> tuple[list[tuple[Any, ...]], list[tuple[str, str]]]:
    """Return a row of ``Residues`` for each residue of the first model, and the names that assemblies know it by."""
    rows, chains = [], []
    for chain in structure[0] if len(structure) else ():
        for residue in chain:
            atoms = [(atom.pos.tolist(), atom.element.c4322, atom.element.weight) for atom in residue]
            known = [(place, factor, mass) for place, factor, mass in atoms if factor is not None]
            if known:
                rows.append(_describe(residue.name, known))
                chains.append((chain.name, residue.subchain))
    return rows, chains


def _describe(name: str, atoms: list[tuple[list[float], Any, float]]) -> tuple[Any, ...]:
    """Return one row: centroid, standard name, whether nucleic acid, scattering length, mass."""
    import gemmi

    places, factors, masses = zip(*atoms, strict=True)
    entry = gemmi.find_tabulated_residue(name)
    is_polymer = entry.is_amino_acid() or entry.is_nucleic_acid()
    code = entry.one_letter_code.upper().strip()
    parent = gemmi.expand_one_letter(code, entry.kind) if is_polymer and code else None
    hydrogens = max(entry.hydrogen_count - 2 * is_polymer, 0)  # a link of two residues sets water free
    hydrogen = gemmi.Element("H")
    scattering = sum(factor.calculate_sf(0.0) for factor in factors) + hydrogens * hydrogen.c4322.calculate_sf(0.0)
    mass = sum(masses) + hydrogens * hydrogen.weight
    return np.mean(places, axis=0), parent or "", entry.is_nucleic_acid(), scattering, mass


Copy = tuple[NDArray[np.intp], NDArray[np.float64], NDArray[np.float64]]
"""Which residues, and the rotation and the shift (Å) that place them."""


def _copies(path: Path, structure: gemmi.Structure, chains: list[tuple[str, str]], assembly: str | None) -> list[Copy]:
    """Return the copies that make the assembly: BIOMT records, or mmCIF's pdbx_struct_assembly_gen."""
    known = {each.name: each for each in structure.assemblies}
    everything = np.arange(len(chains)), np.eye(3), np.zeros(3)
    if assembly == AS_DEPOSITED or (assembly is None and not known):
        return [everything]
    if assembly is not None and assembly not in known:
        names = ", ".join([*known, AS_DEPOSITED])
        raise InputError(f"{path} has no assembly {assembly!r}: expected one of {names}.")
    copies: list[Copy] = []
    for generator in known[assembly or next(iter(known))].generators:
        wanted, subwanted = set(generator.chains), set(generator.subchains)
        index = np.array([i for i, (chain, sub) in enumerate(chains) if chain in wanted or sub in subwanted], np.intp)
        for operator in generator.operators:
            transform = operator.transform
            copies.append((index, np.array(transform.mat.tolist()), np.array(transform.vec.tolist())))
    if not any(len(index) for index, _, _ in copies):
        raise InputError(f"{path}: its assembly names chains that the file lacks; give the assembly {AS_DEPOSITED!r}.")
    return copies
