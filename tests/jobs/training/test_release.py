"""Weights made small, with a card that tells what they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from relion_attn_picker.cli import group
from relion_attn_picker.cli._plain_command import run_plain_command
from relion_attn_picker.io.checkpoint import read_header
from relion_attn_picker.report.model_card import format_model_card
from tests.jobs.training.conftest import train


def test_release_writes_half_precision_and_a_card(
    project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(project, tmp_path / "run") == 0
    best, released = tmp_path / "run/best.safetensors", tmp_path / "released.safetensors"
    assert run_plain_command(group, ["model", "release", str(best), str(released)]) == 0
    assert released.stat().st_size < 0.6 * best.stat().st_size
    card = (tmp_path / "released.md").read_text()
    header = read_header(released)
    assert header == read_header(best)
    assert run_plain_command(group, ["model", "release", str(best.parent), str(released)]) == 0
    assert f"{header.trained_with['figures']['f1']:.3f}" in card
    assert card == format_model_card(header, _count(best))
    capsys.readouterr()
    assert run_plain_command(group, ["model", "show", str(released)]) == 0
    assert '"architecture": "attention"' in capsys.readouterr().out


def test_release_overwrites_nothing(tiny_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mine, other, notes = tmp_path / "mine.safetensors", tmp_path / "other.safetensors", tmp_path / "notes.md"
    mine.write_bytes(tiny_checkpoint.read_bytes())
    other.write_text("something else")
    notes.write_text("my notes")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    for out, sentence in (
        ("mine.safetensors", "mine.safetensors holds other weights, which would be overwritten: give another name"),
        ("other.safetensors", "other.safetensors is not a readable safetensors file"),
        ("notes.safetensors", "notes.md is not the card of these weights, and would be overwritten: move it away."),
        ("notes.md", "notes.md: expected a name that ends in .safetensors."),
        ("absent/new.safetensors", "absent to write new.safetensors to: make it, or give another."),
    ):
        assert run_plain_command(group, ["model", "release", str(mine), str(tmp_path / out)]) == 1
        assert sentence in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    new = ["model", "release", str(mine), str(tmp_path / "new.safetensors")]
    assert run_plain_command(group, new) == 0
    assert run_plain_command(group, new) == 0


def test_card_of_weights_trained_on_fields_made_anew(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--steps", "1", "--validate_every", "1", "--validate_simulated", "3", "--base_features", "8"]
    command = ["train", "--out", str(tmp_path / "run"), "--batch_size", "2", "--gpu", "cpu", "--j", "1", *options]
    assert run_plain_command(group, command) == 0
    best, released = tmp_path / "run/best.safetensors", tmp_path / "released.safetensors"
    assert run_plain_command(group, ["model", "release", str(best), str(released)]) == 0, capsys.readouterr().err
    assert "- simulation on the fly: (procedural particles" in (tmp_path / "released.md").read_text()


def _count(path: Path) -> int:
    from relion_attn_picker.models.builders import build_model

    return sum(parameter.numel() for parameter in build_model(read_header(path).spec).parameters())
