"""One simulated field on a device: particles in ice, imaged, exposed, processed, and the truth about them.

Images stay on the device; only what is few (places, shapes, numbers) is drawn on the host. What it does not do:
crystals with lattices, the habits of single detectors.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from relion_attn_picker.micrograph import CtfParameters
from relion_attn_picker.simulation import processing
from relion_attn_picker.simulation.chance import Chance, log_uniform
from relion_attn_picker.simulation.conditions import Conditions
from relion_attn_picker.simulation.detector import add_border, add_wrong_pixels, expose, gain_residue
from relion_attn_picker.simulation.films import FILMS, Hole, Layer, draw_hole
from relion_attn_picker.simulation.grid import Grid, fast_length
from relion_attn_picker.simulation.ice import (
    gaussian_field,
    gaussian_spectrum,
    mottling,
    protein_spectral_density,
    shading,
)
from relion_attn_picker.simulation.lumps import add_lump, draw_lump, draw_speck
from relion_attn_picker.simulation.optics import Optics, image_intensity, relative_mean_free_path
from relion_attn_picker.simulation.particles import BeadParticle, Points
from relion_attn_picker.simulation.projection import scattering_spectrum
from relion_attn_picker.simulation.signal import (
    ABSORPTION_LENGTH,
    SNR_PIXELS,
    choose_noise_gain,
    ice_transmission,
    particle_phase,
    specimen_transfer,
    water_density,
)
from relion_attn_picker.simulation.specimen import place_specimen, splat_specimen, values_at

MARGIN = 300.0
"""Å simulated beyond every edge, at least: the reach of strong fringes."""


@dataclass(frozen=True)
class SimulatedField:
    """A simulated field with its truth, on one device.

    Parameters
    ----------
    image
        Counts (or grey values, where the image was processed), ``(h, w)`` float32; particles are dark.
    yx, ignored_yx
        Centres of whole particles on clear ice, and of broken ones, hidden ones and ones in junk or in a spoilt strip,
        ``(n, 2)`` float32 pixels.
    junk
        Where films, ice, aggregates and debris lie, ``(h, w)``.
    optics
        As imaged.
    noise_gain
        Variance of the counts over Poisson's: what ``Conditions.snr`` asked for.
    """

    image: Tensor
    yx: Tensor
    ignored_yx: Tensor
    junk: Tensor
    optics: Optics
    noise_gain: float


def simulate_field(
    particle: BeadParticle,
    shape: tuple[int, int],
    pixel_size: float,
    conditions: Conditions,
    chance: Chance,
    device: torch.device,
) -> SimulatedField:
    """Simulate one field of one kind of particle.

    Scattering over water is projected, an exit wave made of it and of everything else in the field, the lens applied,
    electrons counted. All of it happens on a field with a margin, which is cut off at the end, so that the fringes of
    one edge do not wrap round onto the other.

    Parameters
    ----------
    particle
        What is to be picked.
    shape, pixel_size
        ``(h, w)`` in pixels, Å per pixel.
    conditions
        See there.
    chance
        Everything random comes from here.
    device
        Where the images are made.
    """
    factor = conditions.processing.subsampling
    seen = (math.ceil(shape[0] * factor), math.ceil(shape[1] * factor))
    grid, margin = _make_grid(particle, seen, pixel_size / factor, device)
    optics = _draw_optics(conditions, chance.rng)
    noise_gain = choose_noise_gain(particle, optics, conditions, chance.rng)
    hole = draw_hole(grid.extent, chance.rng) if conditions.carbon or conditions.gold else None
    layer = _draw_layers(particle, hole, grid, conditions, chance)
    placed = place_specimen(particle, grid, hole, conditions, chance.rng)
    beads = splat_specimen(particle, placed, layer.mask, grid, conditions, chance.rng)
    phase = _specimen_phase(beads, particle.bead_radius, grid, noise_gain, conditions, chance)
    absorption = optics.amplitude_of(phase) + layer.absorption + _ice_absorption(grid, hole, conditions, chance)
    intensity = image_intensity(phase + layer.phase, absorption, optics, grid)
    inner = slice(margin, margin + seen[0]), slice(margin, margin + seen[1])
    image = _expose(intensity[inner], grid.pixel_size, noise_gain, conditions, chance)
    image, junk = _subsample(image, shape, factor), _subsample(layer.mask[inner], shape, factor)
    image, spoilt = _process(image, pixel_size, particle.diameter, conditions, chance.rng)
    yx = (placed.yx - margin) / factor
    ignored = placed.broken | placed.overlapped | values_at(layer.mask, placed.yx) | values_at(spoilt, yx)
    visible = ((yx >= -0.5) & (yx <= np.array(shape) - 0.5)).all(axis=1)
    kept, left_out = (_to_tensor(yx[visible & those], device) for those in (~ignored, ignored))
    return SimulatedField(image, kept, left_out, junk, optics, noise_gain)


def _make_grid(
    particle: BeadParticle, shape: tuple[int, int], pixel_size: float, device: torch.device
) -> tuple[Grid, int]:
    margin = math.ceil(max(particle.diameter, MARGIN) / pixel_size)
    return Grid((fast_length(shape[0] + 2 * margin), fast_length(shape[1] + 2 * margin)), pixel_size, device), margin


def _draw_optics(conditions: Conditions, rng: np.random.Generator) -> Optics:
    half = conditions.astigmatism / 2
    ctf = CtfParameters(
        conditions.defocus + half, conditions.defocus - half, float(rng.uniform(0, 180)), conditions.phase_shift
    )
    return Optics(
        conditions.voltage, conditions.spherical_aberration, conditions.amplitude_contrast, ctf, conditions.envelope
    )


def _draw_layers(
    particle: BeadParticle, hole: Hole | None, grid: Grid, conditions: Conditions, chance: Chance
) -> Layer:
    """Return films, lumps and specks in one layer."""
    layer = Layer(grid.zeros(), grid.zeros(), grid.nowhere())
    if hole is not None:
        layer = FILMS["gold" if conditions.gold else "carbon"](hole, grid, conditions.voltage, chance)
    lumps = [draw_lump(chance.rng) for _ in range(conditions.blobs)]
    mean_phase = particle_phase(particle, conditions.voltage)
    lumps += [
        draw_speck(particle.diameter, mean_phase, conditions.voltage, chance.rng) for _ in range(conditions.specks)
    ]
    for lump in lumps:
        add_lump(layer, lump, grid, conditions.voltage, chance.rng)
    return layer


def _specimen_phase(
    beads: Tensor, bead_radius: float, grid: Grid, noise_gain: float, conditions: Conditions, chance: Chance
) -> Tensor:
    """Return the phase of all beads, of moving water and of unresolved protein."""
    electrons = conditions.dose * conditions.efficiency * ice_transmission(conditions)
    power = conditions.protein_noise * noise_gain / electrons / 4

    def protein(k2: Tensor) -> Tensor:
        return protein_spectral_density(k2, power, conditions.protein_noise_radius)

    def water(k2: Tensor) -> Tensor:
        return water_density(k2, conditions)

    k2 = grid.squared_frequencies(half=True)
    spectrum = scattering_spectrum(beads, grid)
    spectrum *= specimen_transfer(k2, bead_radius, conditions, grid)
    if not conditions.patchiness:
        spectrum += gaussian_spectrum(grid, lambda k2: water(k2) + protein(k2), chance)
        return grid.field_of(spectrum)
    spectrum += gaussian_spectrum(grid, water, chance)
    uneven = conditions.patchiness * shading(grid, chance, waves=6)
    patches = torch.exp(uneven - conditions.patchiness**2)  # of mean power 1
    return grid.field_of(spectrum) + patches * gaussian_field(grid, protein, chance)


def _ice_absorption(grid: Grid, hole: Hole | None, conditions: Conditions, chance: Chance) -> Tensor:
    """Return what ice of uneven thickness takes from the wave's amplitude, as an exponent."""
    length = ABSORPTION_LENGTH * relative_mean_free_path(conditions.voltage)
    thickness = 1 + 0.05 * shading(grid, chance, waves=3)
    turn = chance.rng.uniform(0, 2 * np.pi)
    y, x = grid.axes(grid.extent[0] / 2, grid.extent[1] / 2)
    thickness += (y * math.sin(turn) + x * math.cos(turn)) * (2 * conditions.ice_gradient / max(grid.extent))
    if hole is not None:
        y, x = grid.axes(*hole.centre)
        thickness += conditions.meniscus * ((y**2 + x**2) / hole.radius**2).clamp_max(1)
    if conditions.mottling:
        relative = conditions.mottling * length / conditions.ice_thickness
        thickness += relative * mottling(grid, log_uniform(100, 1000, chance.rng), chance)
    return thickness.clamp_min_(0).mul_(conditions.ice_thickness / (2 * length))


