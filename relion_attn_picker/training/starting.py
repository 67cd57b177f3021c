"""The weights that a training starts from, if not from random ones: those of another training, or the released ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from relion_attn_picker.errors import InputError
from relion_attn_picker.inference.weights import RELEASED, find_weights, weights_in
from relion_attn_picker.io.checkpoint import Checkpoint, read_checkpoint, read_header
from relion_attn_picker.io.digest import file_digest
from relion_attn_picker.model_spec import ModelSpec, Normalization
from relion_attn_picker.models.builders import ARCHITECTURES
from relion_attn_picker.training_options import TrainOptions

SHIPPED = "shipped"


def find_start(name: str, variant: str | None) -> Path:
    """Return the file that ``--start_from`` means.

    ``name`` is a path, a training's folder, a variant (its released weights), or ``shipped`` (those of ``variant``).

    Raises
    ------
    CheckpointError
        If there is no such file, or it cannot be read.
    InputError
        If it is a folder without weights.
    """
    if name == SHIPPED:
        return find_weights(variant, None)
    return RELEASED / f"{name}.safetensors" if name in ARCHITECTURES else weights_in(Path(name))


@dataclass(frozen=True)
class StartingWeights:
    """A checkpoint, and where it lies."""

    path: Path
    checkpoint: Checkpoint

    @classmethod
    def read(cls, path: Path) -> StartingWeights:
        """Read a checkpoint."""
        return cls(path, read_checkpoint(path))

    def describe(self) -> dict[str, str]:
        """Return what tells these weights from others."""
        return {"file": self.path.name, "sha256": file_digest(self.path)}

    def require_fit(self, options: TrainOptions, particle_diameter_px: float, normalization: Normalization) -> None:
        """Refuse options that contradict the checkpoint: network, scale and normalisation are its own.

        Raises
        ------
        InputError
            If they do.
        """
        header = self.checkpoint.header
        pairs = (
            ("variant", header.spec.architecture, options.architecture),
            ("base_features", header.spec.base_features, options.base_features),
            ("diameter_px", header.particle_diameter_px, particle_diameter_px),
        )
        for name, own, given in pairs:
            if own != given:
                raise InputError(
                    f"The training is to start from {self.path}, which has {name} {own}, but {given} was given: leave "
                    f"out --{name}, or start from other weights."
                )
        if header.normalization != normalization:
            raise InputError(
                f"The training is to start from {self.path}, whose images are normalised with "
                f"{asdict(header.normalization)}, but the crops with {asdict(normalization)}: cut the crops anew."
            )


def own_options(path: Path, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return options ``given`` by name (``None``: not given) with network and scale filled in from a checkpoint."""
    header = read_header(path)
    own = {**asdict(header.spec), "particle_diameter_px": header.particle_diameter_px}
    return {name: own.get(name) if value is None else value for name, value in given.items()}


def network_spec(options: TrainOptions) -> ModelSpec:
    """Return the network that the options ask for."""
    return ModelSpec(options.architecture, options.base_features)
