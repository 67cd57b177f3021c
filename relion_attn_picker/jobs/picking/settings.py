"""What a picking job's results depend on, and the fingerprints by which Continue knows what is still valid."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from relion_attn_picker.imaging.appearance import APPEARANCE_VERSION
from relion_attn_picker.inference.hybrid_folder import hybrid_files, is_hybrid
from relion_attn_picker.inference.operating_point import OperatingPoint
from relion_attn_picker.inference.peaks import PEAKS_VERSION
from relion_attn_picker.inference.rejection import RULES_VERSION
from relion_attn_picker.io.digest import file_digest
from relion_attn_picker.micrograph import Micrograph
from relion_attn_picker.options import PickOptions
from relion_attn_picker.pipeline import score_floor


@dataclass(frozen=True)
class JobSettings:
    """What a job's results depend on, beside the micrographs.

    Parameters
    ----------
    options
        What counts as a pick.
    weights_digest
        See ``digest_weights``.
    precision
        As it was asked for, ``"auto"`` included: what that comes to may differ from run to run.
    write_maps
        Whether each micrograph's probability map is kept.
    point
        The operating point, once it is known.
    """

    options: PickOptions
    weights_digest: str
    precision: str
    write_maps: bool = False
    point: OperatingPoint | None = None

    @property
    def score_floor(self) -> float:
        """The lowest score of a candidate."""
        return score_floor(self.options, is_calibrated=self.point is not None and self.point.curve is not None)

    def found_with(self, micrograph: Micrograph) -> str:
        """Return the fingerprint of everything that the candidates of a micrograph depend on."""
        return _fingerprint(
            self.weights_digest,
            self.precision,
            self.write_maps,
            self.options.particle_diameter,
            self.options.min_distance_or_default,
            self.score_floor,
            PEAKS_VERSION,
            RULES_VERSION,
            APPEARANCE_VERSION,
            micrograph.optics.pixel_size,
        )

    def selected_with(self) -> str:
        """Return the fingerprint of everything that the choice of picks among the candidates depends on."""
        return _fingerprint(self._describe_cut(), self.options.border, self.options.max_picks, self.options.reject_junk)

    def _describe_cut(self) -> object:
        if self.point is None:
            return None
        curve, likeness = self.point.curve, self.point.likeness
        return self.point.threshold, curve and curve.to_dict(), likeness and likeness.to_dict()


def _fingerprint(*values: object) -> str:
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()[:16]


def digest_weights(path: Path) -> str:
    """Return the SHA-256 of a checkpoint, or one of all files that a hybrid's picks depend on."""
    if not is_hybrid(path):
        return file_digest(path)
    return hashlib.sha256("".join(file_digest(file) for file in hybrid_files(path)).encode()).hexdigest()
