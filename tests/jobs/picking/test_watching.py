"""Watching a session: what is complete is picked once, what is being written is left, and the end is told."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

import mrcfile
import numpy as np
import pytest

from relion_attn_picker.errors import InputError, JobAborted, UndecidedError
from relion_attn_picker.io.mrc import write_image
from relion_attn_picker.jobs.micrograph_list import ListedMicrographs
from relion_attn_picker.jobs.picking.watching import SETTLED_SECONDS, GrowingList, WatchOptions, watch
from relion_attn_picker.micrograph import Micrograph, OpticsGroup
from relion_attn_picker.relion.micrographs import write_micrographs

STAR = Path("micrographs.star")


class Session:
    """Notes what it is given."""

    def __init__(self) -> None:
        self.rounds: list[list[str]] = []
        self.forgotten: list[list[str]] = []

    def forget(self, names: Sequence[str]) -> None:
        self.forgotten.append(list(names))

    def pick(self, micrographs: Sequence[Micrograph]) -> None:
        self.rounds.append([micrograph.name for micrograph in micrographs])


@pytest.fixture(autouse=True)
def _project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write(name: str, age: float = 2 * SETTLED_SECONDS) -> None:
    """Write a micrograph whose last change was ``age`` seconds ago."""
    write_image(Path(name), np.zeros((64, 70), np.float32), 2.0)
    changed = time.time() - age
    os.utime(name, (changed, changed))


def forget_pixel_size(name: str) -> None:
    with mrcfile.open(name, "r+") as file:
        file.header.cella = (0, 0, 0)
    os.utime(name, (1, 1))


def list_in_star(*names: str) -> None:
    write_micrographs(STAR, [Micrograph(name, OpticsGroup(1, "one", 2.0)) for name in names])


def run(inputs: Sequence[str], events: Sequence[object], idle: float = 2.0) -> Session:
    """Watch; before the n-th wait of a second, the n-th event is called."""
    session = Session()
    happening = iter(events)

    def sleep(seconds: float) -> None:
        event = next(happening, None)
        if event is not None:
            event()  # type: ignore[operator]

    options = WatchOptions(every=1.0, idle=idle)
    watch(GrowingList(inputs, None, Path()), lambda listed: session, options, lambda: False, sleep)
    return session


@pytest.mark.parametrize("inputs", [["micrographs.star"], ["*.mrc"]])
def test_each_new_micrograph_starts_a_round(inputs: list[str]) -> None:
    write("a.mrc")
    list_in_star("a.mrc")

    def grow() -> None:
        write("b.mrc")
        list_in_star("a.mrc", "b.mrc")

    session = run(inputs, [None, grow])
    assert session.rounds == [["a.mrc"], ["a.mrc", "b.mrc"]]
    assert session.forgotten == [["a.mrc"], ["b.mrc"]]


def test_a_file_being_written_waits() -> None:
    write("a.mrc")
    list_in_star("a.mrc", "b.mrc", "absent.mrc")

    def append() -> None:
        with Path("b.mrc").open("ab") as file:
            file.write(b"0" * 100)

    session = run([str(STAR)], [append, append, append], idle=4)
    assert session.rounds == [["a.mrc"], ["a.mrc", "b.mrc"]]
    assert session.forgotten[1] == ["b.mrc"]


def test_a_file_that_was_written_again_is_looked_at_again() -> None:
    write("a.mrc", age=500)
    list_in_star("a.mrc")
    session = run([str(STAR)], [None, lambda: write("a.mrc", age=100)])
    assert session.forgotten == [["a.mrc"], ["a.mrc"]]


@pytest.mark.parametrize("inputs", [["micrographs.star"], ["*.mrc"]])
def test_a_list_that_is_not_there_yet(inputs: list[str], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")

    def begin() -> None:
        write("a.mrc")
        list_in_star("a.mrc")

    assert run(inputs, [None, begin], idle=5).rounds == [["a.mrc"]]
    assert len([record for record in caplog.records if record.message.startswith("Waiting: There is no")]) == 1


def test_what_an_earlier_session_picked_and_is_archived_stays_listed() -> None:
    write("new.mrc")
    list_in_star("old.mrc", "new.mrc", "never.mrc")
    session, options = Session(), WatchOptions(every=1.0, idle=1)
    growing = GrowingList([str(STAR)], None, Path(), {"old.mrc"})
    watch(growing, lambda listed: session, options, lambda: False, lambda seconds: None)
    assert session.rounds == [["old.mrc", "new.mrc"]]


def test_a_file_that_is_left_out_is_nothing_new() -> None:
    """It is none of the micrographs that are waited for, and no reason to wait longer."""
    for name in ("a.mrc", "gain.mrc"):
        write(name)
    forget_pixel_size("gain.mrc")
    session, waits = Session(), list[float]()
    options = WatchOptions(every=1.0, idle=3)
    watch(GrowingList(["*.mrc"], None, Path()), lambda _: session, options, lambda: False, waits.append, least=2)
    assert session.forgotten == [["a.mrc"]]
    assert len(waits) == 6  # three for the second micrograph, three for anything new after the first


def test_what_was_picked_and_then_archived_stays_listed() -> None:
    """As where the list is picked without watching: its coordinates are there, and its scores count."""
    for name in ("first.mrc", "old.mrc"):
        write(name)
    list_in_star("first.mrc", "old.mrc")

    def archive() -> None:
        Path("old.mrc").unlink()
        write("new.mrc")
        list_in_star("first.mrc", "old.mrc", "new.mrc")

    assert run([str(STAR)], [archive]).rounds == [["first.mrc", "old.mrc"], ["first.mrc", "old.mrc", "new.mrc"]]


def test_a_list_half_written_is_read_at_the_next_look() -> None:
    write("a.mrc")
    list_in_star("a.mrc")
    text = STAR.read_text()
    STAR.write_text(text[: text.index("_rlnMicrographName")])
    assert run([str(STAR)], [lambda: STAR.write_text(text)]).rounds == [["a.mrc"]]


def test_what_is_odd_about_a_list_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It is read again at every look."""
    write("a.mrc")
    list_in_star("a.mrc")
    star = tmp_path / STAR
    star.write_text(STAR.read_text().replace("_rlnMicrographPixelSize", "_rlnImagePixelSize"))
    assert run([str(star)], [None], idle=5).rounds == [["a.mrc"]]
    assert caplog.text.count("has no rlnMicrographPixelSize; rlnImagePixelSize is taken.") == 1


