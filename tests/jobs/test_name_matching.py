"""Names of one micrograph in several programs."""

from __future__ import annotations

import pytest

from relion_attn_picker.errors import InputError
from relion_attn_picker.jobs.name_matching import match_names

LISTED = ["MotionCorr/job002/raw/Größe a.mrc", "MotionCorr/job002/raw/b.v2.mrc"]
UID = "012951868257382468663_"


@pytest.mark.parametrize(
    ("rule", "given"),
    [
        ("exact", LISTED),
        ("name", ["Größe a.mrc", "elsewhere/b.v2.mrc"]),
        ("stem", ["Größe a", "C:\\data\\b.v2.tif"]),
        ("stem-no-uid", [f"{UID}Größe a.mrc", f"{UID}{UID}b.v2.mrc"]),
    ],
)
def test_rules(rule: str, given: list[str]) -> None:
    match = match_names(given, LISTED, rule)
    assert match.listed == tuple(LISTED)
    assert match.unused == ()


def test_what_does_not_match_is_returned() -> None:
    match = match_names(["b.v2", "c"], LISTED, "stem")
    assert match.listed == (LISTED[1], None)
    assert match.unused == (LISTED[0],)


def test_a_dot_in_a_stem_is_no_extension() -> None:
    assert match_names(["b.v2"], ["x/b.v2.mrc", "x/b.mrc"], "stem").listed == ("x/b.v2.mrc",)


def test_a_rule_that_makes_two_names_one() -> None:
    with pytest.raises(InputError, match=r"x/a\.mrc and y/a\.mrc of the micrographs are the same by the rule 'stem'"):
        match_names(["a"], ["x/a.mrc", "y/a.mrc"], "stem")
    with pytest.raises(InputError, match="of the coordinates are the same"):
        match_names(["a.box", "a.txt"], ["x/a.mrc"], "stem")


def test_unknown_rule() -> None:
    with pytest.raises(InputError, match="choose from exact, name, stem, stem-no-uid"):
        match_names([], [], "nearly")
