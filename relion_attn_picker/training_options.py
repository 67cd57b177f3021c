"""Options of training: crops, networks, named recipes, self-training; checked where they are made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Final

from relion_attn_picker.options import check_base_features, require

TARGET_NAMES = ("disc", "gaussian", "wide_gaussian")
"""Keys of ``training.targets.TARGETS``."""

LOSS_NAMES = ("cross_entropy", "focal")
"""Keys of ``training.losses.LOSSES``."""

THRESHOLD_SCALE_NAMES = ("calibrated", "score")
"""Keys of ``training.self_training.THRESHOLD_SCALES``."""

START_NAMES = ("fresh", "teacher")
"""What a student of self-training may start from."""


SEEDS: Final = 2**64
"""Seeds that torch's generator of initial weights takes; numpy's takes any."""


@dataclass(frozen=True, kw_only=True)
class CropOptions:
    """How crops are cut from micrographs for training.

    Parameters
    ----------
    particle_diameter_px
        Particle diameter in network pixels.
    crop_size
        Side of a stored crop in network pixels; training cuts its own, smaller crops from it at random places.
    crops_per_source
        Crops from each source of micrographs, so that a small set counts as much as a large one.
    scale_jitter
        Each micrograph is brought to a scale drawn from ± this fraction round the right one: users' diameters are
        estimates.
    seed
        Seed of everything drawn.
    """

    particle_diameter_px: float = 24.0
    crop_size: int = 176
    crops_per_source: int = 2000
    scale_jitter: float = 0.2
    seed: int = 1

    def __post_init__(self) -> None:
        require(
            8 <= self.particle_diameter_px <= 128,
            f"The particle diameter is {self.particle_diameter_px:g} network pixels: expected 8 to 128.",
        )
        require(self.crop_size >= 64, f"The crop size is {self.crop_size} pixels: expected 64 or more.")
        require(self.crops_per_source >= 1, f"There are {self.crops_per_source} crops per source: expected 1 or more.")
        require(0 <= self.scale_jitter < 0.5, f"The scale jitter is {self.scale_jitter}: expected 0 to 0.5.")
        require(self.seed >= 0, f"The seed is {self.seed}: expected 0 or more.")


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """How a network is trained: all that the result depends on, beside the data and the starting weights.

    Parameters
    ----------
    architecture, base_features
        The network (``model_spec.ModelSpec``).
    target, loss
        Keys of ``training.targets.TARGETS`` and ``training.losses.LOSSES``.
    steps, batch_size, input_size
        Optimiser steps, crops a step (of all processes together), side of a training crop in network pixels.
    learning_rate, weight_decay, warmup_steps
        AdamW with a linear warm-up and a cosine fall to zero at ``steps``.
    ema_decay
        The network that is validated and kept is a running mean of the trained one, in which each step's weights fade
        by this factor a step (fewer at the beginning); 0 keeps the trained one itself.
    validate_every, patience
        Validate after this many steps; stop after ``patience`` validations without improvement.
    degraded
        Share of the crops that pass through ``training.augment.degrade``.
    crops_per_field
        Crops from each field that is simulated during the training; each goes to another step.
    seed
        Seed of the initial weights and of everything drawn.
    """

    architecture: str = "attention"
    base_features: int = 16
    target: str = "gaussian"
    loss: str = "focal"
    steps: int = 4000
    batch_size: int = 8
    input_size: int = 128
    learning_rate: float = 2e-3
    weight_decay: float = 1e-4
    warmup_steps: int = 100
    ema_decay: float = 0.999
    validate_every: int = 400
    patience: int = 6
    degraded: float = 0.6
    crops_per_field: int = 8
    seed: int = 1

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "validate_every", "patience", "crops_per_field"):
            require(getattr(self, name) >= 1, f"{name} is {getattr(self, name)}: expected 1 or more.")
        check_base_features(self.base_features)
        require(0 <= self.seed < SEEDS, f"The seed is {self.seed}: expected 0 or more, and less than 2^64.")
        require(self.input_size >= 32, f"input_size is {self.input_size} pixels: expected 32 or more.")
        for name, known in (("target", TARGET_NAMES), ("loss", LOSS_NAMES)):
            require(
                getattr(self, name) in known,
                f"{name} is {getattr(self, name)!r}: expected one of {', '.join(known)}.",
            )
        require(0 < self.learning_rate < 1, f"learning_rate is {self.learning_rate}: expected between 0 and 1.")
        require(0 <= self.degraded <= 1, f"degraded is {self.degraded}: expected a share from 0 to 1.")
        require(0 <= self.ema_decay < 1, f"ema_decay is {self.ema_decay}: expected 0 or more and below 1, as 0.999.")


MAX_WORKERS: Final = 8
"""Most processes that make batches, unless a number is given: each takes some hundred megabytes."""


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """How a training runs, with no influence on what comes of it (but for a GPU's rounding, see ``training.fit``).

    Parameters
    ----------
    workers
        Processes that make batches; 0: a thread of the training's own process. ``None``: none on a CPU, on a GPU as
        many as the cores allow; a program that asks for processes must be protected by ``if __name__ == "__main__"``.
    save_every
        Seconds between two states that a killed training can go on from.
    """

    workers: int | None = 0
    save_every: float = 60.0

    def __post_init__(self) -> None:
        workers = 0 if self.workers is None else self.workers
        require(0 <= workers <= 1024, f"The number of workers is {self.workers}: expected 0 to 1024.")
        require(self.save_every >= 0, f"save_every is {self.save_every} s: expected 0 or more.")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Named defaults of a training.

    Parameters
    ----------
    epochs
        Length in epochs of ``crops_per_source`` crops each; ``None``: ``train.steps`` as they are.
    crops, train
        Everything else.
    """

    epochs: float | None = None
    crops: CropOptions = CropOptions()
    train: TrainOptions = TrainOptions()


RECIPES: Final[dict[str, Recipe]] = {
    "small": Recipe(),
    "fine_tune": Recipe(
        crops=CropOptions(crops_per_source=400),
        train=TrainOptions(
            steps=240, learning_rate=5e-4, warmup_steps=20, ema_decay=0.99, validate_every=60, patience=4
        ),
    ),
    "study": Recipe(
        epochs=100,
        crops=CropOptions(crops_per_source=70_000),
        train=TrainOptions(
            base_features=64, batch_size=64, learning_rate=1e-3, warmup_steps=1000, validate_every=1094, patience=100
        ),
    ),
}
"""Name → defaults. ``small``: a narrow network in about an hour on a CPU. ``fine_tune``: other weights made better for
one's own particle, from a few micrographs, in minutes on a CPU. ``study``: the original study's (70,000 crops of
128×128, 100 epochs, 64 base features), for a GPU; three rounds of self-training follow it (``attnpick self-train``)."""


def follow_recipe(name: str, given: Mapping[str, Any], shorten: float = 1.0) -> tuple[CropOptions, TrainOptions]:
    """Return the options of a recipe with those that were ``given`` (not ``None``) in their place.

    Parameters
    ----------
    name
        A key of ``RECIPES``.
    given
        Fields of ``CropOptions`` and ``TrainOptions`` by name, and ``epochs``. Without ``crop_size``, crops are stored
        a quarter larger than ``input_size``.
    shorten
        Factor by which the recipe's crops, steps and what is counted in steps are divided; not what is given. Epochs
        that are given are of the crops that there are then.

    Raises
    ------
    InputError
        If the recipe is unknown, an option is out of range, or both steps and epochs are given.
    """
    require(name in RECIPES, f"The recipe is {name!r}: expected one of {', '.join(RECIPES)}.")
    require(1 <= shorten < float("inf"), f"--shorten is {shorten:g}: expected a factor of 1 or more.")
    values = {key: value for key, value in given.items() if value is not None}
    require(not {"steps", "epochs"} <= values.keys(), "Both --steps and --epochs are given: give one of the two.")
    recipe = RECIPES[name]
    crops = replace(_shorten(recipe.crops, shorten, "crops_per_source"), **_fields_of(CropOptions, values))
    train = _shorten(recipe.train, shorten, "steps", "warmup_steps", "validate_every")
    train = replace(train, **_fields_of(TrainOptions, values))
    if "crop_size" not in values:
        crops = replace(crops, crop_size=max(64, train.input_size * 5 // 4))
    epochs = values.get("epochs")
    require(epochs is None or 0 < epochs < float("inf"), f"epochs is {epochs}: expected more than 0, such as 10.")
    epoch_size = crops.crops_per_source
    if epochs is None and recipe.epochs is not None and "steps" not in values:
        epochs, epoch_size = recipe.epochs / shorten, values.get("crops_per_source", recipe.crops.crops_per_source)
    if epochs is None:
        return crops, train
    return crops, replace(train, steps=max(1, round(epochs * epoch_size / train.batch_size)))


def _fields_of(options: type[CropOptions] | type[TrainOptions], values: Mapping[str, Any]) -> dict[str, Any]:
    return {field.name: values[field.name] for field in fields(options) if field.name in values}


def _shorten(options: Any, factor: float, *names: str) -> Any:
    return replace(options, **{name: max(1, round(getattr(options, name) / factor)) for name in names})


@dataclass(frozen=True, kw_only=True)
class SelfTrainingOptions:
    """How a teacher's picks become labels, and when a student takes the teacher's place.

    Parameters
    ----------
    rounds
        Rounds of self-training; more may be asked for later.
    positive
        Candidates with at least this are taken as particles.
    negative
        Candidates below this are taken as ground; those between ``negative`` and ``positive`` are ignored.
    scale
        What ``positive`` and ``negative`` are measured on: ``"score"``, the scores themselves, or ``"calibrated"``, on
        which the teacher's own threshold reads 0.5 (``training.self_training.THRESHOLD_SCALES``).
    start
        What a student starts from: ``"teacher"``, the teacher's weights, or ``"fresh"``, random ones.
    tolerance
        A student whose held-out figures are lower than the teacher's by no more than this counts as not worse.
    pictures
        So many micrographs of each unlabelled set are drawn with their pseudo-labels.
    """

    rounds: int = 3
    positive: float = 0.75
    negative: float = 0.2
    scale: str = "calibrated"
    start: str = "teacher"
    tolerance: float = 0.0
    pictures: int = 4

    def __post_init__(self) -> None:
        require(self.rounds >= 1, f"The number of rounds is {self.rounds}: expected 1 or more.")
        for name in ("negative", "positive"):
            value = getattr(self, name)
            require(0 < value < 1, f"The {name} threshold is {value:g}: expected a number between 0 and 1.")
        require(
            self.negative <= self.positive,
            f"The negative threshold, {self.negative:g}, is above the positive one, {self.positive:g}: what lies "
            "between them is ignored, so give --negative the lower of the two.",
        )
        for name, known in (("scale", THRESHOLD_SCALE_NAMES), ("start", START_NAMES)):
            require(
                getattr(self, name) in known,
                f"{name} is {getattr(self, name)!r}: expected one of {', '.join(known)}.",
            )
        require(0 <= self.tolerance < 1, f"The tolerance is {self.tolerance:g}: expected 0, or little more.")
        require(self.pictures >= 0, f"The number of pictures is {self.pictures}: expected 0 or more.")
