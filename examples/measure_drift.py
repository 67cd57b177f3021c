"""Tell whether the scores of a picking job drift from micrograph to micrograph, and whether taking that out would help.

For several ways to change the scores of each micrograph it prints the average precision and the best F1 with one
threshold for all micrographs; and, as the most that any such way could give, the F1 when each micrograph has the
threshold that is best with its truth at hand.

    as they are       the network's scores
    level             logits minus the median logit of the micrograph's candidates
    level and spread  the same, divided by their median absolute deviation from it
    defocus           logits minus what a line in the micrograph's defocus says of the logits of right picks; the line
                      is fitted to the other micrographs
    contrast          the same in the logarithm of the micrograph's spread after its low frequencies are taken away,
                      which thick ice lowers

Usage, in the project's folder: python measure_drift.py MICROGRAPHS.star JOB TRUTH.star DIAMETER
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.special import expit, logit

from relion_attn_picker.evaluation.metrics import MicrographMatches, match_micrograph, pool_matches, score_matches
from relion_attn_picker.io.candidates import CandidateStore
from relion_attn_picker.io.mrc import read_image
from relion_attn_picker.jobs.pick_evaluation import CANDIDATES_FILE
from relion_attn_picker.relion.coordinates import open_coordinates
from relion_attn_picker.relion.micrographs import read_micrographs

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Scored:
    """The candidates of a micrograph: logits ``(n,)``, the others' places, and what is known of the micrograph."""

    logit: Vector
    yx: NDArray[np.float32]
    true_yx: NDArray[np.float32]
    radius: float
    defocus: float
    contrast: float

    def match(self, score: Vector) -> MicrographMatches:
        """Match the candidates, with these scores, with the particles."""
        return match_micrograph(self.yx, score, self.true_yx, self.radius)


def read_job(micrographs_star: Path, job: Path, truth: Path, diameter: float) -> list[Scored]:
    """Return the candidates of all micrographs of the job that the truth lists."""
    store, reference = CandidateStore(job / CANDIDATES_FILE), open_coordinates(truth)
    found = []
    for micrograph in read_micrographs(micrographs_star):
        record, table = store.read(micrograph.name), reference.read(micrograph.name)
        if record is None or table is None or not len(table.yx):
            continue
        image = read_image(Path(micrograph.name))
        pixels = diameter / micrograph.optics.pixel_size
        contrast = float(np.log(np.std(image - gaussian_filter(image, pixels)) / np.median(np.abs(image))))
        ctf = micrograph.ctf
        defocus = np.nan if ctf is None else (ctf.defocus_u + ctf.defocus_v) / 2e4
        x = logit(np.clip(record.score.astype(np.float64), 1e-4, 1 - 1e-4))
        found.append(Scored(x, record.yx, table.yx, pixels / 2, defocus, contrast))
    return found


def regress(known: Callable[[Scored], float]) -> Callable[[list[Scored]], list[Vector]]:
    """Return a way that takes a line in what is ``known`` of a micrograph out of the logits of right picks."""

    def change(micrographs: list[Scored]) -> list[Vector]:
        places = np.array([known(each) for each in micrographs])
        levels = np.array([np.median(_right_logits(each)) for each in micrographs])
        if not np.isfinite(places).all() or np.ptp(places) == 0:
            return []
        changed = []
        for number, each in enumerate(micrographs):
            others = np.arange(len(micrographs)) != number
            slope = np.polyfit(places[others], levels[others], 1)[0]
            changed.append(each.logit - slope * (places[number] - places.mean()))
        return changed

    return change


def _right_logits(each: Scored) -> Vector:
    matches = each.match(each.logit)
    right = matches.score[matches.is_true_positive]
    return np.asarray(right if len(right) else each.logit)


def level(micrographs: list[Scored]) -> list[Vector]:
    """Take the level of each micrograph out."""
    return [each.logit - np.median(each.logit) for each in micrographs]


def level_and_spread(micrographs: list[Scored]) -> list[Vector]:
    """Take the level and the spread of each micrograph out."""
    return [x / np.median(np.abs(x)) for x in level(micrographs)]


WAYS: dict[str, Callable[[list[Scored]], list[Vector]]] = {
    "as they are": lambda micrographs: [each.logit for each in micrographs],
    "level": level,
    "level and spread": level_and_spread,
    "defocus": regress(lambda each: each.defocus),
    "contrast": regress(lambda each: each.contrast),
}


def print_table(micrographs: list[Scored]) -> None:
    """Print what each way gives."""
    for name, way in WAYS.items():
        scores = way(micrographs)
        if not scores:
            print(f"{name:<18} not known")
            continue
        pooled = pool_matches([each.match(expit(x)) for each, x in zip(micrographs, scores, strict=True)])
        result = score_matches(pooled, 0.5)
        print(f"{name:<18} average precision {result.average_precision:.3f}   best F1 {result.best_f1:.3f}")
    own = [each.match(expit(each.logit)) for each in micrographs]
    counts = np.zeros(3)
    for matches in own:
        best = score_matches(matches, score_matches(matches, 0.5).best_threshold)
        counts += [best.n_matched, best.n_predicted, best.n_true]
    print(f"{'best of each':<18} {'':<23}   best F1 {2 * counts[0] / (counts[1] + counts[2]):.3f}")


if __name__ == "__main__":
    if len(sys.argv) != 5:
        sys.exit(__doc__)
    print_table(read_job(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), float(sys.argv[4])))
