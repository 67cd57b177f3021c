"""Pseudo-labels on disk: a teacher's picks on unlabelled micrographs as STAR files, which a student is trained from.

A folder of pseudo-labels holds, for each micrograph, one coordinate file of what the teacher is sure of and one of what
is ignored, both with scores; their lists ``positive.star`` and ``ignored.star``; the histogram of the scores; and
pictures of a few micrographs. ``summary.json`` comes last, so that a folder without it is not complete. Students read
these files and nothing else: what one looks at is what they learn. In ``teacher/`` is the picking job that they come
from: one that was interrupted goes on where it stopped.
"""

from __future__ import annotations

import filecmp
import json
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from relion_attn_picker.errors import InputError
from relion_attn_picker.evaluation.label_margin import edge_distance
from relion_attn_picker.inference.devices import is_on_gpu
from relion_attn_picker.inference.predictor import Predictor, load_predictor
from relion_attn_picker.io.candidates import CandidateRecord
from relion_attn_picker.io.mrc import read_image
from relion_attn_picker.jobs.micrograph_list import find_project_dir
from relion_attn_picker.jobs.picking.job import FAILED_FILE, PickJob, share_threads
from relion_attn_picker.jobs.picking.settings import JobSettings, digest_weights
from relion_attn_picker.jobs.self_training.round_files import read_record
from relion_attn_picker.micrograph import Micrograph
from relion_attn_picker.options import InferenceOptions, PickOptions
from relion_attn_picker.picks import FloatArray, is_junk
from relion_attn_picker.relion.coordinates import open_coordinates
from relion_attn_picker.relion.job import JobDirectory
from relion_attn_picker.relion.job_files import write_coordinate_index, write_failures, write_picks
from relion_attn_picker.relion.micrographs import read_micrographs
from relion_attn_picker.relion.paths import coordinate_name
from relion_attn_picker.replacing import replace_file
from relion_attn_picker.report.picks_image import draw_points
from relion_attn_picker.report.self_training import draw_scores
from relion_attn_picker.training.crops import LabelledImage, LabelledSource, digest_labels
from relion_attn_picker.training.self_training import Thresholds, split_candidates

log = logging.getLogger(__name__)

POSITIVE, IGNORED = "positive", "ignored"
SUMMARY_NAME = "summary.json"


@dataclass(frozen=True)
class UnlabelledPool:
    """Micrographs without labels, and the diameter in Å of the particle that shall be found on them."""

    name: str
    micrographs: Sequence[Micrograph]
    project_dir: Path
    particle_diameter: float

    def paths(self) -> list[Path]:
        """Return the image files."""
        return [self.project_dir / micrograph.name for micrograph in self.micrographs]


@dataclass(frozen=True)
class PseudoLabelSummary:
    """How many micrographs have pseudo-labels, how many these are, and how many candidates are ignored there."""

    n_micrographs: int
    n_positive: int
    n_ignored: int


def open_pool(micrographs_star: Path, particle_diameter: float) -> UnlabelledPool:
    """Open a list of unlabelled micrographs.

    Raises
    ------
    InputError
        If the list cannot be read or is empty, none of its images is there, or the diameter (Å) cannot be meant.
    """
    PickOptions(particle_diameter=particle_diameter)
    micrographs = read_micrographs(micrographs_star)
    project_dir = find_project_dir(micrographs_star, [each.name for each in micrographs])
    pool = UnlabelledPool(micrographs_star.absolute().parent.name, micrographs, project_dir, particle_diameter)
    if not any(path.is_file() for path in pool.paths()):
        raise InputError(
            f"None of the {len(micrographs)} unlabelled micrographs of {micrographs_star} is there, such as "
            f"{micrographs[0].name}: run in the folder that the names are relative to."
        )
    return pool


