"""Labelled micrographs for a training: STAR files in, sources of labelled images out, some held out for validation.

Images are read when they are needed; lists, labels and the headers of all images at once, so that what is wrong is told
at the beginning.
"""

from __future__ import annotations

import filecmp
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np

from relion_attn_picker.errors import InputError
from relion_attn_picker.evaluation.even_sample import EvenSample
from relion_attn_picker.evaluation.label_margin import LabelledFrame, find_label_margin
from relion_attn_picker.io.mrc import read_header, read_image
from relion_attn_picker.jobs.micrograph_list import find_project_dir, warn_of_enlargement
from relion_attn_picker.jobs.reference import check_named, check_overlap, open_reference
from relion_attn_picker.jobs.set_names import name_sets
from relion_attn_picker.micrograph import Micrograph
from relion_attn_picker.options import PickOptions
from relion_attn_picker.picks import FloatArray
from relion_attn_picker.relion.micrographs import read_micrographs
from relion_attn_picker.training.crops import ImageFile, LabelledImage, LabelledSource, digest_labels
from relion_attn_picker.training_options import CropOptions

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
        Truth: anything that ``relion.coordinates.open_coordinates`` reads (ManualPick, AutoPick, particles.star).
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
    """The labelled micrographs of a list, and of each its true centres ``(n, 2)`` in its pixels.

    ``ignored_yx`` has of each the centres ``(k, 2)`` of what is neither particle nor ground.
    """

    micrographs: Sequence[Micrograph]
    yx: Sequence[FloatArray]
    ignored_yx: Sequence[FloatArray]
    project_dir: Path

    def list_files(self) -> list[ImageFile]:
        """Return what is known of each micrograph before it is read."""
        return [
            ImageFile((self.project_dir / each.name).resolve(), each.optics.pixel_size, len(yx))
            for each, yx in zip(self.micrographs, self.yx, strict=True)
        ]

    @property
    def digest(self) -> str:
        """By which these labels are known again (``digest_labels``)."""
        kinds = [self.yx, *([self.ignored_yx] if any(map(len, self.ignored_yx)) else [])]
        return digest_labels([micrograph.name for micrograph in self.micrographs], *kinds)


def read_labelled_sources(data: Sequence[TrainingData], taken: Collection[str] = ()) -> list[LabelledSource]:
    """Return the labelled micrographs of each set, under names that nothing else has; ``taken``: those of other data.

    Raises
    ------
    InputError
        As ``read_labelled_source``.
    """
    names = name_sets([each.micrographs_star for each in data], taken)
    return [read_labelled_source(each, name) for each, name in zip(data, names, strict=True)]


def read_labelled_source(data: TrainingData, name: str | None = None) -> LabelledSource:
    """Return the labelled micrographs of a set; images are read when they are needed.

    Raises
    ------
    InputError
        As ``read_labels`` and ``make_labelled_source``.
    """
    return make_labelled_source(data, read_labels(data), name)


def read_labels(data: TrainingData) -> LabelledMicrographs:
    """Return which micrographs of a set are labelled, and their labels; what is ignored as in an evaluation.

    How many micrographs the labels do not list, and are left out, is told.

    Raises
    ------
    InputError
        If a file cannot be read, no micrograph of the list is labelled, or the labels are those of one unnamed
        micrograph or have another pixel size.
    """
    micrographs = read_micrographs(data.micrographs_star)
    project_dir = find_project_dir(data.micrographs_star, [each.name for each in micrographs])
    sizes = {micrograph.name: micrograph.optics.pixel_size for micrograph in micrographs}
    reference = open_reference(data.coordinates, project_dir, sizes)
    check_named(reference.true, len(micrographs), str(data.coordinates))
    tables = ((micrograph, reference.true.read(micrograph.name)) for micrograph in micrographs)
    labelled = [(micrograph, table.yx) for micrograph, table in tables if table is not None]
    check_overlap(len(labelled), len(micrographs), str(data.coordinates))
    return LabelledMicrographs(
        [micrograph for micrograph, _ in labelled],
        [yx for _, yx in labelled],
        [reference.read_ignored(micrograph.name) for micrograph, _ in labelled],
        project_dir,
    )


