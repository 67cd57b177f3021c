"""The miniature project is read back by what reads real projects."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
import pytest

from relion_attn_picker.errors import InputError
from relion_attn_picker.io.mrc import read_header, read_image
from relion_attn_picker.options import SimulationOptions
from relion_attn_picker.relion.coordinates import open_coordinates
from relion_attn_picker.relion.micrographs import read_micrographs
from relion_attn_picker.simulation import project
from relion_attn_picker.simulation.micrograph import SimulatedMicrograph
from relion_attn_picker.simulation.particles import PROTEIN_SCATTERING, BeadParticle, make_particle
from relion_attn_picker.simulation.project import SimulationProgress, coarsen_mask, round_counts, write_project
from tests.conftest import hold_elsewhere

SMALL = SimulationOptions(count=2, shape=(200, 240), pixel_size=4.0, seed=5)


def ball(radius: float = 60.0, count: int = 500) -> BeadParticle:
    rng = np.random.default_rng(0)
    points = rng.normal(size=(count, 3))
    points *= (radius * rng.random((count, 1)) ** (1 / 3)) / np.linalg.norm(points, axis=1, keepdims=True)
    weight = np.full(count, PROTEIN_SCATTERING * 4 / 3 * np.pi * radius**3 / count)
    return make_particle("ball", points, weight, 0.5)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def without_clock(files: dict[str, bytes]) -> dict[str, bytes]:
    """Return the files without the labels in MRC headers, which tell the time of writing."""
    return {name: data[:220] + data[1024:] if name.endswith(".mrc") else data for name, data in files.items()}


def test_project_round_trip(tmp_path: Path) -> None:
    write_project(tmp_path, ball(), SMALL, "by hand")
    micrographs = read_micrographs(tmp_path / "micrographs.star")
    truth, ignored = (open_coordinates(tmp_path / f"{name}.star", tmp_path) for name in ("truth", "ignored"))
    assert [m.name for m in micrographs] == ["Micrographs/mic0001.mrc", "Micrographs/mic0002.mrc"]
    records = [json.loads(line) for line in (tmp_path / "conditions.jsonl").read_text().splitlines()]
    for micrograph, record in zip(micrographs, records, strict=True):
        assert micrograph.optics.pixel_size == 4.0
        assert micrograph.ctf is not None
        assert record["micrograph"] == micrograph.name
        assert record["noise_gain"] > 0
        middle = (micrograph.ctf.defocus_u + micrograph.ctf.defocus_v) / 2
        assert middle == pytest.approx(record["conditions"]["defocus"], abs=0.01)
        assert read_image(tmp_path / micrograph.name).shape == (200, 240)
        for table, count in ((truth.read(micrograph.name), "particles"), (ignored.read(micrograph.name), "ignored")):
            assert table is not None
            assert len(table.yx) == record[count]
            assert (table.yx <= np.array([199.5, 239.5])).all()
    settings = json.loads((tmp_path / "simulation.json").read_text())
    assert settings["options"]["seed"] == 5
    assert settings["particle"] | {"name": "ball", "source": "by hand", "beads": 500} == settings["particle"]
    assert settings["version"]


def test_same_options_same_project(tmp_path: Path) -> None:
    for name in "ab":
        write_project(tmp_path / name, ball(), SMALL)
    write_project(tmp_path / "c", ball(), replace(SMALL, seed=6))
    first, again, other = (without_clock(contents(tmp_path / name)) for name in "abc")
    assert first == again
    assert first["Micrographs/mic0001.mrc"] != other["Micrographs/mic0001.mrc"]


def test_ignored_particles_and_junk_agree(tmp_path: Path) -> None:
    options = replace(SMALL, count=1, shape=(400, 400), dirt="heavy", coverage=(0.3, 0.3), seed=3)
    write_project(tmp_path, ball(), options)
    with mrcfile.open(tmp_path / "Junk/mic0001_junk.mrc") as mrc:
        junk = mrc.data
        assert junk.dtype == np.int8
        assert set(np.unique(junk)) == {0, 1}
        factor = round(float(mrc.voxel_size.x) / 4.0)
    assert junk.shape == tuple(-(-n // factor) for n in (400, 400))
    truth = open_coordinates(tmp_path / "truth.star", tmp_path).read("Micrographs/mic0001.mrc")
    ignored = open_coordinates(tmp_path / "ignored.star", tmp_path).read("Micrographs/mic0001.mrc")
    assert truth is not None
    assert ignored is not None
    assert len(ignored.yx) > 0
    share = [junk[tuple((table.yx // factor).astype(int).T)].mean() for table in (truth, ignored)]
    assert share[1] > share[0]


def test_mask_is_coarsened_to_any(rng: np.random.Generator) -> None:
    mask = rng.random((7, 10)) < 0.1
    coarse = coarsen_mask(mask, 3)
    assert coarse.shape == (3, 4)
    for (i, j), value in np.ndenumerate(coarse):
        assert value == mask[3 * i : 3 * i + 3, 3 * j : 3 * j + 3].any()
    np.testing.assert_array_equal(coarsen_mask(mask, 1), mask)


def test_whole_counts(tmp_path: Path) -> None:
    for name in ("float32", "int16"):
        write_project(tmp_path / name, ball(), replace(SMALL, count=1, pixel_type=name))
    paths = [tmp_path / name / "Micrographs/mic0001.mrc" for name in ("float32", "int16")]
    real, whole = (read_image(path) for path in paths)
    np.testing.assert_array_equal(np.rint(real), whole)
    assert paths[1].stat().st_size == 1024 + 2 * 200 * 240
    assert read_header(paths[1]).pixel_size == pytest.approx(4.0)


def test_hot_pixels_end_where_int16_does() -> None:
    image = np.full((100, 100), 2.6, np.float32)
    image[3, 4], image[5, 6] = 1e6, -1e6
    counts = round_counts(image)
    assert (counts[3, 4], counts[5, 6]) == (32767, -32768)
    assert np.count_nonzero(counts == 3) == image.size - 2


def test_counts_that_do_not_fit_into_int16() -> None:
    image = np.full((100, 100), 4e4, np.float32)
    image[:98] = 100
    with pytest.raises(
        InputError, match=r"2\.0% of the pixels of a micrograph do not fit into int16.*give --pixel_type"
    ):
        round_counts(image)


@pytest.mark.parametrize("options", [{"pixel_size": 20.0, "dose": 300.0}, {"pixel_size": 11.0, "dose": 500.0}])
def test_coarse_pixels_that_count_more_than_int16_holds(tmp_path: Path, options: dict[str, Any]) -> None:
    """All of them ended at the limit: the micrographs were constant, and taken for a success."""
    coarse = replace(SMALL, pixel_type="int16", **options)
    with pytest.raises(InputError, match=r"A pixel of \d+ Å counts \d+ electrons at \d+ e/Å², and int16 holds 32767"):
        write_project(tmp_path / "p", ball(), coarse)
    assert not (tmp_path / "p").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [({"dose": 33.0}, "dose"), ({"defocus": (12_000.0, 13_000.0)}, "defocus"), ({"snr": (0.2, 0.3)}, "snr")],
)
def test_chosen_conditions(tmp_path: Path, change: dict[str, object], message: str) -> None:
    options = replace(SMALL, shape=(128, 128), pixel_size=8.0, **change)  # type: ignore[arg-type]
    write_project(tmp_path, ball(), options)
    low, high = np.broadcast_to(change[message], 2)  # type: ignore[call-overload]
    for line in (tmp_path / "conditions.jsonl").read_text().splitlines():
        assert low <= json.loads(line)["conditions"][message] <= high


def test_empty_micrographs(tmp_path: Path) -> None:
    write_project(tmp_path, ball(), replace(SMALL, empty=1.0, dirt="none"))
    truth = open_coordinates(tmp_path / "truth.star", tmp_path)
    for name in ("Micrographs/mic0001.mrc", "Micrographs/mic0002.mrc"):
        table = truth.read(name)
        assert table is not None
        assert len(table.yx) == 0
        assert read_image(tmp_path / name).std() > 0


@pytest.mark.parametrize(
    ("radius", "pixel_size", "sentence"),
    [(150.0, 4.0, "is too large for a field of 400 Å"), (4.0, 4.0, "has fewer than 4 pixels of 4 Å across")],
)
def test_particle_that_does_not_fit(tmp_path: Path, radius: float, pixel_size: float, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        write_project(tmp_path, ball(radius), replace(SMALL, shape=(100, 120), pixel_size=pixel_size))
    assert list(tmp_path.iterdir()) == []


def test_existing_project_is_not_overwritten(tmp_path: Path) -> None:
    write_project(tmp_path, ball(), SMALL)
    before = contents(tmp_path)
    for options in (SMALL, replace(SMALL, seed=9)):
        with pytest.raises(InputError, match="holds a project already"):
            write_project(tmp_path, ball(), options)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("name", ["Micrographs/mic0001.mrc", "truth.star"])
def test_other_peoples_files_are_not_overwritten(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("precious")
    with pytest.raises(InputError, match="holds a project already"):
        write_project(tmp_path, ball(), SMALL)
    assert contents(tmp_path) == {name: b"precious"}


def stop_after_first(progress: SimulationProgress) -> None:
    if progress.number == 1:
        raise KeyboardInterrupt


def test_interrupted_project_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_project(tmp_path / "whole", ball(), SMALL)
    folder = tmp_path / "cut"
    with pytest.raises(KeyboardInterrupt):
        write_project(folder, ball(), SMALL, report=stop_after_first)
    assert not (folder / "micrographs.star").exists()
    with (folder / "conditions.jsonl").open("a") as log:
        log.write('{"micrograph": "Microgr')  # the line that was being written
    simulated = []
    original = project.simulate_micrograph
    monkeypatch.setattr(project, "simulate_micrograph", lambda *arguments: simulated.append(1) or original(*arguments))
    seen: list[SimulationProgress] = []
    write_project(folder, ball(), SMALL, report=seen.append)
    assert len(simulated) == 1
    assert [progress.was_there for progress in seen] == [True, False]
    assert without_clock(contents(folder)) == without_clock(contents(tmp_path / "whole"))


def test_micrograph_that_was_lost_is_made_again_with_one_record(tmp_path: Path) -> None:
    write_project(tmp_path / "whole", ball(), SMALL)
    shutil.copytree(tmp_path / "whole", tmp_path / "lost")
    for name in ("micrographs.star", "Micrographs/mic0002.mrc"):
        (tmp_path / "lost" / name).unlink()
    write_project(tmp_path / "lost", ball(), SMALL)
    assert without_clock(contents(tmp_path / "lost")) == without_clock(contents(tmp_path / "whole"))


@pytest.mark.parametrize(
    "line", [b"[1]", b"null", b'{"foo": 1}', b'{"micrograph": "Micrographs/mic0002.mrc"}', b"\xff"]
)
def test_line_that_is_no_record_counts_for_nothing(tmp_path: Path, line: bytes) -> None:
    with pytest.raises(KeyboardInterrupt):
        write_project(tmp_path, ball(), SMALL, report=stop_after_first)
    with (tmp_path / "conditions.jsonl").open("ab") as log:
        log.write(line + b"\n")
    seen: list[SimulationProgress] = []
    write_project(tmp_path, ball(), SMALL, report=seen.append)
    assert [progress.was_there for progress in seen] == [True, False]
    assert len((tmp_path / "conditions.jsonl").read_text().splitlines()) == 2


def test_project_is_made_on_the_device_that_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    places = []
    original = project.simulate_micrograph

    def simulate(*arguments: Any) -> SimulatedMicrograph:
        places.append(arguments[-1])
        return original(*arguments[:-1], "cpu")

    monkeypatch.setattr(project, "simulate_micrograph", simulate)
    write_project(tmp_path, ball(), SMALL, device="cuda:1")
    assert places == ["cuda:1", "cuda:1"]
    assert json.loads((tmp_path / "simulation.json").read_text())["made_on"] == "a GPU"


def test_folder_that_another_process_simulates_into(tmp_path: Path) -> None:
    with hold_elsewhere(tmp_path) as holder:
        with pytest.raises(InputError, match=f"is being worked in by process {holder.pid} on "):
            write_project(tmp_path, ball(), SMALL)
        assert [path.name for path in tmp_path.iterdir()] == [".attnpick.lock"]
        holder.communicate("")


def test_interrupted_project_of_other_options(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        write_project(tmp_path, ball(), SMALL, report=stop_after_first)
    before = contents(tmp_path)
    with pytest.raises(InputError, match=r"unfinished simulation of other options \(count was 2, now 3; diameter was"):
        write_project(tmp_path, ball(50.0), replace(SMALL, count=3))
    with pytest.raises(InputError, match=r"of other options \(made_on was a CPU, now a GPU\)"):
        write_project(tmp_path, ball(), SMALL, device="cuda:0")
    assert contents(tmp_path) == before
    (tmp_path / "simulation.json").write_text("{}")
    with pytest.raises(InputError, match="is not what attnpick simulate writes"):
        write_project(tmp_path, ball(), SMALL)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"count": 0}, "The number of micrographs is 0"),
        ({"shape": (10, 5000)}, "have 5000×10 pixels: expected 64 to 16384"),
        ({"pixel_size": 0.0}, "The pixel size is 0 Å: expected 0.1 to 20"),
        ({"pixel_size": float("nan")}, "The pixel size is nan"),
        ({"voltage": 3.0}, "The voltage is 3 kV"),
        ({"dose": 0.0}, "The dose is 0 e/Å²"),
        ({"defocus": (3e4, 1e4)}, "The defocus is 30000 to 10000 Å"),
        ({"snr": (0.0, 1.0)}, "The signal-to-noise ratio is 0 to 1: expected"),
        ({"coverage": (0.1, 1.5)}, "The coverage is 0.1 to 1.5 of the area"),
        ({"empty": 2.0}, "The share of empty micrographs is 2"),
        ({"dirt": "awful"}, "dirt is 'awful': expected one of none, usual, heavy"),
        ({"pixel_type": "int8"}, "pixel_type is 'int8': expected one of float32, int16"),
        ({"seed": -1}, "The seed is -1"),
    ],
)
def test_bad_options(change: dict[str, object], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        replace(SMALL, **change)  # type: ignore[arg-type]