def test_nothing_comes() -> None:
    with pytest.raises(InputError, match=r"No complete micrograph came within 2 s: check the path"):
        run(["*.mrc"], [])


def test_stop_is_asked_for_while_waiting() -> None:
    options = WatchOptions(every=3600.0)
    asked = iter([False, False, True])
    with pytest.raises(JobAborted):
        watch(GrowingList(["*.mrc"], None, Path()), lambda _: Session(), options, lambda: next(asked), lambda _: None)


def test_a_damaged_image_holds_up_no_other() -> None:
    write("a.mrc")
    write("b.mrc")
    whole = Path("b.mrc").read_bytes()
    Path("b.mrc").write_bytes(whole[:3000])
    os.utime("b.mrc", (0, 0))
    session = run(["*.mrc"], [None, lambda: Path("b.mrc").write_bytes(whole)], idle=4.0)
    assert session.rounds == [["a.mrc", "b.mrc"]] * 2
    assert session.forgotten == [["a.mrc", "b.mrc"], ["b.mrc"]]


def test_header_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A long session must not read the headers of all its micrographs at each look."""
    from relion_attn_picker.jobs import micrograph_list

    read: list[str] = []
    real = micrograph_list.read_header
    monkeypatch.setattr(micrograph_list, "read_header", lambda path: (read.append(str(path)), real(path))[1])
    for name in ("a.mrc", "b.mrc"):
        write(name)
    run(["*.mrc"], [None, lambda: write("c.mrc")])
    assert read == ["a.mrc", "b.mrc", "c.mrc"]


@pytest.mark.parametrize(("every", "idle", "words"), [(0, None, "--watch is 0 s"), (1, -1, "--idle is -1 s")])
def test_bad_options(every: float, idle: float | None, words: str) -> None:
    with pytest.raises(InputError, match=words):
        WatchOptions(every=every, idle=idle)


@pytest.mark.parametrize("name", ["gain.mrc", "b\udce9.mrc"])
def test_a_file_that_cannot_be_listed_keeps_no_other_from_being_picked(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A gain reference without a pixel size, or a name that no STAR file can hold, matched by the pattern too."""
    write("a.mrc")

    def add() -> None:
        write(name)
        if name == "gain.mrc":
            forget_pixel_size(name)
        write("z.mrc")

    assert run(["*.mrc"], [add]).rounds == [["a.mrc"], ["a.mrc", "z.mrc"]]
    told = [record.message for record in caplog.records if record.message.startswith("Left out: ")]
    assert len(told) == 1
    assert ("gain.mrc has no pixel size" in told[0]) == (name == "gain.mrc")


