"""Batches of mixed sources: who gets which crop, whatever process makes them; crop files that survive kills."""

from __future__ import annotations

import multiprocessing
import os
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from relion_attn_picker.errors import InputError, PickerError
from relion_attn_picker.io.hdf5 import CropFile
from relion_attn_picker.jobs.training.simulated_data import open_simulation, simulate_on_the_fly
from relion_attn_picker.model_spec import Normalization
from relion_attn_picker.training.batches import Batch, BatchMaker
from relion_attn_picker.training.crops import FieldSource, LabelledImage, LabelledSource, write_crops
from relion_attn_picker.training.loader import choose_workers, iterate_batches
from relion_attn_picker.training.mixture import CropDealer, Mixture, Schedule
from relion_attn_picker.training_options import CropOptions, TrainOptions
from tests.training.conftest import mix

SMALL = CropOptions(crop_size=64, crops_per_source=24, seed=4)
OPTIONS = TrainOptions(batch_size=4, input_size=48, crops_per_field=3, seed=9)


class KilledError(Exception):
    """Stands for a kill."""


@pytest.fixture
def crops(source: LabelledSource, tmp_path: Path) -> CropFile:
    write_crops(tmp_path / "crops.h5", [source, replace(source, name="more")], SMALL, Normalization())
    return CropFile(tmp_path / "crops.h5")


def only_simulation() -> Mixture:
    fields = simulate_on_the_fly(open_simulation(None, 3), 1.0, 0.0)
    return Mixture(None, fields, SMALL, Normalization())


def equal(one: Batch, other: Batch) -> bool:
    return torch.equal(one.images, other.images) and torch.equal(one.targets, other.targets)


@pytest.mark.parametrize("weights", [[1.0], [1.0, 1.0], [3.0, 1.0], [1.0, 2.0, 4.0, 5.0]])
def test_schedule_meets_the_weights_at_any_length(weights: list[float]) -> None:
    schedule = Schedule(weights)
    drawn = [schedule.source(position) for position in range(600)]
    for length in (7, 120, 333, 600):
        for source, weight in enumerate(weights):
            count = drawn[:length].count(source)
            assert count == schedule.count_before(length, source)
            assert abs(count - length * weight / sum(weights)) < 1.5


@pytest.mark.parametrize("weights", [[1000.0, 1.0], [0.996, 0.004], [1.0] * 130, [500.0, *[1.0] * 10]])
def test_schedule_leaves_no_source_out(weights: list[float]) -> None:
    """A source whose share comes to less than half a slot of the pattern was never drawn."""
    schedule = Schedule(weights)
    cycle = 240 if len(weights) > 120 else 120
    assert Counter(schedule.source(position) for position in range(cycle)).keys() == set(range(len(weights)))
    assert sum(schedule.count_before(cycle, source) for source in range(len(weights))) == cycle


