"""Atomic models as particles: one bead a residue, weighed by what it scatters beyond the water it displaces.

Weight = f(0) - 0.0944 Å⁻² · volume. A residue that has a standard parent counts as complete, whatever atoms the model
lacks (hydrogens, side chains, all but Cα), because the molecule in the ice has them. Against all-atom projections one
bead a residue agrees to some 10 Å, beyond what a picker sees. Detergent belts are not modelled.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from relion_attn_picker.errors import InputError
from relion_attn_picker.io.structure import Residues, read_residues
from relion_attn_picker.simulation.particles import BeadParticle, make_particle

SCATTERING = {"H": 0.5288, "C": 2.5088, "N": 2.2135, "O": 1.9834, "P": 5.4876, "S": 5.1604}
"""Electron scattering lengths f(0) in Å (Peng 1999, Micron 30:625; International Tables C, table 4.3.2.2)."""

ATOMIC_MASS = {"H": 1.008, "C": 12.011, "N": 14.007, "O": 15.999, "P": 30.974, "S": 32.06}
"""Da."""

WATER_SCATTERING = 0.0944
"""Scattering length of vitreous water, Å per Å³: (2 · 0.5288 + 1.9834) Å · 0.0311 molecules per Å³ (0.93 g/cm³)."""

CUBIC_ANGSTROM_PER_DALTON = 1.6605
"""Volume of 1 Da at 1 g/cm³."""

SPECIFIC_VOLUME_PROTEIN = 0.73
"""cm³/g, for residues without a row of their own: the mean of proteins (Cohn & Edsall 1943)."""

SPECIFIC_VOLUME_NUCLEIC = 0.569
"""cm³/g, RNA in the large ribosomal subunit (Voss & Gerstein 2005, J. Mol. Biol. 346:477)."""

RESIDUE_RADIUS = 1.3
"""Standard deviation of a bead in Å: heavy atoms lie 1.2 Å from their residue's centroid along each axis (root mean
square over 787 residues of PDB entry 2XHE), and are some 0.5 Å wide themselves."""

AMINO_ACIDS = {
    "GLY": ("C2H3NO", 60.1),
    "ALA": ("C3H5NO", 88.6),
    "SER": ("C3H5NO2", 89.0),
    "CYS": ("C3H5NOS", 108.5),
    "THR": ("C4H7NO2", 116.1),
    "VAL": ("C5H9NO", 140.0),
    "PRO": ("C5H7NO", 112.7),
    "LEU": ("C6H11NO", 166.7),
    "ILE": ("C6H11NO", 166.7),
    "MET": ("C5H9NOS", 162.9),
    "ASP": ("C4H5NO3", 111.1),
    "ASN": ("C4H6N2O2", 114.1),
    "GLU": ("C5H7NO3", 138.4),
    "GLN": ("C5H8N2O2", 143.8),
    "LYS": ("C6H12N2O", 168.6),
    "ARG": ("C6H12N4O", 173.4),
    "HIS": ("C6H7N3O", 153.2),
    "PHE": ("C9H9NO", 189.9),
    "TYR": ("C9H9NO2", 193.6),
    "TRP": ("C11H10N2O", 227.8),
}
"""Formula in a chain, and volume in Å³ (Zamyatnin 1972, Prog. Biophys. Mol. Biol. 24:107)."""

NUCLEOTIDES = {
    "A": "C10H12N5O6P",
    "C": "C9H12N3O7P",
    "G": "C10H12N5O7P",
    "U": "C9H11N2O8P",
    "DA": "C10H12N5O5P",
    "DC": "C9H12N3O6P",
    "DG": "C10H12N5O6P",
    "DT": "C10H13N2O7P",
}
"""Formulas in a chain; the volume comes from ``SPECIFIC_VOLUME_NUCLEIC``."""


def sum_formula(formula: str, values: dict[str, float]) -> float:
    """Return the sum of an element's value over a formula such as ``C3H5NO``."""
    return sum(values[element] * int(count or 1) for element, count in re.findall(r"([A-Z][a-z]?)(\d*)", formula))


def excess_scattering(formula: str, volume: float) -> float:
    """Return what a molecule of a volume in Å³ scatters beyond the water it displaces, Å."""
    return sum_formula(formula, SCATTERING) - WATER_SCATTERING * volume


def specific_volume(mass: float, cubic_centimetres_per_gram: float) -> float:
    """Return the volume in Å³ of a mass in Da."""
    return mass * cubic_centimetres_per_gram * CUBIC_ANGSTROM_PER_DALTON


def _tabulate() -> dict[str, float]:
    """Return the weight of each standard residue."""
    weights = {name: excess_scattering(*row) for name, row in AMINO_ACIDS.items()}
    for name, formula in NUCLEOTIDES.items():
        volume = specific_volume(sum_formula(formula, ATOMIC_MASS), SPECIFIC_VOLUME_NUCLEIC)
        weights[name] = excess_scattering(formula, volume)
    return weights


def residue_weights(residues: Residues) -> NDArray[np.float64]:
    """Return the excess scattering length of each residue in Å, ``(n,)``: from the tables, or else from its atoms."""
    volume_per_mass = np.where(residues.is_nucleic, SPECIFIC_VOLUME_NUCLEIC, SPECIFIC_VOLUME_PROTEIN)
    displaced = residues.mass * volume_per_mass * CUBIC_ANGSTROM_PER_DALTON
    from_atoms = residues.scattering - WATER_SCATTERING * displaced
    table = _tabulate()
    known = np.array([table.get(name, np.nan) for name in residues.parent.tolist()])
    return np.asarray(np.where(np.isnan(known), from_atoms, known))


def read_structure_particle(path: Path, *, assembly: str | None = None) -> BeadParticle:
    """Read a PDB or mmCIF file as a particle; see ``io.structure.read_residues`` for ``assembly``.

    Raises
    ------
    InputError
        If the file cannot be read, or holds nothing that would show in ice.
    """
    residues = read_residues(path, assembly)
    weight = residue_weights(residues)
    seen = weight > 0
    if not seen.any():
        raise InputError(f"{path} holds nothing that scatters more than water: expected a protein or a nucleic acid.")
    return make_particle(path.name.split(".")[0], residues.xyz[seen], weight[seen], RESIDUE_RADIUS)
