"""Options of the library's entry points, checked where they are made. Lengths are in Å unless a name says ``px``."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace

from relion_attn_picker.errors import InputError
from relion_attn_picker.model_spec import BASE_FEATURES, EXPECTED_BASE_FEATURES

MIN_DISTANCE_DIAMETERS = 0.6
"""Default smallest distance between two picks, in particle diameters (measured: README.md beside the weights)."""

SCORE_FLOOR = 0.05
"""Lowest score of a candidate. Score models (``evaluation.score_model``) are learnt from this score upwards: where it
moves, calibrations have to be made again."""

ATTENTION = "attention"
STANDARD = "standard"
NETWORKS = (ATTENTION, STANDARD)
"""Keys of ``models.builders.ARCHITECTURES``."""

HYBRID = "hybrid"

VARIANTS = (*NETWORKS, HYBRID)
"""What can pick: one network, or both together."""

PIXEL_TYPES = ("float32", "int16")
"""Keys of ``simulation.project.CONVERT``."""

MODES = ("precision", "balanced", "recall")
"""Keys of ``inference.operating_point.BETA``."""

DIRT_NAMES = ("none", "usual", "heavy")
"""Keys of ``simulation.session.DIRT``."""


def cores_of_process() -> int:
    """Return how many CPU cores this process may use.

    A queue may allow fewer than the machine has, and the processes that ``torchrun`` started on a machine share them.
    """
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, usable // max(1, int(os.environ.get("LOCAL_WORLD_SIZE", "1"))))


def require(condition: bool, sentence: str) -> None:
    """Raise ``InputError`` with the sentence unless the condition holds."""
    if not condition:
        raise InputError(sentence)


def check_threshold(threshold: float) -> None:
    """Raise ``InputError`` if a threshold on this program's figures of merit would let none, or all, be picks."""
    require(0 < threshold < 1, f"The threshold is {threshold}: expected a number above 0 and below 1, such as 0.3.")


def check_output_name(name: str, what: str) -> None:
    """Refuse a blank name for results: a path made of it would be the current folder, or the file system's root."""
    require(
        bool(name.strip()),
        f"{what} is empty: expected the folder or file for the results; give its name, or set the variable it is in.",
    )


def check_base_features(width: int) -> None:
    """Raise ``InputError`` if no network has this many base features."""
    require(width in BASE_FEATURES, f"base_features is {width}: expected {EXPECTED_BASE_FEATURES}.")


@dataclass(frozen=True, kw_only=True)
class PickOptions:
    """What counts as a pick.

    Parameters
    ----------
    particle_diameter
        Å.
    threshold
        Lowest score of a pick, above 0 and below 1; ``None`` takes the checkpoint's calibrated threshold, which a job
        fits to its data set if ``fit_threshold``.
    fit_threshold
        Whether a job without a given threshold chooses one from all its scores (``inference.thresholds``).
    min_distance
        Smallest distance between two picks, Å; ``None`` takes ``MIN_DISTANCE_DIAMETERS`` diameters.
    border
        Picks whose centre is closer than this to the micrograph's outline are left out, Å; ``None``: as near as the
        labels came that the weights were trained on (``CheckpointHeader.label_margin``).
    max_picks
        Keep at most this many a micrograph, the highest first; ``None`` keeps all.
    mode
        What a threshold that the job chooses is to favour, one of ``MODES``.
    target_precision, target_recall, count_per_micrograph
        Instead of a threshold: the expected precision or recall, 0 to 1, or the mean number of picks a micrograph,
        that the job's threshold is to give.
    reject_junk
        Whether candidates that have a reason to be rejected (``inference.rejection``) are left out.
    """

    particle_diameter: float
    threshold: float | None = None
    fit_threshold: bool = True
    min_distance: float | None = None
    border: float | None = None
    max_picks: int | None = None
    mode: str = "balanced"
    target_precision: float | None = None
    target_recall: float | None = None
    count_per_micrograph: float | None = None
    reject_junk: bool = True

    def __post_init__(self) -> None:
        require(
            10 <= self.particle_diameter <= 10_000,
            f"The particle diameter is {self.particle_diameter:g} Å: expected 10 to 10000 Å.",
        )
        if self.threshold is not None:
            check_threshold(self.threshold)
        require(
            self.min_distance is None or 0 <= self.min_distance < float("inf"),
            f"The minimum distance is {self.min_distance} Å: expected 0 or more.",
        )
        require(
            self.border is None or 0 <= self.border < float("inf"),
            f"The border is {self.border} Å: expected 0 or more.",
        )
        require(
            self.max_picks is None or self.max_picks >= 1,
            f"The maximum number of picks is {self.max_picks}: expected 1 or more.",
        )
        require(self.mode in MODES, f"The mode is {self.mode!r}: expected one of {', '.join(MODES)}.")
        for name, value in (("precision", self.target_precision), ("recall", self.target_recall)):
            require(
                value is None or 0 < value < 1,
                f"The target {name} is {value}: expected a number between 0 and 1, such as 0.9.",
            )
        count = self.count_per_micrograph
        require(
            count is None or 0 < count < float("inf"),
            f"The number of picks a micrograph is {count}: expected more than 0.",
        )
        given = [self.threshold, self.target_precision, self.target_recall, count]
        require(
            sum(value is not None for value in given) <= 1,
            "More than one of threshold, target precision, target recall and count per micrograph is given: give one.",
        )
        require(
            self.mode == "balanced" or all(value is None for value in given),
            f"The mode {self.mode} chooses the threshold, and a threshold, a target or a count is given too: give one.",
        )

    @property
    def depends_on_data_set(self) -> bool:
        """Whether the threshold follows from the scores of all micrographs together."""
        targets = (self.target_precision, self.target_recall, self.count_per_micrograph)
        return any(target is not None for target in targets) or (self.threshold is None and self.fit_threshold)

    @property
    def needs_probabilities(self) -> bool:
        """Whether the threshold can only be chosen among calibrated scores."""
        return self.mode != "balanced" or self.target_precision is not None or self.target_recall is not None

    def with_border(self, label_margin: float) -> PickOptions:
        """Return the options with the border of weights whose labels stop so many diameters before the edges."""
        return (
            self if self.border is not None else replace(self, border=round(label_margin * self.particle_diameter, 1))
        )

    @property
    def min_distance_or_default(self) -> float:
        """Smallest distance between two picks, Å."""
        if self.min_distance is not None:
            return self.min_distance
        return MIN_DISTANCE_DIAMETERS * self.particle_diameter


