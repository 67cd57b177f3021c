"""``.cs`` files: the bytes of cryosparc-tools, and every damage told.

``golden/*.cs`` were written by cryosparc-tools 4.7.1; 5.0.3 writes the same bytes.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from relion_attn_picker.errors import InputError
from relion_attn_picker.io.cryosparc import as_columns, join_columns, make_table, read_cs, write_cs

GOLDEN = Path(__file__).parent / "golden"
COLUMNS = {
    "uid": np.array([12951868257382468663, 7], dtype="<u8"),
    "location/micrograph_path": np.array(["J2/motioncorrected/a.mrc", "J2/b.mrc"]),
    "location/micrograph_shape": np.array([[480, 640], [640, 480]], dtype="<u4"),
    "location/center_x_frac": np.array([100 / 640, 0.25], dtype="<f4"),
    "pick_stats/template_idx": np.zeros(2, dtype="<u4"),
}


@pytest.mark.parametrize("kind", ["U", "S", "S60", "O"])
def test_bytes_are_those_of_cryosparc_tools(tmp_path: Path, kind: str) -> None:
    """Whatever the width of the text column that comes in."""
    fields = [(name, values.dtype, values.shape[1:]) for name, values in COLUMNS.items()]
    path = COLUMNS["location/micrograph_path"].astype(kind)
    fields[1] = ("location/micrograph_path", path.dtype, ())
    table = np.zeros(2, dtype=fields)
    for name, values in COLUMNS.items():
        table[name] = values.astype(kind) if values.dtype.kind == "U" else values
    write_cs(tmp_path / "x.cs", table)
    assert (tmp_path / "x.cs").read_bytes() == (GOLDEN / "tools.cs").read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["x.cs"]


def test_empty_table_has_the_bytes_of_cryosparc_tools(tmp_path: Path) -> None:
    table = np.zeros(0, dtype=[("uid", "<u8"), ("location/micrograph_path", "S9"), ("location/center_x_frac", "<f4")])
    write_cs(tmp_path / "x.cs", table)
    assert (tmp_path / "x.cs").read_bytes() == (GOLDEN / "empty.cs").read_bytes()
    assert len(read_cs(tmp_path / "x.cs")) == 0


@pytest.mark.parametrize("name", ["tools.cs", "stream.cs"])
def test_both_formats_are_read(name: str) -> None:
    table = read_cs(GOLDEN / name)
    assert table.dtype.names == tuple(COLUMNS)
    for column, values in COLUMNS.items():
        np.testing.assert_array_equal(table[column].astype(values.dtype), values)


def test_read_and_written_again_is_the_same(tmp_path: Path) -> None:
    for name in ("tools.cs", "stream.cs"):
        write_cs(tmp_path / "x.cs", read_cs(GOLDEN / name))
        assert (tmp_path / "x.cs").read_bytes() == (GOLDEN / "tools.cs").read_bytes()


def test_compressed_stream_is_refused_with_a_way_out() -> None:
    with pytest.raises(InputError, match=r"compressed CSDAT stream.*Dataset\.load\('.*'\)\.save\('plain\.cs'\)"):
        read_cs(GOLDEN / "compressed.cs")


def test_many_columns(tmp_path: Path) -> None:
    """A header beyond NumPy's own limit of 10,000 bytes."""
    table = make_table({"uid": np.arange(2, dtype="u8")} | {f"slot/column_{i}": np.zeros(2) for i in range(400)})
    write_cs(tmp_path / "x.cs", table)
    assert len(as_columns(read_cs(tmp_path / "x.cs"))) == 401


def test_uid_twice(tmp_path: Path) -> None:
    table = make_table({"uid": np.array([5, 6, 5], dtype="u8")})
    with pytest.raises(InputError, match="uid 5 twice"):
        write_cs(tmp_path / "x.cs", table)
    with (tmp_path / "x.cs").open("wb") as file:
        np.save(file, table)
    with pytest.raises(InputError, match=r"x\.cs has the uid 5 twice"):
        read_cs(tmp_path / "x.cs")


def test_damaged_files(tmp_path: Path) -> None:
    path = tmp_path / "x.cs"
    with pytest.raises(InputError, match="There is no file"):
        read_cs(path)
    for content in (b"", b"PK\3\4 something else"):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"is not a \.cs file"):
            read_cs(path)
    for name, sentence in (("tools.cs", "is damaged"), ("stream.cs", "cut short")):
        path.write_bytes((GOLDEN / name).read_bytes()[:-40])
        with pytest.raises(InputError, match=sentence):
            read_cs(path)
    path.write_bytes((GOLDEN / "stream.cs").read_bytes()[:40])
    with pytest.raises(InputError, match="damaged CSDAT"):
        read_cs(path)


@pytest.mark.parametrize(
    "array", [np.zeros(3), np.zeros(3, dtype=[("a", "f4")]), np.zeros((2, 2), dtype=[("uid", "u8")])]
)
def test_arrays_that_are_no_tables(tmp_path: Path, array: np.ndarray) -> None:  # type: ignore[type-arg]
    with (tmp_path / "x.cs").open("wb") as file:
        np.save(file, array)
    with pytest.raises(InputError, match="expected a table with a column uid"):
        read_cs(tmp_path / "x.cs")
    with pytest.raises(ValueError, match="expected rows with a column uid"):
        write_cs(tmp_path / "y.cs", array)


def test_pickles_are_never_loaded(tmp_path: Path) -> None:
    with (tmp_path / "x.cs").open("wb") as file:
        np.save(file, np.array([{}]), allow_pickle=True)
    with pytest.raises(InputError, match="Object arrays cannot be loaded"):
        read_cs(tmp_path / "x.cs")


def test_join_is_by_uid(rng: np.random.Generator) -> None:
    """Against a dictionary; the order is the first table's, rows that are not in both are left out."""
    uids = rng.permutation(np.arange(50, dtype="u8"))
    first = {"uid": uids[:40], "a": rng.normal(size=40)}
    second = {"uid": rng.permutation(uids[10:]), "b": rng.normal(size=(40, 2)), "a": np.zeros(40)}
    joined = join_columns([first, second])
    rows = dict(zip(second["uid"].tolist(), second["b"].tolist(), strict=True))
    kept = [uid for uid in first["uid"].tolist() if uid in rows]
    assert joined["uid"].tolist() == kept
    assert joined["b"].tolist() == [rows[uid] for uid in kept]
    assert joined["a"].tolist() == first["a"][10:].tolist()
