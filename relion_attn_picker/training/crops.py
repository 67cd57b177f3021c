"""Cutting training crops from labelled micrographs into one HDF5 file."""

from __future__ import annotations

import hashlib
import itertools
import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from relion_attn_picker.errors import InputError
from relion_attn_picker.imaging.prepare import NetworkImage, prepare_image
from relion_attn_picker.io.crop_parts import CropParts
from relion_attn_picker.io.hdf5 import Crop, CropWriter
from relion_attn_picker.model_spec import Normalization
from relion_attn_picker.picks import FloatArray
from relion_attn_picker.training_options import CropOptions

log = logging.getLogger(__name__)

CENTRED_FRACTION = 0.5
"""Share of the crops that are cut round a particle; the others lie anywhere, so that empty ground is learnt too."""


@dataclass(frozen=True)
class LabelledImage:
    """A micrograph's pixels with its truth.

    Parameters
    ----------
    image
        Shape ``(h, w)``, float32, as it lies in the file.
    pixel_size, particle_diameter
        Å per pixel, and Å.
    yx, ignored_yx
        Particle centres and centres to be ignored, ``(n, 2)``, pixels of the micrograph.
    """

    image: FloatArray
    pixel_size: float
    particle_diameter: float
    yx: FloatArray
    ignored_yx: FloatArray


@dataclass(frozen=True)
class ImageFile:
    """What is known of a labelled micrograph before it is read: ``path`` is absolute, without links."""

    path: Path
    pixel_size: float
    n_labels: int


@dataclass(frozen=True)
class LabelledSource:
    """Labelled micrographs that belong together; each is read, or simulated, only when it is needed.

    ``description`` goes into the header of what is trained with them; ``weight`` is the source's share of the
    training crops, relative to the other sources'. ``label_digest`` tells labels that were read from files from
    others (``digest_labels``); it is empty where nobody can edit them. ``is_simulated`` tells what to advise where
    particles are missing. ``label_margin`` is how many particle diameters before the edges of the whole micrographs
    the labels stop (``evaluation.label_margin``): of true labels, what is read is what lies inside. ``files`` has one
    entry for each of the micrographs where these are files that somebody labelled, and is empty otherwise.
    """

    name: str
    description: str
    micrographs: Sequence[Callable[[], LabelledImage]]
    weight: float = 1.0
    label_digest: str = ""
    is_simulated: bool = False
    label_margin: float = 0.0
    files: Sequence[ImageFile] = ()

    @property
    def n_labels(self) -> int | None:
        """Labels of its files; ``None`` where only cutting crops tells how many there are."""
        return sum(each.n_labels for each in self.files) if self.files else None

    def part(self, kept: slice, description: str) -> LabelledSource:
        """Return the source with only some of its micrographs, described anew."""
        return replace(self, micrographs=self.micrographs[kept], files=self.files[kept], description=description)


@dataclass(frozen=True)
class FieldSource:
    """Labelled fields without end, made anew while a network is trained.

    ``make(number)`` depends on the number alone, and can be sent to other processes.
    """

    name: str
    description: str
    make: Callable[[int], LabelledImage]
    weight: float = 1.0


def write_crops(
    path: Path, sources: Sequence[LabelledSource], options: CropOptions, normalization: Normalization
) -> None:
    """Cut ``options.crops_per_source`` crops from each source into the HDF5 file ``path``.

    A call that was killed goes on where it stopped when it is made again, and gives the same file.

    Raises
    ------
    InputError
        If a source has no labelled particle at all, or crops were being made there with other options.
    """
    recipe: dict[str, Any] = {
        "options": asdict(options),
        "normalization": asdict(normalization),
        "sources": [describe_source(source) | {"micrographs": len(source.micrographs)} for source in sources],
    }
    parts = CropParts(path, recipe)
    names = []
    for number, source in enumerate(sources):
        own, n_seen = _cut_source(source, number, parts, options, normalization)
        n_labels = n_seen if source.n_labels is None else source.n_labels
        if n_labels == 0:
            parts.remove()
        require_labels(source, n_labels)
        recipe["sources"][number]["labels"] = n_labels
        log.info("%s: %d crops from %d labelled particles", source.name, options.crops_per_source, n_labels)
        names += own
    with CropWriter(path, options.crop_size, recipe) as writer:
        for name in names:
            writer.append(parts.read(name)[0])
    parts.remove()


def require_labels(source: LabelledSource, n_labels: int | None) -> None:
    """Refuse a source without any labelled particle; ``None``: their number is not known yet.

    Raises
    ------
    InputError
        If it has none.
    """
    if n_labels == 0:
        raise InputError(
            f"None of the {len(source.micrographs)} simulated fields shows a particle: simulate more of them."
            if source.is_simulated
            else f"{source.name} has no labelled particle: give coordinates that belong to its micrographs."
        )


