"""One simulated micrograph: particles in ice, imaged, exposed, and the truth about them.

What it does not do: gold, crystals with lattices, the habits of single detectors.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import scipy.fft
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.spatial.transform import Rotation

from relion_attn_picker.micrograph import CtfParameters
from relion_attn_picker.picks import FloatArray
from relion_attn_picker.simulation.conditions import Conditions
from relion_attn_picker.simulation.contamination import carbon_edge, ice_blobs
from relion_attn_picker.simulation.detector import add_defects, expose, gain_residue, lowpass
from relion_attn_picker.simulation.ice import (
    gaussian_field,
    ice_spectral_density,
    mottling,
    protein_spectral_density,
    shading,
)
from relion_attn_picker.simulation.optics import (
    Optics,
    image_intensity,
    phase_per_scattering,
    squared_frequencies,
)
from relion_attn_picker.simulation.particles import BeadParticle, splat
from relion_attn_picker.simulation.placement import Points, draw_rotations, place_aggregate, place_particles

MARGIN = 300.0
"""Å simulated beyond every edge, at least: the reach of strong fringes."""

SNR_PIXELS = 24
"""Pixels per diameter at which ``Conditions.snr`` is meant."""

ABSORPTION_LENGTH = 3950.0
"""Å of ice that let 1/e of the electrons through at 300 kV (Rice et al. 2018, J. Struct. Biol. 204)."""


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
        Where carbon, ice and aggregates lie, ``(h, w)``.
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


@dataclass(frozen=True)
class _Field:
    """The simulated field: the micrograph with a margin, in a shape that Fourier transforms are fast for."""

    shape: tuple[int, int]
    margin: int
    pixel_size: float


def simulate_micrograph(
    particle: BeadParticle,
    shape: tuple[int, int],
    pixel_size: float,
    conditions: Conditions,
    rng: np.random.Generator,
) -> SimulatedMicrograph:
    """Simulate one micrograph of one kind of particle.

    Scattering over water is projected, an exit wave made of it and of everything else in the field, the lens applied,
    electrons counted. All of it happens on a field with a margin, which is cut off at the end, so that the fringes of
    one edge do not wrap round onto the other.

    Parameters
    ----------
    particle
        What is to be picked.
    shape
        ``(h, w)`` of the micrograph in pixels.
    pixel_size
        Å per pixel.
    conditions
        See there.
    rng
        Everything random comes from here: the same seed makes the same micrograph.
    """
    field = _make_field(particle, shape, pixel_size)
    optics = _make_optics(conditions, rng)
    phase, junk, carbon = _draw_junk(field, conditions, rng)
    yx, broken = _draw_particles(particle, field, conditions, carbon, rng)
    phase += _project_particles(particle, field, yx, broken, junk, conditions, rng)
    noise_gain = choose_noise_gain(particle, optics, conditions, rng)
    phase += _structural_noise(field, conditions, noise_gain, rng)
    intensity = image_intensity(phase, _absorption(field, conditions, rng), optics, pixel_size)
    inner = np.s_[field.margin : field.margin + shape[0], field.margin : field.margin + shape[1]]
    image = _detect(intensity[inner], pixel_size, conditions, noise_gain, rng)
    ignored = broken | _values_at(junk, yx)
    yx = yx - field.margin
    visible = ((yx >= -0.5) & (yx <= np.array(shape) - 0.5)).all(axis=1)
    return SimulatedMicrograph(
        image,
        yx[visible & ~ignored].astype(np.float32),
        yx[visible & ignored].astype(np.float32),
        junk[inner],
        pixel_size,
        particle.diameter,
        optics,
    )


def choose_noise_gain(
    particle: BeadParticle, optics: Optics, conditions: Conditions, rng: np.random.Generator
) -> float:
    """Return the factor on the variance of counting that brings a particle to ``conditions.snr``.

    Signal: mean square of the weak image of three views within the particle's disc. Noise: its power per frequency
    area, averaged over the band of a picker with ``SNR_PIXELS`` pixels per diameter; unresolved protein grows with the
    noise of counting, moving water does not.
    """
    pixel_size = particle.diameter / SNR_PIXELS
    shape = (3 * SNR_PIXELS, 3 * SNR_PIXELS)
    transfer = optics.contrast_transfer(shape, pixel_size)
    middle = np.hypot(*np.ogrid[-36.0:36.0, -36.0:36.0]) <= SNR_PIXELS / 2
    powers = []
    for rotation in Rotation.random(3, random_state=rng):
        xy = rotation.apply(particle.xyz)[:, 1::-1] / pixel_size + 1.5 * SNR_PIXELS
        scattering = gaussian_filter(splat(xy, particle.weight, shape), particle.blur(pixel_size), mode="constant")
        phase = scattering * (phase_per_scattering(optics.voltage) / pixel_size**2)
        image = np.real(scipy.fft.ifft2(scipy.fft.fft2(phase) * transfer))
        powers.append(np.square(image[middle]).mean())
    k2 = squared_frequencies(shape, pixel_size)
    water = float((_water_density(k2, conditions) * transfer**2).mean())
    protein = protein_spectral_density(k2, conditions.protein_noise / 4, conditions.protein_noise_radius)
    wanted = float(np.mean(powers)) * pixel_size**2 / conditions.snr
    counting = max(wanted - water, 0.1 * wanted)
    return conditions.dose * counting / (1 + float((protein * transfer**2).mean()))


def _make_field(particle: BeadParticle, shape: tuple[int, int], pixel_size: float) -> _Field:
    margin = int(np.ceil(max(particle.diameter, MARGIN) / pixel_size))
    h, w = (int(scipy.fft.next_fast_len(n + 2 * margin, real=True)) for n in shape)
    return _Field((h, w), margin, pixel_size)


def _make_optics(conditions: Conditions, rng: np.random.Generator) -> Optics:
    half = conditions.astigmatism / 2
    angle = float(rng.uniform(0, 180))
    ctf = CtfParameters(conditions.defocus + half, conditions.defocus - half, angle, conditions.phase_shift)
    return Optics(
        conditions.voltage,
        conditions.spherical_aberration,
        conditions.amplitude_contrast,
        ctf,
        conditions.envelope,
    )


def _draw_junk(
    field: _Field, conditions: Conditions, rng: np.random.Generator
) -> tuple[FloatArray, NDArray[np.bool_], NDArray[np.bool_]]:
    """Return the junk's phase, where there is junk, and where it is carbon."""
    large, large_mask = ice_blobs(field.shape, field.pixel_size, conditions.voltage, conditions.blobs, (200, 700), rng)
    small, small_mask = ice_blobs(field.shape, field.pixel_size, conditions.voltage, conditions.specks, (25, 80), rng)
    phase, mask = large + small, large_mask | small_mask
    if not conditions.carbon:
        return phase, mask, np.zeros_like(mask)
    film, on_carbon = carbon_edge(field.shape, field.pixel_size, conditions.voltage, rng)
    return phase + film, mask | on_carbon, on_carbon


