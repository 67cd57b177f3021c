"""Measure how the time of reading, converting and writing coordinates grows with their number.

Prints seconds for each number of picks (250 a micrograph) and each way, and the slope of log time against log number:
1 is linear. Peak memory of the whole run last. Files go into a temporary folder.

Usage: python measure_conversion.py [MOST_PICKS]      (default 200000)
"""

import resource
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from relion_attn_picker.io.cryosparc import make_table, write_cs
from relion_attn_picker.jobs.conversion.job import ConversionOptions, convert
from relion_attn_picker.micrograph import Micrograph, OpticsGroup
from relion_attn_picker.point_set import PointSet
from relion_attn_picker.relion.micrographs import write_micrographs
from relion_attn_picker.relion.point_sets import write_star_job

PICKS_A_MICROGRAPH = 250
STEPS = 4
WAYS = (
    ("relion", "job", "star", "all.star"),
    ("star", "all.star", "topaz", "topaz.txt"),
    ("topaz", "topaz.txt", "cbox", "cbox"),
    ("cbox", "cbox", "box", "box"),
    ("box", "box", "relion", "job2"),
    ("star", "all.star", "cs", "picks.cs"),
    ("cs", "picks.cs", "star", "back.star"),
)
"""Format and path that are read, format and path that are written; each reads what one before it wrote."""


def make_job(folder: Path, n_picks: int) -> None:
    """Write a picking job with random picks, the list of its micrographs, and CryoSPARC's."""
    rng = np.random.default_rng(1)
    names = tuple(f"MotionCorr/job002/Movies/mic{i:06d}.mrc" for i in range(n_picks // PICKS_A_MICROGRAPH))
    owner = np.repeat(np.arange(len(names)), PICKS_A_MICROGRAPH)
    yx, score = rng.integers(0, 4000, (len(owner), 2)).astype(float), rng.random(len(owner))
    write_star_job(folder / "job", PointSet(names, owner, yx, score), None)
    write_micrographs(folder / "micrographs.star", [Micrograph(name, OpticsGroup(1, "g", 1.0)) for name in names])
    exposures = {
        "uid": np.arange(len(names), dtype=np.uint64),
        "micrograph_blob/path": np.array([f"J2/imported/{i:021d}_mic{i:06d}.mrc" for i in range(len(names))]),
        "micrograph_blob/shape": np.full((len(names), 2), 4000, dtype=np.uint32),
        "micrograph_blob/psize_A": np.ones(len(names), dtype=np.float32),
        "mscope_params/exp_group_id": np.zeros(len(names), dtype=np.uint32),
    }
    write_cs(folder / "exposures.cs", make_table(exposures))


def measure(n_picks: int) -> list[float]:
    """Return the seconds of each way with ``n_picks`` picks."""
    seconds = []
    with TemporaryDirectory() as name:
        folder = Path(name)
        make_job(folder, n_picks)
        for source_format, source, target_format, target in WAYS:
            options = ConversionOptions(
                source_format=source_format,
                target_format=target_format,
                micrographs=folder / "micrographs.star",
                exposures=(folder / "exposures.cs",) if target_format == "cs" else (),
                box_size=200,
            )
            start = time.perf_counter()
            report = convert(folder / source, folder / target, options)
            seconds.append(time.perf_counter() - start)
            if report.n_points != n_picks // PICKS_A_MICROGRAPH * PICKS_A_MICROGRAPH:
                sys.exit(f"{source_format} to {target_format}: {report.n_points} of {n_picks} picks arrived")
    return seconds


if __name__ == "__main__":
    most = int(sys.argv[1]) if len(sys.argv) > 1 else 200_000
    numbers = [most // 2**step for step in reversed(range(STEPS))]
    print("picks".rjust(10), *(f"{way[0]} > {way[2]}".rjust(16) for way in WAYS))
    measure(PICKS_A_MICROGRAPH)  # loads the libraries
    table = []
    for number in numbers:
        table.append(measure(number))
        print(f"{number:10d}", *(f"{seconds:16.2f}" for seconds in table[-1]), flush=True)
    slopes = np.polyfit(np.log(numbers), np.log(table), 1)[0]
    print("slope".rjust(10), *(f"{slope:16.2f}" for slope in slopes))
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB")
