"""The pages of a picking job's logfile: what was picked on the first, a middle and the last micrograph."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from relion_attn_picker.inference.operating_point import OperatingPoint
from relion_attn_picker.io.candidates import CandidateStore
from relion_attn_picker.jobs.picking.job import MicrographResult
from relion_attn_picker.micrograph import Micrograph
from relion_attn_picker.options import PickOptions
from relion_attn_picker.picks import FloatArray
from relion_attn_picker.pipeline import select_picks, select_rejected
from relion_attn_picker.relion.job import JobDirectory
from relion_attn_picker.relion.labels import LOGFILE
from relion_attn_picker.report.example_pages import Example, plot_examples
from relion_attn_picker.report.logfile import write_logfile

MICROGRAPHS_SHOWN: Final = 3


def write_job_logfile(
    job: JobDirectory,
    done: Sequence[MicrographResult],
    store: CandidateStore,
    options: PickOptions,
    point: OperatingPoint,
    project_dir: Path,
    scores: FloatArray | None = None,
) -> None:
    """Write the logfile with everything that is known at a job's end.

    Parameters
    ----------
    job
        The job's folder.
    done
        What came of the micrographs that did not fail.
    store
        Their candidates.
    options, point
        What they were selected with.
    project_dir
        The folder that the micrographs' names are relative to; those whose images are gone are not shown.
    scores
        Of all candidates that may be picks, ``(n,)``, where they are known.
    """
    places = np.unique(np.linspace(0, len(done) - 1, min(MICROGRAPHS_SHOWN, len(done))).round().astype(int))
    examples = [_show(done[place].micrograph, store, options, point, project_dir) for place in places]
    merit = None if scores is None else point.merit(scores)
    pages = plot_examples(merit, point.threshold, examples)
    counts, means = [result.n_picks for result in done], [result.mean_score for result in done]
    write_logfile(job.path / LOGFILE, counts, means, pages)


def _show(
    micrograph: Micrograph, store: CandidateStore, options: PickOptions, point: OperatingPoint, project_dir: Path
) -> Example:
    """Return a micrograph that is done as something to show."""
    record = store.read(micrograph.name)
    assert record is not None
    given = record.candidates(micrograph), record.image_shape, options, point
    points = {"rejected": select_rejected(*given).yx, "pick": select_picks(*given).yx}
    diameter = options.particle_diameter / micrograph.optics.pixel_size
    return Example(micrograph.name, project_dir / micrograph.name, record.image_shape, points, diameter)
