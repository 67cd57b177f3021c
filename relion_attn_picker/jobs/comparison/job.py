"""A whole comparison: labelled sets and pairs of networks in (given, or trained here), a report out.

Read ``run_comparison`` first. What this module does not do: it computes no figure (``comparison.analysis``), trains
nothing (``comparison.training``) and picks nothing (``comparison.picking``) itself.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from relion_attn_picker.errors import InputError
from relion_attn_picker.evaluation.comparison import NEEDED_SEEDS, average_samples, compare, summarize
from relion_attn_picker.evaluation.comparison_result import Comparison, CostRow, SetResult, SizeRow
from relion_attn_picker.evaluation.cross_fitting import MOST_FOLDS
from relion_attn_picker.evaluation.recommendation import AIMS, Recommendation, recommend, recommend_speed
from relion_attn_picker.io.checkpoint import read_header
from relion_attn_picker.io.digest import file_digest
from relion_attn_picker.io.folder_lock import hold_folder
from relion_attn_picker.jobs.comparison.analysis import CONTENDERS, HEADLINE, AnalysedSet, analyse_set
from relion_attn_picker.jobs.comparison.claims import judge_claims
from relion_attn_picker.jobs.comparison.costs import count_parameters, measure_networks, summarize_inference
from relion_attn_picker.jobs.comparison.picking import PickedSet, pick_set
from relion_attn_picker.jobs.comparison.request import (
    LabelledTestSet,
    NetworkPair,
    leave_out,
    open_test_sets,
    pair_checkpoints,
    warn_of_training_sets,
)
from relion_attn_picker.jobs.comparison.training import WHOLE, TrainingPlan, images_trained_on, train_pairs
from relion_attn_picker.jobs.training.labelled_data import TrainingData
from relion_attn_picker.options import ATTENTION, NETWORKS, STANDARD, InferenceOptions
from relion_attn_picker.report.comparison import write_comparison
from relion_attn_picker.training.fit import Progress
from relion_attn_picker.training_options import TrainOptions

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class ComparisonRequest:
    """What a comparison is made of.

    Parameters
    ----------
    data
        Labelled sets to compare on. Of a set that is also trained on, only what is held out is looked at.
    attention, standard
        Checkpoints, one of each a seed, in the same order; empty if ``training`` is given.
    training
        How both networks are trained instead.
    inference
        How the networks are run.
    measure_costs
        Whether training steps are timed as well.
    command
        The command line, for the report.
    """

    data: Sequence[TrainingData]
    attention: Sequence[Path] = ()
    standard: Sequence[Path] = ()
    training: TrainingPlan | None = None
    inference: InferenceOptions
    measure_costs: bool = True
    command: str = ""


def run_comparison(
    folder: Path, request: ComparisonRequest, start_report: Callable[[], Callable[[Progress], None]]
) -> Comparison:
    """Compare both networks, or go on with an interrupted comparison in the same folder, and write the report.

    Parameters
    ----------
    folder
        Gets ``comparison.md``, ``comparison.json`` and figures; ``training`` and ``cache`` are what it goes on from.
    request, start_report
        See ``ComparisonRequest`` and ``comparison.training.train_pairs``.

    Raises
    ------
    InputError
        If sets or checkpoints cannot be compared, or another process is at work in the folder.
    """
    test_sets = _open_unseen(request.data, request.training)
    given = _pair_given(request)
    with hold_folder(folder):
        pairs = given if request.training is None else _train_pairs(folder, request.training, start_report)
        return _compare(folder, request, test_sets, pairs)


def _compare(
    folder: Path,
    request: ComparisonRequest,
    test_sets: Sequence[LabelledTestSet],
    by_share: Mapping[float, Sequence[NetworkPair]],
) -> Comparison:
    pairs = by_share[WHOLE]
    warn_of_training_sets(pairs, test_sets if request.training is None else [])
    picked = {
        share: _pick_all(folder / "cache", test_sets, each, request.inference) for share, each in by_share.items()
    }
    log.info("Comparing the networks and their hybrids ...")
    analysed = _analyse_all(test_sets, picked[WHOLE], pairs)
    sizes = tuple(
        _compare_size(share, _analyse_all(test_sets, picked[share], each)) for share, each in sorted(by_share.items())
    )
    comparison = _conclude(request, pairs, analysed, sizes if len(sizes) > 1 else (), picked[WHOLE])
    write_comparison(folder, comparison)
    return comparison


def _open_unseen(data: Sequence[TrainingData], plan: TrainingPlan | None) -> list[LabelledTestSet]:
    """Open the test sets, and leave out of them the images that networks are to be trained on."""
    test_sets = open_test_sets(data)
    if plan is None:
        return test_sets
    trained_on = images_trained_on(plan)
    return [leave_out(each, trained_on) for each in test_sets]


def _pair_given(request: ComparisonRequest) -> dict[float, list[NetworkPair]]:
    """Return the pairs of given checkpoints, none where they are to be trained."""
    if request.training is None:
        return {WHOLE: pair_checkpoints(request.attention, request.standard)}
    if request.attention or request.standard:
        raise InputError("Checkpoints and --train_data are both given: give one of the two.")
    return {}


def _train_pairs(
    folder: Path, plan: TrainingPlan, start_report: Callable[[], Callable[[Progress], None]]
) -> dict[float, list[NetworkPair]]:
    trained = train_pairs(folder / "training", plan, start_report)
    return {
        share: pair_checkpoints([pair.attention for pair in pairs], [pair.standard for pair in pairs])
        for share, pairs in trained.items()
    }


def _pick_all(
    folder: Path, test_sets: Sequence[LabelledTestSet], pairs: Sequence[NetworkPair], inference: InferenceOptions
) -> list[list[PickedSet]]:
    """Return for each set what each pair found."""
    names = ["_".join(file_digest(pair.path_of(network))[:8] for network in NETWORKS) for pair in pairs]
    return [
        [pick_set(folder / each.name / name, each, pair, inference) for name, pair in zip(names, pairs, strict=True)]
        for each in test_sets
    ]


def _analyse_all(
    test_sets: Sequence[LabelledTestSet], picked: Sequence[Sequence[PickedSet]], pairs: Sequence[NetworkPair]
) -> list[AnalysedSet]:
    thresholds = {
        network: [read_header(pair.path_of(network)).calibration.threshold for pair in pairs] for network in NETWORKS
    }
    return [analyse_set(each, found, thresholds) for each, found in zip(test_sets, picked, strict=True)]


def _compare_size(share: float, analysed: Sequence[AnalysedSet]) -> SizeRow:
    attention, standard = (average_samples(each.samples[name][HEADLINE] for each in analysed) for name in NETWORKS)
    return SizeRow(share, summarize(attention), summarize(standard), compare(attention, standard))


def _conclude(
    request: ComparisonRequest,
    pairs: Sequence[NetworkPair],
    analysed: Sequence[AnalysedSet],
    sizes: tuple[SizeRow, ...],
    picked: Sequence[Sequence[PickedSet]],
) -> Comparison:
    """Draw the conclusions from the figures."""
    headers = [read_header(pair.path_of(network)) for pair in pairs for network in NETWORKS]
    architectures = count_parameters([header.spec.base_features for header in headers])
    costs = _measure_costs(request, headers[0].trained_with.get("options") or {}, picked)
    sets = tuple(each.result for each in analysed)
    return Comparison(
        command=request.command,
        networks=tuple(_describe_pair(pair) for pair in pairs),
        n_seeds=len(pairs),
        sets=sets,
        sizes=sizes,
        architectures=architectures,
        costs=costs,
        claims=judge_claims(sets, sizes, architectures, costs),
        recommendations=_recommend(analysed, costs),
        remarks=_remark(len(pairs), sets),
    )


def _measure_costs(
    request: ComparisonRequest, trained_with: Mapping[str, object], picked: Sequence[Sequence[PickedSet]]
) -> tuple[CostRow, ...]:
    rows: list[CostRow | None] = [summarize_inference([each for of_set in picked for each in of_set])]
    if request.measure_costs:
        log.info("Measuring what a training step costs with each network, which may take minutes ...")
        known = {name: value for name, value in trained_with.items() if name in vars(TrainOptions())}
        rows += measure_networks(TrainOptions(**known), request.inference)  # type: ignore[arg-type]
    return tuple(row for row in rows if row is not None)


def _describe_pair(pair: NetworkPair) -> str:
    header = read_header(pair.attention)
    seed = header.trained_with.get("seed")
    steps = header.trained_with.get("steps")
    told = [f"seed {seed}"] if seed is not None else []
    told += [f"{steps} steps"] if steps is not None else []
    told.append(f"{header.spec.base_features} base features")
    digests = " and ".join(f"{network} {file_digest(pair.path_of(network))[:12]}" for network in NETWORKS)
    return f"{', '.join(told)}: {digests}"


def _recommend(analysed: Sequence[AnalysedSet], costs: Sequence[CostRow]) -> tuple[Recommendation, ...]:
    """Recommend for each aim by the mean over the sets, and for speed by the seconds that were measured."""
    found = [
        recommend(aim, {name: average_samples(each.samples[name][figure] for each in analysed) for name in CONTENDERS})
        for aim, (figure, _) in AIMS.items()
    ]
    timed = [row for row in costs if row.what.startswith("inference")]
    if timed:
        seconds = {ATTENTION: timed[0].attention, STANDARD: timed[0].standard}
        both = sum(seconds.values())
        fastest = recommend_speed({**seconds, "any hybrid": both})
        found += [] if fastest is None else [fastest]
    return tuple(found)


def _remark(n_seeds: int, sets: Sequence[SetResult]) -> tuple[str, ...]:
    remarks = [
        "Operating thresholds and the parameters of the hybrids are chosen by cross-fitting: the micrographs are dealt "
        f"into up to {MOST_FOLDS} folds, and what is used on a fold is chosen on the others, by F1 and by average "
        "precision. None is chosen where it is judged.",
        *(
            f"{each.name} is a single micrograph, so that nothing is chosen: the thresholds are the checkpoints' own "
            "(attention's for the hybrids, 0.5 for pixels), each hybrid has its first setting."
            for each in sets
            if each.n_micrographs == 1
        ),
        *(
            f"The labels of {each.name} stop {each.label_margin:.0f} Å short of the edges of the micrographs: what is "
            "picked beyond and hits none counts neither as right nor as wrong, but for the figures of pixels."
            for each in sets
            if each.label_margin
        ),
        "Average precision is the headline; of the many other differences one in twenty looks sure by chance.",
    ]
    if n_seeds < NEEDED_SEEDS:
        remarks.append(
            f"With {n_seeds} seed{'s' if n_seeds > 1 else ''} it cannot be known what other seeds would give: "
            f"{NEEDED_SEEDS} are needed."
        )
    return tuple(remarks)
