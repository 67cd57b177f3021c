"""What must travel with the weights: nothing that inference needs lives outside the checkpoint."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Final

FORMAT_VERSION: Final = 1
"""Version of the checkpoint header that this program writes and reads."""

BEST_NAME: Final = "best.safetensors"
"""What a training calls its best weights."""


BASE_FEATURES: Final = range(8, 65, 2)
"""Channels that the first level of a network may have."""

EXPECTED_BASE_FEATURES: Final = f"an even number from {BASE_FEATURES[0]} to {BASE_FEATURES[-1]}"


@dataclass(frozen=True)
class ModelSpec:
    """Which network: ``architecture`` is a key of ``models.builders.ARCHITECTURES``."""

    architecture: str
    base_features: int
    depth: int = 4

    def __post_init__(self) -> None:
        if not isinstance(self.base_features, int) or self.base_features not in BASE_FEATURES:
            raise ValueError(f"base_features is {self.base_features!r}: expected {EXPECTED_BASE_FEATURES}.")
        if self.depth != 4:
            raise ValueError(f"depth is {self.depth!r}: this program builds networks of depth 4.")


@dataclass(frozen=True)
class Normalization:
    """How an image is made ready for the network, the same in training and in inference (``imaging.prepare``).

    Parameters
    ----------
    highpass_diameters
        Wavelengths longer than this many particle diameters are removed (half amplitude at this one).
    raw_clip
        Pixels of the micrograph further than this many robust standard deviations from its median are clipped: hot
        pixels must not ring in Fourier space.
    clip
        The same after resampling, flattening and standardising; the network sees values in [-clip, clip].
    """

    highpass_diameters: float = 2.5
    raw_clip: float = 8.0
    clip: float = 5.0

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not isinstance(value, (int, float)) or not 0 < value < float("inf"):
                raise ValueError(f"normalization.{name} is {value!r}: expected a positive number.")


@dataclass(frozen=True)
class Calibration:
    """The default operating point: picks with a score of at least ``threshold`` are kept; ``source`` says why there."""

    threshold: float = 0.5
    source: str = "not calibrated"

    def __post_init__(self) -> None:
        if not isinstance(self.threshold, (int, float)) or not 0 < self.threshold < 1:
            raise ValueError(f"calibration.threshold is {self.threshold!r}: expected a number between 0 and 1.")


@dataclass(frozen=True)
class CheckpointHeader:
    """The JSON header of a checkpoint.

    Parameters
    ----------
    spec
        The network.
    particle_diameter_px
        Particle diameter, in network pixels, that the network was trained with: it sets the scale of every image.
    normalization, calibration
        See there.
    label_margin
        How many particle diameters before the edges the labels of all training micrographs stop, 0 if they do not
        (``evaluation.label_margin``): picks stop there too unless the user says otherwise.
    trained_with
        Version, data, seed, steps and figures of the training, for people; nothing is computed from it.
    """

    spec: ModelSpec
    particle_diameter_px: float
    normalization: Normalization = field(default_factory=Normalization)
    calibration: Calibration = field(default_factory=Calibration)
    trained_with: dict[str, Any] = field(default_factory=dict)
    label_margin: float = 0.0

    def __post_init__(self) -> None:
        if not isinstance(self.label_margin, (int, float)) or not 0 <= self.label_margin <= 10:
            raise ValueError(f"label_margin is {self.label_margin!r}: expected a number from 0 to 10.")
        value = self.particle_diameter_px
        if not isinstance(value, (int, float)) or not 8 <= value <= 128:
            raise ValueError(f"particle_diameter_px is {value!r}: expected a number from 8 to 128.")

    def to_dict(self) -> dict[str, Any]:
        """Return the header as what JSON can hold, with the format version first."""
        return {"format_version": FORMAT_VERSION, **asdict(self)}

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> CheckpointHeader:
        """Rebuild a header from ``to_dict``'s record; those of version 0.1.0 may have no ``label_margin``.

        Raises
        ------
        ValueError, KeyError, TypeError
            If a field is missing, unknown or out of range.
        """
        return cls(
            spec=ModelSpec(**record["spec"]),
            particle_diameter_px=record["particle_diameter_px"],
            normalization=Normalization(**record["normalization"]),
            calibration=Calibration(**record["calibration"]),
            trained_with=dict(record["trained_with"]),
            label_margin=record.get("label_margin", 0.0),
        )
