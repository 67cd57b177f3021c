"""A whole training: labelled STAR files in, a folder with the best checkpoint and its curves out.

What this module does not do: it knows no network and no optimiser; ``training.fit`` does.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from relion_attn_picker.errors import InputError
from relion_attn_picker.evaluation.label_margin import LabelledFrame, find_label_margin
from relion_attn_picker.evaluation.orientation import EvenSample
from relion_attn_picker.io.folder_lock import hold_folder
from relion_attn_picker.io.hdf5 import CropFile
from relion_attn_picker.io.mrc import read_header, read_image
from relion_attn_picker.jobs.micrograph_list import find_project_dir
from relion_attn_picker.micrograph import Micrograph
from relion_attn_picker.model_spec import Normalization
from relion_attn_picker.options import InferenceOptions, PickOptions
from relion_attn_picker.picks import FloatArray
from relion_attn_picker.relion.coordinates import open_coordinates
from relion_attn_picker.relion.micrographs import read_micrographs
from relion_attn_picker.report.curves import draw_training_curves
from relion_attn_picker.training.crops import (
    FieldSource,
    LabelledImage,
    LabelledSource,
    describe_source,
    digest_labels,
    write_crops,
)
from relion_attn_picker.training.distributed import World, agree, current_world, join_world
from relion_attn_picker.training.fit import Progress, check_beginning, fit
from relion_attn_picker.training.keeper import read_curves
from relion_attn_picker.training.mixture import Mixture
from relion_attn_picker.training.starting import StartingWeights
from relion_attn_picker.training.validation import prepare_validation_set
from relion_attn_picker.training_options import CropOptions, RunOptions, TrainOptions

log = logging.getLogger(__name__)

MOST_HELD_OUT: Final = 24
"""Micrographs held out unless more are asked for: each is kept in memory and picked at every validation."""


MARGIN_SAMPLE: Final = 100
"""Micrographs, at most twice as many, whose labels tell how near to the edges labels come."""


@dataclass(frozen=True, kw_only=True)
class TrainingData:
    """One labelled set of micrographs.

    Parameters
    ----------
    micrographs_star
        Micrographs STAR file.
    coordinates
        Truth: anything that ``relion.star.open_coordinates`` reads (ManualPick, AutoPick, particles.star).
    particle_diameter
        Å.
    hold_out
        The last so many labelled micrographs are kept for validation; ``None``: a fifth, at least one, at most
        ``MOST_HELD_OUT``.
    weight
        Share of the training crops, relative to the other sets'.
    """

    micrographs_star: Path
    coordinates: Path
    particle_diameter: float
    hold_out: int | None = None
    weight: float = 1.0

    def __post_init__(self) -> None:
        try:
            PickOptions(particle_diameter=self.particle_diameter)
        except InputError as error:
            raise InputError(f"{self.micrographs_star}: {error}") from None
        if not 0 < self.weight < float("inf"):
            raise InputError(f"The weight of {self.micrographs_star} is {self.weight:g}: expected more than 0.")


@dataclass(frozen=True)
class LabelledMicrographs:
    """The labelled micrographs of a list, and of each its true centres ``(n, 2)`` in its pixels."""

    micrographs: Sequence[Micrograph]
    yx: Sequence[FloatArray]
    project_dir: Path


def read_labelled_source(data: TrainingData) -> LabelledSource:
    """Return the labelled micrographs of a set; images are read when they are needed.

    Raises
    ------
    InputError
        If a file cannot be read, no micrograph of the list is labelled, or (when it is read) a label lies outside its
        image.
    """
    return make_labelled_source(data, read_labels(data))


def read_labels(data: TrainingData) -> LabelledMicrographs:
    """Return which micrographs of a set are labelled, and their labels.

    Raises
    ------
    InputError
        If a file cannot be read, or no micrograph of the list is labelled.
    """
    micrographs = read_micrographs(data.micrographs_star)
    project_dir = find_project_dir(data.micrographs_star, micrographs[0].name)
    sizes = {micrograph.name: micrograph.optics.pixel_size for micrograph in micrographs}
    coordinates = open_coordinates(data.coordinates, project_dir, sizes)
    tables = ((micrograph, coordinates.read(micrograph.name)) for micrograph in micrographs)
    labelled = [(micrograph, table.yx) for micrograph, table in tables if table is not None]
    if not labelled:
        raise InputError(
            f"{data.coordinates} lists none of the {len(micrographs)} micrographs of {data.micrographs_star}: "
            "their names must be equal; give the coordinates that belong to these micrographs."
        )
    return LabelledMicrographs([micrograph for micrograph, _ in labelled], [yx for _, yx in labelled], project_dir)


def make_labelled_source(data: TrainingData, labels: LabelledMicrographs) -> LabelledSource:
    """Return the labelled micrographs of a set as a source to train on or to validate with.

    Where the labels stop before the edges, the micrographs end there too: the band beyond is not empty ground.
    """
    margin = _find_margin(labels, data.particle_diameter)
    paths = [labels.project_dir / micrograph.name for micrograph in labels.micrographs]
    readers = [
        partial(_read_labelled, micrograph, path, yx, data.particle_diameter, margin)
        for micrograph, path, yx in zip(labels.micrographs, paths, labels.yx, strict=True)
    ]
    name = data.micrographs_star.absolute().parent.name
    n_particles = sum(len(yx) for yx in labels.yx)
    description = f"{n_particles} particles of {data.particle_diameter:g} Å on {len(readers)} real micrographs"
    if margin:
        description += f", none within {margin * data.particle_diameter:.0f} Å of the edges"
    digest = digest_labels([micrograph.name for micrograph in labels.micrographs], labels.yx)
    return LabelledSource(name, description, readers, data.weight, digest, label_margin=margin)


def _find_margin(labels: LabelledMicrographs, particle_diameter: float) -> float:
    """Return how many diameters before the edges the labels stop, from an even sample of the micrographs."""
    frames = []
    for position in EvenSample.positions(len(labels.micrographs), MARGIN_SAMPLE):
        micrograph = labels.micrographs[position]
        try:
            shape = read_header(labels.project_dir / micrograph.name).shape
        except InputError as error:  # told when the image itself is read
            log.debug("%s", error)
            continue
        diameter_px = particle_diameter / micrograph.optics.pixel_size
        frames.append(LabelledFrame(labels.yx[position], shape, diameter_px))
    return find_label_margin(frames)


def _read_labelled(
    micrograph: Micrograph, path: Path, yx: FloatArray, particle_diameter: float, margin: float = 0.0
) -> LabelledImage:
    """Read a micrograph with its labels, without a ``margin`` (diameters) along its edges and the labels in it.

    Particles whose refined centres lie just outside are left out.

    Raises
    ------
    InputError
        If a label lies more than half a diameter outside.
    """
    image = read_image(path)
    outside = np.maximum(-0.5 - yx, yx - (np.array(image.shape) - 0.5)).max(axis=1)
    if (outside > particle_diameter / 2 / micrograph.optics.pixel_size).any():
        raise InputError(
            f"{micrograph.name} has labels outside its image of {image.shape[1]}×{image.shape[0]} pixels: the "
            "coordinates belong to other micrographs or to another binning."
        )
    cut = int(margin * particle_diameter / micrograph.optics.pixel_size)
    inner = image[cut : image.shape[0] - cut, cut : image.shape[1] - cut]
    nothing = np.zeros((0, 2), dtype=np.float32)
    return LabelledImage(inner, micrograph.optics.pixel_size, particle_diameter, yx[outside <= -cut] - cut, nothing)


def split_source(source: LabelledSource, hold_out: int | None) -> tuple[LabelledSource, LabelledSource]:
    """Return the source without its last ``hold_out`` micrographs, and these alone.

    Raises
    ------
    InputError
        If nothing would be left to train on.
    """
    count = len(source.micrographs)
    kept_out = min(MOST_HELD_OUT, max(1, count // 5)) if hold_out is None else hold_out
    if not 0 <= kept_out < count:
        raise InputError(
            f"{source.name} has {count} labelled micrographs, of which {kept_out} shall be held out for validation: "
            "at least one must remain to train on."
        )
    split = count - kept_out
    return (
        replace(
            source,
            micrographs=source.micrographs[:split],
            description=f"{source.description}; the last {kept_out} held out",
        ),
        replace(source, micrographs=source.micrographs[split:]),
    )


def run_training(
    folder: Path,
    data: Sequence[TrainingData],
    crop_options: CropOptions,
    train_options: TrainOptions,
    inference: InferenceOptions,
    report: Callable[[Progress], None],
    simulated: LabelledSource | None = None,
    *,
    sources: Sequence[LabelledSource] = (),
    fields: FieldSource | None = None,
    validation: Sequence[LabelledSource] = (),
    start_from: Path | None = None,
    run: RunOptions = RunOptions(),  # noqa: B008  (frozen)
) -> Path:
    """Train one network, or go on with an interrupted training in the same folder.

    Parameters
    ----------
    folder
        The training's folder; made if absent.
    data
        Labelled sets, each trained on but for its last micrographs, which are held out for validation.
    crop_options, train_options, inference, report, start_from, run
        See ``training.fit.fit``. The normalisation is that of ``start_from``.
    simulated, sources
        Further micrographs to train on, of which crops are cut beforehand.
    fields
        Fields to train on that are made on the way.
    validation
        Further micrographs to validate with.

    Returns
    -------
    Path
        The best checkpoint.

    Raises
    ------
    InputError
        If the data cannot be used, nothing is left for validation, or the folder is another training's or process's.
    """
    splits = [split_source(read_labelled_source(each), each.hold_out) for each in data]
    held_out = [source for _, source in splits if source.micrographs] + list(validation)
    if not held_out:
        raise InputError("No micrograph is held out for validation: give --hold_out 1 or more for one set at least.")
    start, world = None if start_from is None else StartingWeights.read(start_from), current_world()
    normalization = Normalization() if start is None else start.checkpoint.header.normalization
    with hold_folder(folder) if world.is_first else nullcontext(), join_world(world):
        diameter_px = crop_options.particle_diameter_px
        watched = held_out if world.is_first else []
        validation_sets = [prepare_validation_set(each, diameter_px, normalization) for each in watched]
        check_beginning(folder, validation_sets, train_options, start, crop_options, normalization)
        to_cut = [source for source, _ in splits] + [*sources, *([] if simulated is None else [simulated])]
        crops = _make_or_open_crops(folder / "crops.h5", to_cut, crop_options, normalization, world)
        mixture = Mixture(crops, fields, crop_options, normalization)
        best = fit(folder, mixture, validation_sets, train_options, inference, report, start_from=start_from, run=run)
    if crops is not None:
        crops.close()
    if world.is_first:
        draw_training_curves(folder / "curves.png", read_curves(folder))
    return best


def _make_or_open_crops(
    path: Path, sources: Sequence[LabelledSource], options: CropOptions, normalization: Normalization, world: World
) -> CropFile | None:
    """Return the crops of ``sources``, which rank 0 cuts if they are not there; ``None`` without sources."""
    if not sources:
        return None
    if not path.exists() and world.is_first:
        path.parent.mkdir(parents=True, exist_ok=True)
        log.info("Cutting %d crops into %s ...", options.crops_per_source * len(sources), path)
        write_crops(path, sources, options, normalization)
    agree(None, world)
    crops = CropFile(path)
    present = crops.attributes
    if present.get("options") != asdict(options) or present.get("normalization") != asdict(normalization):
        raise InputError(f"{path} was made with other options: give another folder, or the same options to resume.")
    known, given = present["sources"], [describe_source(each) for each in sources]
    if len(known) != len(given) or not all(map(is_same_source, known, given)):
        raise InputError(
            f"{path} was made from other data, or from labels that have changed since: give another folder, or the "
            "same data to resume."
        )
    return crops


def is_same_source(known: dict[str, Any], given: dict[str, Any]) -> bool:
    """Tell whether two descriptions are of the same source; crops of an earlier version have no digest of labels."""
    names = ["name", "description", "weight", *(["label_digest"] if "label_digest" in known else [])]
    return all(known[name] == given.get(name) for name in names)
