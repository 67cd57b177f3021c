"""The conditions of a simulated micrograph, and the ranges of real sessions that they are drawn from."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from relion_attn_picker.simulation.chance import log_uniform
from relion_attn_picker.simulation.detector import BORDERS
from relion_attn_picker.simulation.processing import DENOISING


@dataclass(frozen=True, kw_only=True)
class Processing:
    """What later programs did to the image; by default nothing.

    Parameters
    ----------
    subsampling
        The image was shrunk by this factor by leaving out pixels; 1 for not.
    denoising, denoising_length
        A name of ``processing.DENOISING`` or none, and its length in particle diameters.
    equalise_radius
        Radius in particle diameters within which contrast was made equal; 0 for not.
    gamma, clip
        Exponent of the grey values and share of pixels cut off at either end; 1 and 0 for not.
    eight_bits
        Whether only 256 grey values are left.
    lowpass_order
        Order of the Butterworth filter at ``Conditions.lowpass``; 20 and more is as good as a cropped transform.
    """

    subsampling: float = 1.0
    denoising: str | None = None
    denoising_length: float = 0.05
    equalise_radius: float = 0.0
    gamma: float = 1.0
    clip: float = 0.0
    eight_bits: bool = False
    lowpass_order: int = 6


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
    dose, efficiency
        e/Å², and the detector's quantum efficiency: the share of the electrons that count.
    snr
        Power of a particle's signal within its disc over the power of the noise, at 24 pixels per diameter; the noise
        of counting is scaled to reach it, whatever the dose, even below Poisson's; where moving water alone makes more
        noise than that, it is not reached.
    ice_thickness, ice_gradient, meniscus, ice_structure
        Å, its relative change from the middle to either edge, its relative gain towards the rim, and S₀ of
        ``ice.ice_spectral_density``.
    protein_noise, protein_noise_radius, patchiness
        Power of unresolved protein relative to that of the noise of counting, its radius of gyration in Å, and the
        relative standard deviation of its amplitude over the field.
    coverage, min_separation, clustering, lattice
        See ``placement.place_particles``, of what no film covers; whether the particles lie on a shaken lattice.
    density_gradient, rim_ring
        How unevenly, 0 to 1, the particles are spread over the field, and how strongly they gather at a film's edge.
    second_layer
        Share of the particles that lie anywhere above or below the others.
    contrast_spread
        Relative standard deviation of the particles' contrast.
    preferred
        Share of the particles that lie in preferred views.
    damaged
        Share of the particles that are broken: neither right nor wrong to pick.
    shading, mottling, gain_residue
        Relative standard deviations of slow changes of brightness, of crystalline patches (less where the ice would
        have to be thinner than none), of rows and columns.
    carbon, gold, particles_on_carbon
        Whether there is the edge of a carbon or of a gold film, and whether the carbon bears particles (which are not
        labelled).
    blobs, specks, aggregates, micelles, filaments, vesicles
        Numbers of large and of particle-sized lumps of ice, of clumps of particles, and of each kind of debris.
    hot_pixels, dead_pixels, dead_columns
        Numbers of defective pixels, and of columns or rows.
    border, border_kind, border_both
        Width of a spoilt strip at one side in thousandths of the image's longer side, a name of ``detector.BORDERS``,
        and whether the opposite side has one too.
    lowpass
        Cut-off of a later low-pass filter as a fraction of the Nyquist frequency at 24 pixels per particle diameter; 1
        for none.
    processing
        What else later programs did.
    """

    voltage: float = 300.0
    spherical_aberration: float = 2.7
    amplitude_contrast: float = 0.1
    defocus: float = 18_000.0
    astigmatism: float = 300.0
    phase_shift: float = 0.0
    envelope: float = 150.0
    dose: float = 40.0
    efficiency: float = 0.7
    snr: float = 1.0
    ice_thickness: float = 500.0
    ice_gradient: float = 0.0
    meniscus: float = 0.0
    ice_structure: float = 0.08
    protein_noise: float = 0.5
    protein_noise_radius: float = 15.0
    patchiness: float = 0.0
    coverage: float = 0.15
    min_separation: float = 1.0
    clustering: float = 0.2
    lattice: bool = False
    density_gradient: float = 0.0
    rim_ring: float = 0.0
    second_layer: float = 0.0
    contrast_spread: float = 0.0
    preferred: float = 0.0
    damaged: float = 0.0
    shading: float = 0.01
    mottling: float = 0.0
    gain_residue: float = 0.0
    carbon: bool = False
    gold: bool = False
    particles_on_carbon: bool = False
    blobs: int = 0
    specks: int = 0
    aggregates: int = 0
    micelles: int = 0
    filaments: int = 0
    vesicles: int = 0
    hot_pixels: int = 0
    dead_pixels: int = 0
    dead_columns: int = 0
    border: float = 0.0
    border_kind: str = "repeated"
    border_both: bool = False
    lowpass: float = 1.0
    processing: Processing = Processing()


