"""Atomic models: a molecule of three residues written by hand, in both formats."""

from __future__ import annotations

import gzip
import sys
from pathlib import Path

import numpy as np
import pytest

from relion_attn_picker.errors import InputError
from relion_attn_picker.io.structure import read_residues

ATOMS = (
    # name, residue, chain, number, x, y, z, element, alternative
    ("N", "GLY", "A", 1, 0.0, 0.0, 0.0, "N", ""),
    ("CA", "GLY", "A", 1, 2.0, 0.0, 0.0, "C", ""),
    ("HA2", "GLY", "A", 1, 90.0, 0.0, 0.0, "H", ""),
    ("CA", "MSE", "A", 2, 0.0, 10.0, 0.0, "C", "A"),
    ("CA", "MSE", "A", 2, 0.0, 50.0, 0.0, "C", "B"),
    ("P", "A", "B", 1, 0.0, 0.0, 30.0, "P", ""),
    ("O", "HOH", "C", 1, 70.0, 70.0, 70.0, "O", ""),
)
PLACES = [[1, 0, 0], [0, 10, 0], [0, 0, 30]]
BIOMT = "".join(
    [
        "REMARK 350 BIOMOLECULE: 1\n",
        "REMARK 350 APPLY THE FOLLOWING TO CHAINS: A, B\n",
        "REMARK 350   BIOMT1   1  1.000000  0.000000  0.000000        0.00000\n",
        "REMARK 350   BIOMT2   1  0.000000  1.000000  0.000000        0.00000\n",
        "REMARK 350   BIOMT3   1  0.000000  0.000000  1.000000        0.00000\n",
        "REMARK 350   BIOMT1   2 -1.000000  0.000000  0.000000      100.00000\n",
        "REMARK 350   BIOMT2   2  0.000000 -1.000000  0.000000        0.00000\n",
        "REMARK 350   BIOMT3   2  0.000000  0.000000  1.000000        5.00000\n",
        "REMARK 350 BIOMOLECULE: 2\n",
        "REMARK 350 APPLY THE FOLLOWING TO CHAINS: B\n",
        "REMARK 350   BIOMT1   1  1.000000  0.000000  0.000000        0.00000\n",
        "REMARK 350   BIOMT2   1  0.000000  1.000000  0.000000        0.00000\n",
        "REMARK 350   BIOMT3   1  0.000000  0.000000  1.000000        0.00000\n",
    ]
)


@pytest.fixture(autouse=True)
def _gemmi(request: pytest.FixtureRequest) -> None:
    if "without" not in request.node.name:
        pytest.importorskip("gemmi", reason="the extra `structures` is not installed")


def pdb_atoms(shift: float = 0.0) -> str:
    rows = []
    for serial, (name, residue, chain, number, x, y, z, element, alternative) in enumerate(ATOMS, start=1):
        rows.append(
            f"HETATM{serial:5d}  {name:<3s}{alternative:1s}{residue:>3s} {chain}{number:4d}    "
            f"{x + shift:8.3f}{y + shift:8.3f}{z + shift:8.3f}  1.00  0.00          {element:>2s}\n"
        )
    return "".join(rows)


def cif_text() -> str:
    columns = "group_PDB id label_atom_id label_alt_id label_comp_id label_asym_id auth_asym_id auth_seq_id"
    columns += " label_seq_id Cartn_x Cartn_y Cartn_z type_symbol occupancy B_iso_or_equiv pdbx_PDB_model_num"
    rows = [
        f"HETATM {serial} {name} {alternative or '.'} {residue} {'abc'['ABC'.index(chain)]} {chain} {number} {number} "
        f"{x} {y} {z} {element} 1 0 1"
        for serial, (name, residue, chain, number, x, y, z, element, alternative) in enumerate(ATOMS, start=1)
    ]
    return "\n".join(
        [
            "data_tiny",
            "loop_",
            *("_atom_site." + column for column in columns.split()),
            *rows,
            "loop_",
            "_pdbx_struct_assembly.id",
            "_pdbx_struct_assembly.details",
            "_pdbx_struct_assembly.method_details",
            "_pdbx_struct_assembly.oligomeric_details",
            "_pdbx_struct_assembly.oligomeric_count",
            "1 author_defined_assembly ? ? ?",
            "loop_",
            "_pdbx_struct_assembly_gen.assembly_id",
            "_pdbx_struct_assembly_gen.oper_expression",
            "_pdbx_struct_assembly_gen.asym_id_list",
            "1 1,2 a,b",
            "loop_",
            "_pdbx_struct_oper_list.id",
            "_pdbx_struct_oper_list.type",
            *(f"_pdbx_struct_oper_list.{m}" for m in operator_columns()),
            "1 ? 1 0 0 0 1 0 0 0 1 0 0 0",
            "2 ? -1 0 0 0 -1 0 0 0 1 100 0 5",
            "",
        ]
    )


