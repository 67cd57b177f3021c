"""What is compared on what, and what is refused or warned of before any computing.

What this module does not do: it runs nothing; ``comparison.job`` does.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from relion_attn_picker.errors import InputError
from relion_attn_picker.evaluation.comparison import NEEDED_SEEDS
from relion_attn_picker.inference.weights import weights_in
from relion_attn_picker.io.checkpoint import read_header
from relion_attn_picker.io.digest import file_digest
from relion_attn_picker.jobs.set_names import may_be_one_set, name_sets
from relion_attn_picker.jobs.training.labelled_data import TrainingData, read_labels
from relion_attn_picker.micrograph import Micrograph
from relion_attn_picker.model_spec import CheckpointHeader
from relion_attn_picker.options import ATTENTION, NETWORKS, STANDARD
from relion_attn_picker.picks import FloatArray
from relion_attn_picker.simulation.project_folder import CONDITIONS_JSONL

log = logging.getLogger(__name__)

SNR: Final = "signal-to-noise ratio"
DEFOCUS: Final = "defocus (µm)"
CROWDING: Final = "crowding (share of the area covered)"


@dataclass(frozen=True)
class NetworkPair:
    """The checkpoints of both architectures, trained with one seed."""

    attention: Path
    standard: Path

    def path_of(self, network: str) -> Path:
        """Return the checkpoint of one of ``NETWORKS``."""
        return self.attention if network == ATTENTION else self.standard


@dataclass(frozen=True)
class LabelledTestSet:
    """A labelled set of micrographs to compare on.

    Parameters
    ----------
    name
        For people and for the name of a folder.
    particle_diameter
        Å.
    micrographs, yx
        The labelled micrographs, and the true centres ``(n, 2)`` on each, in its pixels.
    ignored_yx
        Where picks count neither as right nor as wrong on each, ``(k, 2)``.
    project_dir
        The folder that the micrographs' names are relative to.
    conditions
        What is known of every micrograph, by name, ``(m,)``; NaN where it is not known.
    label_digest
        By which the labels of the whole set are known again.
    """

    name: str
    particle_diameter: float
    micrographs: Sequence[Micrograph]
    yx: Sequence[FloatArray]
    ignored_yx: Sequence[FloatArray]
    project_dir: Path
    conditions: Mapping[str, NDArray[np.float64]]
    label_digest: str


def open_test_sets(data: Sequence[TrainingData]) -> list[LabelledTestSet]:
    """Open the sets to compare on; ``hold_out`` of a set, if given, leaves only its last micrographs.

    Raises
    ------
    InputError
        If there is none, or one cannot be read or has no labelled micrograph.
    """
    if not data:
        raise InputError("There is no labelled set to compare on: give --data MICROGRAPHS COORDINATES DIAMETER.")
    names = name_sets([each.micrographs_star for each in data])
    return [_open_test_set(each, name) for each, name in zip(data, names, strict=True)]


def _open_test_set(data: TrainingData, name: str) -> LabelledTestSet:
    labels = read_labels(data)
    first = 0 if data.hold_out is None else max(0, len(labels.micrographs) - data.hold_out)
    micrographs, yx = labels.micrographs[first:], labels.yx[first:]
    if not sum(len(each) for each in yx):
        raise InputError(f"{data.coordinates} has no particle on the micrographs of {name}: nothing can be measured.")
    conditions = {DEFOCUS: np.array([_defocus(each) for each in micrographs])}
    conditions |= _read_simulated_conditions(data.micrographs_star.parent / CONDITIONS_JSONL, micrographs)
    return LabelledTestSet(
        name=name,
        particle_diameter=data.particle_diameter,
        micrographs=micrographs,
        yx=yx,
        ignored_yx=labels.ignored_yx[first:],
        project_dir=labels.project_dir,
        conditions=conditions,
        label_digest=labels.digest,
    )


def leave_out(test_set: LabelledTestSet, trained_on: Collection[Path]) -> LabelledTestSet:
    """Return a test set without the images of these absolute paths.

    Raises
    ------
    InputError
        If no image with a particle is left.
    """
    paths = [(test_set.project_dir / each.name).resolve() for each in test_set.micrographs]
    kept = [place for place, path in enumerate(paths) if path not in trained_on]
    if len(kept) == len(paths):
        return test_set
    if not sum(len(test_set.yx[place]) for place in kept):
        raise InputError(f"{test_set.name} is trained on as a whole: give --hold_out 1 or more.")
    log.info("%s is trained on: its %d micrographs that are held out are compared on.", test_set.name, len(kept))
    return replace(
        test_set,
        micrographs=[test_set.micrographs[place] for place in kept],
        yx=[test_set.yx[place] for place in kept],
        ignored_yx=[test_set.ignored_yx[place] for place in kept],
        conditions={name: values[kept] for name, values in test_set.conditions.items()},
    )


def _defocus(micrograph: Micrograph) -> float:
    ctf = micrograph.ctf
    return float("nan") if ctf is None else (ctf.defocus_u + ctf.defocus_v) / 2e4


def _read_simulated_conditions(path: Path, micrographs: Sequence[Micrograph]) -> dict[str, NDArray[np.float64]]:
    """Return the signal-to-noise ratio of micrographs that ``attnpick simulate`` made."""
    if not path.is_file():
        return {}
    known = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        with suppress(ValueError, KeyError, TypeError):  # torn by a kill, or of another program: nothing is known
            record = json.loads(line)
            known[str(record["micrograph"])] = float(record["conditions"]["snr"])
    return {SNR: np.array([known.get(each.name, np.nan) for each in micrographs], dtype=np.float64)}


def pair_checkpoints(attention: Sequence[Path], standard: Sequence[Path]) -> list[NetworkPair]:
    """Pair checkpoints of both architectures, in order: the first of one with the first of the other.

    Raises
    ------
    InputError
        If one architecture has none or other numbers, a checkpoint is of another architecture or given twice, or not
        all work at the same scale with the same normalisation.
    """
    for mine, other, count in ((ATTENTION, STANDARD, len(attention)), (STANDARD, ATTENTION, len(standard))):
        if not count:
            raise InputError(
                f"There is no --{mine} checkpoint to compare the {other} network with: give --{mine} FILE once for "
                f"each seed, at least {NEEDED_SEEDS} times, or --train_data to train both."
            )
    if len(attention) != len(standard):
        raise InputError(
            f"--attention is given {len(attention)} times and --standard {len(standard)} times: they are compared in "
            "pairs of one seed, so give as many of each, in the same order."
        )
    pairs = [NetworkPair(weights_in(a), weights_in(s)) for a, s in zip(attention, standard, strict=True)]
    headers = {path: read_header(path) for pair in pairs for path in (pair.attention, pair.standard)}
    for pair in pairs:
        for network in NETWORKS:
            found = headers[pair.path_of(network)].spec.architecture
            if found != network:
                raise InputError(f"{pair.path_of(network)} holds the network {found!r}, but is given as --{network}.")
    _require_one_scale(headers)
    _require_different(list(headers), len(pairs))
    _warn_of_differences(pairs, headers)
    return pairs


def _require_one_scale(headers: Mapping[Path, CheckpointHeader]) -> None:
    (first, expected), *others = headers.items()
    for path, header in others:
        if header.particle_diameter_px != expected.particle_diameter_px:
            raise InputError(
                f"{path} works at {header.particle_diameter_px:g} network pixels per particle, {first} at "
                f"{expected.particle_diameter_px:g}: compare networks of one --diameter_px."
            )
        if header.normalization != expected.normalization:
            raise InputError(f"{path} normalises images otherwise than {first}: compare networks that see the same.")


def _require_different(paths: Sequence[Path], n_pairs: int) -> None:
    digests: dict[str, Path] = {}
    for path in paths:
        twin = digests.setdefault(file_digest(path), path)
        if twin != path:
            raise InputError(f"{path} and {twin} are the same file: a network given twice is no second seed.")
    if len(paths) != 2 * n_pairs:
        raise InputError("A checkpoint is given twice: a network given twice is no second seed.")


def _warn_of_differences(pairs: Sequence[NetworkPair], headers: Mapping[Path, CheckpointHeader]) -> None:
    if len(pairs) < NEEDED_SEEDS:
        log.warning(
            "%d pair%s of networks: what other seeds would give cannot be known; give %d pairs or more.",
            len(pairs), "s" if len(pairs) > 1 else "", NEEDED_SEEDS,
        )  # fmt: skip
    for number, pair in enumerate(pairs, start=1):
        one, other = (_training_of(headers[pair.path_of(network)]) for network in NETWORKS)
        differing = [name for name in {**one, **other} if one.get(name) != other.get(name)]
        if differing:
            log.warning(
                "Pair %d was not trained alike (%s differs): what differs may be due to that.",
                number, ", ".join(differing),
            )  # fmt: skip


def _training_of(header: CheckpointHeader) -> dict[str, object]:
    """Return all of a training that should be the same for both architectures."""
    options = dict(header.trained_with.get("options") or {})
    options.pop("architecture", None)
    return {**options, "data": header.trained_with.get("data"), "base_features": header.spec.base_features}


def warn_of_training_sets(pairs: Sequence[NetworkPair], sets: Sequence[LabelledTestSet]) -> None:
    """Warn if the header of a checkpoint tells of a test set among the data that it was trained on.

    The labels tell which set it is. One of the same name may be it with other labels: in RELION projects, each set is
    called after the number of a job.
    """
    for pair in pairs:
        for path in (pair.attention, pair.standard):
            trained_on = read_header(path).trained_with.get("data") or []
            for each in sets:
                if any(source.get("label_digest") == each.label_digest for source in trained_on):
                    log.warning("%s was trained on %s: figures on what a network has seen flatter it.", path, each.name)
                elif any(may_be_one_set(str(source.get("name")), each.name) for source in trained_on):
                    log.warning(
                        "%s was trained on a set named %s: if it shows the same micrographs, the figures flatter it.",
                        path, each.name,
                    )  # fmt: skip