def draw_conditions(rng: np.random.Generator) -> Conditions:
    """Draw conditions; every fifth micrograph has nothing to pick, though often all kinds of junk.

    The ranges cover what published simulators use and what real sessions look like: defocus and astigmatism as in
    CryoGEM and parakeet, dose as in roodmus, absorption and water motion as in cisTEM (Himes & Grigorieff 2021), the
    structural noise as Baxter et al. (2009) found it, "of the same order of magnitude as the reproducible signal".
    """
    drawn = _draw_image_of_anything(rng)
    if rng.random() < 0.2:
        dirty = rng.random() < 0.5
        drawn = _draw_nothing_to_pick(drawn, rng)
        if dirty:
            drawn = replace(
                drawn,
                specks=int(rng.integers(5, 60)),
                blobs=int(rng.integers(0, 8)),
                micelles=int(rng.integers(0, 80)),
            )
    return drawn


def draw_training_conditions(rng: np.random.Generator) -> Conditions:
    """Draw conditions to train on: a seventh has nothing to pick, and half of that and three in ten others much junk.

    Of junk a network must see more than there is in sessions: what it has hardly seen it takes for particles.
    """
    drawn = _draw_image_of_anything(rng)
    empty = rng.random() < 0.14
    if rng.random() < (0.5 if empty else 0.3):
        drawn = _draw_heavy_junk(drawn, rng)
    return _draw_nothing_to_pick(drawn, rng) if empty else drawn


def _draw_image_of_anything(rng: np.random.Generator) -> Conditions:
    drawn = _draw_specimen(_draw_microscope(Conditions(), rng), rng)
    drawn = _draw_image(_draw_junk(drawn, rng), rng)
    return _draw_processing(drawn, rng) if rng.random() < 0.5 else drawn


def _draw_microscope(conditions: Conditions, rng: np.random.Generator) -> Conditions:
    return replace(
        conditions,
        voltage=float(rng.choice([300.0, 200.0], p=[0.7, 0.3])),
        spherical_aberration=float(rng.choice([2.7, 2.0, 1.2, 0.01], p=[0.85, 0.06, 0.04, 0.05])),
        amplitude_contrast=float(rng.triangular(0.04, 0.08, 0.15)),
        defocus=float(np.clip(rng.lognormal(np.log(16_000), 0.4), 6_000, 40_000)),
        astigmatism=float(np.clip(abs(rng.normal(0, 300)), 0, 1500)),
        phase_shift=float(rng.uniform(20, 120)) if rng.random() < 0.05 else 0.0,
        envelope=log_uniform(60, 600, rng),
        dose=float(rng.triangular(18, 45, 70)),
        efficiency=float(rng.uniform(0.4, 0.9)),
        snr=log_uniform(0.05, 4, rng),
    )


def _draw_specimen(conditions: Conditions, rng: np.random.Generator) -> Conditions:
    crowded = rng.random() < 0.15
    return replace(
        conditions,
        ice_thickness=float(rng.uniform(200, 1000)),
        ice_gradient=float(rng.uniform(-0.15, 0.15)),
        meniscus=float(rng.uniform(0, 0.5)),
        ice_structure=float(rng.uniform(0.04, 0.12)),
        protein_noise=log_uniform(0.1, 8, rng),
        protein_noise_radius=log_uniform(6, 30, rng),
        patchiness=float(rng.uniform(0, 0.6)) if rng.random() < 0.4 else 0.0,
        coverage=float(rng.uniform(0.4, 0.62)) if crowded else log_uniform(0.03, 0.5, rng),
        min_separation=float(rng.uniform(0.9, 1.15)) if crowded else float(rng.uniform(0.6, 1.2)),
        clustering=float(rng.uniform(0.2, 0.6)) if rng.random() < 0.5 else 0.0,
        lattice=bool(crowded and rng.random() < 0.6),
        density_gradient=float(rng.uniform(0.3, 1)) if rng.random() < 0.3 else 0.0,
        rim_ring=float(rng.uniform(0.3, 1)) if rng.random() < 0.3 else 0.0,
        second_layer=float(rng.uniform(0.05, 0.3)) if rng.random() < 0.2 else 0.0,
        contrast_spread=float(rng.uniform(0, 0.25)),
        preferred=float(rng.choice([0.0, rng.uniform(0.5, 0.9)])),
        damaged=float(rng.choice([0.0, rng.uniform(0.05, 0.3)])),
    )


