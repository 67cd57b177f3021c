"""Two processes in one folder: the second is refused, and nothing is left behind."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from relion_attn_picker.errors import InputError
from relion_attn_picker.io.folder_lock import hold_folder
from tests.conftest import hold_elsewhere


def test_second_process_is_refused_until_the_first_ends(tmp_path: Path) -> None:
    folder = tmp_path / "job"
    with hold_elsewhere(folder) as holder:
        with pytest.raises(InputError) as refusal, hold_folder(folder):
            pass
        assert str(refusal.value).startswith(f"{folder} is being worked in by process {holder.pid} on ")
        holder.communicate("")
    with hold_folder(folder):
        assert [path.name for path in folder.iterdir()] == [".attnpick.lock"]
    assert list(folder.iterdir()) == []


def test_process_of_another_user_is_waited_for_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its file may be read, and locked, but not written."""
    open_anything = os.open

    def open_what_may_be_read(path: str | Path, flags: int, *mode: int, **more: int | None) -> int:
        if flags & os.O_RDWR and Path(path).name == ".attnpick.lock":
            raise PermissionError(13, "Permission denied", str(path))
        return open_anything(path, flags, *mode, **more)

    with hold_elsewhere(tmp_path) as holder:
        monkeypatch.setattr("os.open", open_what_may_be_read)
        with pytest.raises(InputError, match=f"being worked in by process {holder.pid} on "), hold_folder(tmp_path):
            pass
        os.kill(holder.pid, signal.SIGKILL)
    with hold_folder(tmp_path):
        assert (tmp_path / ".attnpick.lock").read_text().startswith(f"process {holder.pid} on ")


def test_killed_process_leaves_the_folder_free(tmp_path: Path) -> None:
    with hold_elsewhere(tmp_path) as holder:
        os.kill(holder.pid, signal.SIGKILL)
    assert (tmp_path / ".attnpick.lock").exists()
    with hold_folder(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


def test_one_process_may_enter_again(tmp_path: Path) -> None:
    with hold_folder(tmp_path):
        with hold_folder(tmp_path / "." / ""):
            pass
        assert (tmp_path / ".attnpick.lock").exists()


def test_file_system_without_locks_refuses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(descriptor: int, operation: int) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr("fcntl.flock", refuse)
    with hold_folder(tmp_path):
        assert list(tmp_path.iterdir()) == []


def test_full_disk_is_left_to_whoever_works_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(descriptor: int, text: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.write", refuse)
    with hold_folder(tmp_path):
        assert [path.name for path in tmp_path.iterdir()] == [".attnpick.lock"]
    assert list(tmp_path.iterdir()) == []
