"""Training both networks of a comparison: the same crops, the same schedule, the same seeds.

What this module does not do: it trains nothing itself; ``jobs.training.job.run_training`` does.
"""

from __future__ import annotations

import logging
import math
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from relion_attn_picker.errors import InputError
from relion_attn_picker.io.output_folder import make_folder
from relion_attn_picker.jobs.comparison.request import NetworkPair
from relion_attn_picker.jobs.training.job import run_training
from relion_attn_picker.jobs.training.request import TrainingRequest
from relion_attn_picker.options import NETWORKS, require
from relion_attn_picker.replacing import replacing
from relion_attn_picker.training.crops import LabelledSource
from relion_attn_picker.training.fit import Progress

log = logging.getLogger(__name__)

CROPS: Final = "crops.h5"
WHOLE: Final = 1.0


@dataclass(frozen=True, kw_only=True)
class TrainingPlan:
    """How both networks are trained.

    Parameters
    ----------
    training
        What each network is trained on, and how; the architecture and the seed of its ``train`` are put in for each
        training, the crops are the same for all.
    seeds
        Trainings of each architecture: seeds 1, 2, ...
    shares
        Of the training micrographs, real and simulated, each more than 0 and at most 1, and 1 among them: what is said
        of the networks is said of those trained on all. With fewer micrographs as many crops are cut and as many steps
        taken, so that nothing changes but how much there is to learn from.
    """

    training: TrainingRequest
    seeds: int = 3
    shares: tuple[float, ...] = (WHOLE,)

    def __post_init__(self) -> None:
        require(self.seeds >= 1, f"The number of seeds is {self.seeds}: expected 1 or more, 3 to know their spread.")
        for share in self.shares:
            require(0 < share <= 1, f"A size of the training set is {share:g}: expected shares above 0, at most 1.")
        require(len(set(self.shares)) == len(self.shares) > 0, "A size of the training set is given twice, or none is.")
        if self.training.fields is not None and set(self.shares) != {WHOLE}:
            raise InputError("Fields simulated on the way have no end, so no share of them: leave out --on_the_fly.")
        told = " ".join(f"{share:g}" for share in self.shares)
        require(
            WHOLE in self.shares,
            f'The sizes of the training set are {told}: expected 1 among them, as in "{told} 1", for what is '
            "compared is networks trained on all of it.",
        )


def train_pairs(
    folder: Path, plan: TrainingPlan, start_report: Callable[[], Callable[[Progress], None]]
) -> dict[float, list[NetworkPair]]:
    """Train all pairs, or go on where an earlier, interrupted run in the same folder stopped.

    Parameters
    ----------
    folder
        Gets ``size_SHARE/ARCHITECTURE-SEED``, a training's folder each.
    plan
        See there.
    start_report
        Called before each training: what it returns is called after each of its steps.

    Returns
    -------
    dict
        Share of the training micrographs → pairs, by seed.

    Raises
    ------
    InputError
        As ``jobs.training.job.run_training``; the folder of another comparison is refused.
    """
    pairs = {}
    for share in sorted(plan.shares):
        own = folder / f"size_{share:g}"
        sources, validation = _take_share(plan, share)
        pairs[share] = [
            NetworkPair(
                *(_train(own, plan, network, seed, sources, validation, start_report()) for network in NETWORKS)
            )
            for seed in range(1, plan.seeds + 1)
        ]
    return pairs


def images_trained_on(plan: TrainingPlan) -> set[Path]:
    """Return the files of all labelled images that the networks are trained on, as ``crops.ImageFile`` names them."""
    sources, _ = _take_share(plan, WHOLE)
    return {file.path for source in sources for file in source.files}


def _take_share(plan: TrainingPlan, share: float) -> tuple[list[LabelledSource], list[LabelledSource]]:
    """Return what is trained on and what is held out; the held-out micrographs are the same for all shares."""
    sources, held_out = plan.training.split()
    if share == WHOLE:
        return sources, held_out
    return [_cut_source(source, share) for source in sources], held_out


def _cut_source(source: LabelledSource, share: float) -> LabelledSource:
    count = math.ceil(share * len(source.micrographs))
    return source.part(slice(count), f"{source.description}; the first {count} alone")


def _train(
    own: Path,
    plan: TrainingPlan,
    network: str,
    seed: int,
    sources: Sequence[LabelledSource],
    validation: Sequence[LabelledSource],
    report: Callable[[Progress], None],
) -> Path:
    """Train one network on the shared crops; the first training cuts them."""
    folder = own / f"{network}-{seed}"
    make_folder(folder)
    log.info("Training %s ...", folder)
    if (own / CROPS).exists() and not (folder / CROPS).exists():
        _share_file(own / CROPS, folder / CROPS)
    best = run_training(
        folder,
        replace(
            plan.training,
            data=(),
            sources=sources,
            validation=validation,
            train=replace(plan.training.train, architecture=network, seed=seed),
        ),
        report,
    )
    if (folder / CROPS).exists() and not (own / CROPS).exists():
        _share_file(folder / CROPS, own / CROPS)
    return best


def _share_file(source: Path, target: Path) -> None:
    """Give a file a second name; where the disk knows no hard links, copy it."""
    with replacing(target) as partial:
        partial.unlink(missing_ok=True)
        try:
            os.link(source, partial)
        except OSError:
            shutil.copyfile(source, partial)
