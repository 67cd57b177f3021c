"""CryoSPARC's ``.csg`` files: which ``.cs`` file holds each slot of a result, and how a result is handed back.

They are YAML, a mapping of mappings of single values, and only that much of YAML is read here: a parser for all of it
would be a dependency for four lines. Every job of CryoSPARC leaves one for each of its outputs in its folder, and
"Import Result Group" takes one.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from relion_attn_picker.errors import InputError
from relion_attn_picker.io.cryosparc import UID, Columns, as_columns, join_columns, read_cs
from relion_attn_picker.replacing import replace_file

log = logging.getLogger(__name__)

OWN_FOLDER = ">"
"""Before a path: it is relative to the folder of the file that it stands in, not to the project's."""

USUAL_VERSION = "v4.7.1"
"""Written where no version is known."""

ENTRY = re.compile(r"""(?P<indent>[ ]*)(?P<key>'[^']*'|"[^"]*"|[^\s'":#][^:#]*):(?:[ ]+(?P<value>.*))?$""")
BLOCK_MARK = re.compile(r"[|>][+-]?\d?$")


@dataclass(frozen=True)
class Result:
    """Columns of one result of CryoSPARC.

    Parameters
    ----------
    columns
        Name → values, joined by uid.
    folder
        Of the file that was given: paths with ``OWN_FOLDER`` are relative to it.
    version
        Of CryoSPARC, as its ``.csg`` says.
    """

    columns: Columns
    folder: Path
    version: str = USUAL_VERSION


def read_result(paths: Sequence[Path]) -> Result:
    """Read one result of CryoSPARC: one ``.csg``, or its ``.cs`` files, joined by uid.

    Raises
    ------
    InputError
        If a file cannot be read, a ``.csg`` stands beside other files, or the files have no uid in common.
    """
    is_group = [path.suffix == ".csg" for path in paths]
    if any(is_group) and len(paths) > 1:
        raise InputError(f"{paths[is_group.index(True)]} stands beside other files: a .csg names all its .cs files.")
    if is_group[0]:
        return _read_group(paths[0])
    tables = [as_columns(read_cs(path)) for path in paths]
    return Result(_join(tables, ", ".join(map(str, paths))), paths[0].parent)


def _join(tables: Sequence[Columns], where: str) -> dict[str, NDArray[Any]]:
    joined = join_columns(tables)
    largest = max(len(table[UID]) for table in tables)
    if largest and not len(joined[UID]):
        raise InputError(f"{where} have no uid in common: give the .cs files of one output of one job.")
    if len(joined[UID]) < largest:
        log.warning(
            "%d of %d rows are not in all files of %s and are left out.", largest - len(joined[UID]), largest, where
        )
    return joined


def _read_group(path: Path) -> Result:
    """Read all slots that a ``.csg`` names, each from the file that it names for it."""
    tree = parse_group(path)
    results = tree.get("results")
    if not isinstance(results, dict) or not results:
        raise InputError(f"{path} names no results: expected a .csg file of CryoSPARC.")
    slots: dict[Path, list[str]] = {}
    for slot, entry in results.items():
        if not isinstance(entry, dict) or not isinstance(entry.get("metafile"), str):
            raise InputError(f"{path} names no metafile for {slot}: expected a .csg file of CryoSPARC.")
        slots.setdefault(_find_metafile(path, entry["metafile"]), []).append(slot)
    tables = []
    for metafile, names in slots.items():
        prefixes = tuple(f"{name}/" for name in names)
        columns = as_columns(read_cs(metafile))
        tables.append({name: values for name, values in columns.items() if name == UID or name.startswith(prefixes)})
    version = tree.get("version")
    return Result(_join(tables, str(path)), path.parent, version if isinstance(version, str) else USUAL_VERSION)


def _find_metafile(group: Path, name: str) -> Path:
    """Return the file that a group names: beside the group, or below the project folder, a parent of the group's."""
    own = name.startswith(OWN_FOLDER)
    folders = [group.parent] if own else [group.parent, *group.absolute().parents]
    for folder in folders:
        if (folder / name.removeprefix(OWN_FOLDER)).is_file():
            return folder / name.removeprefix(OWN_FOLDER)
    raise InputError(f"{group} names the file {name}, which is not there: copy the whole folder of the result.")


def parse_group(path: Path) -> dict[str, Any]:
    """Return the mappings of a ``.csg`` file; all values are texts.

    Raises
    ------
    InputError
        If the file is absent or is not made of mappings and single values.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error}): check the path.") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is no text: expected a .csg file of CryoSPARC.") from error
    root: dict[str, Any] = {}
    open_mappings = [(-1, root)]
    numbers = [
        n for n, line in enumerate(lines) if line.strip() and line.strip()[0] != "#" and line[:3] not in ("---", "...")
    ]
    while numbers:
        number = numbers.pop(0)
        entry = ENTRY.match(lines[number].rstrip())
        if entry is None:
            raise InputError(f"{path}, line {number + 1}: {lines[number].strip()!r} is not 'name: value'.")
        indent, value = len(entry["indent"]), entry["value"] or ""
        while open_mappings[-1][0] >= indent:
            open_mappings.pop()
        key = _unquote(entry["key"])
        if not value or value.startswith("#"):
            mapping: dict[str, Any] = {}
            open_mappings[-1][1][key] = mapping
            open_mappings.append((indent, mapping))
            continue
        parts = [value]
        while numbers and len(lines[numbers[0]]) - len(lines[numbers[0]].lstrip()) > indent:
            parts.append(lines[numbers.pop(0)].strip())
        open_mappings[-1][1][key] = _unquote(" ".join(parts[1:] if BLOCK_MARK.match(value) else parts))
    return root


def _unquote(text: str) -> str:
    if text[:1] == "'" and text.rstrip()[-1:] == "'":
        return text.rstrip()[1:-1].replace("''", "'")
    if text[:1] == '"':
        try:
            return str(json.loads(re.sub(r"\\x(?=[0-9A-Fa-f]{2})", r"\\u00", text)))
        except ValueError:
            return text.strip('"')
    return re.split(r"\s+#", text)[0].strip()


def write_group(
    path: Path, metafile: str, slots: Sequence[str], n_items: int, *, title: str, version: str, created: datetime
) -> None:
    """Write the ``.csg`` of a set of particles whose slots are all in one ``.cs`` file beside it.

    Parameters
    ----------
    path
        File to write.
    metafile
        Name of the ``.cs`` file in the same folder.
    slots
        Names of its slots.
    n_items
        Its number of rows.
    title
        What the user sees.
    version, created
        Of CryoSPARC; time of writing.
    """
    lines = [
        f"created: {created:%Y-%m-%d %H:%M:%S.%f}",
        "group:",
        "  description: Particle picks",
        "  name: particles",
        f"  title: {_quote(title)}",
        "  type: particle",
        "results:",
    ]
    for slot in slots:
        lines += [f"  {slot}:", f"    metafile: {_quote(OWN_FOLDER + metafile)}"]
        lines += [f"    num_items: {n_items}", f"    type: particle.{slot}"]
    replace_file(path, "\n".join([*lines, f"version: {_quote(version)}", ""]))


def _quote(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