def operator_columns() -> list[str]:
    return [f"matrix[{row}][{column}]" for row in "123" for column in "123"] + [f"vector[{row}]" for row in "123"]


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_pdb_is_one_row_a_residue(tmp_path: Path) -> None:
    residues = read_residues(write(tmp_path / "tiny.pdb", pdb_atoms()))
    np.testing.assert_allclose(residues.xyz, PLACES)  # no hydrogen, no water, the first conformation
    assert residues.parent.tolist() == ["GLY", "MET", "A"]
    assert residues.is_nucleic.tolist() == [False, False, True]


@pytest.mark.parametrize("name", ["tiny.pdb", "tiny.cif", "tiny.cif.gz"])
def test_assembly_is_applied(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    text = BIOMT + pdb_atoms() if name == "tiny.pdb" else cif_text()
    path.write_bytes(gzip.compress(text.encode()) if name.endswith("gz") else text.encode())
    residues = read_residues(path)
    copies = [[99, 0, 5], [100, -10, 5], [100, 0, 35]]
    np.testing.assert_allclose(residues.xyz, PLACES + copies)
    assert residues.parent.tolist() == ["GLY", "MET", "A"] * 2
    np.testing.assert_allclose(read_residues(path, "none").xyz, PLACES)


def test_assembly_by_name(tmp_path: Path) -> None:
    path = write(tmp_path / "tiny.pdb", BIOMT + pdb_atoms())
    np.testing.assert_allclose(read_residues(path, "2").xyz, PLACES[2:])
    with pytest.raises(InputError, match=r"tiny\.pdb has no assembly '3': expected one of 1, 2, none"):
        read_residues(path, "3")


def test_assembly_of_absent_chains(tmp_path: Path) -> None:
    text = BIOMT.replace("CHAINS: A, B", "CHAINS: X, Y") + pdb_atoms()
    with pytest.raises(InputError, match="names chains that the file lacks"):
        read_residues(write(tmp_path / "tiny.pdb", text))


def test_first_model_only(tmp_path: Path) -> None:
    models = "".join(f"MODEL     {n:4d}\n{pdb_atoms(5.0 * (n - 1))}ENDMDL\n" for n in (1, 2, 3))
    np.testing.assert_allclose(read_residues(write(tmp_path / "nmr.pdb", models)).xyz, PLACES)


def test_unlisted_residue_is_its_atoms(tmp_path: Path) -> None:
    atom = "HETATM    1 ZN    ZN A   1       1.000   2.000   3.000  1.00  0.00          ZN\n"
    residues = read_residues(write(tmp_path / "ion.pdb", atom))
    assert residues.parent.tolist() == [""]
    assert residues.mass[0] == pytest.approx(65.38, abs=0.05)
    assert residues.scattering[0] == pytest.approx(6.065, abs=0.05)  # Peng 1999


@pytest.mark.parametrize("text", ["", "no coordinates here\n", BIOMT, pdb_atoms().splitlines()[-1] + "\n"])
def test_no_atoms(tmp_path: Path, text: str) -> None:
    with pytest.raises(InputError, match=r"tiny\.pdb has no atoms beside water and hydrogen"):
        read_residues(write(tmp_path / "tiny.pdb", text))


def test_atom_at_no_place(tmp_path: Path) -> None:
    atom = "ATOM    100  CA  ALA Z   9         nan   2.000   3.000  1.00  0.00           C\n"
    with pytest.raises(
        InputError, match=r"tiny\.pdb has an atom, or a copy of it in the assembly, at no place in space"
    ):
        read_residues(write(tmp_path / "tiny.pdb", pdb_atoms() + atom))


@pytest.mark.parametrize("text", ["no cif at all\n", "data_x\nloop_\n_a\n_b\n1 2 3\n"])
def test_file_that_does_not_parse(tmp_path: Path, text: str) -> None:
    with pytest.raises(InputError, match=r"tiny\.cif cannot be read as an atomic model .*: expected PDB or mmCIF") as e:
        read_residues(write(tmp_path / "tiny.cif", text))
    assert "\n" not in str(e.value)


@pytest.mark.parametrize("name", ["garbage.pdb", "garbage.cif", "garbage.pdb.gz"])
def test_garbage(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(np.random.default_rng(1).bytes(3000))
    with pytest.raises(InputError, match="garbage"):
        read_residues(tmp_path / name)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"There is no file .*tiny\.pdb"):
        read_residues(tmp_path / "tiny.pdb")


def test_without_gemmi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gemmi", None)
    with pytest.raises(InputError, match=r"gemmi that reads it is not installed: pip install .*\[structures\]"):
        read_residues(write(tmp_path / "tiny.pdb", pdb_atoms()))
