"""Folders for results: made where possible, refused in one sentence where not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from relion_attn_picker.errors import InputError
from relion_attn_picker.io import output_folder
from relion_attn_picker.io.folder_lock import hold_folder
from relion_attn_picker.io.output_folder import check_place, make_folder


def test_folder_is_made_with_its_parents_and_stays_empty(tmp_path: Path) -> None:
    for _ in range(2):
        make_folder(tmp_path / "a" / "b")
        assert list((tmp_path / "a" / "b").iterdir()) == []


@pytest.mark.parametrize("below", ["file", "file/x/y"])
def test_file_in_the_way(tmp_path: Path, below: str) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match=rf"^The folder {tmp_path / below} cannot be made or written to \("):
        make_folder(tmp_path / below)
    assert (tmp_path / "file").read_text() == "in the way"


@pytest.mark.parametrize("place", ["/proc", "/proc/x", "/proc/x/y"])
def test_file_system_without_room_for_ours(place: str) -> None:
    if not Path("/proc/self").is_dir():
        pytest.skip("no /proc on this system")
    refusal = rf"^The folder {place} cannot be made or written to \("
    with pytest.raises(InputError, match=refusal), hold_folder(Path(place)):
        pass


def test_folder_that_may_not_be_written_to(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    tmp_path.chmod(0o555)
    with pytest.raises(InputError, match=rf"^The folder {tmp_path} cannot be made or written to \(Permission denied\)"):
        make_folder(tmp_path)
    tmp_path.chmod(0o755)


@pytest.mark.parametrize("number", [1, 13, 30])
def test_refusal_of_the_system_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """EPERM, EACCES and EROFS, of which root and a usual file system give none."""
    monkeypatch.setattr(output_folder, "TemporaryFile", refuse_with(number))
    with pytest.raises(InputError, match=rf"{tmp_path} cannot be made or written to \({os.strerror(number)}\)"):
        make_folder(tmp_path)


def test_full_disk_is_left_to_whoever_writes_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output_folder, "TemporaryFile", refuse_with(28))
    make_folder(tmp_path / "new")
    assert (tmp_path / "new").is_dir()


def refuse_with(number: int) -> object:
    def refuse(**_: object) -> object:
        raise OSError(number, os.strerror(number))

    return refuse


def test_a_place_that_takes_no_folder_is_told_before_anything_is_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"out cannot be made or written to \(.*file is a file"):
        check_place(tmp_path / "file/out")
    check_place(tmp_path / "a/b")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
