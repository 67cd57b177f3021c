"""The labelled data sets that a calibration learns from: real micrographs, and simulated sessions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from relion_attn_picker.errors import InputError
from relion_attn_picker.jobs.training.labelled_data import TrainingData, read_labelled_sources
from relion_attn_picker.jobs.training.simulated_data import open_simulation
from relion_attn_picker.training.crops import LabelledImage


@dataclass(frozen=True, kw_only=True)
class CalibrationSets:
    """What to calibrate on.

    Parameters
    ----------
    data
        Micrographs STAR, coordinates and diameter in Å of each real set.
    last
        So many micrographs from the end of each list count; one number for all sets or one for each; empty: all.
    simulated
        Number of simulated sessions, each a data set of its own.
    structures, exclude, seed
        As ``jobs.training.simulated_data.open_simulation``.
    """

    data: Sequence[tuple[str, str, float]] = ()
    last: Sequence[int] = ()
    simulated: int = 0
    structures: str | None = None
    exclude: Sequence[str] = ()
    seed: int = 1

    def __post_init__(self) -> None:
        if not self.data and not self.simulated:
            raise InputError("There is nothing to calibrate on: give --data, --simulated, or both.")
        if len(self.last) not in (0, 1, len(self.data)) or any(count < 1 for count in self.last):
            raise InputError(
                f"--last is {' '.join(map(str, self.last))} for {len(self.data)} sets: expected 1 or more, once or "
                "once for each set."
            )
        if self.simulated < 0:
            raise InputError(f"The number of simulated sessions is {self.simulated}: expected 0 or more.")
        if not self.simulated and (self.structures is not None or self.exclude):
            given = "--exclude" if self.structures is None else "--structures"
            raise InputError(f"{given} is for simulated micrographs: give --simulated too.")

    def read(self) -> Iterator[tuple[str, Sequence[Callable[[], LabelledImage]]]]:
        """Yield name and micrographs of one set after the other; each micrograph is read when it is called.

        Raises
        ------
        InputError
            If a file cannot be read or a label lies outside its image.
        """
        last = list(self.last) * (len(self.data) if len(self.last) == 1 else 1)
        data = [
            TrainingData(micrographs_star=Path(micrographs), coordinates=Path(coordinates), particle_diameter=diameter)
            for micrographs, coordinates, diameter in self.data
        ]
        for number, source in enumerate(read_labelled_sources(data)):
            yield source.name, source.micrographs[-last[number] if last else 0 :]
        if self.simulated:
            simulation = open_simulation(
                None if self.structures is None else Path(self.structures), self.seed, self.exclude
            )
            for number in range(self.simulated):
                session = simulation.make_session(number)
                yield f"simulated session {number + 1}", [partial(_as_it_is, image) for image in session]


def _as_it_is(image: LabelledImage) -> LabelledImage:
    return image
