"""One simulated micrograph: particles in ice, imaged, exposed, and the truth about them.

A plain simulator, in numpy, for the quickstart, the tests and the first weights. What it does not do: structures from
PDB files, gold, crystalline ice, phase plates, the habits of single detectors.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.fft
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from relion_attn_picker.micrograph import CtfParameters
from relion_attn_picker.picks import FloatArray
from relion_attn_picker.simulation.contamination import carbon_edge, ice_blobs
from relion_attn_picker.simulation.ice import (
    gaussian_field,
    ice_spectral_density,
    protein_spectral_density,
    shading,
)
from relion_attn_picker.simulation.optics import Optics, frequencies, image_intensity, phase_per_scattering
from relion_attn_picker.simulation.particles import BeadParticle

FloatField = NDArray[np.float64]

MARGIN = 300.0
"""Å simulated beyond every edge, at least: the reach of strong fringes."""


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """The conditions of one micrograph; ``draw_conditions`` draws them from ranges of real sessions.

    Parameters
    ----------
    defocus, astigmatism
        Å.
    voltage, spherical_aberration, amplitude_contrast, envelope
        kV, mm, fraction, Å².
    lowpass
        Cut-off of a later low-pass filter as a fraction of the Nyquist frequency; 1 for none.
    dose, noise_gain
        e/Å², and the factor on the shot noise's variance that poor detectors and naive resampling make.
    ice_thickness, ice_structure
        Å, and S₀ of ``ice.ice_spectral_density``.
    protein_noise
        Power of unresolved protein relative to the shot noise's.
    coverage
        Share of the area that particles cover.
    min_separation
        Smallest distance of two particles in diameters.
    clustering
        Probability that a particle lies beside an earlier one.
    shading
        Relative standard deviation of slow changes of brightness.
    carbon, blobs, specks, aggregates, damaged
        Whether there is a carbon edge; numbers of large and particle-sized ice blobs and of aggregates; the share of
        particles that are broken (ignored, neither right nor wrong).
    """

    defocus: float = 18_000.0
    astigmatism: float = 300.0
    voltage: float = 300.0
    spherical_aberration: float = 2.7
    amplitude_contrast: float = 0.1
    envelope: float = 150.0
    lowpass: float = 1.0
    dose: float = 40.0
    noise_gain: float = 2.0
    ice_thickness: float = 500.0
    ice_structure: float = 0.08
    protein_noise: float = 0.5
    coverage: float = 0.15
    min_separation: float = 1.0
    clustering: float = 0.2
    shading: float = 0.01
    carbon: bool = False
    blobs: int = 0
    specks: int = 0
    aggregates: int = 0
    damaged: float = 0.0


def draw_conditions(rng: np.random.Generator) -> Conditions:
    """Draw conditions; every tenth micrograph has no particle at all."""
    busy = rng.random()
    return Conditions(
        defocus=float(np.clip(rng.lognormal(np.log(16_000), 0.4), 6_000, 40_000)),
        astigmatism=float(abs(rng.normal(0, 300))),
        voltage=float(rng.choice([300.0, 200.0], p=[0.7, 0.3])),
        spherical_aberration=float(rng.choice([2.7, 2.0, 0.01], p=[0.85, 0.1, 0.05])),
        amplitude_contrast=float(rng.uniform(0.06, 0.12)),
        envelope=_log_uniform(60, 600, rng),
        lowpass=float(rng.uniform(0.3, 1.0)) if rng.random() < 0.5 else 1.0,
        dose=float(rng.uniform(18, 60)),
        noise_gain=_log_uniform(1, 12, rng),
        ice_thickness=float(rng.uniform(200, 1000)),
        ice_structure=float(rng.uniform(0.04, 0.12)),
        protein_noise=_log_uniform(0.1, 6, rng),
        coverage=0.0 if rng.random() < 0.1 else _log_uniform(0.03, 0.45, rng),
        min_separation=float(rng.uniform(0.65, 1.2)),
        clustering=float(rng.uniform(0, 0.6)),
        shading=_log_uniform(0.002, 0.03, rng),
        carbon=bool(rng.random() < 0.2),
        blobs=int(rng.poisson(0.5)),
        specks=int(rng.poisson(4)) if busy < 0.5 else 0,
        aggregates=int(rng.poisson(0.6)),
        damaged=float(rng.choice([0.0, 0.1])),
    )


def _log_uniform(low: float, high: float, rng: np.random.Generator) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


@dataclass(frozen=True)
class SimulatedMicrograph:
    """A simulated micrograph with its truth.

    Parameters
    ----------
    image
        Counts, ``(h, w)``; particles are dark.
    yx, ignored_yx
        Centres of whole particles on clear ice, and of broken ones and ones in junk, ``(n, 2)`` pixels.
    junk
        Where carbon and ice lie, ``(h, w)``.
    pixel_size, particle_diameter
        Å.
    optics
        As imaged.
    """

    image: FloatArray
    yx: FloatArray
    ignored_yx: FloatArray
    junk: NDArray[np.bool_]
    pixel_size: float
    particle_diameter: float
    optics: Optics


def simulate_micrograph(
    particle: BeadParticle,
    shape: tuple[int, int],
    pixel_size: float,
    conditions: Conditions,
    rng: np.random.Generator,
) -> SimulatedMicrograph:
    """Simulate one micrograph of one kind of particle.

    Scattering over water is projected, an exit wave made of it and of everything else on the grid, the lens applied,
    electrons counted. All of it happens on a field with a margin, which is cut off at the end, so that the fringes of
    one edge do not wrap round onto the other.
    """
    margin = int(np.ceil(max(particle.diameter, MARGIN) / pixel_size))
    field = (shape[0] + 2 * margin, shape[1] + 2 * margin)
    optics = _make_optics(conditions, rng)
    phase, junk = _draw_junk(field, pixel_size, conditions, rng)
    yx = place_particles(field, particle.diameter / pixel_size, conditions, rng)
    broken = rng.random(len(yx)) < conditions.damaged
    scattering = np.zeros(field)
    for centre, is_broken in zip(yx, broken, strict=True):
        add_particle(scattering, _break(particle, rng) if is_broken else particle, centre, pixel_size, rng)
    _add_aggregates(scattering, particle, pixel_size, conditions.aggregates, rng)
    phase += phase_per_scattering(conditions.voltage) * scattering
    phase += _structural_noise(field, pixel_size, conditions, rng)
    absorption = np.maximum(0.0, conditions.ice_thickness * (1 + 0.1 * shading(field, rng, 3))) / (2 * 3950)
    intensity = image_intensity(phase, absorption, optics, pixel_size)
    intensity *= 1 + conditions.shading * shading(field, rng)
    image = _expose(intensity, pixel_size, conditions, rng)
    ignored = broken | _values_at(junk, yx)
    yx = yx - margin
    visible = ((yx >= -0.5) & (yx <= np.array(shape) - 0.5)).all(axis=1)
    inner = np.s_[margin : margin + shape[0], margin : margin + shape[1]]
    return SimulatedMicrograph(
        np.ascontiguousarray(image[inner], dtype=np.float32),
        yx[visible & ~ignored].astype(np.float32),
        yx[visible & ignored].astype(np.float32),
        junk[inner],
        pixel_size,
        particle.diameter,
        optics,
    )


def _make_optics(conditions: Conditions, rng: np.random.Generator) -> Optics:
    half = conditions.astigmatism / 2
    ctf = CtfParameters(conditions.defocus + half, conditions.defocus - half, float(rng.uniform(0, 180)))
    return Optics(
        conditions.voltage,
        conditions.spherical_aberration,
        conditions.amplitude_contrast,
        ctf,
        conditions.envelope,
    )


def place_particles(
    shape: tuple[int, int], diameter_px: float, conditions: Conditions, rng: np.random.Generator
) -> FloatField:
    """Draw centres ``(n, 2)`` until ``conditions.coverage`` of the area is covered or no place is left.

    With probability ``conditions.clustering`` a particle is put beside an earlier one, otherwise anywhere; places
    nearer to another particle than the smallest separation are given up.
    """
    wanted = round(conditions.coverage * shape[0] * shape[1] / (np.pi / 4 * diameter_px**2))
    separation = conditions.min_separation * diameter_px
    low, high = np.zeros(2), np.array(shape) - 1.0
    centres: list[NDArray[np.float64]] = []
    for _ in range(8 * wanted):
        if len(centres) == wanted:
            break
        if centres and rng.random() < conditions.clustering:
            angle, distance = rng.uniform(0, 2 * np.pi), separation * rng.uniform(1, 1.3)
            place = centres[rng.integers(len(centres))] + distance * np.array([np.sin(angle), np.cos(angle)])
        else:
            place = rng.uniform(low, high)
        is_free = not centres or np.square(np.array(centres) - place).sum(axis=1).min() >= separation**2
        if is_free and (place >= low).all() and (place <= high).all():
            centres.append(place)
    return np.array(centres).reshape(-1, 2)


def add_particle(
    scattering: FloatField,
    particle: BeadParticle,
    centre: NDArray[np.float64],
    pixel_size: float,
    rng: np.random.Generator,
) -> None:
    """Add a randomly turned particle's projection to the field, in place, at a centre in (fractional) pixels."""
    projection = _shift(particle.project(Rotation.random(random_state=rng), pixel_size), centre - np.rint(centre))
    reach = projection.shape[0] // 2
    corner = np.rint(centre).astype(int) - reach
    start = np.maximum(corner, 0)
    stop = np.minimum(corner + projection.shape[0], scattering.shape)
    if (stop <= start).any():
        return
    source = tuple(slice(a - c, b - c) for a, b, c in zip(start, stop, corner, strict=True))
    scattering[start[0] : stop[0], start[1] : stop[1]] += projection[source]


