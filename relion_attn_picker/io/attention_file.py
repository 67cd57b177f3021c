"""``attention.h5``: the gates' maps as the network has them, with all that it takes to find their place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

import h5py

from relion_attn_picker.gate_maps import GateMap
from relion_attn_picker.replacing import replacing

RELATION = "micrograph (y, x) = origin_yx + spacing * (row, column); 0-based, integers at the centres of pixels"


class AttentionFile:
    """Writes the maps of one micrograph after the other; the file gets its name when it is complete.

    A group for each micrograph, and in it ``level_1`` to ``level_4``, float32. The attributes of a map are
    ``pixel_size`` (Å), and ``spacing`` and ``origin_yx`` in pixels of the micrograph; ``relation`` says how they are
    meant.

    Parameters
    ----------
    path
        File to write.
    attributes
        What holds for all micrographs: text and numbers.
    """

    def __init__(self, path: Path, attributes: Mapping[str, str | float]) -> None:
        with ExitStack() as stack:
            self._file = stack.enter_context(h5py.File(stack.enter_context(replacing(path)), "w"))
            self._file.attrs.update({**attributes, "relation": RELATION})
            self._ending = stack.pop_all()

    def add(self, group: str, attributes: Mapping[str, object], gates: Sequence[GateMap]) -> None:
        """Add the maps of one micrograph, with what holds for it alone."""
        place = self._file.create_group(group)
        place.attrs.update(attributes)
        for gate in gates:
            values = place.create_dataset(gate.name, data=gate.values, compression="gzip", compression_opts=4)
            values.attrs["pixel_size"] = gate.pixel_size
            values.attrs["spacing"] = gate.spacing
            values.attrs["origin_yx"] = gate.origin

    def __enter__(self) -> AttentionFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.__exit__(kind, value, trace)
