"""Picking while a microscope is still collecting: looking at a growing list again and again, picking what is new.

Within RELION this is what repeated Continue does; this is for sessions outside it. A file that is still being written
is left for a later look.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Container, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from relion_attn_picker.errors import InputError, UndecidedError, abort_if
from relion_attn_picker.io.mrc import read_header
from relion_attn_picker.jobs.micrograph_list import OWN_LIST, ListedMicrographs, expand, find_project_dir, list_images
from relion_attn_picker.micrograph import Micrograph
from relion_attn_picker.relion.micrographs import read_micrographs, write_micrographs
from relion_attn_picker.relion.star import format_value

log = logging.getLogger(__name__)

SETTLED_SECONDS: Final = 30.0
"""A file that has not changed for so long is complete at first sight; a younger one if it is the same at two looks."""

SLICE_SECONDS: Final = 1.0
"""How often a waiting session asks whether it is to stop."""

Stamp = tuple[int, int]

GONE: Final[Stamp] = (0, 0)
"""Of a file that was gone before this session began."""


@dataclass(frozen=True, kw_only=True)
class WatchOptions:
    """Look again after ``every`` seconds; end when nothing new came for ``idle`` seconds, ``None``: never."""

    every: float
    idle: float | None = None

    def __post_init__(self) -> None:
        if not 0 < self.every < float("inf"):
            raise InputError(f"--watch is {self.every:g} s: expected more than 0, such as 60.")
        if self.idle is not None and not self.idle >= 0:
            raise InputError(f"--idle is {self.idle:g} s: expected 0 or more, such as 3600.")


class Session(Protocol):
    """What picks the micrographs; see ``jobs.picking.session.PickingSession``."""

    def forget(self, names: Sequence[str]) -> None:
        """Let these be picked anew if they failed."""

    def pick(self, micrographs: Sequence[Micrograph]) -> None:
        """Pick those of a list that are not done."""


class GrowingList:
    """The complete micrographs of a STAR file, of MRC files and of patterns, at each look.

    Parameters
    ----------
    inputs, pixel_size, out
        As for ``micrograph_list.list_micrographs``.
    picked
        Names of micrographs that were picked before: those of a list stay in it where their files are gone.
    """

    def __init__(self, inputs: Sequence[str], pixel_size: float | None, out: Path, picked: Container[str] = ()) -> None:
        self._inputs, self._pixel_size, self._out, self._picked = inputs, pixel_size, out, picked
        self._seen: dict[str, Stamp] = {}
        self._settled: dict[str, Stamp] = {}
        self._known_sizes: dict[str, float] = {}
        self._left_out: set[str] = set()
        self._reason = ""
        self._failure: str | None = None

    @property
    def stamps(self) -> dict[str, Stamp]:
        """Of each complete micrograph what changes when its file does."""
        return self._settled

    def look(self) -> ListedMicrographs | None:
        """Return the micrographs that are there and complete; ``None``, and a line that says why, without any."""
        self._failure = None
        try:
            listed = self._look()
        except InputError as error:  # not there yet, or half written: the next look may find it
            self._failure = str(error)
            self._say(f"Waiting: {error}")
            return None
        if not listed.micrographs:
            self._say("Waiting for the first complete micrograph.")
            return None
        return listed

    def tell_failure(self) -> None:
        """Warn at the end if the latest look failed."""
        if self._failure is not None:
            log.warning("There may be more micrographs, but the list could not be read any more: %s", self._failure)

    def _say(self, reason: str) -> None:
        if reason != self._reason:
            log.info("%s", reason)
        self._reason = reason

    def _look(self) -> ListedMicrographs:
        if len(self._inputs) == 1 and self._inputs[0].endswith(".star"):
            star = Path(self._inputs[0])
            everything = read_micrographs(star, self._pixel_size)
            names = [micrograph.name for micrograph in everything]
            project_dir = find_project_dir(star, names)
            complete = self._keep_settled(names, project_dir)
            return ListedMicrographs([each for each in everything if each.name in complete], project_dir, str(star))
        complete = self._keep_settled(expand(self._inputs), Path())
        names = [name for name in complete if self._can_be_listed(name)] or list(complete)
        micrographs = list_images(names, self._pixel_size, self._known_sizes)
        write_micrographs(self._out / OWN_LIST, micrographs)
        return ListedMicrographs(micrographs, Path(), str(self._out / OWN_LIST))

    def _can_be_listed(self, name: str) -> bool:
        """Tell whether a file's name can be written and it tells its pixel size; of others a warning tells, once each.

        A pattern may take what is no micrograph. A damaged file is listed: the job tells what is wrong with it.
        """
        if name in self._known_sizes or name in self._left_out:
            return name not in self._left_out
        try:
            format_value(name)
        except InputError as error:
            return self._leave_out(name, str(error))
        with suppress(InputError):
            if self._pixel_size is None and read_header(Path(name)).pixel_size is None:
                return self._leave_out(name, f"{name} has no pixel size in its header: give --pixel_size to pick it.")
        return True

    def _leave_out(self, name: str, reason: str) -> bool:
        self._left_out.add(name)
        log.warning("Left out: %s", reason)
        return False

    def _keep_settled(self, names: Sequence[str], folder: Path) -> dict[str, Stamp]:
        """Return the files that are there and no longer grow, and those that were and are gone (archived), in order."""
        before, self._seen = self._seen, {}
        settled, self._settled = self._settled, {}
        for name in names:
            try:
                status = (folder / name).stat()
            except OSError:
                if name in settled or name in self._picked:
                    self._settled[name] = settled.get(name, GONE)
                continue
            stamp = (status.st_size, status.st_mtime_ns)
            self._seen[name] = stamp
            if before.get(name) == stamp or time.time() - status.st_mtime > SETTLED_SECONDS:
                self._settled[name] = stamp
        return self._settled


def watch(
    growing: GrowingList,
    start: Callable[[ListedMicrographs], Session],
    options: WatchOptions,
    should_stop: Callable[[], bool],
    sleep: Callable[[float], None] = time.sleep,
    least: int = 1,
) -> None:
    """Pick what is new of a growing list until nothing new comes any more.

    Parameters
    ----------
    growing
        The list.
    start
        Called with the first micrographs; returns what picks them and all later ones. An ``UndecidedError`` from it
        waits for twice as many, and is final once ``options.idle`` has run out.
    options
        See ``WatchOptions``.
    should_stop, sleep
        Asked, and called, while there is nothing to do.
    least
        How many micrographs are waited for before ``start``; fewer will do once ``options.idle`` has run out.

    Raises
    ------
    InputError
        If no micrograph came at all within ``options.idle``.
    JobAborted
        As soon as ``should_stop()`` is true; everything picked until then is kept.
    """
    session: Session | None = None
    picked: dict[str, Stamp] = {}
    waited, n_seen = 0.0, 0
    while True:
        listed = growing.look()
        names = [] if listed is None else [micrograph.name for micrograph in listed.micrographs]
        new = [name for name in names if picked.get(name) != growing.stamps[name]]
        if session is None and len(new) > n_seen:
            waited, n_seen = 0.0, len(new)
        is_over = options.idle is not None and waited >= options.idle
        if listed is not None and session is None and new and (len(new) >= least or is_over):
            session, least = _try_to_start(start, listed, len(new), is_last_try=is_over)
        if listed is not None and new and session is not None:
            session.forget(new)
            picked.update(growing.stamps)
            session.pick(listed.micrographs)
            waited = 0.0
        elif is_over:
            break
        _wait(options.every, should_stop, sleep)
        waited += options.every
    if session is None:
        raise InputError(f"No complete micrograph came within {options.idle:g} s: check the path, or wait longer.")
    growing.tell_failure()


def _try_to_start(
    start: Callable[[ListedMicrographs], Session], listed: ListedMicrographs, n_new: int, *, is_last_try: bool
) -> tuple[Session | None, int]:
    """Return the session if ``start`` could decide, and otherwise how many micrographs to wait for."""
    try:
        return start(listed), n_new
    except UndecidedError as error:
        if is_last_try:
            raise
        log.warning("Waiting until there are %d micrographs: %s", 2 * n_new, error)
        return None, 2 * n_new


def _wait(seconds: float, should_stop: Callable[[], bool], sleep: Callable[[float], None]) -> None:
    """Wait, and stop as soon as it is asked for."""
    while seconds > 0:
        abort_if(should_stop)
        sleep(min(seconds, SLICE_SECONDS))
        seconds -= SLICE_SECONDS
