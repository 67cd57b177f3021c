"""A whole training: labelled STAR files in, a folder with the best checkpoint and its curves out.

What this module does not do: it knows no network and no optimiser; ``training.fit`` does.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from relion_attn_picker.errors import InputError
from relion_attn_picker.io.hdf5 import CropFile
from relion_attn_picker.io.mrc import read_image
from relion_attn_picker.micrograph import Micrograph
from relion_attn_picker.micrograph_list import find_project_dir
from relion_attn_picker.model_spec import Normalization
from relion_attn_picker.options import CropOptions, InferenceOptions, TrainOptions
from relion_attn_picker.picks import FloatArray
from relion_attn_picker.relion.coordinates import open_coordinates
from relion_attn_picker.relion.micrographs import read_micrographs
from relion_attn_picker.report.curves import draw_training_curves
from relion_attn_picker.simulation.conditions import draw_conditions
from relion_attn_picker.simulation.micrograph import simulate_micrograph
from relion_attn_picker.simulation.particles import procedural_particle, read_bead_particle
from relion_attn_picker.training.crops import LabelledImage, LabelledSource, write_crops
from relion_attn_picker.training.fit import Progress, fit, read_curves
from relion_attn_picker.training.validation import prepare_validation_set

log = logging.getLogger(__name__)

SIMULATED_SHAPE = (400, 400)
"""Pixels of a micrograph that is simulated for training, close to the network's scale already."""


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
        The last so many labelled micrographs are kept for validation; ``None``: a fifth, at least one.
    """

    micrographs_star: Path
    coordinates: Path
    particle_diameter: float
    hold_out: int | None = None


def read_labelled_source(data: TrainingData) -> LabelledSource:
    """Return the labelled micrographs of a set; images are read when they are needed.

    Raises
    ------
    InputError
        If a file cannot be read, no micrograph of the list is labelled, or a label lies outside its image.
    """
    micrographs = read_micrographs(data.micrographs_star)
    project_dir = find_project_dir(data.micrographs_star, micrographs[0].name)
    coordinates = open_coordinates(data.coordinates, project_dir)
    tables = {micrograph.name: coordinates.read(micrograph.name) for micrograph in micrographs}
    readers = [
        partial(_read_labelled, micrograph, project_dir / micrograph.name, table.yx, data.particle_diameter)
        for micrograph in micrographs
        if (table := tables[micrograph.name]) is not None
    ]
    if not readers:
        raise InputError(
            f"{data.coordinates} lists none of the {len(micrographs)} micrographs of {data.micrographs_star}: "
            "their names must be equal; give the coordinates that belong to these micrographs."
        )
    name = data.micrographs_star.absolute().parent.name
    n_particles = sum(len(table.yx) for table in tables.values() if table is not None)
    description = f"{n_particles} particles of {data.particle_diameter:g} Å on {len(readers)} real micrographs"
    return LabelledSource(name, description, readers)


def _read_labelled(micrograph: Micrograph, path: Path, yx: FloatArray, particle_diameter: float) -> LabelledImage:
    image = read_image(path)
    if len(yx) and ((yx < -0.5).any() or (yx > np.array(image.shape) - 0.5).any()):
        raise InputError(
            f"{micrograph.name} has labels outside its image of {image.shape[1]}×{image.shape[0]} pixels: the "
            "coordinates belong to other micrographs or to another binning."
        )
    nothing = np.zeros((0, 2), dtype=np.float32)
    return LabelledImage(image, micrograph.optics.pixel_size, particle_diameter, yx, nothing)


def simulate_source(count: int, structures: Path | None, seed: int) -> LabelledSource:
    """Return ``count`` simulated micrographs, each of another particle under other conditions.

    Every second particle comes from the bead files in the folder ``structures``, if one is given; the others are
    procedural, 80 to 400 Å across.
    """
    files = [] if structures is None else sorted(structures.glob("*.npz"))
    if structures is not None and not files:
        raise InputError(f"There are no bead files (*.npz) in {structures}.")
    kinds = "procedural particles" + (f" and {len(files)} structures" if files else "")
    return LabelledSource(
        "simulation", f"{kinds}, seed {seed}", [partial(_simulate_labelled, i, files, seed) for i in range(count)]
    )


def _simulate_labelled(index: int, files: Sequence[Path], seed: int) -> LabelledImage:
    rng = np.random.default_rng([seed, 3, index])
    if files and index % 2:
        particle = read_bead_particle(files[int(rng.integers(len(files)))])
    else:
        particle = procedural_particle(float(rng.uniform(80, 400)), rng)
    pixel_size = particle.diameter / float(rng.uniform(22, 30))
    simulated = simulate_micrograph(particle, SIMULATED_SHAPE, pixel_size, draw_conditions(rng), rng)
    return LabelledImage(simulated.image, pixel_size, particle.diameter, simulated.yx, simulated.ignored_yx)


def split_source(source: LabelledSource, hold_out: int | None) -> tuple[LabelledSource, LabelledSource]:
    """Return the source without its last ``hold_out`` micrographs, and these alone.

    Raises
    ------
    InputError
        If nothing would be left to train on.
    """
    count = len(source.micrographs)
    kept_out = max(1, count // 5) if hold_out is None else hold_out
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
) -> Path:
    """Train one network on labelled sets and on simulation, or go on with an interrupted training in the same folder.

    Returns
    -------
    Path
        The best checkpoint.

    Raises
    ------
    InputError
        If the data cannot be used, no micrograph is left for validation, or the folder belongs to another training.
    """
    splits = [split_source(read_labelled_source(each), each.hold_out) for each in data]
    normalization = Normalization()
    validation_sets = [
        prepare_validation_set(held_out, crop_options.particle_diameter_px, normalization)
        for _, held_out in splits
        if held_out.micrographs
    ]
    if not validation_sets:
        raise InputError("No micrograph is held out for validation: give --hold_out 1 or more for one set at least.")
    folder.mkdir(parents=True, exist_ok=True)
    sources = [source for source, _ in splits] + ([] if simulated is None else [simulated])
    crops = _make_or_open_crops(folder / "crops.h5", sources, crop_options, normalization)
    try:
        best = fit(folder, crops, validation_sets, train_options, inference, report)
    finally:
        crops.close()
    draw_training_curves(folder / "curves.png", read_curves(folder))
    return best


def _make_or_open_crops(
    path: Path, sources: Sequence[LabelledSource], options: CropOptions, normalization: Normalization
) -> CropFile:
    if not path.exists():
        log.info("Cutting %d crops into %s ...", options.crops_per_source * len(sources), path)
        write_crops(path, sources, options, normalization)
    crops = CropFile(path)
    if crops.attributes["options"] != json.loads(json.dumps(asdict(options))):
        raise InputError(f"{path} was made with other options: give another folder, or the same options to resume.")
    if [source["name"] for source in crops.attributes["sources"]] != [source.name for source in sources]:
        raise InputError(f"{path} was made from other data: give another folder, or the same data to resume.")
    return crops