def refuse_labelled_micrographs(pools: Sequence[UnlabelledPool], labelled: Sequence[Path]) -> None:
    """Refuse unlabelled micrographs that are labelled ones: the same file, or a copy of it under the same name.

    Raises
    ------
    InputError
        If there is one: a round would be judged by micrographs that its student was trained on.
    """
    by_name: dict[str, list[Path]] = {}
    for path in labelled:
        by_name.setdefault(path.resolve().name, []).append(path)
    for path in (path for pool in pools for path in pool.paths() if path.is_file()):
        for other in by_name.get(path.resolve().name, []):
            if other.is_file() and filecmp.cmp(path, other, shallow=False):
                raise InputError(
                    f"The unlabelled micrograph {path} is a labelled one ({other}): a round would be judged by what it "
                    "was trained on; give a list of unlabelled micrographs without it."
                )


@dataclass(frozen=True)
class Teacher:
    """A network that picks; ``load`` makes one.

    ``precision`` is that asked for; ``preparers`` as in ``PickJob``.
    """

    predictor: Predictor
    weights_digest: str
    precision: str
    preparers: int

    @classmethod
    def load(cls, checkpoint: Path, inference: InferenceOptions) -> Teacher:
        """Return the teacher that a checkpoint holds.

        Raises
        ------
        CheckpointError
            If it cannot be read.
        DeviceError
            If the GPU is not there or cannot be used.
        """
        share = share_threads(inference.threads, is_on_gpu(inference.gpu))
        predictor = load_predictor(checkpoint, replace(inference, threads=share.threads_each))
        return cls(predictor, digest_weights(checkpoint), inference.precision, share.preparers)


def make_pseudo_labels(
    folder: Path, pool: UnlabelledPool, teacher: Teacher, thresholds: Thresholds, pictures: int
) -> PseudoLabelSummary:
    """Pick a pool with a teacher and write its pseudo-labels into ``folder``; a complete folder is left as it is.

    A micrograph that cannot be picked is left out, with a warning and its reason in ``failed_micrographs.star``.

    Parameters
    ----------
    folder
        Made if absent.
    pool, teacher
        What is picked, and who picks.
    thresholds
        See ``split_candidates``.
    pictures
        So many micrographs, evenly from the whole list, are drawn.

    Raises
    ------
    InputError
        If no micrograph could be picked, or the summary of a complete folder is damaged.
    """
    if (folder / SUMMARY_NAME).exists():
        return read_record(folder / SUMMARY_NAME, PseudoLabelSummary, "remove it: the pseudo-labels are made anew")
    drawn = set(np.linspace(0, len(pool.micrographs) - 1, pictures).round().astype(int).tolist())
    scores: list[FloatArray] = []
    failures: dict[str, str] = {}
    picking = _start_picking(folder / "teacher", pool, teacher, thresholds)
    for index, result in enumerate(picking.run()):
        micrograph, record = result.micrograph, picking.store.read(result.micrograph.name)
        if record is None:
            log.warning("%s is left out: %s", micrograph.name, result.reason)
            failures[micrograph.name] = str(result.reason)
        else:
            margin = teacher.predictor.header.label_margin
            _label_micrograph(folder, pool, micrograph, record, margin, thresholds, index in drawn)
            scores.append(record.score)
    if len(failures) == len(pool.micrographs):
        raise InputError(f"No micrograph of {pool.name} could be picked: {next(iter(failures.values()))}")
    draw_scores(folder / "scores.png", np.concatenate(scores), thresholds.positive, thresholds.negative)
    return _summarize(folder, pool, failures)


def _start_picking(folder: Path, pool: UnlabelledPool, teacher: Teacher, thresholds: Thresholds) -> PickJob:
    """Return the job in which the teacher picks everything that is not mere ground."""
    options = PickOptions(particle_diameter=pool.particle_diameter, threshold=thresholds.negative)
    settings = JobSettings(options, teacher.weights_digest, teacher.precision)
    job = JobDirectory.open(str(folder))
    return PickJob(job, pool.micrographs, pool.project_dir, teacher.predictor, settings, preparers=teacher.preparers)


