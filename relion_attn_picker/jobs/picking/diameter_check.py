"""Noticing that the particles are of another size than the diameter that was given.

Told three times the diameter, a network finds what looks like particles at that scale, clumps or parts of them, and
whatever is expected of such picks is wrong. So, before anything is picked, a few micrographs are looked at with all
diameters, as for an estimate. Nothing is changed for the user: what is told is that the diameter may be wrong.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import numpy as np

from relion_attn_picker.errors import InputError, abort_if
from relion_attn_picker.inference.diameter import combine_scans, estimate_diameter, fall_at, scan_diameters
from relion_attn_picker.inference.predictor import Predictor
from relion_attn_picker.io.mrc import read_image
from relion_attn_picker.jobs.diameter_job import SEED, sample_evenly
from relion_attn_picker.micrograph import Micrograph

log = logging.getLogger(__name__)

LOOKED_AT: Final = 3
"""Micrographs."""

FACTOR: Final = 1.5
"""By which the estimate must differ: of 21 simulated and real sets that gave one it was .70 to 1.19 diameters ..."""

LEAST_FALL: Final = 0.4
"""... and the scores at the diameter itself, in logits, at most .27 lower than at the best one. At a third and at three
times the diameter they were .49 or more lower with all of them, at a half and at twice with three in four."""


def warn_of_another_diameter(
    micrographs: Sequence[Micrograph],
    project_dir: Path,
    particle_diameter: float,
    scout: Predictor,
    should_stop: Callable[[], bool],
) -> None:
    """Warn if the scores of a few micrographs of a list tell clearly of particles of another diameter (Å).

    ``scout`` is a network alone, as for an estimate.

    Raises
    ------
    JobAborted
        If ``should_stop()``, which is asked before each micrograph, was true.
    """
    scans = []
    for micrograph in sample_evenly(micrographs, LOOKED_AT):
        abort_if(should_stop)
        with suppress(InputError):  # told when it is picked
            image = read_image(project_dir / micrograph.name)
            scans.append(scan_diameters(image, micrograph.optics.pixel_size, scout))
    try:
        evidence = combine_scans(scans)
        estimate = estimate_diameter(evidence, np.random.default_rng(SEED))
    except InputError as error:  # they show too little to tell
        log.debug("%s", error)
        return
    differs = abs(np.log(estimate.diameter / particle_diameter)) > np.log(FACTOR)
    if differs and fall_at(evidence, particle_diameter) > LEAST_FALL:
        log.warning(
            "The scores fit particles of %.0f ± %.0f Å much better than the %g Å that are given: the diameter, or the "
            "pixel size, may be wrong, and what is expected of the picks with it. attnpick diameter tells more.",
            estimate.diameter,
            estimate.uncertainty,
            particle_diameter,
        )
