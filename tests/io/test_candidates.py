"""The store of candidates survives kills."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest

from relion_attn_picker.io.candidates import CandidateRecord, CandidateStore


def record(name: str, count: int = 3, n_picks: int = 2) -> CandidateRecord:
    rng = np.random.default_rng(count)
    return CandidateRecord(
        name,
        "a",
        "b",
        (480, 640),
        n_picks,
        0.5 if n_picks else math.nan,
        rng.uniform(0, 480, (count, 2)).astype(np.float32),
        np.sort(rng.random(count).astype(np.float32))[::-1],
    )


def test_round_trip_through_a_new_process(tmp_path: Path) -> None:
    path = tmp_path / "candidates.jsonl"
    store = CandidateStore(path)
    for name, count in (("raw/ü 1.mrc", 3), ("b.mrc", 0)):
        store.append(record(name, count, n_picks=min(count, 2)))
    again = CandidateStore(path)
    read, expected = again.read("raw/ü 1.mrc"), record("raw/ü 1.mrc", 3)
    assert read is not None
    np.testing.assert_allclose(read.yx, expected.yx, atol=0.006)
    np.testing.assert_allclose(read.score, expected.score, atol=6e-5)
    assert (read.image_shape, read.n_picks, read.found_with) == ((480, 640), 2, "a")
    empty = again.read("b.mrc")
    assert empty is not None
    assert empty.yx.shape == (0, 2)
    assert math.isnan(empty.mean_score)
    assert again.read("c.mrc") is None


def test_details_of_the_candidates_come_back_by_name(tmp_path: Path) -> None:
    details = {"attention": np.array([0.9, 0.5, 0.1], dtype=np.float32), "junk": np.array([0, 2, 0], dtype=np.float32)}
    written = dataclasses.replace(record("a.mrc"), details=details)
    CandidateStore(tmp_path / "candidates.jsonl").append(written)
    read = CandidateStore(tmp_path / "candidates.jsonl").read("a.mrc")
    assert read is not None
    assert list(read.details) == ["attention", "junk"]
    for name, values in details.items():
        np.testing.assert_allclose(read.details[name], values, atol=6e-5)
    np.testing.assert_allclose(read.score, written.score, atol=6e-5)


def test_candidates_inside_the_border() -> None:
    near = np.array([[99.0, 300.0], [100.0, 300.0], [200.0, 640.0 - 1 - 100]], dtype=np.float32)
    whole = dataclasses.replace(record("a.mrc", 3), yx=near)
    assert whole.inside(100.0).score.tolist() == whole.score[1:].tolist()
    assert whole.inside(0.0).score.tolist() == whole.score.tolist()


def test_candidates_without_those_that_have_a_reason_against_them() -> None:
    """A micrograph that was never judged keeps all of its candidates."""
    judged = dataclasses.replace(record("a.mrc"), details={"junk": np.array([0, 2, 0], dtype=np.float32)})
    assert judged.without_junk().yx.tolist() == judged.yx[[0, 2]].tolist()
    assert judged.without_junk().details["junk"].tolist() == [0, 0]
    assert record("a.mrc").without_junk().score.tolist() == record("a.mrc").score.tolist()


def test_other_scores_change_the_order() -> None:
    """Everything that is known of a candidate goes with it; equal scores stay in their order."""
    first = dataclasses.replace(record("a.mrc", 4), details={"core": np.arange(4, dtype=np.float32)})
    changed = first.with_scores(np.array([0.2, 0.7, 0.2, 0.9], dtype=np.float32))
    assert changed.details["core"].tolist() == [3, 1, 0, 2]
    assert changed.yx.tolist() == first.yx[[3, 1, 0, 2]].tolist()
    np.testing.assert_allclose(changed.score, [0.9, 0.7, 0.2, 0.2])


def test_last_line_of_a_micrograph_counts(tmp_path: Path) -> None:
    store = CandidateStore(tmp_path / "candidates.jsonl")
    store.append(record("a.mrc", 5))
    store.append(record("a.mrc", 1, n_picks=1))
    for each in (store, CandidateStore(tmp_path / "candidates.jsonl")):
        read = each.read("a.mrc")
        assert read is not None
        assert len(read.score) == 1


def test_torn_last_line_is_as_if_never_written(tmp_path: Path) -> None:
    path = tmp_path / "candidates.jsonl"
    store = CandidateStore(path)
    store.append(record("a.mrc"))
    complete = path.stat().st_size
    store.append(record("b.mrc"))
    for size in range(complete + 1, path.stat().st_size - 1, 7):
        torn = tmp_path / "torn.jsonl"
        torn.write_bytes(path.read_bytes()[:size])
        survivor = CandidateStore(torn)
        assert survivor.read("a.mrc") is not None
        assert survivor.read("b.mrc") is None
        survivor.append(record("c.mrc"))
        assert CandidateStore(torn).read("c.mrc") is not None
        assert CandidateStore(torn).read("a.mrc") is not None


def test_forgotten_micrograph_is_as_if_never_done(tmp_path: Path) -> None:
    path = tmp_path / "candidates.jsonl"
    store = CandidateStore(path)
    store.forget("a.mrc")
    assert not path.exists()
    store.append(record("a.mrc"))
    store.append(record("b.mrc"))
    store.note_selection(record("a.mrc", n_picks=1))
    store.forget("a.mrc")
    for each in (store, CandidateStore(path)):
        assert ("a.mrc" in each, "b.mrc" in each, each.read("a.mrc")) == (False, True, None)
    store.append(record("a.mrc"))
    assert CandidateStore(path).read("a.mrc") is not None


def test_summary_is_the_record_without_its_candidates(tmp_path: Path) -> None:
    path = tmp_path / "candidates.jsonl"
    store = CandidateStore(path)
    judged = {"junk": np.array([0, 2, 1], dtype=np.float32)}
    stamped = dataclasses.replace(record("a.mrc"), details=judged, image_time=1.5, image_size=7, image_digest="d")
    store.append(stamped)
    store.append(record("b.mrc", n_picks=0))
    store.note_selection(dataclasses.replace(record("a.mrc", n_picks=1), selected_with="c"))
    store.note_selection(record("not done.mrc"))
    for each in (store, CandidateStore(path)):
        summary, read = each.summary("a.mrc"), each.read("a.mrc")
        assert summary is not None
        assert read is not None
        assert summary.selected_with == "c"
        assert summary.highest_junk == pytest.approx(read.score[1])
        for field in dataclasses.fields(summary):
            if field.name != "highest_junk":
                assert getattr(summary, field.name) == getattr(read, field.name)
        empty = each.summary("b.mrc")
        assert empty is not None
        assert math.isnan(empty.mean_score)
        assert empty.highest_junk is None
        assert each.summary("not done.mrc") is None
    store.forget("a.mrc")
    assert store.summary("a.mrc") is None
