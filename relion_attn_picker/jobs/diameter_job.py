"""Estimating the particle diameter from a few micrographs of a list, once, and keeping it for the job that goes on.

What this module does not do: what the scores say of a diameter is decided in ``inference.diameter``.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from relion_attn_picker.errors import InputError, abort_if
from relion_attn_picker.inference.diameter import (
    DiameterEstimate,
    ScaleEvidence,
    combine_scans,
    estimate_diameter,
    scan_diameters,
)
from relion_attn_picker.inference.hybrid_folder import hybrid_checkpoints, is_hybrid
from relion_attn_picker.inference.predictor import Predictor, load_predictor
from relion_attn_picker.io.mrc import read_image
from relion_attn_picker.jobs.pixel_size_check import PixelSizeCheck
from relion_attn_picker.jobs.saved_options import read_saved_options
from relion_attn_picker.micrograph import Micrograph
from relion_attn_picker.options import ATTENTION, InferenceOptions

log = logging.getLogger(__name__)

SAMPLE = 6
"""Micrographs that are looked at, unless the user says otherwise."""

PIXEL_SIZE_KEY = "pixel_size"
"""Beside a saved estimate: a pixel size that is mended later makes the estimate wrong."""

SEED = 1
"""Of the bootstrap: the same micrographs give the same answer."""


def sample_evenly(micrographs: Sequence[Micrograph], count: int) -> list[Micrograph]:
    """Return at most ``count`` micrographs, from the middles of ``count`` equal parts of the list."""
    count = min(count, len(micrographs))
    return [micrographs[(2 * part + 1) * len(micrographs) // (2 * count)] for part in range(count)]


def load_scout(weights: Path, inference: InferenceOptions) -> Predictor:
    """Build what looks for the diameter: one network; of a hybrid the attention network alone.

    The scores that count as particles in ``inference.diameter`` were measured with single networks.
    """
    return load_predictor(hybrid_checkpoints(weights)[ATTENTION] if is_hybrid(weights) else weights, inference)


def gather_evidence(
    micrographs: Sequence[Micrograph],
    project_dir: Path,
    predictor: Predictor,
    count: int = SAMPLE,
    should_stop: Callable[[], bool] = lambda: False,
    pixel_size_check: PixelSizeCheck | None = None,
) -> ScaleEvidence:
    """Look at ``count`` micrographs of a list at several scales; one that cannot be read is left out with a warning.

    ``pixel_size_check``, if given, compares the headers of those that are looked at with the list.

    Raises
    ------
    InputError
        If none can be read, or they are too small.
    JobAborted
        If ``should_stop()``, which is asked before each micrograph, was true.
    """
    scans, failures = [], []
    for micrograph in sample_evenly(micrographs, count):
        abort_if(should_stop)
        try:
            if pixel_size_check is not None:
                pixel_size_check.look_at(micrograph, project_dir / micrograph.name)
            image = read_image(project_dir / micrograph.name)
        except InputError as error:
            log.warning("%s is not looked at: %s", micrograph.name, error)
            failures.append(error)
            continue
        scans.append(scan_diameters(image, micrograph.optics.pixel_size, predictor))
    if not scans:
        raise InputError(f"The particle diameter cannot be estimated, for no micrograph can be read: {failures[0]}")
    return combine_scans(scans)


def estimate_once(
    folder: Path,
    micrographs: Sequence[Micrograph],
    project_dir: Path,
    weights: Path,
    inference: InferenceOptions,
    should_stop: Callable[[], bool],
) -> DiameterEstimate:
    """Return the estimate that the picking job in ``folder`` saved earlier, or a new one.

    Raises
    ------
    InputError
        If the diameter cannot be told.
    JobAborted
        If ``should_stop()``, which is asked before each micrograph, was true.
    """
    saved = read_estimate(folder, micrographs)
    if saved is not None:
        log.info(" Particle diameter, as estimated before: %s", saved)
        return saved
    count = min(SAMPLE, len(micrographs))
    log.info(" Estimating the particle diameter on %d micrograph%s ...", count, "s" * (count != 1))
    scout = load_scout(weights, inference)
    evidence = gather_evidence(micrographs, project_dir, scout, count, should_stop)
    estimate = estimate_diameter(evidence, np.random.default_rng(SEED))
    log.info(" Particle diameter: %s", estimate)
    return estimate


def read_estimate(folder: Path, micrographs: Sequence[Micrograph]) -> DiameterEstimate | None:
    """Return the estimate that a picking job saved beside its options, if there is one for this pixel size."""
    try:
        record: dict[str, Any] = dict(read_saved_options(folder).diameter_estimate or {})
        if record.pop(PIXEL_SIZE_KEY) != micrographs[0].optics.pixel_size:
            return None
        return DiameterEstimate(**record)
    except (InputError, ValueError, KeyError, TypeError):
        return None


def describe_estimate(estimate: DiameterEstimate, micrographs: Sequence[Micrograph]) -> dict[str, float]:
    """Return what ``read_estimate`` reads, to be saved with a job's options."""
    return {**asdict(estimate), PIXEL_SIZE_KEY: micrographs[0].optics.pixel_size}
