"""Whole files or none."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from relion_attn_picker.replacing import copy_file, replace_file, replacing


def write_half(path: Path, *, through_links: bool = False) -> None:
    with replacing(path, through_links=through_links) as partial:
        partial.write_text("half", encoding="utf-8")
        raise RuntimeError("stopped in the middle")


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_file_is_written_beside_and_renamed(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    path.write_text("old", encoding="utf-8")
    with replacing(path) as partial:
        partial.write_text("new", encoding="utf-8")
        assert partial.parent == tmp_path
        assert path.read_text(encoding="utf-8") == "old"
    assert path.read_text(encoding="utf-8") == "new"
    assert names_in(tmp_path) == ["file.txt"]


@pytest.mark.parametrize("through_links", [False, True])
def test_failure_keeps_the_old_file_and_leaves_nothing_else(tmp_path: Path, through_links: bool) -> None:
    path = tmp_path / "file.txt"
    path.write_text("old", encoding="utf-8")
    with pytest.raises(RuntimeError, match="stopped in the middle"):
        write_half(path, through_links=through_links)
    assert path.read_text(encoding="utf-8") == "old"
    assert names_in(tmp_path) == ["file.txt"]


def test_failed_rename_leaves_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "file.txt").mkdir()
    with pytest.raises(IsADirectoryError):
        replace_file(tmp_path / "file.txt", "new")
    assert names_in(tmp_path) == ["file.txt"]


def test_what_a_kill_left_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "file.txt.partial").write_text("a longer text than the new one", encoding="utf-8")
    replace_file(tmp_path / "file.txt", "new")
    assert (tmp_path / "file.txt").read_text(encoding="utf-8") == "new"
    assert names_in(tmp_path) == ["file.txt"]


def test_first_error_is_told(tmp_path: Path) -> None:
    """Not that of removing what could not even be opened."""
    (tmp_path / "file.txt.partial").mkdir()
    with pytest.raises(IsADirectoryError) as caught:
        replace_file(tmp_path / "file.txt", "new")
    assert caught.traceback[-1].name == "open"


def test_interrupt_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(self: Path, target: Path) -> None:
        raise KeyboardInterrupt

    path = tmp_path / "file.txt"
    path.write_text("old", encoding="utf-8")
    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        replace_file(path, "new")
    assert path.read_text(encoding="utf-8") == "old"
    assert names_in(tmp_path) == ["file.txt"]


def test_rights_are_those_of_a_new_file(tmp_path: Path) -> None:
    (tmp_path / "old.txt").touch(mode=0o600)
    before = os.umask(0o027)
    try:
        for name in ("new.txt", "old.txt"):
            replace_file(tmp_path / name, "new")
        copy_file(tmp_path / "new.txt", tmp_path / "copy.txt")
    finally:
        os.umask(before)
    assert {(tmp_path / name).stat().st_mode & 0o777 for name in names_in(tmp_path)} == {0o640}


def test_link_gives_way_and_what_it_led_to_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "other.txt").write_text("other", encoding="utf-8")
    (tmp_path / "link.txt").symlink_to("other.txt")
    replace_file(tmp_path / "link.txt", "new")
    assert not (tmp_path / "link.txt").is_symlink()
    assert (tmp_path / "link.txt").read_text(encoding="utf-8") == "new"
    assert (tmp_path / "other.txt").read_text(encoding="utf-8") == "other"


@pytest.mark.parametrize("is_there", [True, False])
def test_link_is_followed_on_demand(tmp_path: Path, is_there: bool) -> None:
    (tmp_path / "folder").mkdir()
    if is_there:
        (tmp_path / "folder/other.txt").write_text("other", encoding="utf-8")
    (tmp_path / "link.txt").symlink_to("folder/other.txt")
    replace_file(tmp_path / "link.txt", "new", through_links=True)
    assert (tmp_path / "link.txt").is_symlink()
    assert (tmp_path / "folder/other.txt").read_text(encoding="utf-8") == "new"
    assert names_in(tmp_path / "folder") == ["other.txt"]


def test_pipe_is_written_at_once_on_demand(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link.txt").symlink_to("pipe")
    with os.fdopen(os.open(tmp_path / "pipe", os.O_RDWR), "rb", buffering=0) as pipe:
        replace_file(tmp_path / "link.txt", "new", through_links=True)
        assert pipe.read(3) == b"new"
    assert (tmp_path / "link.txt").is_symlink()
    assert (tmp_path / "pipe").is_fifo()


def test_text_keeps_its_line_ends(tmp_path: Path) -> None:
    replace_file(tmp_path / "file.txt", "größe\n")
    assert (tmp_path / "file.txt").read_bytes() == "größe\n".encode()
