"""What a training's folder says it is: ``options.json``, by which a run that is begun again is known, or refused."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from relion_attn_picker import __version__
from relion_attn_picker.errors import InputError
from relion_attn_picker.inference.devices import choose_precision
from relion_attn_picker.io.output_folder import make_folder
from relion_attn_picker.model_spec import Normalization
from relion_attn_picker.replacing import replace_file
from relion_attn_picker.training.crops import are_same_sources
from relion_attn_picker.training.keeper import count_validation
from relion_attn_picker.training.starting import StartingWeights
from relion_attn_picker.training.validation import ValidationSet
from relion_attn_picker.training_options import CropOptions, TrainOptions

OPTIONS_NAME = "options.json"


def describe_run(
    options: TrainOptions,
    start: StartingWeights | None,
    validation_sets: Sequence[ValidationSet],
    crops: CropOptions,
    normalization: Normalization,
    sources: Sequence[dict[str, Any]],
) -> dict[str, Any]:
    """Return what must be the same for all pieces of a run; ``sources`` as ``Mixture.sources`` tells them."""
    return {
        "train": asdict(options),
        "data": {"crops": asdict(crops), "normalization": asdict(normalization), "sources": sources},
        "start_from": None if start is None else start.describe(),
        "validation": [{"name": each.name, **count_validation(each)} for each in validation_sets],
    }


def claim_folder(folder: Path, claim: Mapping[str, Any], precision: str, device: torch.device) -> str:
    """Write the run's options, or refuse a folder whose options differ; return the precision to compute in.

    What ``auto`` came to when the run began holds to its end, so that the pieces of a run fit together.

    Raises
    ------
    InputError
        As ``find_precision``, or if the folder cannot be made.
    """
    begun_with = find_precision(folder, claim, precision)
    if begun_with is not None:
        return begun_with
    precision = choose_precision(precision, device)
    make_folder(folder)
    record = {**claim, "version": __version__, "precision": precision}
    replace_file(folder / OPTIONS_NAME, json.dumps(record, indent=1, sort_keys=True) + "\n")
    return precision


def find_precision(folder: Path, claim: Mapping[str, Any], precision: str) -> str | None:
    """Return the precision of the run that was begun in a folder, or ``None`` if none was.

    Parameters
    ----------
    folder
        The run's folder.
    claim
        See ``describe_run``; before crops are cut, its sources may tell less.
    precision
        The one that is asked for, ``"auto"`` as well.

    Raises
    ------
    InputError
        If a run was begun there with another claim or precision, or its options are damaged.
    """
    path = folder / OPTIONS_NAME
    if not path.exists():
        return None
    begun, given = _read_options(path), json.loads(json.dumps(claim))
    begun.setdefault("validation", given["validation"])  # earlier versions did not tell it
    same_sources = are_same_sources(begun["data"].pop("sources"), given["data"].pop("sources"))
    other = [name for name, value in given.items() if begun.get(name) != value]
    if other or not same_sources or precision not in ("auto", begun["precision"]):
        told = "".join(describe_difference(begun.get(name), given[name]) for name in other[:1])
        raise InputError(
            f"{folder} holds a training with other options, crops or validation (see {path.name}){told}: "
            "give another folder, or the same options to resume."
        )
    return str(begun["precision"])


def describe_difference(begun: Any, given: Any) -> str:
    """Return the first option that differs, as a clause; nothing where the values are no options."""
    if not isinstance(begun, dict) or not isinstance(given, dict):
        return ""
    name = next(name for name in {**begun, **given} if begun.get(name) != given.get(name))
    if isinstance(begun.get(name), dict):
        return describe_difference(begun.get(name), given.get(name))
    return f": {name} was {begun.get(name)}, not {given.get(name)}"


def _read_options(path: Path) -> dict[str, Any]:
    """Return what ``claim_folder`` wrote.

    Raises
    ------
    InputError
        If the file is damaged.
    """
    try:
        options = dict(json.loads(path.read_text(encoding="utf-8")))
        str(options["precision"])
        list(options["data"]["sources"])
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise InputError(
            f"{path} is damaged ({error!r}): put it back, or remove the folder to start afresh."
        ) from error
    return options