def test_as_many_as_are_needed_are_waited_for() -> None:
    """For an estimate of the diameter; fewer have to do where no more come."""
    write("a.mrc")
    session = Session()
    events = iter([None, lambda: write("b.mrc"), None, lambda: write("c.mrc")])

    def sleep(seconds: float) -> None:
        event = next(events, None)
        if event is not None:
            event()

    def start(listed: ListedMicrographs) -> Session:
        return session

    options = WatchOptions(every=1.0, idle=3.0)
    watch(GrowingList(["*.mrc"], None, Path()), start, options, lambda: False, sleep, least=3)
    assert session.rounds == [["a.mrc", "b.mrc", "c.mrc"]]
    watch(GrowingList(["*.mrc"], None, Path()), start, options, lambda: False, lambda seconds: None, least=9)
    assert len(session.rounds) == 2


def test_a_list_that_went_bad_is_told_at_the_end(caplog: pytest.LogCaptureFixture) -> None:
    write("a.mrc")
    list_in_star("a.mrc")
    assert run([str(STAR)], [lambda: STAR.write_text("")]).rounds == [["a.mrc"]]
    assert "There may be more micrographs, but the list could not be read any more: " in caplog.text


def test_too_few_to_decide_by_wait_for_twice_as_many(caplog: pytest.LogCaptureFixture) -> None:
    """As where the first micrographs are empty, and the diameter is to be estimated."""
    session, tried = Session(), []
    numbers = iter(range(1, 20))

    def grow(seconds: float) -> None:
        if (number := next(numbers)) < 6:
            write(f"{number}.mrc")

    def start(listed: ListedMicrographs) -> Session:
        tried.append(len(listed.micrographs))
        if len(listed.micrographs) < 4:
            raise UndecidedError("Too few.")
        return session

    options = WatchOptions(every=1.0, idle=2.0)
    write("0.mrc")
    watch(GrowingList(["*.mrc"], None, Path()), start, options, lambda: False, grow)
    assert tried == [1, 2, 4]
    assert [len(each) for each in session.rounds] == [4, 5, 6]
    assert "Waiting until there are 4 micrographs: Too few." in caplog.text


def test_undecided_at_the_end_is_told() -> None:
    tried = []

    def start(listed: ListedMicrographs) -> Session:
        tried.append(len(listed.micrographs))
        raise UndecidedError("Too few.")

    write("0.mrc")
    options = WatchOptions(every=1.0, idle=2.0)
    with pytest.raises(UndecidedError, match="Too few"):
        watch(GrowingList(["*.mrc"], None, Path()), start, options, lambda: False, lambda seconds: None)
    assert tried == [1, 1]
