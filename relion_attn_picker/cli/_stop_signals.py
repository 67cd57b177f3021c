"""The signals that ask a job to stop, and holding them until somebody listens.

It imports nothing that takes time: a job must not be lost without a trace while its own modules are loaded.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""From a queue or a pipeliner, from Ctrl-C, and from a terminal that is closed."""


@contextmanager
def hold_stop_signals() -> Iterator[None]:
    """Keep the signals waiting until they are unblocked, at the latest at the end of the block."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
