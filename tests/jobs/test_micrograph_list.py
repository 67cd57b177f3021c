"""From what a user types to a list of micrographs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from relion_attn_picker.errors import InputError
from relion_attn_picker.io.mrc import write_image
from relion_attn_picker.jobs.micrograph_list import find_project_dir, list_micrographs, warn_of_enlargement
from relion_attn_picker.micrograph import Micrograph, OpticsGroup
from relion_attn_picker.relion.micrographs import read_micrographs


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with two images of different pixel size in ``mics`` and a folder ``out``."""
    monkeypatch.chdir(tmp_path)
    for name, pixel_size in (("mics/a.mrc", 1.2345678), ("mics/b.mrc", 2.0)):
        Path(name).parent.mkdir(exist_ok=True)
        write_image(tmp_path / name, np.arange(12, dtype=np.float32).reshape(3, 4), pixel_size)
    (tmp_path / "out").mkdir()
    return tmp_path


def test_one_optics_group_for_each_pixel_size(folder: Path) -> None:
    listed = list_micrographs(["mics/*.mrc", "./mics/a.mrc"], None, Path("out"))
    assert [(m.name, m.optics.index, m.optics.pixel_size) for m in listed.micrographs] == [
        ("mics/a.mrc", 1, 1.2346),
        ("mics/b.mrc", 2, 2.0),
    ]
    assert (listed.project_dir, listed.star_path) == (Path(), "out/micrographs.star")


def test_written_list_says_the_same(folder: Path) -> None:
    listed = list_micrographs(["mics/*.mrc"], None, Path("out"))
    again = read_micrographs(Path(listed.star_path))
    assert [(m.name, m.optics.index, m.optics.pixel_size) for m in again] == [
        (m.name, m.optics.index, m.optics.pixel_size) for m in listed.micrographs
    ]


def test_given_pixel_size_needs_no_header(folder: Path) -> None:
    Path("mics/b.mrc").write_bytes(b"")
    listed = list_micrographs(["mics/a.mrc", "mics/b.mrc"], 3.0, Path("out"))
    assert {m.optics.pixel_size for m in listed.micrographs} == {3.0}


def test_symbolic_link_keeps_its_name(folder: Path) -> None:
    Path("link.mrc").symlink_to("mics/a.mrc")
    assert list_micrographs(["link.mrc"], None, Path("out")).micrographs[0].name == "link.mrc"


def test_same_name_in_two_folders_is_told_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    here = folder / "here/mics"
    here.mkdir(parents=True)
    (here / "a.mrc").write_bytes((folder / "mics/a.mrc").read_bytes())
    (here / "b.mrc").write_bytes((folder / "mics/a.mrc").read_bytes())
    monkeypatch.chdir(folder / "here")
    assert find_project_dir(Path("../m.star"), ["mics/a.mrc"]) == Path()  # a copy: it does not matter which
    assert (
        find_project_dir(Path("m.star"), ["mics/b.mrc"]) == Path()
    )  # the current folder's own list, but for the parent
    assert caplog.text == ""
    for _ in range(2):
        assert find_project_dir(Path("../m.star"), ["mics/b.mrc"]) == Path()
    (message,) = caplog.messages
    assert message == (
        f"mics/b.mrc of ../m.star is there twice, and the files differ: that of the current folder {folder / 'here'} "
        f"is taken, not that of {folder}; to take the latter, run there, or list whole paths."
    )


