"""Both networks and every hybrid on one labelled set: each micrograph is read, prepared and picked once a network.

Candidates and counted pixels are kept in the folder, micrograph by micrograph, so that a comparison that was killed
goes on, and a finished one is only drawn again.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from relion_attn_picker.evaluation.logits import to_logits
from relion_attn_picker.evaluation.pixel_histograms import BINS, PixelHistogram, count_pixels
from relion_attn_picker.evaluation.pixels import draw_discs
from relion_attn_picker.inference.combination import SETTINGS, LogitScale
from relion_attn_picker.inference.peaks import PEAKS_VERSION, find_peaks
from relion_attn_picker.inference.predictor import Predictor, load_predictor
from relion_attn_picker.io.candidates import CandidateRecord, CandidateStore
from relion_attn_picker.io.digest import file_digest
from relion_attn_picker.io.image_stamp import is_changed, stamp_image
from relion_attn_picker.io.mrc import read_image
from relion_attn_picker.io.output_folder import make_folder
from relion_attn_picker.io.pixel_counts import PixelRecord, PixelStore
from relion_attn_picker.jobs.comparison.hybrids import combine_every_way, find_scale
from relion_attn_picker.jobs.comparison.request import LabelledTestSet, NetworkPair
from relion_attn_picker.jobs.training.labelled_data import check_inside
from relion_attn_picker.micrograph import Micrograph
from relion_attn_picker.options import MIN_DISTANCE_DIAMETERS, NETWORKS, InferenceOptions
from relion_attn_picker.picks import Peaks, ProbabilityMap, peaks_to_picks
from relion_attn_picker.replacing import replace_file
from relion_attn_picker.training.validation import CURVE_FLOOR

log = logging.getLogger(__name__)

SCALE_MICROGRAPHS: Final = 6
"""Micrographs, evenly spaced, from which the scale between the two networks' logits is found."""


@dataclass(frozen=True)
class PickedSet:
    """What one pair of networks found on one set.

    Parameters
    ----------
    candidates
        By name of a network or setting: the candidates of each micrograph.
    pixels
        The same for the pixels of its maps.
    seconds
        By network: the seconds that it took for each micrograph, ``(m,)``.
    """

    candidates: Mapping[str, Sequence[CandidateRecord]]
    pixels: Mapping[str, Sequence[PixelHistogram]]
    seconds: Mapping[str, NDArray[np.float64]]


def pick_set(folder: Path, test_set: LabelledTestSet, pair: NetworkPair, inference: InferenceOptions) -> PickedSet:
    """Pick a set with a pair of networks, or read what an earlier run picked.

    Parameters
    ----------
    folder
        Where the candidates of this set and pair are kept; made if absent.
    test_set, pair, inference
        See there.

    Raises
    ------
    InputError
        If a micrograph cannot be read.
    """
    make_folder(folder)
    cache = _Cache(folder, test_set, pair, inference.precision)
    missing = [place for place, each in enumerate(test_set.micrographs) if not cache.has(each)]
    if missing:
        _pick_missing(cache, test_set, missing, pair, inference)
    return cache.read(test_set.micrographs)


def _pick_missing(
    cache: _Cache, test_set: LabelledTestSet, missing: Sequence[int], pair: NetworkPair, inference: InferenceOptions
) -> None:
    networks = {name: load_predictor(pair.path_of(name), inference) for name in NETWORKS}
    scale = cache.read_scale()
    if scale is None:
        places = np.unique(np.linspace(0, len(test_set.micrographs) - 1, SCALE_MICROGRAPHS).round().astype(int))
        maps = [_predict(networks, test_set, place)[0] for place in places]
        distance = MIN_DISTANCE_DIAMETERS * networks[NETWORKS[0]].header.particle_diameter_px
        scale = find_scale([(each[NETWORKS[0]], each[NETWORKS[1]]) for each in maps], CURVE_FLOOR, distance)
        cache.write_scale(scale)
    for number, place in enumerate(missing, start=1):
        start = time.perf_counter()
        maps_of_both, shape, seconds = _predict_timed(networks, test_set, place)
        cache.write(test_set, place, maps_of_both, shape, scale, seconds)
        log.info(
            "%s %d/%d %s %.2f s",
            test_set.name, number, len(missing), test_set.micrographs[place].name, time.perf_counter() - start,
        )  # fmt: skip


def _predict_timed(
    networks: Mapping[str, Predictor], test_set: LabelledTestSet, place: int
) -> tuple[dict[str, ProbabilityMap], tuple[int, int], dict[str, float]]:
    """Return both maps of a micrograph, its shape, and the seconds of each network.

    Who goes first changes from micrograph to micrograph, so that neither finds the caches warmer.
    """
    micrograph = test_set.micrographs[place]
    image = read_image(test_set.project_dir / micrograph.name)
    shape = (image.shape[0], image.shape[1])
    check_inside(micrograph, shape, test_set.yx[place], test_set.particle_diameter)
    prepared = networks[NETWORKS[0]].prepare(image, micrograph.optics.pixel_size, test_set.particle_diameter)
    maps, seconds = {}, {}
    for name in NETWORKS if place % 2 else reversed(NETWORKS):
        start = time.perf_counter()
        maps[name] = networks[name].predict(prepared)
        seconds[name] = time.perf_counter() - start
    return maps, shape, seconds


def _predict(
    networks: Mapping[str, Predictor], test_set: LabelledTestSet, place: int
) -> tuple[dict[str, ProbabilityMap], tuple[int, int]]:
    maps, shape, _ = _predict_timed(networks, test_set, place)
    return maps, shape


