"""Data sets have names of their own, and keep those that they had before where these told them apart."""

from __future__ import annotations

from pathlib import Path

import pytest

from relion_attn_picker.jobs.set_names import name_sets


@pytest.mark.parametrize(
    ("lists", "names"),
    [
        (["/data/apoferritin/micrographs.star"], ["apoferritin"]),
        (["/A/CtfFind/job003/m.star", "/A/CtfFind/job005/m.star"], ["job003", "job005"]),
        (["/A/CtfFind/job003/m.star", "/B/CtfFind/job003/m.star"], ["A/CtfFind/job003", "B/CtfFind/job003"]),
        (["/A/CtfFind/job003/m.star", "/B/Select/job003/m.star"], ["CtfFind/job003", "Select/job003"]),
        (["/A/b/m.star", "/C/b/m.star", "/A/d/m.star"], ["A/b", "C/b", "d"]),
        (["/b/m.star", "/A/b/m.star"], ["b", "A/b"]),
        (["/A/b/near.star", "/A/b/far.star"], ["b/near", "b/far"]),
        (["/A/b/near.star", "/A/b/far.star", "/C/b/m.star"], ["A/b/near", "A/b/far", "C/b"]),
        (["/A/b/m.star", "/A/b/m.star", "/A/c/m.star"], ["b/m", "b/m (2)", "c"]),
        (["/A/b/../b/m.star", "/C/b/m.star"], ["A/b", "C/b"]),
    ],
)
def test_names_of_sets(lists: list[str], names: list[str]) -> None:
    assert name_sets([Path(each) for each in lists]) == names


def test_one_list_by_two_ways(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert name_sets([Path("../here/m.star"), Path("m.star")]) == ["here/m", "here/m (2)"]


def test_name_that_other_data_have() -> None:
    assert name_sets([Path("/A/simulation/m.star"), Path("/A/b/m.star")], {"simulation"}) == ["A/simulation", "b"]
    assert name_sets([Path("/b/m.star")], {"b", "b (2)"}) == ["b (3)"]


def test_numbers_do_not_take_the_name_of_another() -> None:
    lists = ["/A/b/m.star", "/A/b/m.star", "/C/b/m (2)/n.star"]
    assert len(set(name_sets([Path(each) for each in lists]))) == 3
