"""STAR tables: what the text looks like, what reading keeps, and that a file is never half-written."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from relion_attn_picker.errors import InputError
from relion_attn_picker.relion.star import format_table, format_value, read_tables, write_table

PLAIN = ["a.mrc", "12", "a'b.mrc", "été.mrc", "a_b$c.mrc", "my_data_1.mrc"]
QUOTED = [
    "a b",
    "",
    "a#b",
    "#a",
    "data_2024/a.mrc",
    "Loop_1.mrc",
    "_a",
    "'a'",
    "$a",
    "[1]",
    ";a",
    "tab\there",
    "a\u3000b",
]


@pytest.mark.parametrize("text", PLAIN)
def test_plain_word_is_written_as_it_is(text: str) -> None:
    assert format_value(text) == text


@pytest.mark.parametrize("text", QUOTED)
def test_other_text_is_put_into_double_quotes(text: str) -> None:
    assert format_value(text) == f'"{text}"'


def test_numbers() -> None:
    assert (format_value(3), format_value(0.0694684), format_value(1e-9)) == ("3", "0.069468", "0.000000")


@pytest.mark.parametrize("text", ['a"b', "a\nb", "a\rb", "a\u2028b", os.fsdecode(b"gr\xfcn.mrc")])
def test_text_that_star_cannot_hold(text: str) -> None:
    with pytest.raises(InputError, match="cannot be written into a STAR file: rename it without quotes"):
        format_value(text)


def test_empty_table_ends_in_a_blank_line() -> None:
    """Without it RELION reads a phantom particle."""
    assert format_table("", {"rlnCoordinateX": []}) == "\n# version 30001\n\ndata_\n\nloop_ \n_rlnCoordinateX #1 \n \n"


def test_columns_of_different_length_are_our_bug() -> None:
    with pytest.raises(ValueError, match="shorter"):
        format_table("", {"rlnCoordinateX": [1.0, 2.0], "rlnCoordinateY": [1.0]})


def test_failed_write_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "t.star"
    path.write_text("old")
    with pytest.raises(InputError):
        write_table(path, "", {"rlnMicrographName": ["good", 'b"ad']})
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_block_of_single_values_is_one_row(tmp_path: Path) -> None:
    (tmp_path / "t.star").write_text("data_general\n\n_rlnPixelSize 1.5\n_rlnMicrographName 0012\n")
    table = read_tables(tmp_path / "t.star")["general"]
    assert table.to_dict("list") == {"rlnPixelSize": [1.5], "rlnMicrographName": ["0012"]}


def test_comments_and_missing_label_numbers(tmp_path: Path) -> None:
    text = "# made by 'hand' with a#b data_x\ndata_\n\nloop_\n_rlnMicrographName\n_rlnOpticsGroup\na.mrc 1 # one\n"
    (tmp_path / "t.star").write_text(text)
    assert read_tables(tmp_path / "t.star")[""].to_numpy().tolist() == [["a.mrc", 1]]


def test_file_is_read_anew_after_it_was_mended(tmp_path: Path) -> None:
    path = tmp_path / "t.star"
    path.write_text("data_\n\nloop_\n_rlnMicrographName #1\na.mrc 5 6\nb.mrc 7\n")
    with pytest.raises(InputError, match="cannot be read as a STAR file"):
        read_tables(path)
    path.write_text("data_\n\nloop_\n_rlnMicrographName #1\nc.mrc\n")
    assert read_tables(path)[""]["rlnMicrographName"].tolist() == ["c.mrc"]
