"""The diameter is where the scores are highest, and is not guessed where they say nothing."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from relion_attn_picker.errors import InputError
from relion_attn_picker.imaging.prepare import NetworkImage, prepare_image
from relion_attn_picker.inference import diameter
from relion_attn_picker.inference.diameter import DIAMETERS, TOP_OVER_DIAMETER, ScaleEvidence, ScaleScan
from relion_attn_picker.model_spec import CheckpointHeader, ModelSpec
from relion_attn_picker.picks import FloatArray, ProbabilityMap

X = np.log(DIAMETERS)


def hill(top: float, height: float = 1.4, width: float = 0.6) -> NDArray[np.float64]:
    """Return a response with its top at a diameter: a parabola, with feet at -0.5."""
    return np.maximum(height - ((X - np.log(top)) / width) ** 2, -0.5)


def evidence(*responses: NDArray[np.float64]) -> ScaleEvidence:
    """Return evidence with 0, 1, 2 ... clear candidates at one diameter after another."""
    count = len(DIAMETERS)
    return ScaleEvidence(np.array(responses), np.arange(count), np.zeros((count, 5, 5)))


def scan(response: NDArray[np.float64], n_clear: int = 3) -> ScaleScan:
    count = len(DIAMETERS)
    boxes = np.full(count, n_clear)
    return ScaleScan(response, boxes, n_clear * np.ones((count, 5, 5)), boxes)


def estimate(*responses: NDArray[np.float64]) -> diameter.DiameterEstimate:
    return diameter.estimate_diameter(evidence(*responses), np.random.default_rng(1))


@pytest.mark.parametrize("top", [70.0, 101.0, 113.0, 230.0, 480.0])
def test_vertex_of_a_parabola_is_exact(top: float) -> None:
    assert np.exp(diameter.top_of_hill(X, hill(top, width=2.0))) == pytest.approx(top)


def test_vertex_is_no_further_than_the_neighbours() -> None:
    y = np.array([0.0, 0.0, 0.0, 1.0, 1.1, 1.2, 1.3])
    assert 5 <= diameter.top_of_hill(np.arange(7.0), y) <= 6


def test_unknown_diameters_are_left_out() -> None:
    response = hill(160, width=2.0)
    response[[0, 1, 12, 13]] = np.nan
    assert np.exp(diameter.top_of_hill(X, response)) == pytest.approx(160)


def test_micrographs_that_agree_have_the_systematic_error_only() -> None:
    found = estimate(*[hill(216)] * 4)
    assert found.diameter == pytest.approx(216 / TOP_OVER_DIAMETER, rel=0.03)
    assert found.uncertainty == pytest.approx(diameter.SYSTEMATIC * found.diameter, abs=0.06)
    assert (found.n_micrographs, found.n_particles) == (4, 7)


@pytest.mark.parametrize("places", [(-0.15, 0.15), (-0.15, -0.05, 0.05, 0.15)])
def test_uncertainty_grows_with_what_the_micrographs_say(places: tuple[float, ...]) -> None:
    """The mean of n equal hills has its top at the mean of theirs: its standard error is their sd / √n."""
    found = estimate(*[hill(top, height=3, width=1.5) for top in 200 * np.exp(places)])
    error = np.std(places, ddof=1) / np.sqrt(len(places))
    assert found.diameter == pytest.approx(200 / TOP_OVER_DIAMETER, rel=0.03)
    assert found.uncertainty / found.diameter == pytest.approx(np.hypot(diameter.SYSTEMATIC, error), rel=0.05)


def test_two_micrographs_may_differ_by_a_factor_below_165() -> None:
    near, far = ([hill(top, height=3, width=1.5) for top in (160, 160 * factor)] for factor in (1.5, 1.8))
    assert estimate(*near).n_micrographs == 2
    with pytest.raises(InputError, match="contradict each other"):
        estimate(*far)


def test_one_micrograph_is_less_certain() -> None:
    one, four = estimate(hill(200)), estimate(*[hill(200)] * 4)
    assert one.uncertainty > 1.1 * four.uncertainty


def test_estimate_in_words() -> None:
    assert str(diameter.DiameterEstimate(151.6, 9.2, 5, 812)) == "152 ± 9 Å (from 5 micrographs, 812 particles)"
    assert "(from 1 micrograph, 8 particles)" in str(diameter.DiameterEstimate(151.6, 9.2, 1, 8))


REFUSALS = [
    (hill(160, height=0.7), "reach a score of 0.67 at most (at 160 Å), expected 0.70 or more"),
    (hill(1500, height=2.0), "best at 806 Å, the end of what could be tried"),
    (hill(20, height=3.0), "best at 40 Å, the end of what could be tried"),
    (1.2 - 0.01 * abs(X - np.log(200)), "hardly depend on the diameter near 202 Å"),
    (np.maximum(hill(80, width=0.3), hill(400, height=1.38, width=0.3)), "80 and 403 Å explain the scores equally"),
]


@pytest.mark.parametrize(("response", "sentence"), REFUSALS)
def test_no_single_hill_is_refused(response: NDArray[np.float64], sentence: str) -> None:
    with pytest.raises(InputError, match=r"cannot be estimated: .*give the diameter in Å") as error:
        estimate(response, response)
    assert sentence in str(error.value)


@pytest.mark.parametrize(("height", "reason"), [(3.0, "explain the scores equally"), (2.5, "contradict each other")])
def test_micrographs_that_contradict_each_other_are_refused(height: float, reason: str) -> None:
    """One has particles of 80 Å only, the other of 400 Å only."""
    with pytest.raises(InputError, match=reason):
        estimate(hill(80, height=3, width=0.3), hill(400, height=height, width=0.3))


def test_empty_micrographs_are_left_out_up_to_half() -> None:
    combined = diameter.combine_scans([scan(hill(200)), scan(hill(200, height=-0.2)), scan(hill(200, height=1.2))])
    np.testing.assert_allclose(combined.curve, (hill(200) + hill(200, height=1.2)) / 2)
    assert combined.n_clear[0] == 6
    np.testing.assert_allclose(combined.average, 1)
    assert len(diameter.combine_scans([scan(hill(200))] * 5).responses) == 5


def test_many_candidates_may_score_lower() -> None:
    """A protein that the network was not trained on: every particle is seen, none of them surely."""
    faint = diameter.combine_scans([scan(hill(200, height=0.5), n_clear) for n_clear in (30, 31)])
    assert diameter.estimate_diameter(faint, np.random.default_rng(1)).n_particles == 61
    few = diameter.combine_scans([scan(hill(200, height=0.5), n_clear) for n_clear in (29, 30)])
    assert len(few.responses) == 1
    few = diameter.combine_scans([scan(hill(200, height=0.5), 29)] * 2)
    with pytest.raises(InputError, match=r"0\.6. at most .* expected 0\.70 or more"):
        diameter.estimate_diameter(few, np.random.default_rng(1))
    fainter = diameter.combine_scans([scan(hill(200, height=0.3), 100)] * 2)
    with pytest.raises(InputError, match=r"0\.57 at most .* expected 0\.60 or more"):
        diameter.estimate_diameter(fainter, np.random.default_rng(1))


def test_too_few_diameters_are_refused() -> None:
    response = hill(200)
    response[4:] = np.nan
    with pytest.raises(InputError, match="only 4 of the diameters from 40 to 806 Å suit"):
        diameter.combine_scans([scan(response), scan(hill(200))])


class ScoreByDiameter:
    """A predictor that finds a particle at every place of a grid, as surely as a curve over the diameter says."""

    def __init__(self, curve: NDArray[np.float64]) -> None:
        self.header = CheckpointHeader(ModelSpec("attention", 8), 24.0)
        self._curve, self._diameter = curve, 0.0
        self.shapes: dict[float, tuple[int, ...]] = {}

    def prepare(self, image: FloatArray, pixel_size: float, particle_diameter: float) -> NetworkImage:
        """As the real one; the diameter is remembered."""
        self._diameter = particle_diameter
        self.shapes[particle_diameter] = image.shape
        return prepare_image(image, pixel_size, particle_diameter, 24.0, self.header.normalization)

    def predict(self, image: NetworkImage) -> ProbabilityMap:
        """Draw plateaus, which the smoothing of the peaks leaves as high as they are."""
        probability = 1 / (1 + np.exp(-np.interp(np.log(self._diameter), X, self._curve)))
        values = np.zeros(image.values.shape, dtype=np.float32)
        for y in range(8, values.shape[0] - 8, 24):
            for x in range(8, values.shape[1] - 8, 24):
                values[y - 5 : y + 6, x - 5 : x + 6] = probability
        return ProbabilityMap(values, image.pixel_size)


def test_scan_finds_the_curve_of_the_scores() -> None:
    image = np.random.default_rng(1).normal(size=(600, 500)).astype(np.float32)
    predictor = ScoreByDiameter(hill(200))
    found = diameter.scan_diameters(image, 4.0, predictor)
    seen = np.isfinite(found.response)
    np.testing.assert_array_equal(seen, (DIAMETERS >= 20) & (3 * DIAMETERS <= 2000))
    np.testing.assert_allclose(found.response[seen], hill(200)[seen], atol=1e-4)
    assert found.n_clear[7] >= 49
    assert found.n_clear[0] == 0


def test_only_the_middle_is_looked_at_where_the_diameter_is_small() -> None:
    image = np.random.default_rng(1).normal(size=(600, 500)).astype(np.float32)
    predictor = ScoreByDiameter(hill(200))
    diameter.scan_diameters(image, 4.0, predictor)
    assert predictor.shapes[DIAMETERS[0]] == (210, 210)
    assert predictor.shapes[DIAMETERS[-3]] == (600, 500)
    middle = diameter.middle_window(np.arange(100.0 * 90).reshape(100, 90).astype(np.float32), 1.0, 1.0)
    assert middle[10, 10] == 50 * 90 - 1 - 90 + 45


def test_response_of_few_candidates_is_low() -> None:
    many, few = np.full(20, 0.8, dtype=np.float32), np.full(2, 0.8, dtype=np.float32)
    high, low = np.log(0.8 / 0.2), np.log(0.02 / 0.98)
    assert diameter.mean_best_logit(many) == pytest.approx(high, abs=1e-5)
    assert diameter.mean_best_logit(few) == pytest.approx((2 * high + 6 * low) / 8, abs=1e-5)
    assert diameter.mean_best_logit(few[:0]) == pytest.approx(low)


def test_boxes_across_the_edge_are_left_out() -> None:
    image = np.arange(400, dtype=np.float32).reshape(20, 20)
    total, number = diameter.sum_boxes(image, np.array([[10, 10], [12, 8], [1, 10], [10, 19]], dtype=np.float32), 2)
    assert number == 2
    np.testing.assert_array_equal(total, image[8:13, 8:13] + image[10:15, 6:11])