def _draw_particles(
    particle: BeadParticle,
    field: _Field,
    conditions: Conditions,
    carbon: NDArray[np.bool_],
    rng: np.random.Generator,
) -> tuple[Points, NDArray[np.bool_]]:
    """Return centres in pixels of the field, and which of the particles are broken."""
    yx = place_particles(
        field.shape,
        particle.diameter / field.pixel_size,
        conditions.coverage,
        conditions.min_separation,
        conditions.clustering,
        rng,
    )
    if not conditions.particles_on_carbon:
        yx = yx[~_values_at(carbon, yx)]
    return yx, rng.random(len(yx)) < conditions.damaged


def _project_particles(
    particle: BeadParticle,
    field: _Field,
    yx: Points,
    broken: NDArray[np.bool_],
    junk: NDArray[np.bool_],
    conditions: Conditions,
    rng: np.random.Generator,
) -> FloatArray:
    """Return the phase of all particles, aggregates included; where these lie is added to ``junk``, in place."""
    diameter_px = particle.diameter / field.pixel_size
    aggregates = [place_aggregate(field.shape, diameter_px, rng) for _ in range(conditions.aggregates)]
    clumped = np.concatenate([*aggregates, np.empty((0, 2))])
    _mark_discs(junk, clumped, diameter_px / 2)
    centres = np.concatenate([yx, clumped])
    beads, weights = [], []
    for number, rotation in enumerate(draw_rotations(len(centres), conditions.preferred, rng)):
        whole = number >= len(yx) or not broken[number]
        part = particle if whole else _break(particle, rng)
        beads.append(rotation.apply(part.xyz)[:, 1::-1] / field.pixel_size + centres[number])
        weights.append(part.weight)
    if not beads:
        return np.zeros(field.shape, dtype=np.float32)
    scattering = splat(np.concatenate(beads), np.concatenate(weights), field.shape)
    scattering *= np.float32(phase_per_scattering(conditions.voltage) / field.pixel_size**2)
    return np.asarray(gaussian_filter(scattering, particle.blur(field.pixel_size), mode="constant"))


