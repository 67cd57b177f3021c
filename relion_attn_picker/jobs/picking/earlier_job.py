"""An earlier picking job, opened to be cut anew: what it saved, its list, and what may be changed of its cut.

What this module does not do: it cuts nothing; ``jobs.picking.selection`` does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from relion_attn_picker.errors import InputError
from relion_attn_picker.inference.operating_point import OperatingPoint, first_point
from relion_attn_picker.jobs.pick_evaluation import CANDIDATES_FILE
from relion_attn_picker.jobs.saved_options import (
    OPTIONS_FILE,
    SavedOptions,
    find_own_list,
    has_saved_options,
    read_saved_options,
)
from relion_attn_picker.micrograph import Micrograph
from relion_attn_picker.options import PickOptions
from relion_attn_picker.pipeline import score_floor
from relion_attn_picker.relion.micrographs import read_micrographs


@dataclass(frozen=True)
class EarlierJob:
    """A picking job to cut anew: its folder, what was saved of its options, and its list of micrographs."""

    folder: Path
    saved: SavedOptions
    micrographs: Sequence[Micrograph]

    @property
    def options(self) -> PickOptions:
        """What counted as a pick."""
        return self.saved.options

    def options_with(self, changes: Mapping[str, Any]) -> PickOptions:
        """Return the options with some of them changed: a new way to cut takes the place of the earlier one.

        Raises
        ------
        InputError
            If they cannot be meant, or need calibrated scores or candidates that this job has not.
        """
        cuts = ("threshold", "mode", "target_precision", "target_recall", "count_per_micrograph")
        kept = asdict(self.saved.options)
        if any(name in changes for name in cuts):
            kept = {name: value for name, value in kept.items() if name not in cuts} | {"fit_threshold": True}
        options = PickOptions(**kept | dict(changes))
        point = first_point(self.own_threshold, options, self.point.curve)
        lowest = float(self.point.merit(np.array([self.lowest_score], dtype=np.float32))[0])
        if options.threshold is not None and point.threshold < lowest:
            raise InputError(
                f"The threshold is {point.threshold:g}, but {self.folder} kept no candidates below {lowest:.2g}: "
                "pick again with the lower threshold."
            )
        return options

    @property
    def point(self) -> OperatingPoint:
        """The operating point that it came to."""
        return self.saved.point

    @property
    def own_threshold(self) -> float:
        """The threshold of its weights, on their scores."""
        return self.saved.own_threshold

    @property
    def picker(self) -> str:
        """What picked, in words for the user."""
        return self.saved.picker

    @property
    def lowest_score(self) -> float:
        """Candidates reach down to this score."""
        saved = self.saved
        if saved.lowest_score is not None:
            return saved.lowest_score
        return score_floor(saved.options, is_calibrated=saved.point.curve is not None)


def open_earlier_job(path: Path, pixel_size: float | None = None) -> EarlierJob:
    """Return the picking job that ``path``, its folder or one of its lists of coordinates, belongs to.

    ``pixel_size`` is Å per pixel of all micrographs, instead of what the job was given or their list says.

    Raises
    ------
    InputError
        If it is no picking job of this program, what it saved is damaged, or its list of micrographs is gone.
    """
    folder = path if path.is_dir() else path.parent
    if not has_saved_options(folder) or not (folder / CANDIDATES_FILE).is_file():
        raise InputError(
            f"{path} does not belong to a picking job of attnpick: its folder has no {OPTIONS_FILE} and "
            f"{CANDIDATES_FILE}; give the autopick.star or coords_suffix_autopick.star of one."
        )
    saved = read_saved_options(folder)
    if pixel_size is not None:
        saved = replace(saved, pixel_size=pixel_size)
    _check_current_folder(folder, saved)
    return EarlierJob(folder, saved, read_micrographs(Path(saved.micrographs), saved.pixel_size))


def _check_current_folder(folder: Path, saved: SavedOptions) -> None:
    """Refuse to cut a job from another folder than it was run in: all names in its lists are relative to that one."""
    here, found = Path(saved.micrographs), find_own_list(folder, saved)
    if found is None or (here.exists() and found.samefile(here)):
        return
    raise InputError(
        f"{folder} was picked in the folder {found.parents[len(here.parts) - 1]}, which its list {here} and the names "
        "in it are relative to: go there and give the same command."
    )
