"""``attnpick attention`` from the command line: its files read back, and bad input told in one sentence."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import mrcfile
import numpy as np
import pytest
from matplotlib.image import imread

from relion_attn_picker.cli import group
from relion_attn_picker.cli._plain_command import run_plain_command
from relion_attn_picker.io.mrc import write_image
from relion_attn_picker.jobs.attention.job import name_outputs
from relion_attn_picker.jobs.attention.truth import open_truth, read_junk
from relion_attn_picker.micrograph import Micrograph, OpticsGroup
from relion_attn_picker.relion.job_files import write_coordinate_index, write_truth
from relion_attn_picker.relion.micrographs import read_micrographs, write_micrographs

SHAPE = (300, 400)
PIXEL_SIZE = 4.0
LEVELS = ("level_1", "level_2", "level_3", "level_4")
NAMES = ("Micrographs/a.mrc", "Micrographs/b.mrc")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two micrographs with three dark discs each, their truth, a junk mask and an ignored particle of each."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(3)
    y, x = np.ogrid[: SHAPE[0], : SHAPE[1]]
    for folder in ("Micrographs", "Junk"):
        (tmp_path / folder).mkdir()
    for name in NAMES:
        stem = Path(name).stem
        centres = np.array([[60, 80], [150, 300], [240, 120]]) + rng.uniform(-9, 9, (3, 2))
        image = rng.normal(0, 0.3, SHAPE)
        for cy, cx in centres:
            image -= 3 * np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / (2 * 6.0**2))
        write_image(tmp_path / name, image.astype(np.float32), PIXEL_SIZE)
        write_truth(tmp_path / f"{stem}_truth.star", centres.astype(np.float32))
        write_truth(tmp_path / f"{stem}_ignored.star", np.array([[20.0, 380.0]], dtype=np.float32))
        mask = np.zeros((150, 200), dtype=np.int8)
        mask[110:, 150:] = 1
        write_image(tmp_path / f"Junk/{stem}_junk.mrc", mask, 2 * PIXEL_SIZE)
    for kind in ("truth", "ignored"):
        write_coordinate_index(tmp_path / f"{kind}.star", NAMES, [f"{Path(name).stem}_{kind}.star" for name in NAMES])
    group_ = OpticsGroup(1, "opticsGroup1", PIXEL_SIZE)
    write_micrographs(tmp_path / "micrographs.star", [Micrograph(name, group_) for name in NAMES])
    return tmp_path


@pytest.fixture
def attend(project: Path, tiny_checkpoint: Path):
    def run(*arguments: str, weights: Path = tiny_checkpoint, diameter: float = 100) -> int:
        given = ["--diameter", str(diameter), "--weights", str(weights), "--out", "out", "--gpu", "cpu", "--j", "1"]
        return run_plain_command(group, ["attention", *arguments, *given])

    return run


def test_maps_pictures_and_attributes_of_a_list(attend, project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert attend("micrographs.star", "--count", "2") == 0
    assert "a.mrc: mean α of level_1 0.50, level_2 0.50, level_3 0.50, level_4 0.50" in capsys.readouterr().out
    with h5py.File(project / "out/attention.h5") as file:
        assert list(file) == ["a", "b"]
        assert len(file.attrs["weights_sha256"]) == 64
        assert "origin_yx + spacing" in file.attrs["relation"]
        place = file["b"]
        assert place.attrs["micrograph"] == "Micrographs/b.mrc"
        assert tuple(place.attrs["micrograph_shape_yx"]) == SHAPE
        for level, name in enumerate(LEVELS):
            values = place[name]
            spacing = 2**level * float(place["level_1"].attrs["spacing"])
            assert values.attrs["spacing"] == pytest.approx(spacing)
            assert values.attrs["pixel_size"] == pytest.approx(PIXEL_SIZE * spacing)
            assert values.shape == tuple(-(-length // 2**level) for length in place["level_1"].shape)
    for stem in "ab":
        assert imread(project / f"out/{stem}_attention.png").shape[1] > 1500
    assert not (project / "out/attention.md").exists()


def test_micrograph_that_cannot_be_read_is_left_out(attend, project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / NAMES[0]).write_bytes(b"torn")
    assert attend("micrographs.star", "--count", "2", "--truth", "truth.star") == 0
    told = capsys.readouterr()
    assert told.err.startswith(f"WARNING: {NAMES[0]} is left out: ")
    assert "b.mrc: mean α" in told.out
    with h5py.File(project / "out/attention.h5") as file:
        assert list(file) == ["b"]
    assert json.loads((project / "out/attention.json").read_text())["settings"]["micrographs"] == 1


def test_no_micrograph_can_be_read(attend, project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in NAMES:
        (project / name).write_bytes(b"torn")
    assert attend("micrographs.star", "--count", "2") == 1
    assert (
        "ERROR: None of the 2 micrographs could be looked at; the first: Micrographs/a.mrc" in capsys.readouterr().err
    )
    assert list((project / "out").iterdir()) == []


def test_no_micrograph_of_the_truth_can_be_read(attend, project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_coordinate_index(project / "truth.star", NAMES[:1], ["a_truth.star"])
    (project / NAMES[0]).write_bytes(b"torn")
    assert attend("micrographs.star", "--count", "2", "--truth", "truth.star") == 1
    assert "ERROR: None of the micrographs in truth.star could be looked at; the first: " in capsys.readouterr().err


def test_mrc_files_cover_the_micrograph_or_the_window(attend, project: Path) -> None:
    assert attend("Micrographs/a.mrc") == 0
    for name in LEVELS:
        with mrcfile.open(project / f"out/a_{name}.mrc") as mrc:
            size = float(mrc.voxel_size.x)
            covered = np.array(mrc.data.shape) * size
            assert (
                (covered >= np.array(SHAPE) * PIXEL_SIZE - 1e-2) & (covered < np.array(SHAPE) * PIXEL_SIZE + size)
            ).all()
            np.testing.assert_allclose(mrc.data, 0.5)
    assert attend("Micrographs/a.mrc", "--window", "210", "40", "150", "90") == 0
    with mrcfile.open(project / "out/a_level_2.mrc") as mrc:
        assert (float(mrc.header.origin.x), float(mrc.header.origin.y)) == (210 * PIXEL_SIZE, 40 * PIXEL_SIZE)
        assert mrc.data.shape[1] * float(mrc.voxel_size.x) == pytest.approx(
            150 * PIXEL_SIZE, abs=float(mrc.voxel_size.x)
        )


def test_check_against_a_truth_uses_the_junk_beside_it(
    attend, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert attend("micrographs.star", "--count", "2", "--truth", "truth.star") == 0
    out = capsys.readouterr().out
    assert "level_4: against background, there is no difference that matters; against junk, there is no" in out
    record = json.loads((project / "out/attention.json").read_text())
    figures = record["levels"][0]["figures"]
    assert figures["inside"]["value"] == figures["junk"]["value"] == 0.5
    assert figures["auc_background"] == {"value": 0.5, "interval": [None, None], "n_micrographs": 2}
    assert list(record["micrographs"]) == list(NAMES)
    assert "attnpick" in record["settings"]["command"]
    assert "| level_1, pixels of d/" in (project / "out/attention.md").read_text()
    assert imread(project / "out/attention_check.png").shape[1] > 1000


@pytest.mark.parametrize("junk", [None, "elsewhere/Junk"])
def test_ignored_particles_beside_the_truth_count_without_junk_there(project: Path, junk: str | None) -> None:
    (project / "elsewhere").mkdir()
    (project / "Junk").rename(project / "elsewhere/Junk")
    micrographs = read_micrographs(project / "micrographs.star")
    truth = open_truth(project / "truth.star", None if junk is None else Path(junk), micrographs, project)
    known = truth.read(micrographs[0], SHAPE)
    assert known is not None
    np.testing.assert_allclose(known.ignored_yx, [[20.0, 380.0]])
    assert (known.junk is None) == (junk is None)


def test_ignored_particles_beside_the_junk(project: Path) -> None:
    (project / "elsewhere").mkdir()
    for path in ("Junk", "ignored.star"):
        (project / path).rename(project / "elsewhere" / path)
    micrographs = read_micrographs(project / "micrographs.star")
    truth = open_truth(project / "truth.star", project / "elsewhere/Junk", micrographs, project)
    assert truth.ignored is not None


def test_one_micrograph_is_told_to_be_too_few(attend, project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert attend(str(project / "Micrographs/b.mrc"), "--truth", "truth.star") == 0  # found by its file's name
    out = capsys.readouterr().out
    assert "One micrograph gives no intervals, and no verdict: several are needed (--count 5 or more)." in out
    json.loads((project / "out/attention.json").read_text())


def test_truth_without_a_particle(attend, project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_truth(project / "a_truth.star", np.empty((0, 2), dtype=np.float32))
    assert attend("micrographs.star", "--truth", "truth.star") == 0
    assert "level_1: nothing to compare, no micrograph has both particles and" in capsys.readouterr().out
    assert "inside" not in json.loads((project / "out/attention.json").read_text())["levels"][0]["figures"]


def test_micrograph_without_junk_is_counted_out(attend, project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_image(project / "Junk/b_junk.mrc", np.zeros((150, 200), dtype=np.int8), 2 * PIXEL_SIZE)
    assert attend("micrographs.star", "--count", "2", "--truth", "truth.star") == 0
    out = capsys.readouterr().out
    assert "Only 1 of 2 micrographs have pixels on junk at level_4." in out
    assert "against junk, one micrograph cannot tell" in out


@pytest.fixture
def error_of(attend, capsys: pytest.CaptureFixture[str]):
    """Run the command, which shall fail by the user's mistake, and return what it says."""

    def run(*arguments: str, **choices) -> str:  # type: ignore[no-untyped-def]
        capsys.readouterr()
        assert attend(*arguments, **choices) == 1
        err = capsys.readouterr().err
        assert "Traceback" not in err
        return err

    return run


