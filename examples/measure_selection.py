"""Time of cutting a large picking job anew: python examples/measure_selection.py FOLDER [MICROGRAPHS]

Makes the job folder of so many micrographs (default 5,000) with 250 candidates each, scores as of a calibrated network,
and cuts it with `attnpick select`; no image is there to be read.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np

from relion_attn_picker.evaluation.likeness import Likeness
from relion_attn_picker.evaluation.score_curve import ScoreCurve
from relion_attn_picker.inference.operating_point import OperatingPoint
from relion_attn_picker.io.candidates import CandidateRecord, CandidateStore
from relion_attn_picker.jobs.pick_evaluation import CANDIDATES_FILE
from relion_attn_picker.jobs.saved_options import OPTIONS_FILE, describe_point
from relion_attn_picker.micrograph import Micrograph, OpticsGroup
from relion_attn_picker.options import PickOptions
from relion_attn_picker.picks import APPEARANCE
from relion_attn_picker.relion.micrographs import write_micrographs

SHAPE = (4092, 5760)
CANDIDATES = 250


def main() -> None:
    """Make the job, cut it three times, print seconds."""
    folder = Path(sys.argv[1])
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 5000
    job = folder / "job"
    job.mkdir(parents=True)
    names = [f"Movies/mic{number:05d}.mrc" for number in range(count)]
    write_micrographs(folder / "micrographs.star", [Micrograph(n, OpticsGroup(1, "opticsGroup1", 0.83)) for n in names])
    store, rng = CandidateStore(job / CANDIDATES_FILE), np.random.default_rng(1)
    for name in names:
        score = np.concatenate([rng.beta(6, 3, CANDIDATES // 2), rng.beta(1, 8, CANDIDATES // 2) + 0.05])
        yx = rng.uniform((0, 0), SHAPE, (len(score), 2)).astype(np.float32)
        order = np.argsort(-score)
        seen = rng.normal((-2.0, -0.9, 0.3), (0.4, 0.3, 0.2), (len(score), 3)).round(2).astype(np.float32)
        details = {"junk": np.zeros(len(score), dtype=np.float32), **dict(zip(APPEARANCE, seen.T, strict=True))}
        store.append(CandidateRecord(name, "", "", SHAPE, 0, 0.0, yx[order], score[order].astype(np.float32), details))
    curve, one = ScoreCurve((0.1, 0.4, 0.9), (0.02, 0.5, 0.97)), ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
    likeness = Likeness(0.7, (-2.0, -0.9, 0.3), (0.4, 0.3, 0.2), one, 1.5)
    point = OperatingPoint(0.5, "made up", curve, likeness=likeness)
    saved = {
        "micrographs": str(folder / "micrographs.star"),
        "weights": "any",
        "weights_sha256": "",
        "precision": "auto",
    }
    saved |= describe_point(point) | {"own_threshold": 0.4, "options": asdict(PickOptions(particle_diameter=150))}
    (job / OPTIONS_FILE).write_text(json.dumps(saved), encoding="utf-8")
    attnpick = Path(sys.executable).with_name("attnpick")
    for cut in (["--mode", "precision"], ["--target-recall", "0.95"], ["--count-per-micrograph", "100"]):
        start = time.perf_counter()
        run = subprocess.run([attnpick, "select", job, *cut], capture_output=True, text=True, check=True)
        seconds = time.perf_counter() - start
        told = [line.strip() for line in run.stdout.splitlines() if "threshold" in line or "expected of" in line]
        print(f"{' '.join(cut)}: {seconds:.1f} s for {count} micrographs; {'; '.join(told)}")
    size = (job / CANDIDATES_FILE).stat().st_size
    print(f"{CANDIDATES_FILE}: {size / count / 1000:.1f} kB a micrograph")


if __name__ == "__main__":
    main()
