"""The conditions of a simulated micrograph, and the ranges of real sessions that they are drawn from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """The conditions of one micrograph; ``draw_conditions`` draws them.

    Parameters
    ----------
    voltage, spherical_aberration, amplitude_contrast
        kV, mm, fraction.
    defocus, astigmatism, phase_shift
        Å (underfocus positive), Å between the two axes, degrees of a phase plate.
    envelope
        B factor of the signal, Å².
    dose
        e/Å².
    snr
        Power of a particle's signal within its disc over the power of the noise, at 24 pixels per diameter; the noise
        of counting is scaled to reach it.
    ice_thickness, ice_structure
        Å, and S₀ of ``ice.ice_spectral_density``.
    protein_noise, protein_noise_radius
        Power of unresolved protein relative to that of the noise of counting, and its radius of gyration in Å.
    coverage, min_separation, clustering
        See ``placement.place_particles``.
    preferred
        Share of the particles that lie in preferred views.
    damaged
        Share of the particles that are broken: neither right nor wrong to pick.
    shading, mottling, gain_residue
        Relative standard deviations of slow changes of brightness, of crystalline patches, of rows and columns.
    carbon, particles_on_carbon
        Whether there is the edge of a carbon film, and whether it bears particles (which are not labelled).
    blobs, specks, aggregates
        Numbers of large and of particle-sized lumps of ice, and of clumps of particles.
    hot_pixels, border
        Numbers of defective pixels, and of rows that repeat their neighbour at one side.
    lowpass
        Cut-off of a later low-pass filter as a fraction of the Nyquist frequency; 1 for none.
    """

    voltage: float = 300.0
    spherical_aberration: float = 2.7
    amplitude_contrast: float = 0.1
    defocus: float = 18_000.0
    astigmatism: float = 300.0
    phase_shift: float = 0.0
    envelope: float = 150.0
    dose: float = 40.0
    snr: float = 1.0
    ice_thickness: float = 500.0
    ice_structure: float = 0.08
    protein_noise: float = 0.5
    protein_noise_radius: float = 15.0
    coverage: float = 0.15
    min_separation: float = 1.0
    clustering: float = 0.2
    preferred: float = 0.0
    damaged: float = 0.0
    shading: float = 0.01
    mottling: float = 0.0
    gain_residue: float = 0.0
    carbon: bool = False
    particles_on_carbon: bool = False
    blobs: int = 0
    specks: int = 0
    aggregates: int = 0
    hot_pixels: int = 0
    border: int = 0
    lowpass: float = 1.0


def draw_conditions(rng: np.random.Generator) -> Conditions:
    """Draw conditions; every tenth micrograph has no particle at all.

    The ranges cover what published simulators use and what real sessions look like: defocus and astigmatism as in
    CryoGEM and parakeet, dose as in roodmus, absorption and water motion as in cisTEM (Himes & Grigorieff 2021), the
    structural noise as Baxter et al. (2009) found it, "of the same order of magnitude as the reproducible signal".
    """
    is_dirty = rng.random() < 0.5
    return Conditions(
        voltage=float(rng.choice([300.0, 200.0], p=[0.7, 0.3])),
        spherical_aberration=float(rng.choice([2.7, 2.0, 0.01], p=[0.85, 0.1, 0.05])),
        amplitude_contrast=float(rng.uniform(0.06, 0.12)),
        defocus=float(np.clip(rng.lognormal(np.log(16_000), 0.4), 6_000, 40_000)),
        astigmatism=float(np.clip(abs(rng.normal(0, 300)), 0, 1500)),
        phase_shift=float(rng.uniform(20, 120)) if rng.random() < 0.05 else 0.0,
        envelope=_log_uniform(60, 600, rng),
        dose=float(rng.uniform(18, 70)),
        snr=_log_uniform(0.1, 3, rng),
        ice_thickness=float(rng.uniform(200, 1000)),
        ice_structure=float(rng.uniform(0.04, 0.12)),
        protein_noise=_log_uniform(0.1, 8, rng),
        protein_noise_radius=_log_uniform(5, 25, rng),
        coverage=0.0 if rng.random() < 0.1 else _log_uniform(0.03, 0.5, rng),
        min_separation=float(rng.uniform(0.65, 1.2)),
        clustering=float(rng.uniform(0, 0.6)),
        preferred=float(rng.choice([0.0, rng.uniform(0.5, 0.9)])),
        damaged=float(rng.choice([0.0, 0.1])),
        shading=_log_uniform(0.002, 0.03, rng),
        mottling=_log_uniform(0.01, 0.1, rng) if rng.random() < 0.05 else 0.0,
        gain_residue=float(rng.uniform(0, 0.003)) if rng.random() < 0.3 else 0.0,
        carbon=bool(rng.random() < 0.2),
        particles_on_carbon=bool(rng.random() < 0.2),
        blobs=int(rng.poisson(0.5)),
        specks=int(rng.poisson(4)) if is_dirty else 0,
        aggregates=int(rng.poisson(0.6)),
        hot_pixels=int(rng.integers(0, 10)),
        border=int(rng.integers(2, 12)) if rng.random() < 0.1 else 0,
        lowpass=float(rng.uniform(0.2, 1.0)) if rng.random() < 0.5 else 1.0,
    )


def _log_uniform(low: float, high: float, rng: np.random.Generator) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))
