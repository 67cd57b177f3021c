"""What a library holds, leaves out, and how often it draws each kind."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from relion_attn_picker.errors import InputError
from relion_attn_picker.simulation.conditions import Conditions
from relion_attn_picker.simulation.library import (
    CLASS_SHARES,
    PROCEDURAL_DIAMETERS,
    Entry,
    FileLibrary,
    draw_probabilities,
    open_particle_library,
)
from relion_attn_picker.simulation.micrograph import simulate_micrograph

ROWS = [
    ("1AAA", "HUMAN APOFERRITIN", "protein", 480),
    ("2BBB", "A small, soluble enzyme", "protein", 50),
    ("3CCC", "Another small enzyme", "protein", 60),
    ("4DDD", "ion channel", "membrane", 200),
]


def write_beads(path: Path, length: float) -> None:
    path.parent.mkdir(exist_ok=True, parents=True)
    np.savez(path, x=np.array([[0, 0, 0], [1, 0, 0]]), unit=length, w=np.ones(2), sigma=1.0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number, (name, *_) in enumerate(ROWS, start=1):
        write_beads(tmp_path / "beads" / f"{name}.npz", 100.0 * number)
    write_beads(tmp_path / "beads" / "9ZZZ.npz", 900.0)
    lines = [f'{name},beads/{name}.npz,"{title}",{kind},{mass}' for name, title, kind, mass in ROWS]
    (tmp_path / "manifest.csv").write_text("\n".join(["id,file,name,cls,mass_kda", *lines, ""]))
    return tmp_path


def names(library: object) -> list[str]:
    assert isinstance(library, FileLibrary)
    return [entry.path.stem for entry in library.entries]


@pytest.mark.parametrize("inside", ["", "beads"])
def test_folder_with_its_manifest(folder: Path, inside: str, rng: np.random.Generator) -> None:
    library = open_particle_library(folder / inside)
    assert names(library) == ["1AAA", "2BBB", "3CCC", "4DDD", "9ZZZ"]
    assert "5 structures of" in library.description
    assert "(4 protein, 1 membrane)" in library.description
    drawn = Counter(library.draw(rng).name for _ in range(200))
    assert set(drawn) == set(names(library))


@pytest.mark.parametrize("word", ["ferritin", "FERRITIN", "1aaa", "1AAA.npz"])
def test_exclude(folder: Path, word: str, rng: np.random.Generator) -> None:
    library = open_particle_library(folder, exclude=[word])
    assert "1AAA" not in names(library)
    assert library.description.endswith("without 1AAA.npz")
    assert "1AAA" not in {library.draw(rng).name for _ in range(100)}


def test_include_then_exclude(folder: Path) -> None:
    library = open_particle_library(folder, include=["enzyme", "4DDD"], exclude=["another"])
    assert names(library) == ["2BBB", "4DDD"]
    assert "chosen by enzyme, 4DDD" in library.description


@pytest.mark.parametrize("words", [{"exclude": ["feritin"]}, {"include": ["enzyme", "feritin"]}])
def test_word_that_fits_nothing(folder: Path, words: dict[str, list[str]]) -> None:
    with pytest.raises(InputError, match="'feritin' fits no particle in"):
        open_particle_library(folder, **words)


def test_nothing_left(folder: Path) -> None:
    with pytest.raises(InputError, match=r"No particle of .* is left"):
        open_particle_library(folder, include=["ferritin"], exclude=["HUMAN"])


@pytest.mark.parametrize("files", [[], ["readme.txt"]])
def test_folder_without_particles(tmp_path: Path, files: list[str]) -> None:
    for name in files:
        (tmp_path / name).touch()
    with pytest.raises(InputError, match="holds no bead files, atomic models or maps"):
        open_particle_library(tmp_path)


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="There is no file or folder"):
        open_particle_library(tmp_path / "absent")


@pytest.mark.parametrize("text", ["", "id,file\n1,beads/1.npz\n", "file,name,cls,mass_kda\na,b,c,heavy\n"])
def test_bad_manifest(folder: Path, text: str) -> None:
    (folder / "manifest.csv").write_text(text)
    if text:
        with pytest.raises(InputError, match=r"manifest\.csv is no manifest of structures"):
            open_particle_library(folder)
    else:
        assert len(names(open_particle_library(folder))) == 5


def test_corrupt_file_is_named_when_it_is_drawn(tmp_path: Path, rng: np.random.Generator) -> None:
    (tmp_path / "a.npz").write_bytes(b"PK\x03\x04 cut short")
    with pytest.raises(InputError, match=r"a\.npz is not a file of scattering beads"):
        open_particle_library(tmp_path).draw(rng)


def test_classes_octaves_and_members_share() -> None:
    entries = [Entry(Path(str(n)), kind="protein", mass=50) for n in range(6)]
    entries += [Entry(Path("large"), kind="protein", mass=800), Entry(Path("channel"), kind="membrane", mass=100)]
    chance = draw_probabilities(entries)
    assert chance.sum() == pytest.approx(1)
    assert chance[7] / chance[:7].sum() == pytest.approx(CLASS_SHARES["membrane"] / CLASS_SHARES["protein"])
    assert chance[6] == pytest.approx(chance[:6].sum())
    np.testing.assert_allclose(chance[:6], chance[0])


def test_procedural_library(rng: np.random.Generator) -> None:
    library = open_particle_library(None)
    assert library.description == "procedural particles of 57 to 600 Å"
    diameters = [library.draw(rng).diameter for _ in range(40)]
    assert min(diameters) >= PROCEDURAL_DIAMETERS[0]
    assert max(diameters) <= PROCEDURAL_DIAMETERS[1]
    assert np.median(diameters) == pytest.approx(185, rel=0.35)  # √(57 · 600)
    with pytest.raises(InputError, match="procedural ones have no names"):
        open_particle_library(None, exclude=["ferritin"])


@pytest.mark.parametrize("name", ["3J6R", "3HTN"])
def test_the_largest_and_the_smallest_structure_can_be_simulated(
    shared_data: Path, name: str, rng: np.random.Generator
) -> None:
    library = open_particle_library(shared_data / "structures", include=[name])
    particle = library.draw(rng)
    pixel_size = particle.diameter / 24
    seen = simulate_micrograph(particle, (160, 160), pixel_size, Conditions(coverage=0.3), rng)
    assert len(seen.yx) > 2
    assert np.isfinite(seen.image).all()


def test_leaving_out_a_protein_leaves_none_of_it(shared_data: Path) -> None:
    everything = open_particle_library(shared_data / "structures")
    kept = open_particle_library(shared_data / "structures", exclude=["ferritin", "beta-galactosidase"])
    assert set(names(everything)) - set(names(kept)) == {"6Z6U", "4V1W", "1F4A_map"}
    shares = draw_probabilities(kept.entries)  # type: ignore[attr-defined]
    assert shares.max() < 0.05
