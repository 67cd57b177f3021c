"""Calibrating a pair of networks on labelled micrographs: their scores, and how the two become one picker.

Everything is chosen on the labelled micrographs, each data set counting the same, and the table of figures is measured
by cross-fitting: what is chosen on one half of the micrographs is measured on the other half. What this module does
not do: it trains nothing, and it cannot know whether the networks have seen these micrographs before.
"""

from __future__ import annotations

import itertools
import logging
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from relion_attn_picker.errors import InputError
from relion_attn_picker.evaluation.metrics import (
    MicrographMatches,
    average_precision,
    pool_matches,
    precision_recall_curve,
)
from relion_attn_picker.evaluation.score_model import ScoreModel, fit_score_model
from relion_attn_picker.inference.combination import SETTINGS, STRATEGIES, Combination, LogitScale
from relion_attn_picker.inference.hybrid_folder import hybrid_checkpoints
from relion_attn_picker.inference.predictor import HybridPredictor
from relion_attn_picker.io.calibration_file import (
    CALIBRATION_NAME,
    CalibrationFile,
    HybridCalibration,
    MemberCalibration,
    write_calibration,
)
from relion_attn_picker.io.checkpoint import read_header
from relion_attn_picker.io.digest import file_digest
from relion_attn_picker.io.output_folder import make_folder
from relion_attn_picker.jobs.calibration.contenders import (
    Contender,
    LookedAt,
    Matches,
    fit_corrected_model,
    make_samples,
    match_all,
)
from relion_attn_picker.jobs.set_names import may_be_one_set
from relion_attn_picker.options import ATTENTION, HYBRID, NETWORKS, STANDARD
from relion_attn_picker.replacing import copy_file
from relion_attn_picker.training.crops import LabelledImage
from relion_attn_picker.training.validation import THRESHOLDS, f1_at_thresholds

log = logging.getLogger(__name__)

TIE: Final = 0.001
"""Average precisions that differ by less than this are taken as equal: seeds alone change them by several times it."""


AnyChoice = TypeVar("AnyChoice", Combination, None)


def calibrate(
    predictor: HybridPredictor,
    checkpoints: Mapping[str, Path],
    data_sets: Iterable[tuple[str, Sequence[Callable[[], LabelledImage]]]],
    made_with: Mapping[str, Any],
) -> CalibrationFile:
    """Return the calibration of two networks from labelled micrographs that they were not trained on.

    Parameters
    ----------
    predictor
        Both networks; how it combines them does not matter.
    checkpoints
        Name of a member → its file.
    data_sets
        Name and micrographs of each set, as ``CalibrationSets.read`` gives them; called one after the other, their
        pixels are not kept.
    made_with
        What is to be told to people.

    Raises
    ------
    InputError
        If there are too few labels.
    """
    trainings = {path: read_header(path).trained_with for path in checkpoints.values()}
    names, sets = [], []
    for name, micrographs in data_sets:
        names.append(name)
        _warn_of_training_data(trainings, name, len(micrographs))
        sets.append([_look(predictor, read()) for read in micrographs])
        log.info("%s: %d micrographs, %d particles", name, len(sets[-1]), sum(len(each.yx) for each in sets[-1]))
    _check_enough(sets)
    members = {name: match_all(Contender(name, None), sets) for name in NETWORKS}
    areas = [sum(each.area for each in data_set) for data_set in sets]
    models = {name: fit_score_model(make_samples(matches, areas)) for name, matches in members.items()}
    corrected = {name: fit_corrected_model(Contender(name, None), sets, models[name], areas) for name in NETWORKS}
    scale = _scale_of_standard(models)
    tried: dict[str, dict[Combination, Matches]] = {strategy: {} for strategy in STRATEGIES}
    for setting in SETTINGS.values():
        choice = setting.fit(scale, predictor.header.particle_diameter_px)
        tried[setting.strategy][choice] = match_all(Contender(setting.strategy, choice), sets)
    table = [_row(name, {None: matches}) for name, matches in members.items()]
    table += [_row(strategy, choices) for strategy, choices in tried.items()]
    _add_precision_at_equal_recall(table, members, tried)
    hybrid = _decide(table, members, tried, models, areas)
    if hybrid.falls_back_to is None:
        contender = Contender(HYBRID, Combination.from_dict(dict(hybrid.combination)))
        of_hybrid = fit_corrected_model(contender, sets, ScoreModel.from_dict(hybrid.score_model), areas)
    else:
        of_hybrid = corrected[hybrid.falls_back_to]
    log.info("The hybrid: %s", hybrid.reason)
    return CalibrationFile(
        {
            name: MemberCalibration(file_digest(checkpoints[name]), models[name].to_dict(), _record(corrected[name]))
            for name in NETWORKS
        },
        replace(hybrid, corrected_model=_record(of_hybrid)),
        {**made_with, "data_sets": names},
    )


