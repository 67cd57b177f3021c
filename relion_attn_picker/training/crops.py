"""Cutting training crops from labelled micrographs into one HDF5 file."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from relion_attn_picker.errors import InputError
from relion_attn_picker.imaging.prepare import NetworkImage, prepare_image
from relion_attn_picker.io.hdf5 import Crop, CropWriter
from relion_attn_picker.model_spec import Normalization
from relion_attn_picker.options import CropOptions
from relion_attn_picker.picks import FloatArray

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
class LabelledSource:
    """Labelled micrographs that belong together; each is read, or simulated, only when it is needed.

    ``description`` goes into the header of what is trained with them.
    """

    name: str
    description: str
    micrographs: Sequence[Callable[[], LabelledImage]]


def write_crops(
    path: Path, sources: Sequence[LabelledSource], options: CropOptions, normalization: Normalization
) -> None:
    """Cut ``options.crops_per_source`` crops from each source into the HDF5 file ``path``.

    Raises
    ------
    InputError
        If a source has no labelled particle at all.
    """
    attributes = {
        "options": asdict(options),
        "normalization": asdict(normalization),
        "sources": [
            {"name": source.name, "description": source.description, "micrographs": len(source.micrographs)}
            for source in sources
        ],
    }
    with CropWriter(path, options.crop_size, attributes) as writer:
        for number, source in enumerate(sources):
            rng = np.random.default_rng([options.seed, number])
            n_particles = 0
            for crops in _cut_source(source, options, normalization, rng):
                writer.append(crops)
                n_particles += sum(len(crop.yx) for crop in crops)
            if n_particles == 0:
                raise InputError(
                    f"{source.name} has no labelled particle: give coordinates that belong to its micrographs."
                )
            log.info("%s: %d crops with %d particles", source.name, options.crops_per_source, n_particles)


def _cut_source(
    source: LabelledSource, options: CropOptions, normalization: Normalization, rng: np.random.Generator
) -> Iterator[list[Crop]]:
    """Yield crops, visiting every micrograph as often as needed, each time at a new scale."""
    remaining = options.crops_per_source
    while remaining > 0:
        for index in rng.permutation(len(source.micrographs)):
            if remaining <= 0:
                return
            labelled = source.micrographs[index]()
            jitter = 1 + rng.uniform(-options.scale_jitter, options.scale_jitter)
            network_image = prepare_image(
                labelled.image,
                labelled.pixel_size,
                labelled.particle_diameter,
                options.particle_diameter_px * jitter,
                normalization,
            )
            to_network = labelled.pixel_size / network_image.pixel_size
            count = min(remaining, _crops_per_visit(network_image, options.crop_size))
            yield [
                cut_crop(network_image, labelled.yx * to_network, labelled.ignored_yx * to_network, options, rng)
                for _ in range(count)
            ]
            remaining -= count


def _crops_per_visit(network_image: NetworkImage, crop_size: int) -> int:
    """Return how many crops cover the image about once."""
    return max(2, round(network_image.values.size / crop_size**2))


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
