"""A bounded, even sample of a sequence, whatever its length."""

from __future__ import annotations

from typing import Generic, TypeVar

Item = TypeVar("Item")


class EvenSample(Generic[Item]):
    """Keeps ``least`` to twice as many items, evenly spaced, of a sequence whose length is not known before."""

    def __init__(self, least: int) -> None:
        self.items: list[Item] = []
        self._least, self._step, self._seen = least, 1, 0

    @staticmethod
    def positions(n: int, least: int) -> range:
        """Return the positions of the items that are kept of ``n``."""
        step = 1
        while -(-n // step) >= 2 * least:
            step *= 2
        return range(0, n, step)

    def offer(self, item: Item) -> None:
        """Show the next item of the sequence."""
        if self._seen % self._step == 0:
            self.items.append(item)
        self._seen += 1
        if len(self.items) == 2 * self._least:
            self.items, self._step = self.items[::2], 2 * self._step