def _break(particle: BeadParticle, rng: np.random.Generator) -> BeadParticle:
    """Return the particle without a random side of it: up to half of its diameter cut off."""
    direction = Rotation.random(random_state=rng).apply([0.0, 0.0, 1.0])
    kept = particle.xyz @ direction < rng.uniform(0.0, 0.3) * particle.diameter
    return replace(particle, xyz=particle.xyz[kept], weight=particle.weight[kept])


def _mark_discs(mask: NDArray[np.bool_], centres: Points, radius: float) -> None:
    y, x = np.ogrid[: mask.shape[0], : mask.shape[1]]
    for centre in centres:
        low = np.maximum((centre - radius).astype(int), 0)
        window = np.s_[low[0] : max(0, int(centre[0] + radius) + 2), low[1] : max(0, int(centre[1] + radius) + 2)]
        near = np.square(y[window[0]] - centre[0]) + np.square(x[:, window[1]] - centre[1]) <= radius**2
        mask[window] |= near


def _structural_noise(field: _Field, conditions: Conditions, noise_gain: float, rng: np.random.Generator) -> FloatArray:
    """Return the phase of moving water and of unresolved protein."""
    power = conditions.protein_noise * noise_gain / conditions.dose / 4

    def density(k2: FloatArray) -> FloatArray:
        return _water_density(k2, conditions) + protein_spectral_density(k2, power, conditions.protein_noise_radius)

    return gaussian_field(field.shape, field.pixel_size, density, rng)


def _water_density(k2: FloatArray, conditions: Conditions) -> FloatArray:
    return ice_spectral_density(
        k2, conditions.ice_thickness, conditions.dose, conditions.voltage, conditions.ice_structure
    )


def _absorption(field: _Field, conditions: Conditions, rng: np.random.Generator) -> FloatArray:
    """Return what ice of uneven thickness takes from the wave's amplitude, as an exponent."""
    thickness = 1 + np.float32(0.1) * shading(field.shape, rng, waves=3)
    if conditions.mottling:
        period = float(rng.uniform(300, 1000))
        relative = np.float32(conditions.mottling * 2 * ABSORPTION_LENGTH / conditions.ice_thickness / 2)
        thickness += relative * mottling(field.shape, field.pixel_size, period, rng)
    return np.asarray(np.maximum(thickness, 0) * np.float32(conditions.ice_thickness / (2 * ABSORPTION_LENGTH)))


def _detect(
    intensity: FloatArray, pixel_size: float, conditions: Conditions, noise_gain: float, rng: np.random.Generator
) -> FloatArray:
    """Return counts ``(h, w)``, with the detector's faults and a later filter's effect."""
    shape = (intensity.shape[0], intensity.shape[1])
    lit = intensity * (1 + np.float32(conditions.shading) * shading(shape, rng))
    if conditions.gain_residue:
        lit *= gain_residue(shape, conditions.gain_residue, rng)
    image = expose(lit, pixel_size, conditions.dose, noise_gain, rng)
    if conditions.lowpass < 1:
        image = lowpass(image, conditions.lowpass)
    add_defects(image, conditions.hot_pixels, conditions.border, rng)
    return image


def _values_at(mask: NDArray[np.bool_], yx: Points) -> NDArray[np.bool_]:
    inside = np.clip(np.rint(yx).astype(int), 0, np.array(mask.shape) - 1)
    return np.asarray(mask[inside[:, 0], inside[:, 1]])
