"""The folder of a simulated project: begun once, gone on with after an interruption, never overwritten."""

from __future__ import annotations

import json
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import Any

from relion_attn_picker.errors import InputError
from relion_attn_picker.io.output_folder import make_folder
from relion_attn_picker.replacing import replace_file

MICROGRAPHS_STAR = "micrographs.star"
TRUTH_STAR = "truth.star"
IGNORED_STAR = "ignored.star"
OPTIONS_JSON = "simulation.json"
CONDITIONS_JSONL = "conditions.jsonl"
FOLDERS = ("Micrographs", "Truth", "Ignored", "Junk")

NEEDED = {"micrograph", "particles", "ctf"}
"""What a project that goes on takes from the record of a micrograph."""


def open_project_folder(folder: Path, settings: dict[str, Any], there: Collection[str]) -> dict[str, dict[str, Any]]:
    """Make a project's folder, or go on with an unfinished one.

    Parameters
    ----------
    folder
        The project's folder.
    settings
        What the project is made with, for ``simulation.json``: ``version``, ``options`` and ``particle``.
    there
        Names of the micrographs of which all files are there; records of others are dropped, for they are made again.

    Returns
    -------
    dict
        The records of the micrographs that are there already, by their names.

    Raises
    ------
    InputError
        If the folder holds a finished project, files that are none of ours, or a project begun with other settings,
        or cannot be made.
    """
    path = folder / OPTIONS_JSON
    is_in_the_way = any((folder / name).exists() for name in (*FOLDERS, TRUTH_STAR, IGNORED_STAR, CONDITIONS_JSONL))
    if (folder / MICROGRAPHS_STAR).exists() or (is_in_the_way and not path.exists()):
        raise InputError(f"{folder} holds a project already: give another folder, or remove this one.")
    if path.exists():
        _check_same(path, settings)
    make_folder(folder)
    replace_file(path, json.dumps(settings, indent=2) + "\n")
    for name in FOLDERS:
        (folder / name).mkdir(exist_ok=True)
    records = _read_records(folder / CONDITIONS_JSONL)
    done = {name: record for name, record in records.items() if name in there}
    replace_file(folder / CONDITIONS_JSONL, "".join(json.dumps(record) + "\n" for record in done.values()))
    return done


def _check_same(path: Path, settings: dict[str, Any]) -> None:
    """Refuse to go on with a project that was begun otherwise."""
    try:
        begun = json.loads(path.read_text(encoding="utf-8"))
        differing = [
            f"{key} was {begun[part][key]}, now {value}"
            for part in ("options", "particle")
            for key, value in settings[part].items()
            if begun[part].get(key) != value
        ]
        was = {"version": begun["version"], "made_on": begun.get("made_on", "a CPU")}
        differing += [f"{key} was {value}, now {settings[key]}" for key, value in was.items() if value != settings[key]]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path} is not what attnpick simulate writes ({error!r}): give another folder.") from error
    if differing:
        raise InputError(
            f"{path.parent} holds an unfinished simulation of other options ({'; '.join(differing)}): give the same "
            "ones to go on, or another folder."
        )


def _read_records(path: Path) -> dict[str, dict[str, Any]]:
    """Return the complete records; a line that an interruption cut short, or that is no record, counts for nothing."""
    records = {}
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else ():
        with suppress(ValueError):
            record = json.loads(line)
            if isinstance(record, dict) and record.keys() >= NEEDED:
                records[str(record["micrograph"])] = record
    return records
