"""Names of data sets, each of its own: figures of a set are kept under its name.

What this module does not do: it opens nothing; ``jobs.training.labelled_data`` does.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from pathlib import Path


def name_sets(lists: Sequence[Path], taken: Collection[str] = ()) -> list[str]:
    """Return a name for each data set, of which no two are equal.

    A set is called after the folder of its list. Where several have one name, as the jobNNN of RELION projects do, the
    folders above are added until they differ; lists of one folder add their own names, and a list that is given several
    times a number. A name that nothing else has never changes: trainings are resumed by it.

    Parameters
    ----------
    lists
        Micrographs STAR files.
    taken
        Names that other data have.
    """
    names = [path.absolute().parent.name for path in lists]
    clashing = [place for place, name in enumerate(names) if name in taken or names.count(name) > 1]
    paths = {place: Path(os.path.abspath(lists[place])) for place in clashing}  # noqa: PTH100  (takes '..' away)
    for place, path in paths.items():
        others = [other for number, other in paths.items() if number != place]
        names[place] = _tell_apart(path, others, taken)
    return _number_equals(names, taken)


def may_be_one_set(first: str, second: str) -> bool:
    """Tell whether two names of sets are equal, but for more folders above that one of them tells."""
    return f"/{first}".endswith(f"/{second}") or f"/{second}".endswith(f"/{first}")


def _tell_apart(path: Path, others: Sequence[Path], taken: Collection[str]) -> str:
    """Return as many of the last folders of a list as no list of another folder, and nothing that is taken, shares."""
    folder = path.parent
    elsewhere = {other.parent for other in others} - {folder}
    depth = 1
    while depth < len(folder.parts) and _end(folder, depth) in {*taken, *(_end(each, depth) for each in elsewhere)}:
        depth += 1
    has_company = any(other.parent == folder for other in others)
    return _end(folder, depth) + (f"/{path.stem}" if has_company else "")


def _end(folder: Path, depth: int) -> str:
    """Return the last so many parts of a folder's path."""
    return "/".join(folder.parts[1:][-depth:])


def _number_equals(names: Sequence[str], taken: Collection[str]) -> list[str]:
    """Return the names with a number behind those that are there already."""
    numbered: list[str] = []
    for name in names:
        own, number = name, 2
        while own in numbered or own in taken or (own != name and own in names):
            own, number = f"{name} ({number})", number + 1
        numbered.append(own)
    return numbered