def test_same_names_in_two_folders_are_compared_all(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Files of one size, such as those of one camera, that differ only in the middle or at the end."""
    names = [f"mics/{number}.mrc" for number in range(4)]
    (folder / "here/mics").mkdir(parents=True)
    for name in names:
        (folder / name).write_bytes(bytes(50_000))
        (folder / "here" / name).write_bytes(bytes(50_000))
    monkeypatch.chdir(folder / "here")
    assert find_project_dir(Path("../list.star"), names) == Path()
    assert caplog.text == ""
    for place, name in ((25_500, names[2]), (49_999, names[1])):
        content = bytearray(50_000)
        content[place] = 1
        (folder / "session" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "session" / name).write_bytes(content)
        (folder / "session" / names[0]).write_bytes(bytes(50_000))
        assert find_project_dir(Path(f"../session/{name[5]}.star"), names) == Path()
        assert caplog.messages[-1].startswith(f"{name} of ../session/{name[5]}.star is there twice, and the files")
    assert len(caplog.messages) == 2


def test_star_file_beside_images(folder: Path) -> None:
    with pytest.raises(InputError, match="one STAR file, or MRC files only"):
        list_micrographs(["mics/a.mrc", "x.star"], None, Path("out"))


def test_names_are_found_above_the_star_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """RELION's lists lie in job folders of the project; people call from anywhere."""
    star = folder / "CtfFind" / "job003" / "micrographs_ctf.star"
    assert find_project_dir(star.relative_to(folder), ["mics/a.mrc"]) == Path()
    monkeypatch.chdir("/")
    assert find_project_dir(star, ["mics/a.mrc"]) == folder
    assert find_project_dir(star, ["nowhere.mrc"]) == Path()


def test_names_are_found_although_the_first_was_removed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    list_micrographs(["mics/*.mrc"], None, Path("out"))
    Path("mics/a.mrc").unlink()
    (folder / "elsewhere").mkdir()
    monkeypatch.chdir(folder / "elsewhere")
    listed = list_micrographs(["../out/micrographs.star"], None, Path())
    assert [(listed.project_dir / each.name).exists() for each in listed.micrographs] == [False, True]


def test_damaged_image_stays_listed(folder: Path) -> None:
    Path("mics/a.mrc").write_bytes(b"")
    listed = list_micrographs(["mics/*.mrc"], None, Path("out"))
    assert [(m.name, m.optics.pixel_size) for m in listed.micrographs] == [("mics/a.mrc", 2.0), ("mics/b.mrc", 2.0)]


def test_only_damaged_images(folder: Path) -> None:
    for name in ("mics/a.mrc", "mics/b.mrc"):
        Path(name).write_bytes(b"")
    with pytest.raises(InputError, match=r"mics/a\.mrc is empty"):
        list_micrographs(["mics/*.mrc"], None, Path("out"))


@pytest.mark.parametrize("ending", ["_noDW", "_DW", "_PS", "_EVN", "_doseweighted"])
def test_several_images_of_one_movie(folder: Path, caplog: pytest.LogCaptureFixture, ending: str) -> None:
    """A pattern over a MotionCorr job takes the images without dose weighting, and the power spectra, as well."""
    plain, derived = f"mics/one{ending}.movie.mrc", f"mics/one{ending}.movie{ending}.mrc"
    for name in (plain, derived):
        write_image(folder / name, np.arange(12, dtype=np.float32).reshape(3, 4), 2.0)
    for _ in range(2):
        assert len(list_micrographs(["mics/*.mrc"], None, Path("out")).micrographs) == 4
    assert caplog.text.count(f"{derived} stands beside {plain}") == 1


def test_images_that_are_only_named_so(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_image(folder / "mics/alone_DW.mrc", np.arange(12, dtype=np.float32).reshape(3, 4), 2.0)
    list_micrographs(["mics/*.mrc"], None, Path("out"))
    assert "stands beside" not in caplog.text


@pytest.mark.parametrize(("particle_diameter", "warns"), [(47.0, True), (49.0, False)])
def test_micrographs_that_are_much_enlarged(
    particle_diameter: float, warns: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """Of 2 and 4 Å per pixel the second counts, and a particle of 48 Å has half of the network's 24 pixels there."""
    micrographs = [Micrograph(f"{size}.mrc", OpticsGroup(1, "opticsGroup1", size)) for size in (2.0, 4.0)]
    warn_of_enlargement(micrographs, particle_diameter, 24.0)
    assert len(caplog.messages) == warns
    if warns:
        assert caplog.messages[0].startswith("A particle of 47 Å has only 11.8 pixels of 4 Å: the micrographs are")


def test_no_micrographs_are_not_enlarged(caplog: pytest.LogCaptureFixture) -> None:
    warn_of_enlargement([], 100.0, 24.0)
    assert not caplog.messages