def test_every_epoch_of_a_source_visits_each_crop_once(crops: CropFile, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    monkeypatch.setattr(CropFile, "read", lambda self, index: read.append(index))
    dealer = CropDealer(mix(crops), 4, 3, seed=1)
    for step in range(24):  # 96 crops: 48 of each source
        for slot in range(4):
            dealer.deal(step, slot)
    assert Counter(read) == dict.fromkeys(range(48), 2)
    assert set(Counter(read[:48]).values()) == {1}


def test_no_field_is_made_twice_and_no_batch_has_two_crops_of_one() -> None:
    made: list[int] = []

    def make(number: int) -> LabelledImage:
        made.append(number)
        image = np.random.default_rng(number).normal(size=(80, 80)).astype(np.float32)
        return LabelledImage(image, 5.0, 100.0, np.full((1, 2), 40, np.float32), np.zeros((0, 2), np.float32))

    dealer = CropDealer(Mixture(None, FieldSource("fields", "", make), SMALL, Normalization()), 4, 3, seed=1)
    images = [[dealer.deal(step, slot).image for slot in range(4)] for step in range(6)]
    assert made == list(range(8))
    for batch in images:
        assert len({image.tobytes() for image in batch}) == 4


def test_mixture_holds_the_share_of_simulation(crops: CropFile) -> None:
    fields = simulate_on_the_fly(open_simulation(None, 3), 0.5, other_weights=2.0)
    mixture = mix(crops, fields)
    assert [source["weight"] for source in mixture.sources] == [1.0, 1.0, 2.0]
    with pytest.raises(InputError, match="share of simulated crops is 1: expected between 0 and 1 beside other data"):
        simulate_on_the_fly(open_simulation(None, 3), 1.0, other_weights=2.0)


@pytest.mark.parametrize("workers", [1, 3])
def test_number_of_workers_changes_nothing(workers: int, crops: CropFile) -> None:
    fields = simulate_on_the_fly(open_simulation(None, 3), 0.25, other_weights=2.0)
    maker = BatchMaker(mix(crops, fields), OPTIONS)
    expected = list(iterate_batches(maker, 2, 8, workers=0))
    made = list(iterate_batches(maker, 2, 8, workers=workers))
    assert len(made) == 6
    assert all(equal(one, other) for one, other in zip(expected, made, strict=True))


def test_parts_of_a_batch_make_up_the_whole() -> None:
    whole = BatchMaker(only_simulation(), OPTIONS).make(4)
    halves = [BatchMaker(only_simulation(), OPTIONS, slots).make(4) for slots in (range(2), range(2, 4))]
    assert torch.equal(torch.cat([half.images for half in halves]), whole.images)


def test_error_of_a_worker_reaches_the_training() -> None:
    fields = FieldSource("broken", "", partial(open_simulation(None, 3).make_field, "no such purpose"))
    maker = BatchMaker(Mixture(None, fields, SMALL, Normalization()), OPTIONS)
    with pytest.raises(KeyError, match="no such purpose"):
        next(iterate_batches(maker, 0, 2, workers=1))


def test_worker_that_was_killed_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("relion_attn_picker.training.loader.POLL_SECONDS", 0.1)
    fields = FieldSource("deadly", "", os._exit)
    maker = BatchMaker(Mixture(None, fields, SMALL, Normalization()), OPTIONS)
    with pytest.raises(PickerError, match=r"was killed \(exit code 0\).*give fewer --workers"):
        next(iterate_batches(maker, 0, 2, workers=1))


def test_crop_file_is_read_by_many_processes_at_once(crops: CropFile) -> None:
    expected = [crops.read(index).image for index in range(48)]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(3, mp_context=context) as pool:
        read = list(pool.map(crops.read, range(48), chunksize=2))
    for crop, image in zip(read, expected, strict=True):
        np.testing.assert_array_equal(crop.image, image)


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded")
def test_forked_process_opens_a_handle_of_its_own(crops: CropFile) -> None:
    def handle(crop_file: CropFile) -> None:
        before = id(crop_file._file)
        crop_file.read(0)
        os._exit(0 if id(crop_file._file) != before else 1)

    process = multiprocessing.get_context("fork").Process(target=handle, args=(crops,))
    process.start()
    process.join()
    assert process.exitcode == 0


def test_killed_crop_file_goes_on_where_it_stopped(source: LabelledSource, tmp_path: Path) -> None:
    visited: list[int] = []

    def read(number: int, kill_at: int | None = None) -> LabelledImage:
        if kill_at is not None and len(visited) == kill_at:
            raise KilledError
        visited.append(number)
        return source.micrographs[number]()

    sources = [replace(source, micrographs=[partial(read, number) for number in range(4)], name=name) for name in "ab"]
    options = replace(SMALL, crops_per_source=50)
    write_crops(tmp_path / "whole.h5", sources, options, Normalization())
    all_visits, visited[:] = list(visited), []
    dying = [replace(one, micrographs=[partial(read, number, 5) for number in range(4)]) for one in sources]
    with pytest.raises(KilledError):
        write_crops(tmp_path / "cut.h5", dying, options, Normalization())
    assert not (tmp_path / "cut.h5").exists()
    write_crops(tmp_path / "cut.h5", sources, options, Normalization())
    assert visited == all_visits
    assert (tmp_path / "cut.h5").read_bytes() == (tmp_path / "whole.h5").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cut.h5", "whole.h5"]


def test_going_on_with_other_crop_options_is_refused(source: LabelledSource, tmp_path: Path) -> None:
    def die() -> LabelledImage:
        raise KilledError

    with pytest.raises(KilledError):
        write_crops(tmp_path / "crops.h5", [replace(source, micrographs=[die])], SMALL, Normalization())
    with pytest.raises(InputError, match=r"crops\.h5\.parts holds crops that were being made with other options"):
        write_crops(tmp_path / "crops.h5", [source], replace(SMALL, seed=5), Normalization())


def test_crop_file_of_another_version(crops: CropFile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("relion_attn_picker.io.hdf5.CROP_FILE_VERSION", 99)
    with pytest.raises(InputError, match="has crop file version 2, expected 99: make it again"):
        CropFile(crops.path)


def test_nothing_to_train_on() -> None:
    with pytest.raises(InputError, match="nothing to train on: give labelled micrographs, or simulate some"):
        Mixture(None, None, SMALL, Normalization())


@pytest.mark.parametrize(("cores", "expected"), [(1, 0), (4, 3), (64, 8)])
def test_gpu_gets_workers_unless_a_number_is_given(cores: int, expected: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("relion_attn_picker.training.loader.cores_of_process", lambda: cores)
    gpu, cpu = torch.device("cuda", 0), torch.device("cpu")
    assert choose_workers(None, gpu) == expected
    assert choose_workers(None, cpu) == 0
    assert choose_workers(0, gpu) == 0
    assert choose_workers(5, cpu) == 5


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="/proc tells the environment of a process")
def test_libraries_of_a_worker_are_loaded_with_one_thread(crops: CropFile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    batches = iterate_batches(BatchMaker(mix(crops), OPTIONS), 0, 100, workers=1)
    next(batches)
    (worker,) = multiprocessing.active_children()
    began_with = Path(f"/proc/{worker.pid}/environ").read_text().split("\0")
    batches.close()  # type: ignore[attr-defined]
    assert "OMP_NUM_THREADS=1" in began_with
    assert os.environ["OMP_NUM_THREADS"] == "7"


class RecordedTensor:
    """Stands for a tensor, and remembers what is done to it."""

    def __init__(self) -> None:
        self.done: list[object] = []

    def pin_memory(self) -> RecordedTensor:
        """Remember it."""
        self.done.append("pinned")
        return self

    def to(self, device: torch.device, **how: object) -> RecordedTensor:
        """Remember it."""
        self.done.append((device.type, how["non_blocking"]))
        return self


def test_batch_goes_to_a_gpu_from_pinned_memory_without_waiting() -> None:
    tensors: list[Any] = [RecordedTensor() for _ in range(3)]
    Batch(*tensors).to(torch.device("cuda", 0))
    assert [tensor.done for tensor in tensors] == [["pinned", ("cuda", True)]] * 3
