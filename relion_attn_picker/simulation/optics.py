"""The microscope: wavelength, contrast transfer, radiation damage, and the image of an exit wave."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from relion_attn_picker.micrograph import CtfParameters
from relion_attn_picker.simulation.grid import Grid


def electron_wavelength(voltage: float) -> float:
    """Return the relativistic wavelength in Å for a voltage in kV (Reimer & Kohl 2008, equation 2.12)."""
    volts = 1000 * voltage
    return 12.2639 / math.sqrt(volts * (1 + 0.97845e-6 * volts))


def phase_per_scattering(voltage: float) -> float:
    """Return λγ in rad·Å: the phase shift for one Å of scattering length on one Å² (0.0313 at 300 kV)."""
    return electron_wavelength(voltage) * (1 + voltage / 511.0)


def interaction_constant(voltage: float) -> float:
    """Return the phase per projected potential, rad/(V Å): 6.53e-4 at 300 kV.

    λγ / (h² / 2π m e) = λγ / 47.878 V Å².
    """
    return phase_per_scattering(voltage) / 47.878


def relative_mean_free_path(voltage: float) -> float:
    """Return how far electrons go between inelastic scatterings, relative to 300 kV: (v/c)² over that at 300 kV.

    .80 at 200 kV, .50 at 100 kV (Langmore & Smith 1992, Ultramicroscopy 46). A dose does damage in inverse proportion.
    """
    return _squared_speed(voltage) / _squared_speed(300.0)


def _squared_speed(voltage: float) -> float:
    """Return (v/c)² of electrons."""
    return 1 - (1 + voltage / 511.0) ** -2


def radiation_damage(k2: Tensor, dose: float, voltage: float) -> Tensor:
    """Return what an exposure leaves of the specimen's amplitude at ``k2`` (1/Å²): 1 at rest, falling with frequency.

    (2 Nc / N)(1 - exp(-N / 2 Nc)), the mean over the exposure of exp(-n / 2 Nc), with the critical dose
    Nc = 0.245 k^-1.665 + 2.81 e/Å² at 300 kV and, as they say, 0.8 of it at 200 kV (Grant & Grigorieff 2015, eLife
    4:e06980, equations 2 and 3): as the mean free path changes, so does Nc.
    """
    critical = (0.245 * k2.clamp_min(1e-10) ** (-1.665 / 2) + 2.81) * relative_mean_free_path(voltage)
    share = (dose / (2 * critical)).clamp_min(1e-6)
    return -torch.expm1(-share) / share


@dataclass(frozen=True)
class Optics:
    """What the lens does.

    Parameters
    ----------
    voltage
        kV.
    spherical_aberration
        mm.
    amplitude_contrast
        Fraction.
    ctf
        Defocus in Å (underfocus positive), angles in degrees.
    envelope
        B factor of the signal's envelope exp(-B k²/4), Å².
    """

    voltage: float
    spherical_aberration: float
    amplitude_contrast: float
    ctf: CtfParameters
    envelope: float

    def phase_aberration(self, grid: Grid) -> Tensor:
        """Return χ(k) in rad on the full Fourier grid.

        χ = π λ Δz(θ) k² - (π/2) Cs λ³ k⁴ + phase plate, Δz(θ) = mean + half difference · cos 2(θ - θ₀)
        (Rohou & Grigorieff 2015, equations 2 to 4); k² cos 2(θ - θ₀) is written without θ.
        """
        ky, kx = grid.frequencies()
        k2 = ky**2 + kx**2
        wavelength = electron_wavelength(self.voltage)
        mean = (self.ctf.defocus_u + self.ctf.defocus_v) / 2
        difference = (self.ctf.defocus_u - self.ctf.defocus_v) / 2
        twice = 2 * math.radians(self.ctf.defocus_angle)
        aberration = k2 * (mean - k2 * (self.spherical_aberration * 1e7 * wavelength**2 / 2))
        if difference:
            aberration += (kx**2 - ky**2) * (difference * math.cos(twice))
            aberration += kx * (2 * difference * math.sin(twice)) * ky
        aberration *= math.pi * wavelength
        aberration += math.radians(self.ctf.phase_shift)
        aberration[0, 0] = 0  # a phase plate shifts the scattered wave against the unscattered beam
        return aberration

    def damping(self, grid: Grid) -> Tensor:
        """Return the envelope exp(-B k²/4) on the full Fourier grid."""
        return torch.exp(grid.squared_frequencies() * (-self.envelope / 4))

    def contrast_transfer(self, grid: Grid) -> Tensor:
        """Return -2 sin(χ + asin A) exp(-B k²/4): what a weak phase is multiplied by (underfocus makes it dark)."""
        aberration = self.phase_aberration(grid) + math.asin(self.amplitude_contrast)
        return -2 * torch.sin(aberration) * self.damping(grid)

    def amplitude_of(self, phase: Tensor) -> Tensor:
        """Return the damping μ that goes with a specimen's phase φ: tan(asin A) φ."""
        return phase * math.tan(math.asin(self.amplitude_contrast))


def image_intensity(phase: Tensor, absorption: Tensor, optics: Optics, grid: Grid) -> Tensor:
    """Return the intensity that an exit wave exp(iφ - μ) makes in the image, 1 without a specimen.

    The full wave is propagated, so that strong objects (carbon, ice) come out right. In the weak limit this is
    I = 1 - 2 FT⁻¹[φ̂ sin(χ + asin A)] cos(asin A)⁻¹ for μ = tan(asin A) φ.

    Parameters
    ----------
    phase
        φ in rad, ``(h, w)``.
    absorption
        μ, ``(h, w)``.
    optics, grid
        See there.
    """
    spectrum = torch.fft.fft2(_wave(torch.exp(-absorption), phase))
    spectrum *= _wave(optics.damping(grid), optics.phase_aberration(grid))
    image: Tensor = torch.fft.ifft2(spectrum)
    return image.real.square() + image.imag.square()


def _wave(modulus: Tensor, angle: Tensor) -> Tensor:
    """Return modulus · exp(i angle); ``torch.polar`` is several times slower on a CPU."""
    return torch.complex(modulus * torch.cos(angle), modulus * torch.sin(angle))