def make_labelled_source(data: TrainingData, labels: LabelledMicrographs, name: str | None = None) -> LabelledSource:
    """Return the labelled micrographs of a set as a source to train on or to validate with.

    It is called after the folder of its list unless it gets a ``name``. Where the labels stop before the edges, the
    micrographs end there too: the band beyond is not empty ground.

    Raises
    ------
    InputError
        If an image is absent, cut short or no image, or a label lies outside its own.
    """
    warn_of_enlargement(labels.micrographs, data.particle_diameter, CropOptions().particle_diameter_px)
    paths = [labels.project_dir / micrograph.name for micrograph in labels.micrographs]
    shapes = [read_header(path).shape for path in paths]
    for micrograph, shape, yx in zip(labels.micrographs, shapes, labels.yx, strict=True):
        check_inside(micrograph, shape, yx, data.particle_diameter)
    margin = _find_margin(labels, shapes, data.particle_diameter)
    readers = [
        partial(_read_labelled, micrograph, path, yx, ignored_yx, data.particle_diameter, margin)
        for micrograph, path, yx, ignored_yx in zip(
            labels.micrographs, paths, labels.yx, labels.ignored_yx, strict=True
        )
    ]
    name = name_sets([data.micrographs_star])[0] if name is None else name
    n_particles = sum(len(yx) for yx in labels.yx)
    description = f"{n_particles} particles of {data.particle_diameter:g} Å on {len(readers)} real micrographs"
    if margin:
        description += f", none within {margin * data.particle_diameter:.0f} Å of the edges"
    return LabelledSource(
        name, description, readers, data.weight, labels.digest, label_margin=margin, files=labels.list_files()
    )


def _find_margin(labels: LabelledMicrographs, shapes: Sequence[tuple[int, int]], particle_diameter: float) -> float:
    """Return how many diameters before the edges the labels stop, from an even sample of the micrographs."""
    frames = []
    for position in EvenSample.positions(len(labels.micrographs), MARGIN_SAMPLE):
        diameter_px = particle_diameter / labels.micrographs[position].optics.pixel_size
        frames.append(LabelledFrame(labels.yx[position], shapes[position], diameter_px))
    return find_label_margin(frames)


def _read_labelled(
    micrograph: Micrograph,
    path: Path,
    yx: FloatArray,
    ignored_yx: FloatArray,
    particle_diameter: float,
    margin: float,
) -> LabelledImage:
    """Read a micrograph with its labels, without a ``margin`` (diameters) along its edges and the labels in it.

    Particles whose refined centres lie just outside are left out.

    Raises
    ------
    InputError
        If it cannot be read, or a label lies more than half a diameter outside.
    """
    image = read_image(path)
    outside = check_inside(micrograph, (image.shape[0], image.shape[1]), yx, particle_diameter)
    cut = int(margin * particle_diameter / micrograph.optics.pixel_size)
    inner = image[cut : image.shape[0] - cut, cut : image.shape[1] - cut]
    return LabelledImage(
        inner, micrograph.optics.pixel_size, particle_diameter, yx[outside <= -cut] - cut, ignored_yx - cut
    )


def check_inside(
    micrograph: Micrograph, shape: tuple[int, int], yx: FloatArray, particle_diameter: float
) -> FloatArray:
    """Return how far labels ``(n, 2)`` lie outside an image of ``shape`` ``(h, w)``, pixels ``(n,)``; below 0 inside.

    Raises
    ------
    InputError
        If one lies more than half a diameter (Å) outside.
    """
    outside: FloatArray = np.maximum(-0.5 - yx, yx - (np.array(shape) - 0.5)).max(axis=1)
    if (outside > particle_diameter / 2 / micrograph.optics.pixel_size).any():
        raise InputError(
            f"{micrograph.name} has labels outside its image of {shape[1]}×{shape[0]} pixels: the "
            "coordinates belong to other micrographs or to another binning."
        )
    return outside


def split_source(source: LabelledSource, hold_out: int | None) -> tuple[LabelledSource, LabelledSource]:
    """Return the source without its last ``hold_out`` micrographs (as in ``TrainingData``), and these alone.

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
        source.part(slice(split), f"{source.description}; the last {kept_out} held out"),
        source.part(slice(split, None), source.description),
    )


def refuse_common_images(trained_on: Sequence[LabelledSource], held_out: Sequence[LabelledSource]) -> None:
    """Refuse to judge a network by images that another set trains it on, as two sets of labels of one list may.

    A copy under the same file name is the same image. Two names of one list that are links to the same image are the
    list's own affair.

    Raises
    ------
    InputError
        If an image is in both.
    """
    by_name: dict[str, list[tuple[Path, str]]] = {}
    for source in trained_on:
        for file in source.files:
            by_name.setdefault(file.path.name, []).append((file.path, source.name))
    for source in held_out:
        common = [
            (file.path, owner)
            for file in source.files
            for path, owner in by_name.get(file.path.name, ())
            if owner != source.name and (path == file.path or filecmp.cmp(path, file.path, shallow=False))
        ]
        if common:
            first, owner = common[0]
            raise InputError(
                f"{len({path for path, _ in common})} images are trained on in {owner} and held out in {source.name}, "
                f"the first {first}: no figure of the training would mean anything; hold out the same micrographs of "
                "both."
            )