def _draw_junk(conditions: Conditions, rng: np.random.Generator) -> Conditions:
    def number(probability: float, mean: float) -> int:
        return 1 + int(rng.poisson(mean)) if rng.random() < probability else 0

    film = rng.choice(["none", "carbon", "gold"], p=[0.75, 0.17, 0.08])
    return replace(
        conditions,
        carbon=bool(film == "carbon"),
        gold=bool(film == "gold"),
        particles_on_carbon=bool(rng.random() < 0.2),
        blobs=number(0.3, 1),
        specks=number(0.5, 7),
        aggregates=number(0.35, 0.7),
        micelles=number(0.15, 25),
        filaments=number(0.12, 1.5),
        vesicles=number(0.1, 1),
        mottling=log_uniform(0.01, 0.05, rng) if rng.random() < 0.05 else 0.0,
    )


def _draw_image(conditions: Conditions, rng: np.random.Generator) -> Conditions:
    return replace(
        conditions,
        shading=log_uniform(0.002, 0.03, rng),
        gain_residue=float(rng.uniform(0, 0.003)) if rng.random() < 0.3 else 0.0,
        hot_pixels=int(rng.integers(0, 30)) if rng.random() < 0.4 else 0,
        dead_pixels=int(rng.integers(0, 15)) if rng.random() < 0.2 else 0,
        dead_columns=int(rng.integers(1, 3)) if rng.random() < 0.03 else 0,
        border=log_uniform(3, 30, rng) if rng.random() < 0.15 else 0.0,
        border_kind=str(rng.choice(list(BORDERS), p=[0.6, 0.1, 0.1, 0.1, 0.1])),
        border_both=bool(rng.random() < 0.4),
    )


def _draw_processing(conditions: Conditions, rng: np.random.Generator) -> Conditions:
    name = str(rng.choice(list(DENOISING)))
    _, shortest, longest = DENOISING[name]
    return replace(
        conditions,
        lowpass=log_uniform(0.1, 1.0, rng) if rng.random() < 0.6 else 1.0,
        processing=Processing(
            subsampling=float(rng.uniform(1.05, 1.5)) if rng.random() < 0.1 else 1.0,
            denoising=name if rng.random() < 0.25 else None,
            denoising_length=log_uniform(shortest, longest, rng),
            equalise_radius=log_uniform(1.0, 5.0, rng) if rng.random() < 0.15 else 0.0,
            gamma=log_uniform(0.7, 1.4, rng) if rng.random() < 0.2 else 1.0,
            clip=log_uniform(0.001, 0.02, rng) if rng.random() < 0.3 else 0.0,
            eight_bits=bool(rng.random() < 0.4),
            lowpass_order=int(rng.choice([3, 6, 12, 24])),
        ),
    )


def _draw_heavy_junk(conditions: Conditions, rng: np.random.Generator) -> Conditions:
    return replace(
        conditions,
        specks=int(rng.integers(5, 60)),
        blobs=int(rng.integers(0, 8)),
        aggregates=int(rng.integers(1, 7)),
        micelles=int(rng.integers(0, 80)) if rng.random() < 0.3 else conditions.micelles,
        vesicles=int(rng.integers(0, 4)),
        filaments=int(rng.integers(0, 3)),
    )


def _draw_nothing_to_pick(conditions: Conditions, rng: np.random.Generator) -> Conditions:
    """Return conditions without particles, a third of them crystalline."""
    return replace(
        conditions,
        coverage=0.0,
        second_layer=0.0,
        mottling=log_uniform(0.05, 0.2, rng) if rng.random() < 0.33 else conditions.mottling,
    )


SAME_IN_A_SESSION = (
    "voltage",
    "spherical_aberration",
    "amplitude_contrast",
    "phase_shift",
    "envelope",
    "dose",
    "efficiency",
    "ice_thickness",
    "protein_noise",
    "protein_noise_radius",
    "min_separation",
    "clustering",
    "lattice",
    "second_layer",
    "contrast_spread",
    "preferred",
    "damaged",
    "particles_on_carbon",
    "border",
    "border_kind",
    "border_both",
    "lowpass",
    "processing",
)
"""Fields that the microscope, the sample and the later programs set for all micrographs of a session alike."""


def vary_conditions(session: Conditions, rng: np.random.Generator) -> Conditions:
    """Draw the conditions of another micrograph of a session: other defocus and junk, nearly its SNR and coverage."""
    while not (drawn := draw_conditions(rng)).coverage:
        pass
    kept = {name: getattr(session, name) for name in SAME_IN_A_SESSION}
    return replace(
        drawn,
        **kept,
        snr=session.snr * float(np.exp(rng.normal(0, 0.12))),
        coverage=min(0.7, session.coverage * float(np.exp(rng.normal(0, 0.2)))),
    )
