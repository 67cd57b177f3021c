"""From scores to probabilities: of the picks near 0.8, about 80 % shall be right, on data sets without any truth too.

The scores of particles drift from sample to sample, so that no fixed curve turns scores into probabilities. ``adapt``
finds where those of one data set lie: the most probable places, widths and numbers of a ``ScoreModel``'s two components
(a mixture with a Gaussian prior on its parameters, maximum a posteriori: Bishop, Pattern Recognition and Machine
Learning, 2006, sections 9.2 and 3.3), whose ratio is the probability (its section 4.2). The mixture knows particles by
how they score elsewhere; those that are fainter than any it learnt from are found by ``evaluation.score_excess``, which
asks whether there are more candidates than noise gives, and the two are averaged. Where scores are corrected by
likeness, both are done with the scores as they are and with those that are corrected (``average_by_rank``).

What this module does not do: it finds no candidates and chooses no threshold (``inference.operating_point`` does).
"""

from __future__ import annotations

from typing import Final

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

from relion_attn_picker.evaluation.score_curve import MOST, ScoreCurve, make_rising
from relion_attn_picker.evaluation.score_excess import MIDDLES, FloatVector, count_scores, excess_probability, logit
from relion_attn_picker.evaluation.score_model import FLOOR, RIGHT_EDGES, WRONG_EDGES, ScoreModel, log_height
from relion_attn_picker.picks import FloatArray

FAINTEST: Final = -1.0
"""Lowest logit (score .27) that the median of right candidates may have: what scores lower cannot be told from noise,
which has its hump there."""

EVIDENCE: Final = 250
"""However many candidates a data set has, they count as this many: its scores never have quite the model's shapes, and
the prior must not be drowned (of 125, 250, 500, 1000 and 10,000, the best on left-out proteins and simulated sets)."""

EXCESS_WEIGHT: Final = 0.45
"""Weight of the excess against the mixture in the mean of their logits: with less, particles too faint for the mixture
are left (the F1 of ten faint sessions lies .059 below the best cut's with .4, .053 with .45, .040 with .55); with more,
real images with incomplete labels or filters, which have more wrong candidates than simulated ones, are trusted too far
(calibration error of β-galactosidase left out .067 with .4, .073 with .45, .098 with .55)."""


def adapt(model: ScoreModel, score: FloatArray, area: float) -> ScoreCurve:
    """Return the curve of probabilities for a data set with these scores of candidates, without any truth.

    Parameters
    ----------
    model
        Of the network that gave the scores.
    score
        Scores of all candidates of the data set from ``SCORE_FLOOR`` on, ``(n,)``, those of noise included.
    area
        Of its micrographs, in areas of a particle, π (diameter / 2)².
    """
    count = count_scores(score)
    if not count.any():
        return model.curve()
    mixture = _fit_mixture(model, count)
    excess = _bounded_logit(excess_probability(model.noise, count, area))
    both = (1 - EXCESS_WEIGHT) * _bounded_logit(mixture) + EXCESS_WEIGHT * excess
    return make_rising(expit(both))


def average_by_rank(
    own: ScoreCurve, own_score: FloatArray, corrected: ScoreCurve, corrected_score: FloatArray
) -> ScoreCurve:
    """Return the curve of corrected scores that is the mean, in logits, of what both kinds of scores tell.

    Likeness ranks candidates better, but how many of them are right is no easier to tell from corrected scores: where
    the two counts differ, the truth lies between them.

    Parameters
    ----------
    own, own_score
        The probabilities that ``adapt`` gives to scores as they are, and these, ``(n,)``; a corrected score has the
        probability of the score of the same rank.
    corrected, corrected_score
        The same for scores corrected by likeness, of the same candidates, ``(n,)``, n > 0.
    """
    score = expit(MIDDLES).astype(np.float32)
    of_same_rank = np.interp(score, np.sort(corrected_score), np.sort(own_score)).astype(np.float32)
    told = own.probability(of_same_rank), corrected.probability(score)
    both = sum(_bounded_logit(probability.astype(np.float64)) for probability in told) / 2
    return make_rising(expit(both))


def _bounded_logit(probability: FloatVector) -> FloatVector:
    return logit(np.clip(probability, 0, MOST))


def _fit_mixture(model: ScoreModel, count: FloatVector) -> FloatVector:
    """Return the share of right ones among the candidates of each bin in the likeliest mixture; it never falls."""
    weighted = count * min(1.0, EVIDENCE / count.sum())
    mean, precision = np.array(model.mean), np.linalg.inv(np.array(model.covariance))

    def cost(free: FloatVector) -> float:
        parameters = _bounded(free)
        right, wrong = _components(model, parameters)
        deviation = parameters - mean
        return float(-(weighted * np.log(right + wrong)).sum() + deviation @ precision @ deviation / 2)

    starts = [mean + np.array([shift, 0.0, 0.0, 0.0, 0.0]) for shift in (0.0, -1.0, 0.7)]
    tolerance = {"xatol": 0.005, "fatol": 0.01, "maxiter": 800}
    fits = [minimize(cost, start, method="Nelder-Mead", options=tolerance) for start in starts]
    right, wrong = _components(model, _bounded(min(fits, key=lambda fit: float(fit.fun)).x))
    return _hold_top(right / (right + wrong))


def _bounded(parameters: FloatVector) -> FloatVector:
    """Return the parameters with a median of at least ``FAINTEST``."""
    return np.concatenate([[max(parameters[0], FAINTEST)], parameters[1:]])


def _components(model: ScoreModel, parameters: FloatVector) -> tuple[FloatVector, FloatVector]:
    """Return the densities of right and of wrong candidates over ``MIDDLES``; together they sum to one."""
    median, log_spread, place, log_width, log_ratio = parameters
    height = log_height(MIDDLES)
    z = (MIDDLES - median) / np.exp(log_spread)
    u = (height - place) / np.exp(log_width)
    right = np.interp(z, (RIGHT_EDGES[:-1] + RIGHT_EDGES[1:]) / 2, model.right, FLOOR[0] / 10, FLOOR[0] / 10)
    wrong = np.interp(u, (WRONG_EDGES[:-1] + WRONG_EDGES[1:]) / 2, model.wrong, FLOOR[1] / 10, FLOOR[1] / 10)
    wrong = wrong / np.exp(height)
    share = expit(log_ratio)
    return share * right / right.sum(), (1 - share) * wrong / wrong.sum()


def _hold_top(ratio: FloatVector) -> FloatVector:
    """Return shares that never fall: beyond their top they stay there."""
    top = int(np.argmax(ratio))
    held = np.concatenate([ratio[: top + 1], np.full(len(ratio) - top - 1, ratio[top])])
    return np.asarray(np.maximum.accumulate(held), dtype=np.float64)