def _warn_of_training_data(trainings: Mapping[Path, Mapping[str, Any]], name: str, count: int) -> None:
    """Warn if a set has the name of one that a network was trained on, and more micrographs than were held out there.

    It is no error: in RELION projects, each set is called after the number of a job.
    """
    for path, trained_with in trainings.items():
        validation = trained_with.get("validation") or {}
        for trained_on in (str(source.get("name")) for source in trained_with.get("data") or []):
            held_out = validation.get(trained_on, {}).get("micrographs", 0)
            if may_be_one_set(trained_on, name) and count > held_out:
                log.warning(
                    "%s was trained on a set named %s%s: if these %d micrographs are of it, what the calibration "
                    "promises will be too good; calibrate on others%s.",
                    path,
                    trained_on,
                    f", all but the last {held_out}" if held_out else "",
                    count,
                    f", or give --last {held_out}" if held_out else "",
                )


def _look(predictor: HybridPredictor, image: LabelledImage) -> LookedAt:
    prepared = predictor.prepare(image.image, image.pixel_size, image.particle_diameter)
    factor = image.pixel_size / prepared.pixel_size
    answer = predictor.answer(prepared)
    diameter_px = predictor.header.particle_diameter_px
    area = prepared.values.size / (math.pi * (diameter_px / 2) ** 2)
    return LookedAt(answer, prepared.values, image.yx * factor, image.ignored_yx * factor, diameter_px, area)


def _check_enough(sets: Sequence[Sequence[LookedAt]]) -> None:
    count = sum(len(each) for each in sets)
    if count < 2:
        raise InputError(
            f"There are {count} labelled micrographs to calibrate with: expected 2 or more, half to choose on and half "
            "to measure on; label more, or add --simulated."
        )
    if sum(len(each.yx) > 0 for data_set in sets for each in data_set) == 1:
        raise InputError(
            f"Only one of the {count} labelled micrographs has particles: expected 2 or more, one to choose on and "
            "one to measure on; label more, or add --simulated."
        )


def _record(model: ScoreModel | None) -> dict[str, Any] | None:
    return None if model is None else model.to_dict()


def _scale_of_standard(models: Mapping[str, ScoreModel]) -> LogitScale:
    """Return the line that carries the standard network's logits to those of attention that are right as often."""
    ours, theirs = models[ATTENTION], models[STANDARD]
    return LogitScale(theirs.slope / ours.slope, (theirs.offset - ours.offset) / ours.slope)


def _mean_precision(matches: Matches) -> float:
    """Return the mean average precision of the data sets that have particles."""
    pooled = [pool_matches(each) for each in matches]
    return float(
        np.mean([average_precision(each.score, each.is_true_positive, each.n_true) for each in pooled if each.n_true])
    )


def _halves(matches: Matches) -> Iterator[tuple[Matches, Matches]]:
    """Yield a half of the micrographs to choose on and the other to measure on, then the other way round.

    In each set every other one is of the same half, unless all that have particles would come into one: then these are
    dealt in turns.
    """
    numbers = [[place + number for number, _ in enumerate(data_set)] for place, data_set in enumerate(matches)]
    if len({n % 2 for own, data_set in zip(numbers, matches, strict=True) for n in _of_particles(own, data_set)}) < 2:
        turns = itertools.count()
        numbers = [[next(turns) if each.n_true else 0 for each in data_set] for data_set in matches]
    halves = [
        [
            [each for n, each in zip(own, data_set, strict=True) if n % 2 == half]
            for own, data_set in zip(numbers, matches, strict=True)
        ]
        for half in (0, 1)
    ]
    even, odd = ([data_set for data_set in half if data_set] for half in halves)
    yield even, odd
    yield odd, even


def _of_particles(numbers: Sequence[int], data_set: Sequence[MicrographMatches]) -> list[int]:
    """Return the numbers of those micrographs that have particles."""
    return [number for number, each in zip(numbers, data_set, strict=True) if each.n_true]


def _row(name: str, choices: Mapping[AnyChoice, Matches]) -> dict[str, Any]:
    """Return the cross-fitted figures of a member or a strategy, with the settings that all micrographs choose."""
    halves = {choice: list(_halves(matches)) for choice, matches in choices.items()}
    precisions, f1 = [], []
    for half in (0, 1):
        best = max(choices, key=lambda choice: _mean_precision(halves[choice][half][0]))
        others, measured = halves[best][half]
        precisions.append(_mean_precision(measured))
        f1.append(_mean_f1_at_thresholds(measured)[int(np.argmax(_mean_f1_at_thresholds(others)))])
    chosen = _best_choice(choices)
    parameters: tuple[str, ...] = () if chosen is None else STRATEGIES[name].parameters
    return {
        "name": name,
        "average_precision": float(np.mean(precisions)),
        "f1": float(np.mean(f1)),
        "settings": ", ".join(f"{parameter} {getattr(chosen, parameter):g}" for parameter in parameters),
    }


