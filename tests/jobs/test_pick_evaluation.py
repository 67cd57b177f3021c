"""Scoring files of coordinates, whoever wrote them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from relion_attn_picker.errors import InputError
from relion_attn_picker.inference.operating_point import Expectation, OperatingPoint
from relion_attn_picker.io.mrc import write_image
from relion_attn_picker.jobs.pick_evaluation import evaluate_files
from relion_attn_picker.jobs.saved_options import describe_point, read_point
from relion_attn_picker.report.evaluation import format_evaluation

HEAD = "data_particles\n\nloop_\n_rlnCoordinateX #1\n_rlnCoordinateY #2\n_rlnMicrographName #3\n"
SINGLE_HEAD = "data_\n\nloop_\n_rlnCoordinateX #1\n_rlnCoordinateY #2\n"


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Four picks and three true centres: two of each belong together, at 2 Å per pixel and 100 Å diameter."""
    monkeypatch.chdir(tmp_path)
    picks, truth = Path("picks.star"), Path("truth.star")
    picks.write_text(HEAD + "100 100 a.mrc\n300 100 a.mrc\n500 100 a.mrc\n100 100 b.mrc\n")
    truth.write_text(HEAD + "110 100 a.mrc\n300 124 a.mrc\n100 300 b.mrc\n")
    return picks, truth


def test_two_particles_files(files: tuple[Path, Path]) -> None:
    scores = evaluate_files(*files, 100, pixel_size=2.0).headline.pooled
    assert scores.precision == pytest.approx(2 / 4)
    assert scores.recall == pytest.approx(2 / 3)


def test_picks_on_what_is_ignored_count_neither_way(files: tuple[Path, Path]) -> None:
    before = evaluate_files(*files, 100, pixel_size=2.0)
    assert before.n_ignored is None
    Path("ignored.star").write_text(HEAD + "510 100 a.mrc\n300 110 a.mrc\n")
    evaluation = evaluate_files(*files, 100, pixel_size=2.0)
    scores = evaluation.headline.pooled
    assert (scores.n_predicted, scores.n_matched, scores.n_true, evaluation.n_ignored) == (3, 2, 3, 1)
    assert scores.recall == before.headline.pooled.recall
    assert "ignored             1 on what ignored.star lists: neither right nor wrong" in format_evaluation(evaluation)
    assert evaluation.to_dict()["n_ignored"] == 1


def test_ignored_points_themselves_as_the_reference(files: tuple[Path, Path]) -> None:
    truth = files[1].rename("ignored.star")
    assert evaluate_files(files[0], truth, 100, pixel_size=2.0).n_ignored is None


def test_twice_the_pixel_size_halves_the_radius_in_pixels(files: tuple[Path, Path]) -> None:
    scores = evaluate_files(*files, 100, pixel_size=4.0).headline.pooled
    assert scores.precision == pytest.approx(1 / 4)


def test_coordinates_of_one_micrograph(files: tuple[Path, Path]) -> None:
    Path("one.star").write_text(SINGLE_HEAD + "10 20\n")
    Path("two.star").write_text(SINGLE_HEAD + "10 21\n100 100\n")
    assert evaluate_files(
        Path("one.star"), Path("two.star"), 100, pixel_size=1.0
    ).headline.pooled.recall == pytest.approx(0.5)


@pytest.mark.parametrize("single", [0, 1])
def test_coordinates_of_one_micrograph_against_several(files: tuple[Path, Path], single: int) -> None:
    files[single].write_text(SINGLE_HEAD + "10 20\n")
    with pytest.raises(InputError, match="of one micrograph without its name, but there are 2 micrographs"):
        evaluate_files(*files, 100, pixel_size=1.0)


def test_threshold_that_is_no_number(files: tuple[Path, Path]) -> None:
    with pytest.raises(InputError, match="The threshold is nan"):
        evaluate_files(*files, 100, pixel_size=1.0, threshold=float("nan"))


def test_pixel_size_missing(files: tuple[Path, Path]) -> None:
    with pytest.raises(InputError, match=r"The pixel size of a.mrc is not known: give --pixel_size, or --micrographs"):
        evaluate_files(*files, 100)


def test_no_micrograph_in_common(files: tuple[Path, Path]) -> None:
    files[0].write_text(HEAD + "1 1 other/a.mrc\n")
    with pytest.raises(InputError, match="None of the 2 micrographs is listed in the picks"):
        evaluate_files(*files, 100, pixel_size=1.0)


def test_absent_file(files: tuple[Path, Path]) -> None:
    with pytest.raises(InputError, match=r"no coordinates at nowhere\.star"):
        evaluate_files(Path("nowhere.star"), files[1], 100, pixel_size=1.0)


LIST = """data_optics

loop_
_rlnOpticsGroup #1
_rlnMicrographPixelSize #2
1 2.0

data_micrographs

loop_
_rlnMicrographName #1
_rlnOpticsGroup #2
a.mrc 1
b.mrc 1
"""


def test_last_micrographs_of_the_list_alone(files: tuple[Path, Path]) -> None:
    Path("list.star").write_text(LIST)
    everything = evaluate_files(*files, 100, micrographs_star=Path("list.star"))
    assert [row.name for row in everything.micrographs] == ["a.mrc", "b.mrc"]
    last = evaluate_files(*files, 100, micrographs_star=Path("list.star"), last=1)
    assert [row.name for row in last.micrographs] == ["b.mrc"]
    assert last.headline.pooled.n_true == 1