def _shift(image: FloatField, offset: NDArray[np.float64]) -> FloatField:
    """Move an image by less than a pixel, bilinearly; it must be surrounded by zeros."""
    for axis in (0, 1):
        part = float(offset[axis])
        image = (1 - abs(part)) * image + abs(part) * np.roll(image, int(np.sign(part)), axis=axis)
    return image


def _break(particle: BeadParticle, rng: np.random.Generator) -> BeadParticle:
    """Return the particle without a random side of it: up to half of its diameter cut off."""
    direction = Rotation.random(random_state=rng).apply([0.0, 0.0, 1.0])
    kept = particle.xyz @ direction < rng.uniform(0.0, 0.3) * particle.diameter
    return BeadParticle(
        particle.name, particle.xyz[kept], particle.weight[kept], particle.bead_radius, particle.diameter
    )


def _add_aggregates(
    scattering: FloatField, particle: BeadParticle, pixel_size: float, count: int, rng: np.random.Generator
) -> None:
    """Add clumps of 6 to 30 particles that overlap too much to be picked."""
    for _ in range(count):
        centres = [rng.uniform((0, 0), scattering.shape)]
        for _ in range(int(rng.integers(6, 30))):
            step = rng.uniform(0.45, 0.7) * particle.diameter / pixel_size
            angle = rng.uniform(0, 2 * np.pi)
            centres.append(centres[rng.integers(len(centres))] + step * np.array([np.sin(angle), np.cos(angle)]))
        for centre in centres:
            add_particle(scattering, particle, centre, pixel_size, rng)