def _mean_f1_at_thresholds(matches: Matches) -> NDArray[np.float64]:
    """Return the F1 at each of ``THRESHOLDS``, the mean of the sets that have particles."""
    pooled = [pool_matches(each) for each in matches]
    return np.asarray(np.mean([f1_at_thresholds(each) for each in pooled if each.n_true], axis=0))


def _best_choice(choices: Mapping[AnyChoice, Matches]) -> AnyChoice:
    return max(choices, key=lambda choice: _mean_precision(choices[choice]))


def _add_precision_at_equal_recall(
    table: list[dict[str, Any]], members: Mapping[str, Matches], tried: Mapping[str, Mapping[Combination, Matches]]
) -> None:
    """Add to each row its mean precision at the recall that the better member has at its best F1, set by set."""
    better = max(members, key=lambda name: _mean_precision(members[name]))
    recalls = [_recall_at_best_f1(pool_matches(each)) for each in members[better]]
    for row in table:
        choices = tried.get(row["name"])
        matches = members[row["name"]] if choices is None else choices[_best_choice(choices)]
        values = [_precision_at(pool_matches(each), recall) for each, recall in zip(matches, recalls, strict=True)]
        row["precision_at_equal_recall"] = float(np.nanmean(values))


def _recall_at_best_f1(matches: MicrographMatches) -> float:
    curve = precision_recall_curve(matches.score, matches.is_true_positive, matches.n_true)
    if not len(curve.recall):
        return float("nan")
    f1 = 2 * curve.precision * curve.recall / np.maximum(curve.precision + curve.recall, 1e-12)
    return float(curve.recall[int(np.argmax(f1))])


def _precision_at(matches: MicrographMatches, recall: float) -> float:
    """Return the precision of the highest cut that reaches a recall; 0 if none does."""
    curve = precision_recall_curve(matches.score, matches.is_true_positive, matches.n_true)
    if np.isnan(recall):
        return float("nan")
    enough = np.flatnonzero(curve.recall >= recall)
    return float(curve.precision[enough[0]]) if len(enough) else 0.0


def _decide(
    table: Sequence[Mapping[str, Any]],
    members: Mapping[str, Matches],
    tried: Mapping[str, Mapping[Combination, Matches]],
    models: Mapping[str, ScoreModel],
    areas: Sequence[float],
) -> HybridCalibration:
    """Return the strategy with the best cross-fitted figures, or the better member if none has its average precision.

    Among strategies whose average precisions differ by less than ``TIE`` the precision at equal recall decides.
    """
    rows = {row["name"]: row for row in table}
    better = max(members, key=lambda name: rows[name]["average_precision"])
    highest = max(rows[name]["average_precision"] for name in tried)
    lowest = max(highest - TIE, min(highest, rows[better]["average_precision"]))
    level = [name for name in tried if rows[name]["average_precision"] >= lowest]
    strategy = max(level, key=lambda name: rows[name]["precision_at_equal_recall"])
    ours, theirs = rows[strategy]["average_precision"], rows[better]["average_precision"]
    choice = _best_choice(tried[strategy])
    falls_back = ours < theirs
    matches = members[better] if falls_back else tried[strategy][choice]
    model = models[better] if falls_back else fit_score_model(make_samples(matches, areas))
    sign = "below" if falls_back else "against"
    return HybridCalibration(
        combination=choice.to_dict(),
        threshold=round(float(THRESHOLDS[int(np.argmax(_mean_f1_at_thresholds(matches)))]), 2),
        falls_back_to=better if falls_back else None,
        reason=f"average precision {ours:.4f} with {strategy}, {sign} {theirs:.4f} with {better} alone (cross-fitted)",
        score_model=model.to_dict(),
        table=[dict(row) for row in table],
    )


def make_hybrid_folder(folder: Path, checkpoints: Mapping[str, Path], calibration: CalibrationFile) -> None:
    """Put a calibration and, where they are not there yet, its checkpoints into the folder of a hybrid.

    Raises
    ------
    InputError
        If another checkpoint is in the place of one.
    """
    places = hybrid_checkpoints(folder)
    for name, source in checkpoints.items():
        if places[name].exists() and file_digest(places[name]) != file_digest(source):
            raise InputError(f"{places[name]} is another checkpoint than {source}: give another folder with --out.")
    make_folder(folder)
    for name, source in checkpoints.items():
        if not places[name].exists():
            copy_file(source, places[name])
    write_calibration(folder / CALIBRATION_NAME, calibration)
