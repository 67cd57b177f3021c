"""Matching names of micrographs between two lists, by a rule that the user names.

Programs call one micrograph by its path, its file or its stem, or put CryoSPARC's number before it. A rule turns both
names into what must then be equal; nothing is guessed, nothing is matched twice, and what is left over is returned.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

from relion_attn_picker.errors import InputError
from relion_attn_picker.io.cryosparc_names import UID_PREFIXES
from relion_attn_picker.io.image_stem import IMAGE_SUFFIXES, image_stem


def _name(name: str) -> str:
    return PurePosixPath(name.replace("\\", "/")).name


def _stem(name: str) -> str:
    return image_stem(_name(name), NAME_SUFFIXES)


NAME_SUFFIXES: Final = (*IMAGE_SUFFIXES, ".box", ".cbox", ".star", ".txt", ".png", ".jpg")
"""Of micrographs, and of the files of coordinates and the pictures that programs name after them."""

MATCH_RULES: Final[dict[str, Callable[[str], str]]] = {
    "exact": lambda name: name,
    "name": _name,
    "stem": _stem,
    "stem-no-uid": lambda name: UID_PREFIXES.sub("", _stem(name)),
}
"""Rule → what of a name must be equal: all of it, the file's name, that without its extension, or without
CryoSPARC's numbers as well."""


@dataclass(frozen=True)
class NameMatch:
    """For each given name the listed one or ``None``; and the listed names that no given one matched."""

    listed: tuple[str | None, ...]
    unused: tuple[str, ...]


def match_names(given: Sequence[str], listed: Sequence[str], rule: str) -> NameMatch:
    """Match two lists of names.

    Parameters
    ----------
    given
        Names in the coordinates.
    listed
        Names of the micrographs.
    rule
        One of ``MATCH_RULES``.

    Raises
    ------
    InputError
        If the rule is unknown, or makes two names of one list the same.
    """
    if rule not in MATCH_RULES:
        raise InputError(f"There is no rule {rule!r} to match names: choose from {', '.join(MATCH_RULES)}.")
    key_of = MATCH_RULES[rule]
    by_key = _index(listed, key_of, rule, "micrographs")
    keys = _index(given, key_of, rule, "coordinates")
    return NameMatch(
        tuple(by_key.get(key) for key in keys), tuple(name for key, name in by_key.items() if key not in keys)
    )


def _index(names: Sequence[str], key_of: Callable[[str], str], rule: str, what: str) -> dict[str, str]:
    index: dict[str, str] = {}
    for name in names:
        key = key_of(name)
        if key in index:
            raise InputError(
                f"{index[key]} and {name} of the {what} are the same by the rule {rule!r}: choose another."
            )
        index[key] = name
    return index
