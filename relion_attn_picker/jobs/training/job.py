"""A whole training: labelled STAR files in, a folder with the best checkpoint and its curves out.

What this module does not do: it knows no network and no optimiser; ``training.fit`` does.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path

from relion_attn_picker.errors import InputError
from relion_attn_picker.io.checkpoint import read_header
from relion_attn_picker.io.folder_lock import hold_folder
from relion_attn_picker.io.hdf5 import CropFile
from relion_attn_picker.jobs.training.labelled_data import refuse_common_images
from relion_attn_picker.jobs.training.request import TrainingRequest
from relion_attn_picker.model_spec import Normalization
from relion_attn_picker.report.curves import draw_training_curves
from relion_attn_picker.training.claim import describe_run, find_precision
from relion_attn_picker.training.crops import (
    LabelledSource,
    are_same_sources,
    describe_source,
    require_labels,
    write_crops,
)
from relion_attn_picker.training.distributed import World, agree, current_world, device_of, join_world
from relion_attn_picker.training.fit import Progress, check_beginning, fit
from relion_attn_picker.training.keeper import read_curves
from relion_attn_picker.training.mixture import Mixture, require_enough
from relion_attn_picker.training.starting import StartingWeights
from relion_attn_picker.training.validation import ValidationSet, prepare_validation_set
from relion_attn_picker.training_options import CropOptions

log = logging.getLogger(__name__)


def run_training(folder: Path, request: TrainingRequest, report: Callable[[Progress], None]) -> Path:
    """Train one network, or go on with an interrupted training in the same folder.

    Parameters
    ----------
    folder
        The training's folder; made if absent.
    request
        See ``TrainingRequest``. The normalisation is that of the weights to start from.
    report
        See ``training.fit.fit``.

    Returns
    -------
    Path
        The best checkpoint.

    Raises
    ------
    InputError
        If the data cannot be used, nothing or what is trained on is left for validation, or the folder is another
        training's or process's or has lost its state.
    DeviceError
        If the GPU is not there, cannot be used, has too little memory, or is one for several processes.
    """
    world = current_world()
    _check_processes(request, world)
    trained_on, held_out = request.split()
    if not held_out:
        raise InputError("No micrograph is held out for validation: give --hold_out 1 or more for one set at least.")
    refuse_common_images(trained_on, held_out)
    start = None if request.start_from is None else StartingWeights.read(request.start_from)
    normalization = Normalization() if start is None else start.checkpoint.header.normalization
    with hold_folder(folder) if world.is_first else nullcontext(), join_world(world):
        diameter_px = request.crops.particle_diameter_px
        watched = held_out if world.is_first else []
        validation_sets = [prepare_validation_set(each, diameter_px, normalization) for each in watched]
        check_beginning(folder, validation_sets, request.train, start, request.crops, normalization)
        crops_path = folder / "crops.h5"
        if trained_on and world.is_first and not crops_path.exists():
            _check_before_cutting(folder, request, trained_on, start, validation_sets, normalization)
        crops = _make_or_open_crops(crops_path, trained_on, request.crops, normalization, world)
        mixture = Mixture(crops, request.fields, request.crops, normalization)
        best = fit(
            folder,
            mixture,
            validation_sets,
            request.train,
            request.inference,
            report,
            start=start,
            keeps_start=request.keeps_start,
            run=request.run,
        )
    if crops is not None:
        crops.close()
    if world.is_first:
        draw_training_curves(folder / "curves.png", read_curves(folder))
        _tell_no_gain(best, request.start_from)
    return best


def _check_processes(request: TrainingRequest, world: World) -> None:
    """Refuse a device or a number of processes that ``fit`` would refuse once all crops are cut.

    Raises
    ------
    InputError
        If the processes cannot have equal parts of a batch.
    DeviceError
        If the GPU is not there or cannot be used, is one for several processes, or there are too few for them.
    """
    world.slots(request.train.batch_size)
    if request.inference.gpu != "auto" or world.size > 1:  # one process finds itself a GPU, or says that it has none
        device_of(request.inference.gpu, world)


def _tell_no_gain(best: Path, start_from: Path | None) -> None:
    if is_start(best):
        log.warning(
            "No step made the weights better than those that they started from, %s, which %s are: go on with the "
            "former, for scores may be calibrated there; more labelled micrographs, or more steps, may help.",
            start_from,
            best.name,
        )


def is_start(best: Path) -> bool:
    """Tell whether the best weights of a training are those that it started from."""
    return read_header(best).trained_with.get("steps") == 0


def _check_before_cutting(
    folder: Path,
    request: TrainingRequest,
    trained_on: Sequence[LabelledSource],
    start: StartingWeights | None,
    validation_sets: Sequence[ValidationSet],
    normalization: Normalization,
) -> None:
    """Refuse what ``fit`` would refuse once all crops are cut: they would be in the way of another attempt.

    Raises
    ------
    InputError
        If crops or labels do not fill a batch, a source has no label, or the folder holds another training.
    """
    counts = [source.n_labels for source in trained_on]
    for source, count in zip(trained_on, counts, strict=True):
        require_labels(source, count)
    if request.fields is None:
        n_labels = None if None in counts else sum(count or 0 for count in counts)
        require_enough(request.crops.crops_per_source * len(trained_on), n_labels, request.train.batch_size)
    sources = [describe_source(each) for each in trained_on]
    sources += [] if request.fields is None else [describe_source(request.fields)]
    claim = describe_run(request.train, start, validation_sets, request.crops, normalization, sources)
    find_precision(folder, claim, request.inference.precision)


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
    if not are_same_sources(present["sources"], [describe_source(each) for each in sources]):
        raise InputError(
            f"{path} was made from other data, or from labels that have changed since: give another folder, or the "
            "same data to resume."
        )
    return crops
