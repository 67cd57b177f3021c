"""Targets, losses, augmentation, crops and batches."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from relion_attn_picker.errors import InputError
from relion_attn_picker.imaging.prepare import NetworkImage
from relion_attn_picker.io.hdf5 import Crop, CropFile, CropWriter
from relion_attn_picker.jobs.training.simulated_data import open_simulation, simulate_source
from relion_attn_picker.model_spec import Normalization
from relion_attn_picker.training.augment import flip_and_turn, vary_intensity
from relion_attn_picker.training.batches import BatchMaker
from relion_attn_picker.training.crops import LabelledSource, cut_crop, write_crops
from relion_attn_picker.training.fit import check_beginning
from relion_attn_picker.training.loader import iterate_batches
from relion_attn_picker.training.losses import LOSSES
from relion_attn_picker.training.targets import TARGETS, draw_target, draw_weights
from relion_attn_picker.training.validation import prepare_validation_set
from relion_attn_picker.training_options import LOSS_NAMES, TARGET_NAMES, CropOptions, TrainOptions
from tests.training.conftest import mix

NOTHING = np.zeros((0, 2), dtype=np.float32)
SMALL_CROPS = CropOptions(crop_size=64, crops_per_source=12, seed=4)


def test_options_name_every_target_and_loss() -> None:
    assert tuple(sorted(TARGETS)) == TARGET_NAMES
    assert tuple(sorted(LOSSES)) == LOSS_NAMES


@pytest.mark.parametrize("target", sorted(TARGETS))
def test_target_is_one_at_the_centre_and_falls_to_zero(target: str) -> None:
    drawn = draw_target((60, 70), np.array([[20.0, 30.0]], dtype=np.float32), 24.0, target)
    assert drawn[20, 30] == 1
    assert drawn[20, 30 + 18] < 0.05
    profile = drawn[20, 30:48]
    assert (np.diff(profile) <= 1e-6).all()


def test_gaussian_target_follows_its_formula() -> None:
    centre = np.array([[20.4, 30.7]], dtype=np.float32)
    drawn = draw_target((50, 60), centre, 28.0, "gaussian")
    rows, columns = np.mgrid[:50, :60]
    expected = np.exp(-((rows - 20.4) ** 2 + (columns - 30.7) ** 2) / (2 * 4.0**2))
    np.testing.assert_allclose(drawn, expected, atol=1e-3)


def test_overlapping_targets_keep_the_higher_and_touching_particles_stay_apart() -> None:
    pair = np.array([[30.0, 20.0], [30.0, 40.0]], dtype=np.float32)
    drawn = draw_target((60, 60), pair, 24.0, "gaussian")
    assert drawn.max() == 1
    assert drawn[30, 30] < 0.2


def test_centre_outside_the_crop_reaches_in() -> None:
    drawn = draw_target((40, 40), np.array([[-3.0, 20.0], [200.0, 5.0]], dtype=np.float32), 24.0, "gaussian")
    assert drawn[0, 20] > 0.5
    assert drawn[30:].max() == 0


def test_ignored_centres_weigh_nothing_within_half_a_diameter() -> None:
    weights = draw_weights((60, 60), np.array([[30.0, 30.0]], dtype=np.float32), 24.0)
    rows, columns = np.mgrid[:60, :60]
    np.testing.assert_array_equal(weights == 0, np.hypot(rows - 30, columns - 30) <= 12)


@pytest.mark.parametrize("loss", sorted(LOSSES))
def test_loss_is_lowest_at_the_target_and_ignores_what_weighs_nothing(loss: str) -> None:
    target = torch.rand(2, 1, 16, 16).clamp(0.02, 0.98)
    weights = torch.ones_like(target)
    right = LOSSES[loss](torch.logit(target), target, weights)
    wrong = LOSSES[loss](torch.logit(target) + 1, target, weights)
    assert right < wrong
    weights[..., 8:] = 0
    spoilt = torch.logit(target)
    spoilt[..., 8:] = 30
    torch.testing.assert_close(
        LOSSES[loss](spoilt, target, weights), LOSSES[loss](torch.logit(target), target, weights)
    )


@pytest.mark.parametrize("loss", sorted(LOSSES))
def test_loss_stays_finite_at_extreme_logits_and_without_particles(loss: str) -> None:
    logits = torch.tensor([[-80.0, 80.0], [0.0, 5.0]]).reshape(1, 1, 2, 2).requires_grad_()
    value = LOSSES[loss](logits, torch.zeros(1, 1, 2, 2), torch.ones(1, 1, 2, 2))
    value.backward()
    assert torch.isfinite(value)
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()


def test_ground_alone_weighs_no_more_than_ground_about_a_particle() -> None:
    """A batch may have no particle at all: where nothing is learnt yet, its loss is that of others in size."""
    one = torch.from_numpy(draw_target((128, 128), np.array([[64.0, 64.0]], dtype=np.float32), 24.0, "gaussian"))
    logits, weights = torch.full((1, 1, 128, 128), -2.0), torch.ones(1, 1, 128, 128)
    with_one, without = (LOSSES["focal"](logits, each, weights) for each in (one[None, None], 0 * one[None, None]))
    assert without < 1.2 * with_one


@pytest.mark.parametrize("symmetry", range(8))
def test_points_move_with_the_image(symmetry: int) -> None:
    image = np.zeros((9, 9), dtype=np.float32)
    points = np.array([[1.0, 2.0], [7.0, 3.0], [4.0, 8.0]], dtype=np.float32)
    for number, (y, x) in enumerate(points.astype(int), start=1):
        image[y, x] = number
    turned, (moved,) = flip_and_turn(image, (points,), symmetry)
    assert [turned[y, x] for y, x in moved.astype(int)] == [1, 2, 3]


def test_eight_symmetries_are_all_different() -> None:
    image = np.arange(9, dtype=np.float32).reshape(3, 3)
    assert len({flip_and_turn(image, (), symmetry)[0].tobytes() for symmetry in range(8)}) == 8


def test_intensity_changes_stay_mild(rng: np.random.Generator) -> None:
    image = rng.normal(size=(200, 200)).astype(np.float32)
    for _ in range(20):
        varied = vary_intensity(image, rng)
        assert np.corrcoef(image.ravel(), varied.ravel())[0, 1] > 0.75
        assert varied.dtype == np.float32


def test_crop_carries_its_points(rng: np.random.Generator) -> None:
    values = np.zeros((300, 280), dtype=np.float32)
    yx = rng.uniform(10, 270, (20, 2)).round().astype(np.float32)
    values[yx[:, 0].astype(int), yx[:, 1].astype(int)] = 1
    for _ in range(30):
        crop = cut_crop(NetworkImage(values, 5.0), yx, NOTHING, SMALL_CROPS, rng)
        assert crop.image.shape == (64, 64)
        inside = crop.yx[((crop.yx >= 0) & (crop.yx <= 63)).all(axis=1)].astype(int)
        assert (crop.image[inside[:, 0], inside[:, 1]] == 1).all()
        assert crop.image.sum() == len(np.unique(inside, axis=0))


def test_image_smaller_than_the_crop_is_filled_up(rng: np.random.Generator) -> None:
    image = NetworkImage(np.ones((40, 200), dtype=np.float32), 5.0)
    crop = cut_crop(image, NOTHING, NOTHING, SMALL_CROPS, rng)
    assert crop.image.shape == (64, 64)
    assert crop.image[:40].all()
    assert not crop.image[40:].any()


def test_crop_file_round_trip_and_same_seed_same_crops(source: LabelledSource, tmp_path: Path) -> None:
    for name in ("a.h5", "b.h5"):
        write_crops(tmp_path / name, [source], SMALL_CROPS, Normalization())
    first, second = CropFile(tmp_path / "a.h5"), CropFile(tmp_path / "b.h5")
    assert len(first) == 12
    (told,) = first.attributes["sources"]
    assert (told["name"], told["description"], told["micrographs"]) == ("discs", "dark discs", 4)
    assert told["labels"] == 8  # one micrograph was enough
    for index in range(12):
        one, other = first.read(index), second.read(index)
        np.testing.assert_array_equal(one.image, other.image)
        np.testing.assert_array_equal(one.yx, other.yx)
    dark = [crop.image[tuple(np.rint(p).astype(int))] for crop in map(first.read, range(12)) for p in crop.yx
            if (p >= 0).all() and (p <= 63).all()]  # fmt: skip
    assert np.mean(dark) < -1  # centres lie on dark discs


def test_source_without_labels_is_refused_and_leaves_no_file(source: LabelledSource, tmp_path: Path) -> None:
    empty = LabelledSource("empty", "", [lambda: replace(source.micrographs[0](), yx=NOTHING)])
    with pytest.raises(InputError, match="empty has no labelled particle"):
        write_crops(tmp_path / "crops.h5", [empty], SMALL_CROPS, Normalization())
    assert list(tmp_path.iterdir()) == []


def test_simulated_fields_without_particles_are_told_as_such(tmp_path: Path) -> None:
    """Two fields may both be empty ones: no coordinates were given that could belong to other micrographs."""
    simulation = open_simulation(None, 1)
    empty = next(n for n in range(40) if not len(simulation.make_field("crop file", n).yx))
    source = replace(simulate_source(simulation, 1), micrographs=[partial(simulation.make_field, "crop file", empty)])
    with pytest.raises(InputError, match=r"None of the 1 simulated fields shows a particle: simulate more of them\.$"):
        write_crops(tmp_path / "crops.h5", [source], SMALL_CROPS, Normalization())


def test_simulated_validation_without_particles_is_told_as_such(tmp_path: Path) -> None:
    simulation = open_simulation(None, 1)
    empty = next(n for n in range(40) if not len(simulation.make_field("validation", n).yx))
    read = partial(simulation.make_field, "validation", empty)
    source = replace(simulate_source(simulation, 1, "validation"), micrographs=[read])
    sets = [prepare_validation_set(source, 24.0, Normalization())]
    with pytest.raises(InputError, match=r"None of the 1 simulated fields to validate with shows a particle: simulate"):
        check_beginning(tmp_path, sets, TrainOptions(), None, SMALL_CROPS, Normalization())


def test_interrupted_crop_file_is_never_taken_for_a_complete_one(tmp_path: Path) -> None:
    path = tmp_path / "crops.h5"
    with pytest.raises(RuntimeError), CropWriter(path, 8, {}) as writer:
        writer.append([Crop(np.zeros((8, 8), np.float32), NOTHING, NOTHING)])
        raise RuntimeError
    assert not path.exists()


def test_crop_file_that_cannot_be_completed_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError("No space left on device")

    with pytest.raises(OSError, match="No space left"), CropWriter(tmp_path / "crops.h5", 8, {}) as writer:
        writer.append([Crop(np.zeros((8, 8), np.float32), NOTHING, NOTHING)])
        monkeypatch.setattr(np, "concatenate", fail)
    assert not list(tmp_path.iterdir())


def test_batches_depend_on_seed_and_step_alone(source: LabelledSource, tmp_path: Path) -> None:
    write_crops(tmp_path / "crops.h5", [source], SMALL_CROPS, Normalization())
    options = TrainOptions(batch_size=5, input_size=48, seed=9)
    crops = mix(CropFile(tmp_path / "crops.h5"))
    whole = list(iterate_batches(BatchMaker(crops, options), 0, 6))
    resumed = list(iterate_batches(BatchMaker(crops, options), 4, 6))
    for one, other in zip(whole[4:], resumed, strict=True):
        assert torch.equal(one.images, other.images)
        assert torch.equal(one.targets, other.targets)
    assert whole[0].images.shape == whole[0].targets.shape == whole[0].weights.shape == (5, 1, 48, 48)
    other_seed = BatchMaker(crops, TrainOptions(batch_size=5, input_size=48, seed=10)).make(0)
    assert not torch.equal(whole[0].images, other_seed.images)