class _Cache:
    """The files of one set and one pair: ``scale.json``, candidates of each setting, and ``pixels.jsonl``.

    The line of a micrograph in ``pixels.jsonl`` is written last, and says that all of it is there; that the candidates
    are of the same run, each of their own lines says.
    """

    def __init__(self, folder: Path, test_set: LabelledTestSet, pair: NetworkPair, precision: str) -> None:
        self._folder = folder
        names = (*NETWORKS, *SETTINGS)
        self._stores = {name: CandidateStore(folder / f"{name.replace(' ', '_')}.jsonl") for name in names}
        self._pixels = PixelStore(folder / "pixels.jsonl")
        self._made_with = [
            *(file_digest(pair.path_of(name)) for name in NETWORKS),
            {name: asdict(setting) for name, setting in SETTINGS.items()},
            (test_set.particle_diameter, precision, CURVE_FLOOR, MIN_DISTANCE_DIAMETERS, PEAKS_VERSION, BINS),
        ]
        sizes = sorted({each.optics.pixel_size for each in test_set.micrographs})
        self._scale_found_with = json.loads(json.dumps([*self._made_with, sizes]))
        self._project_dir = test_set.project_dir
        self._truth = {each.name: yx for each, yx in zip(test_set.micrographs, test_set.yx, strict=True)}

    def _fingerprint(self, micrograph: Micrograph) -> str:
        truth = hashlib.sha256(np.ascontiguousarray(self._truth[micrograph.name]).tobytes()).hexdigest()
        text = json.dumps([*self._made_with, micrograph.optics.pixel_size, truth])
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def has(self, micrograph: Micrograph) -> bool:
        """Tell whether everything of a micrograph is there, and its image still the same."""
        fingerprint = self._fingerprint(micrograph)
        record = self._pixels.read(micrograph.name, fingerprint)
        kept = [store.summary(micrograph.name) for store in self._stores.values()]
        if record is None or any(each is None or each.found_with != fingerprint for each in kept):
            return False
        stamp = record.image
        return stamp is None or not is_changed(
            self._project_dir / micrograph.name, stamp.time, stamp.size, stamp.digest
        )

    def read_scale(self) -> LogitScale | None:
        """Return the scale between the networks' logits, if it was found with these networks on such images."""
        path = self._folder / "scale.json"
        if not path.is_file():
            return None
        record = json.loads(path.read_text(encoding="utf-8"))
        return LogitScale(**record["scale"]) if record["found_with"] == self._scale_found_with else None

    def write_scale(self, scale: LogitScale) -> None:
        """Keep the scale."""
        record = {"found_with": self._scale_found_with, "scale": asdict(scale)}
        replace_file(self._folder / "scale.json", json.dumps(record, indent=1) + "\n", through_links=True)

    def write(
        self,
        test_set: LabelledTestSet,
        place: int,
        maps: Mapping[str, ProbabilityMap],
        shape: tuple[int, int],
        scale: LogitScale,
        seconds: Mapping[str, float],
    ) -> None:
        """Find the candidates of both networks and every setting, count their pixels, and keep them."""
        micrograph = test_set.micrographs[place]
        attention, standard = (maps[name] for name in NETWORKS)
        diameter = test_set.particle_diameter / attention.pixel_size
        distance = MIN_DISTANCE_DIAMETERS * diameter
        peaks, logits = combine_every_way(attention, standard, scale, CURVE_FLOOR, distance, diameter)
        every_peaks = {name: find_peaks(maps[name], CURVE_FLOOR, distance) for name in NETWORKS} | dict(peaks)
        every_logits = {name: to_logits(maps[name].values) for name in NETWORKS} | dict(logits)
        for name, found in every_peaks.items():
            self._stores[name].append(_record(micrograph, found, shape, self._fingerprint(micrograph)))
        height, width = attention.values.shape
        to_map = micrograph.optics.pixel_size / attention.pixel_size
        truth = draw_discs((height, width), test_set.yx[place] * to_map, diameter / 2)
        histograms = {name: count_pixels(values, truth) for name, values in every_logits.items()}
        counts = {name: np.stack([each.positives, each.negatives]) for name, each in histograms.items()}
        stamp = stamp_image(self._project_dir / micrograph.name)
        self._pixels.append(PixelRecord(micrograph.name, self._fingerprint(micrograph), counts, seconds, stamp))

    def read(self, micrographs: Sequence[Micrograph]) -> PickedSet:
        """Return everything that is kept of these micrographs."""
        candidates: dict[str, list[CandidateRecord]] = {name: [] for name in self._stores}
        pixels: dict[str, list[PixelHistogram]] = {name: [] for name in self._stores}
        seconds: dict[str, list[float]] = {name: [] for name in NETWORKS}
        for micrograph in micrographs:
            counted = self._pixels.read(micrograph.name, self._fingerprint(micrograph))
            assert counted is not None
            for name, store in self._stores.items():
                record = store.read(micrograph.name)
                assert record is not None
                candidates[name].append(record)
                pixels[name].append(PixelHistogram(*counted.counts[name]))
            for name in NETWORKS:
                seconds[name].append(counted.seconds[name])
        return PickedSet(candidates, pixels, {name: np.array(values) for name, values in seconds.items()})


def _record(micrograph: Micrograph, peaks: Peaks, shape: tuple[int, int], found_with: str) -> CandidateRecord:
    picks = peaks_to_picks(peaks, micrograph)
    return CandidateRecord(micrograph.name, found_with, "", shape, 0, math.nan, picks.yx, picks.score)
