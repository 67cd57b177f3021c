"""What a picking job is asked to do, and what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from relion_attn_picker.evaluation.evaluate import Evaluation
from relion_attn_picker.inference.diameter import DiameterEstimate
from relion_attn_picker.inference.operating_point import OperatingPoint
from relion_attn_picker.jobs.picking.job import MicrographResult
from relion_attn_picker.micrograph import Micrograph
from relion_attn_picker.options import InferenceOptions, PickOptions


@dataclass(frozen=True, kw_only=True)
class PickingRequest:
    """Everything that a picking job is asked to do.

    Parameters
    ----------
    micrographs, project_dir
        The list, and the folder that its names are relative to.
    micrographs_star
        The list's own path as the user gave it: RELION 3.1 wants it back.
    weights
        The checkpoint, or the folder of a hybrid.
    options, inference
        What counts as a pick; how the network is run.
    write_maps
        Whether each micrograph's probability map is kept.
    max_failures
        The job fails if more micrographs than this cannot be picked; ``None``: only if all cannot.
    reference
        Reference coordinates to evaluate the picks against, if any.
    diameter_estimate
        Where the particle diameter of ``options`` comes from, if it was estimated: saved, so that Continue keeps it.
    pixel_size
        Å per pixel of all micrographs, if the user gave it instead of what the list says: saved too.
    command
        The command line, to be saved beside the results.
    """

    micrographs: Sequence[Micrograph]
    project_dir: Path
    micrographs_star: str
    weights: Path
    options: PickOptions
    inference: InferenceOptions
    write_maps: bool = False
    max_failures: int | None = None
    reference: Path | None = None
    diameter_estimate: DiameterEstimate | None = None
    pixel_size: float | None = None
    command: str = ""


@dataclass(frozen=True)
class JobSummary:
    """What came of a job; ``picker`` is what picked, ``evaluation`` there if reference coordinates were given.

    ``options`` are those that the picks were selected with: the request's, with the border that the weights' labels
    had where the request gave none. ``learnt_border`` is its width, Å. ``computed_in`` is the precision that the
    networks ran in, empty where that is not known.
    """

    results: Sequence[MicrographResult]
    options: PickOptions
    point: OperatingPoint
    evaluation: Evaluation | None
    picker: str
    learnt_border: float = 0.0
    computed_in: str = ""
