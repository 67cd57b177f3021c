"""Tell how many picks are found again on a second exposure of the same area: a figure that needs no labels.

The micrographs with FIRST in their names are paired, in the order of the names, with those that have SECOND in them;
the two of a pair show the same area, moved by less than an eighth of a diameter. Picks are matched one to one within a
quarter of a diameter. Beside the share that is found again stands the share when the second exposure's picks are turned
by half a turn, which is what chance gives.

Usage, in the project's folder: python measure_repeatability.py JOB DIAMETER FIRST SECOND
"""

import sys
from pathlib import Path

import numpy as np

from relion_attn_picker.evaluation.matching import Points, match_picks
from relion_attn_picker.io.mrc import read_header
from relion_attn_picker.relion.coordinates import open_coordinates


def count_found_again(yx: Points, again_yx: Points, radius: float) -> int:
    """Return how many of the picks ``(n, 2)`` have one of the others ``(m, 2)`` for themselves within the radius."""
    return len(match_picks(yx, np.ones(len(yx)), again_yx, radius).true)


def main(job: str, diameter: str, first: str, second: str) -> None:
    """Print the shares of both directions."""
    picks = open_coordinates(Path(job))
    names = sorted(picks.micrograph_names or ())
    pairs = list(zip(*([name for name in names if word in name] for word in (first, second)), strict=True))
    counts = np.zeros(4, dtype=int)
    for name, again in pairs:
        header = read_header(Path(name))
        tables = picks.read(name), picks.read(again)
        if header.pixel_size is None or tables[0] is None or tables[1] is None:
            sys.exit(f"{name} has no pixel size or no picks.")
        yx, again_yx = (np.asarray(table.yx, dtype=np.float64) for table in tables if table is not None)
        radius = float(diameter) / 4 / header.pixel_size
        turned = np.array(header.shape) - 1 - again_yx
        found = [count_found_again(yx, others, radius) for others in (again_yx, turned)]
        counts += [len(yx), len(again_yx), *found]
    n_first, n_second, n_both, n_chance = counts
    print(f"{len(pairs)} pairs; {n_first} picks on {first}, {n_second} on {second}, {n_both} on both")
    print(f"found again: of {first} {n_both / n_first:.3f} (chance {n_chance / n_first:.3f}),", end=" ")
    print(f"of {second} {n_both / n_second:.3f} (chance {n_chance / n_second:.3f})")


if __name__ == "__main__":
    main(*sys.argv[1:5])