def test_window_outside(error_of) -> None:
    error = error_of("micrographs.star", "--window", "300", "0", "101", "100")
    assert "does not lie within Micrographs/a.mrc, which has 400×300 pixels" in error


def test_no_pixel_size(attend, error_of, project: Path) -> None:
    with mrcfile.mmap(project / NAMES[0], mode="r+") as mrc:
        mrc.voxel_size = 0
    assert "a.mrc has no pixel size in its header: give --pixel_size" in error_of(NAMES[0])
    assert attend(NAMES[0], "--pixel-size", "4") == 0


def test_truth_of_other_micrographs(error_of, project: Path) -> None:
    write_coordinate_index(project / "truth.star", ["Micrographs/c.mrc"], ["c_truth.star"])
    error = error_of("micrographs.star", "--count", "2", "--truth", "truth.star")
    assert "truth.star lists no coordinates for Micrographs/a.mrc and the 1 other micrographs: give the truth" in error


def test_truth_of_one_of_two_micrographs(attend, project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_coordinate_index(project / "truth.star", NAMES[:1], ["a_truth.star"])
    assert attend("micrographs.star", "--count", "2", "--truth", "truth.star") == 0
    assert "does not list 1 of 2 micrographs: the check is without" in capsys.readouterr().err


def test_diameter_larger_than_the_image(error_of) -> None:
    assert "does not fit an image of 1200 Å" in error_of("micrographs.star", diameter=1000)


def test_network_without_gates(error_of, tiny_pair: dict[str, Path]) -> None:
    error = error_of("micrographs.star", weights=tiny_pair["standard"])
    assert "holds the network 'standard', which has no attention gates to look at: give weights" in error


def test_junk_masks_that_do_not_fit(error_of, project: Path) -> None:
    write_image(project / "Junk/a_junk.mrc", np.ones((70, 200), dtype=np.int8), 8.0)
    error = error_of("micrographs.star", "--truth", "truth.star")
    assert "a_junk.mrc has 200×70 pixels, which cannot cover the 400×300 of Micrographs/a.mrc" in error


def test_truth_without_names_is_for_one_micrograph(attend, error_of) -> None:
    assert attend(NAMES[0], "--truth", "a_truth.star") == 0
    error = error_of("micrographs.star", "--count", "2", "--truth", "a_truth.star")
    assert "are those of one micrograph without a name, and there are 2" in error


@pytest.mark.parametrize("factor", [116, 117, 120])
def test_factor_of_a_junk_mask_comes_from_its_pixel_size(project: Path, factor: int) -> None:
    """Blocks of 116 and of 117 pixels give masks of the same shape."""
    shape = (35 * 116 + 100, 35 * 116 + 90)
    write_image(
        project / "Junk/a_junk.mrc",
        np.ones([-(-length // factor) for length in shape], dtype=np.int8),
        PIXEL_SIZE * factor,
    )
    micrograph = Micrograph(NAMES[0], OpticsGroup(1, "opticsGroup1", PIXEL_SIZE))
    assert read_junk(project / "Junk", micrograph, shape).factor == factor


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--count", "0"], "The number of micrographs is 0: expected 1 or more."),
        (["--junk", "Junk"], "--junk is for the check of the gates: give --truth too."),
        (["--truth", "truth.star", "--junk", "nowhere"], "There is no folder nowhere"),
        (["--pixel-size", "0"], "The pixel size is 0"),
    ],
)
def test_options_that_cannot_be_meant(error_of, arguments: list[str], sentence: str) -> None:
    assert sentence in error_of("micrographs.star", *arguments)


def test_help_says_what_comes_out(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_plain_command(group, ["attention", "--help"]) == 0
    out = capsys.readouterr().out
    assert "attention.h5" in out
    assert "X Y W H" in out


@pytest.mark.parametrize(
    ("names", "outputs"),
    [
        (["m/a.mrc", "m/b.mrc"], ["a", "b"]),
        (["m/a.mrc", "n/a.mrc"], ["m_a", "n_a"]),
        (["m/a.mrc", "m/a.mrcs", "m/b.mrc"], ["m_a", "m_a_2", "m_b"]),
        (["m/n_a.mrc", "m_n/a.mrc", "o/a.mrc"], ["m_n_a", "m_n_a_2", "o_a"]),
    ],
)
def test_no_two_micrographs_write_one_file(names: list[str], outputs: list[str]) -> None:
    assert name_outputs(names) == outputs


def test_micrographs_of_one_name_in_two_folders(attend, project: Path) -> None:
    (project / "Other").mkdir()
    (project / "Other/a.mrc").write_bytes((project / NAMES[0]).read_bytes())
    optics = OpticsGroup(1, "opticsGroup1", PIXEL_SIZE)
    write_micrographs(project / "two.star", [Micrograph(name, optics) for name in (NAMES[0], "Other/a.mrc")])
    assert attend("two.star", "--count", "2") == 0
    assert sorted(path.name for path in (project / "out").glob("*.png")) == [
        "Micrographs_a_attention.png",
        "Other_a_attention.png",
    ]
