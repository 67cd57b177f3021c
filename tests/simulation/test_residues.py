"""Weights of residues against sums of tabulated atoms, gemmi's dictionary, and published densities."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from relion_attn_picker.errors import InputError
from relion_attn_picker.io.structure import Residues
from relion_attn_picker.simulation import residues
from relion_attn_picker.simulation.particles import PROTEIN_SCATTERING
from relion_attn_picker.simulation.residues import (
    AMINO_ACIDS,
    ATOMIC_MASS,
    NUCLEOTIDES,
    SCATTERING,
    read_structure_particle,
    residue_weights,
    sum_formula,
)

FORMULAS = {name: formula for name, (formula, _) in AMINO_ACIDS.items()} | NUCLEOTIDES
CHARGED = {"LYS": 1, "ARG": 1, "HIS": 1}
"""Protons that the chemical dictionary's entry has and the formula has not."""


def named(*names: str, scattering: float = 0.0, mass: float = 0.0) -> Residues:
    n = len(names)
    is_nucleic = np.array([name in NUCLEOTIDES for name in names])
    return Residues(np.zeros((n, 3)), np.array(names), is_nucleic, np.full(n, scattering), np.full(n, mass))


@pytest.mark.parametrize("name", FORMULAS)
def test_formula_has_the_mass_of_the_chemical_dictionary(name: str) -> None:
    gemmi = pytest.importorskip("gemmi")
    in_chain = gemmi.find_tabulated_residue(name).weight - 18.015 - 1.008 * CHARGED.get(name, 0)
    assert sum_formula(FORMULAS[name], ATOMIC_MASS) == pytest.approx(in_chain, abs=0.02)


@pytest.mark.parametrize("element", SCATTERING)
def test_atoms_scatter_as_tabulated(element: str) -> None:
    gemmi = pytest.importorskip("gemmi")
    assert gemmi.Element(element).c4322.calculate_sf(0.0) == pytest.approx(SCATTERING[element], abs=1e-4)


def test_glycine_by_hand() -> None:
    by_hand = 2 * 2.5088 + 3 * 0.5288 + 2.2135 + 1.9834 - 0.0944 * 60.1
    assert residue_weights(named("GLY"))[0] == pytest.approx(by_hand)


def test_average_protein_has_the_density_of_protein() -> None:
    """Composition of proteins in the whole of UniProt, %; 0.0724 Å per Å³ is computed from the same atoms in bulk."""
    percent = "ALA 8.3 ARG 5.5 ASN 4.1 ASP 5.5 CYS 1.4 GLN 3.9 GLU 6.7 GLY 7.1 HIS 2.3 ILE 5.9 LEU 9.7 LYS 5.8 MET 2.4"
    percent += " PHE 3.9 PRO 4.7 SER 6.6 THR 5.4 TRP 1.1 TYR 2.9 VAL 6.9"
    names, shares = percent.split()[::2], np.array(percent.split()[1::2], dtype=float)
    weight = float(shares @ residue_weights(named(*names)))
    volume = float(shares @ [AMINO_ACIDS[name][1] for name in names])
    assert weight / volume == pytest.approx(PROTEIN_SCATTERING, rel=0.04)


def test_nucleic_acid_scatters_more_than_protein() -> None:
    mass = np.mean([sum_formula(NUCLEOTIDES[name], ATOMIC_MASS) for name in "ACGU"])
    per_volume = residue_weights(named(*"ACGU")).mean() / (mass * 0.569 * 1.6605)
    assert per_volume / PROTEIN_SCATTERING == pytest.approx(1.3, abs=0.07)  # 4.5 V over 3.5 V of inner potential


def test_unknown_residue_is_weighed_by_its_atoms() -> None:
    assert residue_weights(named("", scattering=10.0, mass=50.0))[0] == pytest.approx(10 - 0.0944 * 50 * 0.73 * 1.6605)


def write_model(path: Path, *rows: tuple[str, str, float, float, float]) -> Path:
    lines = [
        f"ATOM  {n:5d}  {atom:<3s} {residue:>3s} A{n:4d}    {x:8.3f}{y:8.3f}{z:8.3f}  1.00  0.00           {atom[0]}"
        for n, (atom, residue, x, y, z) in enumerate(rows, start=1)
    ]
    path.write_text("\n".join([*lines, "END", ""]))
    return path


def test_model_of_alpha_carbons_is_a_whole_protein(tmp_path: Path) -> None:
    pytest.importorskip("gemmi")
    path = write_model(tmp_path / "1abc.pdb", ("CA", "GLY", 0, 0, 0), ("CA", "GLY", 0, 0, 40))
    particle = read_structure_particle(path)
    assert particle.name == "1abc"
    np.testing.assert_allclose(particle.xyz, [[0, 0, -20], [0, 0, 20]])
    np.testing.assert_allclose(particle.weight, residue_weights(named("GLY", "GLY")))
    assert particle.diameter == pytest.approx(40 + 2 * particle.bead_radius)


def test_nothing_that_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("gemmi")
    text = "HETATM    1  K     K A   1       1.000   2.000   3.000  1.00  0.00           K\n"
    (tmp_path / "a.pdb").write_text(text.replace("K", "H"))
    with pytest.raises(InputError, match=r"a\.pdb has no atoms"):
        read_structure_particle(tmp_path / "a.pdb")
    monkeypatch.setattr(residues, "WATER_SCATTERING", 10.0)
    (tmp_path / "a.pdb").write_text(text)
    with pytest.raises(InputError, match=r"a\.pdb holds nothing that scatters more than water"):
        read_structure_particle(tmp_path / "a.pdb")
