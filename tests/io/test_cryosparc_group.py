"""``.csg`` files against a whole YAML parser, and results that are spread over several files."""

from __future__ import annotations

import logging
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from relion_attn_picker.errors import InputError
from relion_attn_picker.io.cryosparc import make_table, write_cs
from relion_attn_picker.io.cryosparc_group import parse_group, read_result, write_group


def group_text(metafiles: dict[str, str], type_: str = "exposure") -> str:
    """Return a group as CryoSPARC writes it."""
    results = "".join(
        f"  {slot}:\n    metafile: '{name}'\n    num_items: 3\n    type: {type_}.{slot}\n"
        for slot, name in metafiles.items()
    )
    head = f"created: 2026-01-02 03:04:05.000006\ngroup:\n  description: ''\n  name: x\n  title: X\n  type: {type_}\n"
    return f"{head}results:\n{results}version: v4.5.3\n"


def as_text(tree: object) -> object:
    if isinstance(tree, dict):
        return {key: as_text(value) for key, value in tree.items()}
    return str(tree)


@pytest.mark.parametrize(
    "title",
    [
        "picks",
        "it's: 'odd' # not a comment",
        'with "quotes"',
        "long " * 40,
        "Ünïcode",
        "- dash",
        "true",
        "3",
        "> folded",
    ],
)
def test_yaml_reads_the_same(tmp_path: Path, title: str) -> None:
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")
    tree = {
        "group": {"title": title, "type": "particle"},
        "results": {"location": {"metafile": ">a b.cs", "num_items": 3}, "pick_stats": {"metafile": title}},
        "version": "v4.7.1",
    }
    path = tmp_path / "x.csg"
    for options in ({}, {"allow_unicode": True}, {"width": 30}):
        path.write_text(yaml.safe_dump(tree, **options), encoding="utf-8")
        assert as_text(parse_group(path)) == as_text(tree)
    created = datetime(2026, 1, 2, 3, 4, 5, 6)
    write_group(path, "a.cs", ["location"], 7, title=title, version="v5.0", created=created)
    written = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert written == {
        "created": created,
        "group": {"description": "Particle picks", "name": "particles", "title": title, "type": "particle"},
        "results": {"location": {"metafile": ">a.cs", "num_items": 7, "type": "particle.location"}},
        "version": "v5.0",
    }
    assert parse_group(path)["group"]["title"] == title


@pytest.fixture
def spread(tmp_path: Path) -> Path:
    """A job's output whose slots lie in two files; the passthrough file has its rows in another order."""
    own = {"uid": np.array([1, 2, 3], "u8"), "ctf/df1_A": np.array([10.0, 20.0, 30.0])}
    stale = {"mscope_params/cs_mm": np.full(3, 9.0)}
    other = {"uid": np.array([3, 1, 2], "u8"), "mscope_params/cs_mm": np.array([0.3, 0.1, 0.2])}
    write_cs(tmp_path / "J5_exposures.cs", make_table(own | stale))
    write_cs(tmp_path / "J5_passthrough_exposures.cs", make_table(other))
    files = {"ctf": ">J5_exposures.cs", "mscope_params": ">J5_passthrough_exposures.cs"}
    (tmp_path / "J5_exposures.csg").write_text(group_text(files))
    return tmp_path


def test_slots_come_from_the_files_that_the_group_names(spread: Path) -> None:
    result = read_result([spread / "J5_exposures.csg"])
    assert result.columns["uid"].tolist() == [1, 2, 3]
    assert result.columns["mscope_params/cs_mm"].tolist() == [0.1, 0.2, 0.3]
    assert result.columns["ctf/df1_A"].tolist() == [10, 20, 30]
    assert (result.folder, result.version) == (spread, "v4.5.3")


def test_tables_without_a_group(spread: Path) -> None:
    files = [spread / "J5_passthrough_exposures.cs", spread / "J5_exposures.cs"]
    assert read_result(files).columns["ctf/df1_A"].tolist() == [30, 10, 20]


def test_paths_below_the_project_folder(spread: Path) -> None:
    job = spread / "J7"
    job.mkdir()
    (job / "J7.csg").write_text(group_text({"ctf": "J5_exposures.cs"}))
    assert read_result([job / "J7.csg"]).columns["ctf/df1_A"].tolist() == [10, 20, 30]


def test_passthrough_file_is_missing(spread: Path) -> None:
    (spread / "J5_passthrough_exposures.cs").unlink()
    with pytest.raises(InputError, match=r"J5_passthrough_exposures\.cs, which is not there: copy the whole folder"):
        read_result([spread / "J5_exposures.csg"])


def test_rows_that_one_file_lacks(spread: Path, caplog: pytest.LogCaptureFixture) -> None:
    table = {"uid": np.array([2], "u8"), "mscope_params/cs_mm": np.array([0.2])}
    write_cs(spread / "J5_passthrough_exposures.cs", make_table(table))
    with caplog.at_level(logging.WARNING):
        assert read_result([spread / "J5_exposures.csg"]).columns["ctf/df1_A"].tolist() == [20]
    assert "2 of 3 rows are not in all files" in caplog.text
    table["uid"][:] = 9
    write_cs(spread / "J5_passthrough_exposures.cs", make_table(table))
    with pytest.raises(InputError, match="no uid in common"):
        read_result([spread / "J5_exposures.csg"])


def test_group_beside_tables(spread: Path) -> None:
    with pytest.raises(InputError, match="stands beside other files"):
        read_result([spread / "J5_exposures.cs", spread / "J5_exposures.csg"])


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "names no results"),
        ("results: none\n", "names no results"),
        ("results:\n  location:\n    num_items: 3\n", "names no metafile for location"),
        ("results:\n  - location\n", "line 2: '- location' is not 'name: value'"),
    ],
)
def test_texts_that_are_no_groups(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "x.csg").write_text(text)
    with pytest.raises(InputError, match=sentence):
        read_result([tmp_path / "x.csg"])


def test_binary_and_absent_group(tmp_path: Path) -> None:
    (tmp_path / "x.csg").write_bytes(b"\x93NUMPY\xff")
    with pytest.raises(InputError, match="is no text"):
        read_result([tmp_path / "x.csg"])
    with pytest.raises(InputError, match="cannot be read"):
        read_result([tmp_path / "y.csg"])