def test_list_of_other_micrographs(files: tuple[Path, Path]) -> None:
    Path("list.star").write_text(LIST.replace("a.mrc", "other/a.mrc").replace("b.mrc", "other/b.mrc"))
    with pytest.raises(InputError, match="None of the 2 micrographs is listed in the reference coordinates"):
        evaluate_files(*files, 100, micrographs_star=Path("list.star"))


def test_last_without_a_list(files: tuple[Path, Path]) -> None:
    with pytest.raises(InputError, match="--last 2 needs a list of micrographs"):
        evaluate_files(*files, 100, pixel_size=1.0, last=2)


def test_picks_that_are_upside_down(files: tuple[Path, Path]) -> None:
    """The image's own height, 400, not the extent of the coordinates, is what they are mirrored in."""
    rng = np.random.default_rng(0)
    for name in ("a.mrc", "b.mrc"):
        write_image(Path(name), rng.normal(size=(400, 600)).astype(np.float32), 2.0)
    true = {name: rng.uniform([5, 0], [350, 599], (60, 2)).round(1) for name in ("a.mrc", "b.mrc")}
    rows = [(name, y, x) for name, yx in true.items() for y, x in yx.tolist()]
    files[0].write_text(HEAD + "".join(f"{x} {399 - y} {name}\n" for name, y, x in rows))
    files[1].write_text(HEAD + "".join(f"{x} {y} {name}\n" for name, y, x in rows))
    check = evaluate_files(*files, 20, pixel_size=2.0).orientation
    assert check is not None
    assert check.frame_is_known
    assert check.better == "y flipped"
    assert check.f1["y flipped"] == pytest.approx(1)


def test_orientation_without_images(files: tuple[Path, Path]) -> None:
    check = evaluate_files(*files, 100, pixel_size=2.0).orientation
    assert check is not None
    assert not check.frame_is_known


def test_what_nothing_promises_is_saved_as_plain_json() -> None:
    """A cut that leaves no picks promises no precision: NaN is not JSON."""
    point = OperatingPoint(0.5, "raised", None, Expectation(float("nan"), 0.0))
    saved = json.loads(json.dumps(describe_point(point), allow_nan=False))
    assert read_point(saved) == OperatingPoint(0.5, "raised")


def test_picks_that_are_not_scored_are_told(files: tuple[Path, Path], caplog: pytest.LogCaptureFixture) -> None:
    """A list of particles cannot tell micrographs without any from those that nobody labelled."""
    files[1].write_text(HEAD + "110 100 a.mrc\n300 124 a.mrc\n")
    Path("list.star").write_text(LIST)
    evaluate_files(*files, 100, micrographs_star=Path("list.star"))
    assert "1 picks on 1 micrographs that the reference coordinates do not list are not scored" in caplog.text
    caplog.clear()
    evaluate_files(files[1], files[0], 100, micrographs_star=Path("list.star"))
    assert "If they were picked and nothing was found, the recall is lower than what is told" in caplog.text


def test_one_unnamed_micrograph_has_the_pixel_size_of_a_list_of_one(files: tuple[Path, Path]) -> None:
    Path("one.star").write_text(SINGLE_HEAD + "100 100\n")
    Path("two.star").write_text(SINGLE_HEAD + "100 120\n")
    Path("list.star").write_text(LIST.replace("b.mrc 1\n", ""))
    for diameter, recall in ((81, 1.0), (79, 0.0)):  # 20 pixels of 2 Å are half of 80 Å
        evaluation = evaluate_files(Path("one.star"), Path("two.star"), diameter, micrographs_star=Path("list.star"))
        assert evaluation.headline.pooled.recall == recall


@pytest.mark.parametrize("count", [30, 60])
def test_labels_that_stop_before_the_edges_are_told_of_many_micrographs(
    files: tuple[Path, Path], count: int, rng: np.random.Generator
) -> None:
    names = [f"{number}.mrc" for number in range(count)]
    for name in names:
        write_image(Path(name), np.zeros((100, 100), dtype=np.float32), 2.0)
    inner = "".join(f"{x:.1f} {y:.1f} {name}\n" for name in names for x, y in rng.uniform(25, 75, (8, 2)))
    beyond = "".join(f"{x:.1f} 5 {name}\n" for name in names for x in rng.uniform(5, 95, 3))
    files[0].write_text(HEAD + inner + beyond)
    files[1].write_text(HEAD + inner)
    evaluation = evaluate_files(*files, 30, pixel_size=2.0)
    assert evaluation.edges is not None
    assert evaluation.edges.n_wrong == 3 * count


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("with_list", [True, False])
def test_coordinates_of_another_pixel_size(files: tuple[Path, Path], place: int, with_list: bool) -> None:
    """Particles on binned micrographs, whose file tells their pixel size, are neither picks nor truth of these."""
    optics = "data_optics\n\nloop_\n_rlnOpticsGroup #1\n_rlnMicrographPixelSize #2\n1 4.0\n\n"
    files[place].write_text(optics + files[place].read_text().replace("data_", "data_particles"))
    Path("list.star").write_text(LIST)
    size = {"micrographs_star": Path("list.star")} if with_list else {"pixel_size": 2.0}
    with pytest.raises(InputError, match=rf"{files[place]} are pixels of 4 Å, but a.mrc has 2 Å: attnpick convert"):
        evaluate_files(*files, 100, **size)
