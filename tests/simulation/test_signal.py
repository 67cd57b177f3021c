"""Signal and noise stand in the wanted ratio."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from relion_attn_picker.micrograph import CtfParameters
from relion_attn_picker.simulation.conditions import Conditions
from relion_attn_picker.simulation.optics import Optics
from relion_attn_picker.simulation.particles import BeadParticle
from relion_attn_picker.simulation.signal import choose_noise_gain, particle_phase

OPTICS = Optics(300.0, 2.7, 0.1, CtfParameters(18_000.0, 18_000.0, 0.0), 150.0)


def test_phase_of_a_ball_is_its_mean_chords(ball: BeadParticle) -> None:
    assert particle_phase(ball, 300) == pytest.approx(0.0313 * 0.0724 * 4 / 3 * 75, rel=0.05)


def test_half_the_ratio_takes_twice_the_noise(ball: BeadParticle) -> None:
    plain = Conditions(protein_noise=0.0, ice_structure=0.0)
    one, other = (
        choose_noise_gain(ball, OPTICS, replace(plain, snr=snr), np.random.default_rng(1)) for snr in (0.5, 0.25)
    )
    assert other == pytest.approx(2 * one)


@pytest.mark.parametrize(("voltage", "thickness"), [(300.0, 1000.0), (200.0, 500.0)])
def test_thick_ice_lets_fewer_electrons_count(ball: BeadParticle, voltage: float, thickness: float) -> None:
    plain = Conditions(protein_noise=0.0, ice_structure=0.0, voltage=voltage)
    thick, thin = (
        choose_noise_gain(ball, OPTICS, replace(plain, ice_thickness=each), np.random.default_rng(1))
        for each in (thickness, 1e-3)
    )
    assert thick / thin == pytest.approx(np.exp(-thickness / (3950 * {300.0: 1.0, 200.0: 0.802}[voltage])), rel=1e-3)


def test_unresolved_protein_takes_its_share_of_the_noise(ball: BeadParticle) -> None:
    gains = [
        choose_noise_gain(ball, OPTICS, Conditions(protein_noise=noise), np.random.default_rng(1))
        for noise in (0.1, 40.0)
    ]
    assert gains[1] < 0.8 * gains[0]