def _expose(intensity: Tensor, pixel_size: float, noise_gain: float, conditions: Conditions, chance: Chance) -> Tensor:
    """Return counts ``(h, w)`` under uneven light, with what a wrong gain reference leaves."""
    shape = (intensity.shape[0], intensity.shape[1])
    lit = intensity * (1 + conditions.shading * shading(Grid(shape, pixel_size, intensity.device), chance))
    if conditions.gain_residue:
        lit *= gain_residue(shape, conditions.gain_residue, chance, intensity.device)
    electrons = conditions.dose * conditions.efficiency * pixel_size**2
    return expose(lit, electrons, noise_gain, chance)


def _process(
    image: Tensor, pixel_size: float, particle_diameter: float, conditions: Conditions, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Return the image with wrong pixels, as later programs leave it, and where strips of it are spoilt."""
    later = conditions.processing
    add_wrong_pixels(image, conditions.hot_pixels, conditions.dead_pixels, conditions.dead_columns, rng)
    cutoff = conditions.lowpass * SNR_PIXELS * pixel_size / particle_diameter
    if conditions.lowpass < 1 and cutoff < 1:
        image = processing.lowpass(image, cutoff, later.lowpass_order)
    if later.denoising is not None:
        image = processing.DENOISING[later.denoising][0](image, later.denoising_length * particle_diameter / pixel_size)
    if later.equalise_radius:
        image = processing.equalise(image, later.equalise_radius * particle_diameter / pixel_size)
    width = round(conditions.border / 1000 * max(image.shape))
    spoilt = torch.zeros_like(image, dtype=torch.bool)
    if width:
        spoilt = add_border(image, width, conditions.border_kind, conditions.border_both, rng)
    if later.gamma != 1 or (later.clip and not later.eight_bits):
        image = processing.stretch(image, later.gamma, later.clip)
    return processing.quantise(image, later.clip) if later.eight_bits else image.contiguous(), spoilt


def _subsample(image: Tensor, shape: tuple[int, int], factor: float) -> Tensor:
    """Return the pixels nearest to the places of a coarser grid, as careless programs shrink images."""
    if factor == 1:
        return image
    rows, columns = (torch.arange(n, device=image.device).mul(factor).round().long() for n in shape)
    return image[rows.clamp_max(image.shape[0] - 1)][:, columns.clamp_max(image.shape[1] - 1)]


def _to_tensor(yx: Points, device: torch.device) -> Tensor:
    return torch.as_tensor(yx, dtype=torch.float32, device=device)
