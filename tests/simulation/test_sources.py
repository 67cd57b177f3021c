"""The suffix chooses the reader, and what a reader has no use for is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from relion_attn_picker.errors import InputError
from relion_attn_picker.simulation.sources import FORMATS, particle_suffix, read_particle


@pytest.mark.parametrize(
    ("name", "suffix"),
    [("1abc.npz", ".npz"), ("pdb1abc.ENT.gz", ".ent.gz"), ("a.b.mmcif", ".mmcif"), ("emd_1.map.gz", ".map.gz")],
)
def test_known_suffixes(name: str, suffix: str) -> None:
    assert particle_suffix(Path(name)) == suffix
    assert suffix in FORMATS


@pytest.mark.parametrize("name", ["a.xyz", "a.npz.gz", "a", "a.gz"])
def test_unknown_suffix(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    with pytest.raises(InputError, match=r"no suffix that is known here: expected one of \.npz, \.pdb, "):
        read_particle(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "options", "sentence"),
    [
        ("a.npz", {"mass": 100.0}, r"a\.npz is read without the option mass: it is for files of kind \.mrc, \.map"),
        ("a.mrc", {"assembly": "1"}, r"a\.mrc is read without the option assembly: it is for files of kind \.pdb"),
        ("a.pdb", {"threshold": 1.0}, r"a\.pdb is read without the option threshold"),
    ],
)
def test_option_of_another_kind_of_file(tmp_path: Path, name: str, options: dict[str, float], sentence: str) -> None:
    (tmp_path / name).touch()
    with pytest.raises(InputError, match=sentence):
        read_particle(tmp_path / name, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("suffix", FORMATS)
def test_missing_and_empty_files(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    if suffix in (".npz", ".mrc") or pytest.importorskip("gemmi"):
        with pytest.raises(InputError, match=str(path)):
            read_particle(path)
        path.touch()
        with pytest.raises(InputError, match=str(path)):
            read_particle(path)


def test_bead_file(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.NPZ.npz", x=np.eye(3), unit=10.0, w=np.ones(3), sigma=1.0)
    assert read_particle(tmp_path / "a.NPZ.npz").weight.sum() == 3