@dataclass(frozen=True, kw_only=True)
class InferenceOptions:
    """How the network is run.

    Parameters
    ----------
    gpu
        ``"auto"`` (the GPU with the most free memory, if there is one), ``"cpu"``, or the number of a GPU.
    precision
        ``"auto"`` (bfloat16 where the device computes in it and it agrees with float32), ``"float32"`` or
        ``"bfloat16"``; ``"float32"`` is without TensorFloat-32 (``inference.devices``).
    tile_size
        Largest side, in network pixels, of what goes through the network at once: it bounds the memory. Where a GPU has
        less memory, the tiles become smaller.
    threads
        CPU threads.
    """

    gpu: str = "auto"
    precision: str = "auto"
    tile_size: int = 1024
    threads: int = 1

    def __post_init__(self) -> None:
        require(
            self.gpu in ("auto", "cpu") or self.gpu.isdecimal(),
            f"The GPU is {self.gpu!r}: expected auto, cpu, or one number such as 0.",
        )
        require(
            self.precision in ("auto", "float32", "bfloat16"),
            f"The precision is {self.precision!r}: expected auto, float32 or bfloat16.",
        )
        require(self.tile_size >= 256, f"The tile size is {self.tile_size} pixels: expected 256 or more.")
        require(self.threads >= 1, f"The number of threads is {self.threads}: expected 1 or more.")


@dataclass(frozen=True, kw_only=True)
class SimulationOptions:
    """A simulated session: ``count`` micrographs of one microscope and one kind of particle.

    Parameters
    ----------
    count
        Number of micrographs.
    shape
        ``(h, w)`` in pixels.
    pixel_size
        Å.
    voltage
        kV.
    dose
        e/Å² of every micrograph; ``None`` draws 18 to 70 for each.
    defocus
        Lowest and highest, Å (underfocus positive); ``None`` draws as ``simulation.conditions.draw_conditions`` does.
    snr, coverage
        Lowest and highest; see ``simulation.conditions.Conditions``.
    empty
        Share of the micrographs without particles, 0 to 1.
    dirt
        ``"none"``, ``"usual"`` (carbon on every second micrograph, some ice) or ``"heavy"``.
    pixel_type
        Of the MRC files: ``"float32"`` or ``"int16"`` (whole counts).
    seed
        The same options give the same micrographs.
    """

    count: int = 4
    shape: tuple[int, int] = (1024, 1440)
    pixel_size: float = 2.0
    voltage: float = 300.0
    dose: float | None = None
    defocus: tuple[float, float] | None = None
    snr: tuple[float, float] = (0.6, 1.5)
    coverage: tuple[float, float] = (0.1, 0.25)
    empty: float = 0.0
    dirt: str = "usual"
    pixel_type: str = "float32"
    seed: int = 1

    def __post_init__(self) -> None:
        require(self.count >= 1, f"The number of micrographs is {self.count}: expected 1 or more.")
        h, w = self.shape
        require(
            min(h, w) >= 64 and max(h, w) <= 16_384,
            f"The micrographs have {w}×{h} pixels: expected 64 to 16384 on each side.",
        )
        self._require_range("pixel size", "Å", (self.pixel_size,), 0.1, 20)
        self._require_range("voltage", "kV", (self.voltage,), 60, 1000)
        if self.dose is not None:
            self._require_range("dose", "e/Å²", (self.dose,), 1, 500)
        if self.defocus is not None:
            self._require_range("defocus", "Å", self.defocus, 100, 100_000)
        self._require_range("signal-to-noise ratio", "", self.snr, 0.001, 100)
        self._require_range("coverage", "of the area", self.coverage, 0, 0.8)
        self._require_range("share of empty micrographs", "", (self.empty,), 0, 1)
        require(self.seed >= 0, f"The seed is {self.seed}: expected 0 or more.")
        for name, known in (("dirt", DIRT_NAMES), ("pixel_type", PIXEL_TYPES)):
            require(
                getattr(self, name) in known,
                f"{name} is {getattr(self, name)!r}: expected one of {', '.join(known)}.",
            )

    @staticmethod
    def _require_range(name: str, unit: str, values: tuple[float, ...], lowest: float, highest: float) -> None:
        """Refuse values that are out of bounds or fall (so does NaN)."""
        found = " to ".join(f"{value:g}" for value in values)
        is_right = lowest <= values[0] <= values[-1] <= highest
        order = ", the lower number first" if values[0] > values[-1] else ""
        expected = f"expected {lowest:g} to {highest:g}{order}."
        require(is_right, f"The {name} is {' '.join([found, *unit.split()])}: {expected}")