def _draw_junk(
    shape: tuple[int, int], pixel_size: float, conditions: Conditions, rng: np.random.Generator
) -> tuple[FloatField, NDArray[np.bool_]]:
    """Return the junk's phase, and where there is junk."""
    large, large_mask = ice_blobs(shape, pixel_size, conditions.voltage, conditions.blobs, (200, 700), rng)
    small, small_mask = ice_blobs(shape, pixel_size, conditions.voltage, conditions.specks, (25, 80), rng)
    phase, mask = large + small, large_mask | small_mask
    if conditions.carbon:
        carbon, on_carbon = carbon_edge(shape, pixel_size, conditions.voltage, rng)
        phase, mask = phase + carbon, mask | on_carbon
    return phase, mask


def _structural_noise(
    shape: tuple[int, int], pixel_size: float, conditions: Conditions, rng: np.random.Generator
) -> FloatField:
    """Return the phase of moving water and of unresolved protein, as strong as the shot noise times a factor."""
    shot_power = conditions.noise_gain / conditions.dose / 4
    gyration = rng.uniform(6, 30)

    def density(k: FloatField) -> FloatField:
        ice = ice_spectral_density(
            k, conditions.ice_thickness, conditions.dose, conditions.voltage, conditions.ice_structure
        )
        return ice + protein_spectral_density(k, conditions.protein_noise * shot_power, gyration)

    return gaussian_field(shape, pixel_size, density, rng)


def _expose(intensity: FloatField, pixel_size: float, conditions: Conditions, rng: np.random.Generator) -> FloatField:
    """Count electrons: a Gaussian with Poisson's variance times the noise gain, and a few hot pixels."""
    expected = intensity * conditions.dose * pixel_size**2
    noise = np.sqrt(np.maximum(expected, 0) * conditions.noise_gain)
    image = expected + noise * rng.normal(size=intensity.shape)
    hot = rng.integers(0, intensity.size, int(rng.integers(0, 10)))
    image.flat[hot] += rng.uniform(6, 30, len(hot)) * noise.mean()
    return image if conditions.lowpass >= 1 else _lowpass(image, conditions.lowpass)


def _lowpass(image: FloatField, cutoff: float, order: int = 6) -> FloatField:
    """Apply a Butterworth low-pass filter with its half power at ``cutoff`` times the Nyquist frequency."""
    ky, kx = frequencies((image.shape[0], image.shape[1]), 1.0)
    gain = 1 / np.sqrt(1 + (np.hypot(ky, kx) / (0.5 * cutoff)) ** (2 * order))
    return np.asarray(np.real(scipy.fft.ifft2(scipy.fft.fft2(image) * gain)))


def _values_at(mask: NDArray[np.bool_], yx: FloatField) -> NDArray[np.bool_]:
    inside = np.clip(np.rint(yx).astype(int), 0, np.array(mask.shape) - 1)
    return np.asarray(mask[inside[:, 0], inside[:, 1]])
