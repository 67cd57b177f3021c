"""Which micrograph a name means."""

from __future__ import annotations

import pytest

from relion_attn_picker.errors import InputError
from relion_attn_picker.io.cryosparc_names import MicrographFinder

A, B = 12951868257382468663, 7
PREFIX_A, PREFIX_B, PREFIX_OLD = f"{A:021d}_", f"{B:021d}_", f"{99:021d}_"
PATHS = [f"J2/motioncorrected/{PREFIX_A}a.mrc", f"J2/motioncorrected/{PREFIX_B}{PREFIX_OLD}b.mrc"]


@pytest.mark.parametrize(
    ("name", "index"),
    [
        (PATHS[0], 0),
        (f"/data/CS-project/{PATHS[1]}", 1),
        (f"elsewhere/{PREFIX_A}a.mrc", 0),
        ("Micrographs/a.mrc", 0),
        ("b.mrc", 1),
        (f"{PREFIX_OLD}b.mrc", 1),
        (f"{PREFIX_B}renamed.mrc", 1),
        (f"{PREFIX_OLD}c.mrc", None),
        ("xa.mrc", None),
    ],
)
def test_rules(name: str, index: int | None) -> None:
    assert MicrographFinder([A, B], PATHS).find(name) == index


def test_folders_tell_equal_file_names_apart() -> None:
    finder = MicrographFinder([1, 2], ["J2/x/m.mrc", "J2/y/m.mrc"])
    assert finder.find_all(["/p/J2/y/m.mrc", "J2/x/m.mrc"]) == {"/p/J2/y/m.mrc": 1, "J2/x/m.mrc": 0}
    with pytest.raises(InputError, match="fits 2 micrographs of CryoSPARC"):
        finder.find("m.mrc")


def test_part_of_a_folder_is_no_folder() -> None:
    finder = MicrographFinder([1, 2], ["2/m.mrc", "12/m.mrc"])
    assert finder.find("J/12/m.mrc") == 1


def test_two_names_of_one_micrograph() -> None:
    with pytest.raises(InputError, match=r"x/a\.mrc and y/a\.mrc both mean"):
        MicrographFinder([A, B], PATHS).find_all(["x/a.mrc", "y/a.mrc"])