def _label_micrograph(
    folder: Path,
    pool: UnlabelledPool,
    micrograph: Micrograph,
    record: CandidateRecord,
    label_margin: float,
    thresholds: Thresholds,
    draw: bool,
) -> None:
    """Write the pseudo-labels of one micrograph, and its picture.

    What picking would reject, or the teacher's labels had not reached at the edges, is no particle to learn from.
    """
    border = label_margin * pool.particle_diameter / micrograph.optics.pixel_size
    is_rejected = is_junk(record.score, record.details)
    is_doubtful = is_rejected | (edge_distance(record.yx, record.image_shape) < border)
    labels = split_candidates(record.yx, record.score, thresholds, is_doubtful)
    for kind, yx, score in (
        (POSITIVE, labels.yx, labels.score),
        (IGNORED, labels.ignored_yx, labels.ignored_score),
    ):
        path = _points_path(folder, micrograph, kind)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_picks(path, yx, score, record.image_shape)
    log.info("%s %d pseudo-labels, %d ignored", micrograph.name, len(labels.yx), len(labels.ignored_yx))
    if draw:
        draw_points(
            read_image(pool.project_dir / micrograph.name),
            {"ignored": labels.ignored_yx, "pseudo-label": labels.yx},
            _points_path(folder, micrograph, "pseudo_labels").with_suffix(".png"),
            pool.particle_diameter / micrograph.optics.pixel_size,
        )


def _summarize(folder: Path, pool: UnlabelledPool, failures: dict[str, str]) -> PseudoLabelSummary:
    """Write the lists of a folder's coordinate files, and its summary last."""
    picked = [micrograph for micrograph in pool.micrographs if micrograph.name not in failures]
    for kind in (POSITIVE, IGNORED):
        files = [str(_points_path(folder, micrograph, kind)) for micrograph in picked]
        write_coordinate_index(folder / f"{kind}.star", [micrograph.name for micrograph in picked], files)
    if failures:
        write_failures(folder / FAILED_FILE, list(failures), list(failures.values()))
    counts = [
        (len(yx), len(_read_points(folder, micrograph, IGNORED)))
        for micrograph in picked
        if len(yx := _read_points(folder, micrograph, POSITIVE))
    ]
    summary = PseudoLabelSummary(len(counts), sum(n for n, _ in counts), sum(n for _, n in counts))
    replace_file(folder / SUMMARY_NAME, json.dumps(asdict(summary), indent=1) + "\n")
    return summary


def open_pseudo_labels(folder: Path, pool: UnlabelledPool, label_margin: float) -> LabelledSource:
    """Return the micrographs that have pseudo-labels in ``folder`` as something to train on.

    A micrograph without one sure particle is left out: its emptiness may be the teacher's failure. Its band along the
    edges of ``label_margin`` particle diameters, the teacher's own, has no pseudo-label (``make_pseudo_labels``): what
    a student says there is as little to be trusted as what its teacher says.
    """
    labelled = [
        (micrograph, yx, _read_points(folder, micrograph, IGNORED))
        for micrograph in pool.micrographs
        if len(yx := _read_points(folder, micrograph, POSITIVE))
    ]
    readers = [
        partial(_read_labelled, micrograph, pool.project_dir / micrograph.name, yx, ignored, pool.particle_diameter)
        for micrograph, yx, ignored in labelled
    ]
    n_particles = sum(len(yx) for _, yx, _ in labelled)
    description = f"{n_particles} pseudo-labels of {pool.particle_diameter:g} Å on {len(readers)} micrographs"
    names = [micrograph.name for micrograph, _, _ in labelled]
    digest = digest_labels(names, [yx for _, yx, _ in labelled], [ignored for _, _, ignored in labelled])
    name = f"{pool.name}, pseudo-labels"
    return LabelledSource(name, description, readers, label_digest=digest, label_margin=label_margin)


def _read_labelled(
    micrograph: Micrograph, path: Path, yx: FloatArray, ignored_yx: FloatArray, particle_diameter: float
) -> LabelledImage:
    return LabelledImage(read_image(path), micrograph.optics.pixel_size, particle_diameter, yx, ignored_yx)


def _points_path(folder: Path, micrograph: Micrograph, kind: str) -> Path:
    return folder / coordinate_name(micrograph.name, kind).lstrip("/")


def _read_points(folder: Path, micrograph: Micrograph, kind: str) -> FloatArray:
    """Return the points ``(n, 2)`` of one micrograph; none if it could not be picked."""
    path = _points_path(folder, micrograph, kind)
    table = open_coordinates(path).read(micrograph.name) if path.exists() else None
    return np.zeros((0, 2), dtype=np.float32) if table is None else table.yx