def describe_source(source: LabelledSource | FieldSource) -> dict[str, Any]:
    """Return what a header tells of a source."""
    told: dict[str, Any] = {"name": source.name, "description": source.description, "weight": source.weight}
    if isinstance(source, LabelledSource):
        told |= {"label_digest": source.label_digest} if source.label_digest else {}
        told |= {"label_margin": source.label_margin} if source.label_margin else {}
        told |= {"pixel_sizes": sorted({each.pixel_size for each in source.files})} if source.files else {}
    return told


def are_same_sources(known: Sequence[dict[str, Any]], given: Sequence[dict[str, Any]]) -> bool:
    """Tell whether two lists describe the same sources: they agree in all that both tell.

    Those of an earlier version, and of sources of which no crop is cut yet, tell less.
    """
    return len(known) == len(given) and all(map(_is_same_source, known, given))


def _is_same_source(known: dict[str, Any], given: dict[str, Any]) -> bool:
    return all(known[name] == given[name] for name in known.keys() & given.keys())


def digest_labels(names: Sequence[str], *points: Sequence[FloatArray]) -> str:
    """Return the SHA-256 of the labels ``(n, 2)`` of these micrographs, of each kind one array a micrograph."""
    digest = hashlib.sha256()
    for name, *kinds in zip(names, *points, strict=True):
        digest.update(f"{name}\0{[len(yx) for yx in kinds]}\0".encode())
        for yx in kinds:
            digest.update(np.ascontiguousarray(yx, dtype="<f8").tobytes())
    return digest.hexdigest()


def _cut_source(
    source: LabelledSource, number: int, parts: CropParts, options: CropOptions, normalization: Normalization
) -> tuple[list[str], int]:
    """Cut all crops of one source, visiting every micrograph as often as needed, each time at a new scale.

    Returns
    -------
    tuple
        The names of the parts, in order, and the number of different labels on the micrographs that were visited.
    """
    remaining = options.crops_per_source
    names: list[str] = []
    labels: dict[int, int] = {}
    for visit in itertools.count():
        if remaining <= 0:
            return names, sum(labels.values())
        cycle, place = divmod(visit, len(source.micrographs))
        index = int(np.random.default_rng([options.seed, number, 0, cycle]).permutation(len(source.micrographs))[place])
        name = f"{number}_{visit:06d}"
        if name not in parts:
            rng = np.random.default_rng([options.seed, number, 1, visit])
            labelled = source.micrographs[index]()
            parts.write(name, cut_crops(labelled, remaining, options, normalization, rng), len(labelled.yx))
        crops, labels[index] = parts.read(name)
        names.append(name)
        remaining -= len(crops)
    raise AssertionError("itertools.count ended")


def cut_crops(
    labelled: LabelledImage,
    most: int,
    options: CropOptions,
    normalization: Normalization,
    rng: np.random.Generator,
    least: int = 2,
) -> list[Crop]:
    """Bring a micrograph to a random scale near the network's and cut as many crops as cover it about once.

    ``least`` are cut from the smallest micrograph, ``most`` from the largest.
    """
    jitter = 1 + rng.uniform(-options.scale_jitter, options.scale_jitter)
    network_image = prepare_image(
        labelled.image,
        labelled.pixel_size,
        labelled.particle_diameter,
        options.particle_diameter_px * jitter,
        normalization,
    )
    to_network = labelled.pixel_size / network_image.pixel_size
    count = min(most, max(least, round(network_image.values.size / options.crop_size**2)))
    return [
        cut_crop(network_image, labelled.yx * to_network, labelled.ignored_yx * to_network, options, rng)
        for _ in range(count)
    ]


def cut_crop(
    network_image: NetworkImage,
    yx: FloatArray,
    ignored_yx: FloatArray,
    options: CropOptions,
    rng: np.random.Generator,
) -> Crop:
    """Cut one crop at random; where the image is smaller than the crop, zeros (empty ground) fill it up."""
    size = options.crop_size
    values = network_image.values
    height, width = values.shape
    if len(yx) and rng.random() < CENTRED_FRACTION:
        centre = yx[rng.integers(len(yx))] + rng.uniform(-0.3, 0.3, 2) * size
    else:
        centre = rng.uniform((0, 0), (height, width))
    corner = np.clip(np.rint(centre - size / 2), 0, np.maximum(0, [height - size, width - size])).astype(int)
    window = values[corner[0] : corner[0] + size, corner[1] : corner[1] + size]
    below, right = size - window.shape[0], size - window.shape[1]
    if below or right:
        window = np.pad(window, ((0, below), (0, right)), mode="constant")
    reach = options.particle_diameter_px
    return Crop(window, _points_near(yx - corner, size, reach), _points_near(ignored_yx - corner, size, reach))


def _points_near(yx: FloatArray, size: int, reach: float) -> FloatArray:
    near = ((yx > -reach) & (yx < size + reach)).all(axis=1)
    return yx[near].astype(np.float32)
