"""Simulated apoferritin beside real micrographs of it: spectra, contrast of particles, and what the weights pick."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import uniform_filter

from relion_attn_picker.evaluation.matching import match_picks
from relion_attn_picker.imaging.prepare import NetworkImage, prepare_image
from relion_attn_picker.inference.peaks import find_peaks
from relion_attn_picker.inference.predictor import ModelPredictor, load_predictor
from relion_attn_picker.inference.weights import find_weights
from relion_attn_picker.io.mrc import read_image
from relion_attn_picker.model_spec import Normalization
from relion_attn_picker.options import InferenceOptions
from relion_attn_picker.picks import FloatArray
from relion_attn_picker.relion.coordinates import open_coordinates
from relion_attn_picker.relion.micrographs import read_micrographs
from relion_attn_picker.simulation.conditions import Conditions
from relion_attn_picker.simulation.micrograph import simulate_micrograph
from relion_attn_picker.simulation.particles import read_bead_particle

PIXEL_SIZE, DIAMETER, DIAMETER_PX = 1.5, 120.0, 24.0
REAL_SHAPE = (1200, 1240)

LIKE_10146 = Conditions(
    defocus=22_000,
    dose=50,
    snr=1.6,
    envelope=150,
    protein_noise=0.5,
    protein_noise_radius=10,
    coverage=0.56,
    min_separation=0.9,
    clustering=0.3,
    contrast_spread=0.1,
)
"""Fitted by eye and by a coarse search to the mean spectrum of EMPIAR-10146."""


@dataclass(frozen=True)
class Seen:
    """A prepared micrograph with its particles ``(n, 2)`` in network pixels."""

    image: NetworkImage
    yx: FloatArray


def prepare(image: FloatArray, yx: FloatArray) -> Seen:
    prepared = prepare_image(image, PIXEL_SIZE, DIAMETER, DIAMETER_PX, Normalization())
    return Seen(prepared, yx * (PIXEL_SIZE / prepared.pixel_size))


@pytest.fixture(scope="module")
def pair() -> tuple[list[Seen], list[Seen]]:
    """Four real and four simulated micrographs."""
    shared_data = Path(__file__).parents[3] / "shared" / "data"
    if not shared_data.is_dir():
        pytest.skip("the real micrographs are not here (../shared/data beside the repository)")
    folder = shared_data / "apoferritin_10146"
    truth = open_coordinates(folder / "truth.star", folder)
    real = []
    for micrograph in read_micrographs(folder / "micrographs.star")[::4]:
        table = truth.read(micrograph.name)
        assert table is not None
        real.append(prepare(read_image(folder / micrograph.name), table.yx))
    particle = read_bead_particle(shared_data / "structures" / "beads" / "6Z6U.npz")
    simulated = []
    for seed in range(len(real)):
        made = simulate_micrograph(particle, REAL_SHAPE, PIXEL_SIZE, LIKE_10146, np.random.default_rng(seed))
        simulated.append(prepare(made.image, made.yx))
    return real, simulated


def radial_power(image: FloatArray, rings: int = 20) -> FloatArray:
    """Return the power in rings from zero to the Nyquist frequency."""
    side = min(image.shape)
    window = np.outer(np.hanning(side), np.hanning(side))
    power = np.abs(np.fft.rfft2(image[:side, :side] * window)) ** 2 / np.square(window).sum()
    k = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side))
    ring = np.minimum((2 * rings * k).astype(int), rings).ravel()
    return (np.bincount(ring, power.ravel()) / np.bincount(ring))[:rings].astype(np.float32)


def middle_means(seen: Seen) -> FloatArray:
    """Return the mean of each particle's middle, a square of half its diameter."""
    smooth = uniform_filter(seen.image.values, 13, mode="nearest")
    at = np.clip(np.rint(seen.yx).astype(int), 0, np.array(smooth.shape) - 1)
    return np.asarray(smooth[at[:, 0], at[:, 1]])


def test_power_spectra_agree_within_a_factor_of_two(pair: tuple[list[Seen], list[Seen]]) -> None:
    real, simulated = (np.mean([radial_power(seen.image.values) for seen in side], axis=0) for side in pair)
    ratio = np.log(simulated[1:] / real[1:])  # the first ring is what the high-pass filter leaves
    assert np.abs(ratio).max() < np.log(2)
    assert np.abs(ratio).mean() < np.log(1.3)


def test_particles_have_the_contrast_of_real_ones(pair: tuple[list[Seen], list[Seen]]) -> None:
    real, simulated = (np.concatenate([middle_means(seen) for seen in side]) for side in pair)
    assert simulated.mean() == pytest.approx(real.mean(), abs=0.15)
    assert 0.5 < simulated.std() / real.std() < 2


def test_grey_values_are_spread_as_real_ones(pair: tuple[list[Seen], list[Seen]]) -> None:
    shares = np.array([0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999])
    real, simulated = (np.quantile(np.concatenate([s.image.values.ravel() for s in side]), shares) for side in pair)
    np.testing.assert_allclose(simulated, real, atol=0.6)


def score_picks(predictor: ModelPredictor, seen: list[Seen]) -> tuple[float, float]:
    """Return F1 at the threshold of the weights, and picks over particles, of all micrographs together."""
    found = picked = particles = 0
    for one in seen:
        peaks = find_peaks(predictor.predict(one.image), predictor.header.calibration.threshold, 0.6 * DIAMETER_PX)
        found += len(match_picks(peaks.yx, peaks.score, one.yx, DIAMETER_PX / 2).predicted)
        picked, particles = picked + len(peaks.yx), particles + len(one.yx)
    return 2 * found / (picked + particles), picked / particles


@pytest.mark.parametrize("variant", ["attention", "standard"])
def test_weights_pick_simulated_particles_as_they_pick_real_ones(
    pair: tuple[list[Seen], list[Seen]], variant: str
) -> None:
    predictor = load_predictor(find_weights(variant, None), InferenceOptions(gpu="cpu", threads=1))
    (real, real_share), (simulated, simulated_share) = (score_picks(predictor, side) for side in pair)
    assert simulated == pytest.approx(real, abs=0.05)
    assert simulated_share == pytest.approx(real_share, abs=0.1)
