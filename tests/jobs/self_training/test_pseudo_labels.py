"""Pseudo-labels on disk: what is written is what a student reads; what cannot be meant is refused."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread
from scipy.ndimage import gaussian_filter

from relion_attn_picker import pipeline
from relion_attn_picker.errors import InputError
from relion_attn_picker.imaging.prepare import NetworkImage
from relion_attn_picker.inference.answers import NetworkAnswer
from relion_attn_picker.io.mrc import write_image
from relion_attn_picker.jobs.self_training.pseudo_labels import (
    PseudoLabelSummary,
    Teacher,
    UnlabelledPool,
    make_pseudo_labels,
    open_pool,
    open_pseudo_labels,
    refuse_labelled_micrographs,
)
from relion_attn_picker.micrograph import Micrograph, OpticsGroup
from relion_attn_picker.model_spec import CheckpointHeader, ModelSpec
from relion_attn_picker.picks import FloatArray, ProbabilityMap
from relion_attn_picker.relion.coordinates import open_coordinates
from relion_attn_picker.relion.micrographs import write_micrographs
from relion_attn_picker.training.crops import describe_source
from relion_attn_picker.training.self_training import Thresholds

PIXEL_SIZE, DIAMETER = 5.0, 100.0
SURE, UNSURE, GROUND = (40, 50), (40, 150), (150, 100)
SPOTS = {SURE: 0.9, UNSURE: 0.4, GROUND: 0.1}
"""Where the teacher below finds something, and the score that it gives."""

THRESHOLDS = Thresholds(0.8, 0.25)


class SpotTeacher:
    """A predictor that sees in every image what the image says: its pixels are the probabilities."""

    header = CheckpointHeader(ModelSpec("attention", 8), 20.0)

    def __init__(self) -> None:
        self.seen: list[FloatArray] = []

    @property
    def n_predicted(self) -> int:
        """How many images it has looked at, without those that were inverted to see whether particles are white."""
        return sum(bool(image.min() >= 0) for image in self.seen)

    def prepare(self, image: FloatArray, pixel_size: float, particle_diameter: float) -> NetworkImage:
        """Leave an image as it is."""
        return NetworkImage(image, pixel_size)

    def predict(self, image: NetworkImage) -> ProbabilityMap:
        """Return the image."""
        self.seen.append(image.values)
        return ProbabilityMap(image.values, image.pixel_size)

    def answer(self, image: NetworkImage) -> NetworkAnswer:
        """Answer as a network alone does."""
        return NetworkAnswer(self.predict(image))


def teach(spots: SpotTeacher | None = None) -> Teacher:
    return Teacher(spots or SpotTeacher(), weights_digest="of spots", precision="float32", preparers=1)


def stop_at_second(spots: SpotTeacher) -> Callable[[NetworkImage], NetworkAnswer]:
    """Return what answers as these do, and is interrupted at the second image."""
    answer = spots.answer

    def answer_once(image: NetworkImage) -> NetworkAnswer:
        if spots.n_predicted == 1 and image.values.min() >= 0:
            raise KeyboardInterrupt
        return answer(image)

    return answer_once


def draw_spots(spots: dict[tuple[int, int], float]) -> FloatArray:
    """Return an image that, smoothed as peak finding does, has these values at its spots."""
    image = np.zeros((200, 220), dtype=np.float32)
    for centre, value in spots.items():
        point = np.zeros_like(image)
        point[centre] = 1
        blob = gaussian_filter(point, 3.0)
        image += value / gaussian_filter(blob, 1.0, mode="nearest")[centre] * blob
    return image


@pytest.fixture
def pool(tmp_path: Path) -> UnlabelledPool:
    """Three micrographs: one with a sure particle, one with an unsure one only, one that is no image."""
    (tmp_path / "mics").mkdir()
    write_image(tmp_path / "mics/a.mrc", draw_spots(SPOTS), PIXEL_SIZE)
    write_image(tmp_path / "mics/b.mrc", draw_spots({UNSURE: 0.4}), PIXEL_SIZE)
    (tmp_path / "mics/c.mrc").write_bytes(b"no image")
    group = OpticsGroup(1, "opticsGroup1", PIXEL_SIZE)
    write_micrographs(tmp_path / "list.star", [Micrograph(f"mics/{name}.mrc", group) for name in "abc"])
    return open_pool(tmp_path / "list.star", DIAMETER)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "labels"


def test_what_picking_would_reject_is_no_particle(
    pool: UnlabelledPool, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "judge_candidates", lambda yx, surroundings: np.ones(len(yx), np.float32))
    make_pseudo_labels(folder, pool, teach(), THRESHOLDS, 0)
    assert len(open_coordinates(folder / "ignored.star").read("mics/a.mrc").yx) == 2  # type: ignore[union-attr]
    assert not open_pseudo_labels(folder, pool, 0.0).micrographs


def test_where_the_labels_of_the_teacher_had_stopped_is_no_particle(pool: UnlabelledPool, folder: Path) -> None:
    """The sure particle lies 40 pixels, two diameters, from the edge."""
    spots = SpotTeacher()
    spots.header = replace(spots.header, label_margin=2.1)
    make_pseudo_labels(folder, pool, teach(spots), THRESHOLDS, 0)
    assert not open_pseudo_labels(folder, pool, 2.1).micrographs


def test_margin_of_the_teacher_is_the_students(pool: UnlabelledPool, folder: Path) -> None:
    """Nobody has taught the student what lies there, so that it leaves it out as well."""
    make_pseudo_labels(folder, pool, teach(), THRESHOLDS, 0)
    assert describe_source(open_pseudo_labels(folder, pool, 1.5))["label_margin"] == 1.5
    assert "label_margin" not in describe_source(open_pseudo_labels(folder, pool, 0.0))


def test_sure_and_unsure_candidates_are_kept_apart(pool: UnlabelledPool, folder: Path) -> None:
    summary = make_pseudo_labels(folder, pool, teach(), THRESHOLDS, pictures=1)
    assert summary == PseudoLabelSummary(n_micrographs=1, n_positive=1, n_ignored=1)
    positive = open_coordinates(folder / "positive.star").read("mics/a.mrc")
    ignored = open_coordinates(folder / "ignored.star").read("mics/a.mrc")
    assert positive is not None and ignored is not None
    assert positive.score is not None and ignored.score is not None
    np.testing.assert_array_equal(positive.yx, [SURE])
    np.testing.assert_allclose(positive.score, [0.9], atol=1e-3)
    np.testing.assert_array_equal(ignored.yx, [UNSURE])
    np.testing.assert_allclose(ignored.score, [0.4], atol=1e-3)
    assert imread(folder / "mics/a_pseudo_labels.png").shape[1] > 200
    assert not (folder / "mics/b_pseudo_labels.png").exists()
    assert (folder / "scores.png").exists()


def test_a_student_reads_the_files(pool: UnlabelledPool, folder: Path) -> None:
    make_pseudo_labels(folder, pool, teach(), THRESHOLDS, pictures=0)
    source = open_pseudo_labels(folder, pool, 0.0)
    assert source.description == "1 pseudo-labels of 100 Å on 1 micrographs"
    (read,) = source.micrographs  # b has no sure particle, c is no image
    labelled = read()
    np.testing.assert_array_equal(labelled.yx, [SURE])
    np.testing.assert_array_equal(labelled.ignored_yx, [UNSURE])
    np.testing.assert_allclose(labelled.image, draw_spots(SPOTS))
    assert (labelled.pixel_size, labelled.particle_diameter) == (PIXEL_SIZE, DIAMETER)


def test_pseudo_labels_moved_by_hand_are_other_data(pool: UnlabelledPool, folder: Path) -> None:
    make_pseudo_labels(folder, pool, teach(), THRESHOLDS, pictures=0)
    before = open_pseudo_labels(folder, pool, 0.0)
    assert open_pseudo_labels(folder, pool, 0.0).label_digest == before.label_digest != ""
    ignored = folder / "mics/a_ignored.star"
    ignored.write_text(ignored.read_text().replace(f"{UNSURE[1]:12.6f}", f"{UNSURE[1] + 1:12.6f}", 1))
    after = open_pseudo_labels(folder, pool, 0.0)
    assert after.description == before.description
    assert after.label_digest != before.label_digest


def test_an_unreadable_micrograph_is_left_out_with_its_reason(
    pool: UnlabelledPool, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make_pseudo_labels(folder, pool, teach(), THRESHOLDS, pictures=0)
    assert "mics/c.mrc is left out" in caplog.text
    assert "mics/c.mrc" in (folder / "failed_micrographs.star").read_text()
    assert "c.mrc" not in (folder / "positive.star").read_text()


def test_no_micrograph_can_be_picked(pool: UnlabelledPool, folder: Path) -> None:
    (only,) = (each for each in pool.micrographs if each.name == "mics/c.mrc")
    broken = UnlabelledPool("broken", [only], pool.project_dir, DIAMETER)
    with pytest.raises(InputError, match="No micrograph of broken could be picked"):
        make_pseudo_labels(folder, broken, teach(), THRESHOLDS, pictures=0)
    assert not (folder / "summary.json").exists()


def test_a_complete_folder_is_not_picked_again(pool: UnlabelledPool, folder: Path) -> None:
    spots = SpotTeacher()
    first = make_pseudo_labels(folder, pool, teach(spots), THRESHOLDS, pictures=0)
    assert make_pseudo_labels(folder, pool, teach(spots), THRESHOLDS, pictures=0) == first
    assert spots.n_predicted == 2


def test_damaged_summary(pool: UnlabelledPool, folder: Path) -> None:
    summary = make_pseudo_labels(folder, pool, teach(), THRESHOLDS, pictures=0)
    (folder / "summary.json").write_text('{"n_micro')
    with pytest.raises(InputError, match=r"summary\.json is damaged \(.*\): put it back, or remove it: the"):
        make_pseudo_labels(folder, pool, teach(), THRESHOLDS, pictures=0)
    (folder / "summary.json").unlink()
    assert make_pseudo_labels(folder, pool, teach(), THRESHOLDS, pictures=0) == summary


def test_an_interrupted_folder_goes_on_where_it_stopped(
    pool: UnlabelledPool, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = make_pseudo_labels(tmp_path / "whole", pool, teach(), THRESHOLDS, pictures=1)
    spots = SpotTeacher()
    with monkeypatch.context() as patch:
        patch.setattr(spots, "answer", stop_at_second(spots))
        with pytest.raises(KeyboardInterrupt):
            make_pseudo_labels(folder, pool, teach(spots), THRESHOLDS, pictures=1)
    assert not (folder / "summary.json").exists()
    (folder / "mics/a_positive.star").unlink()  # a kill may come before a file is written
    assert make_pseudo_labels(folder, pool, teach(spots), THRESHOLDS, pictures=1) == whole
    assert spots.n_predicted == 2  # each readable micrograph once
    for name in ("mics/a_positive.star", "mics/a_ignored.star", "mics/b_ignored.star"):
        assert (folder / name).read_text() == (tmp_path / "whole" / name).read_text()


def test_another_teacher_picks_anew(pool: UnlabelledPool, folder: Path) -> None:
    make_pseudo_labels(folder, pool, teach(), THRESHOLDS, pictures=0)
    (folder / "summary.json").unlink()  # as an interruption leaves it
    spots = SpotTeacher()
    make_pseudo_labels(folder, pool, replace(teach(spots), weights_digest="other"), THRESHOLDS, pictures=0)
    assert spots.n_predicted == 2


def test_nothing_reaches_the_positive_threshold(pool: UnlabelledPool, folder: Path) -> None:
    summary = make_pseudo_labels(folder, pool, teach(), Thresholds(0.95, 0.25), pictures=0)
    assert summary == PseudoLabelSummary(0, 0, 0)
    assert open_pseudo_labels(folder, pool, 0.0).micrographs == []


def test_list_whose_images_are_elsewhere(tmp_path: Path) -> None:
    write_micrographs(tmp_path / "list.star", [Micrograph("gone/a.mrc", OpticsGroup(1, "one", 5.0))])
    with pytest.raises(InputError, match=r"None of the 1 unlabelled micrographs of .*list\.star is there"):
        open_pool(tmp_path / "list.star", DIAMETER)


def test_labelled_micrographs_are_refused(pool: UnlabelledPool, tmp_path: Path) -> None:
    original = tmp_path / "mics/a.mrc"
    (tmp_path / "other").mkdir()
    copy, namesake, link = tmp_path / "other/a.mrc", tmp_path / "other/b.mrc", tmp_path / "other/link.mrc"
    shutil.copy(original, copy)
    write_image(namesake, draw_spots({SURE: 0.3}), PIXEL_SIZE)
    link.symlink_to(original)
    for labelled in (original, copy, link):
        with pytest.raises(InputError, match=r"The unlabelled micrograph .*a\.mrc is a labelled one"):
            refuse_labelled_micrographs([pool], [labelled])
    refuse_labelled_micrographs([pool], [namesake])  # the same name alone says nothing
