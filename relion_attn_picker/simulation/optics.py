"""The microscope: wavelength, contrast transfer, and the image of an exit wave."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from relion_attn_picker.micrograph import CtfParameters

FloatField = NDArray[np.float64]


def electron_wavelength(voltage: float) -> float:
    """Return the relativistic wavelength in Å for a voltage in kV (Reimer & Kohl 2008, equation 2.12)."""
    volts = 1000 * voltage
    return float(12.2639 / np.sqrt(volts * (1 + 0.97845e-6 * volts)))


def phase_per_scattering(voltage: float) -> float:
    """Return λγ in rad·Å: the phase shift for one Å of scattering length on one Å² (0.0313 at 300 kV)."""
    return electron_wavelength(voltage) * (1 + voltage / 511.0)


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

    def phase_aberration(self, shape: tuple[int, int], pixel_size: float) -> FloatField:
        """Return χ(k) in rad on the full Fourier grid of an image ``(h, w)``.

        χ = π λ Δz(θ) k² - (π/2) Cs λ³ k⁴ + phase plate, Δz(θ) = mean + half difference · cos 2(θ - θ₀)
        (Rohou & Grigorieff 2015, equations 2 to 4).
        """
        ky, kx = frequencies(shape, pixel_size)
        k2 = ky**2 + kx**2
        wavelength = electron_wavelength(self.voltage)
        mean = (self.ctf.defocus_u + self.ctf.defocus_v) / 2
        difference = (self.ctf.defocus_u - self.ctf.defocus_v) / 2
        angle = np.arctan2(ky, kx) - np.deg2rad(self.ctf.defocus_angle)
        defocus = mean + difference * np.cos(2 * angle)
        aberration = np.pi * wavelength * defocus * k2
        aberration -= np.pi / 2 * self.spherical_aberration * 1e7 * wavelength**3 * k2**2
        return np.asarray(aberration + np.deg2rad(self.ctf.phase_shift))


def frequencies(shape: tuple[int, int], pixel_size: float) -> tuple[FloatField, FloatField]:
    """Return the frequencies (1/Å) along y, ``(h, 1)``, and along x, ``(1, w)``."""
    return (
        scipy.fft.fftfreq(shape[0], pixel_size)[:, None],
        scipy.fft.fftfreq(shape[1], pixel_size)[None, :],
    )


def image_intensity(phase: FloatField, absorption: FloatField | float, optics: Optics, pixel_size: float) -> FloatField:
    """Return the intensity that an exit wave exp(iφ - μ) makes in the image, 1 without a specimen.

    The full wave is propagated, so that strong objects (carbon, ice) come out right. In the weak limit this is
    I = 1 - 2 FT⁻¹[φ̂ sin(χ + asin A)] for μ = tan(asin A) φ.

    Parameters
    ----------
    phase
        φ in rad, ``(h, w)``.
    absorption
        μ beside the amplitude contrast, which is added here as tan(asin A) φ.
    optics
        See there.
    pixel_size
        Å per pixel.
    """
    damping = np.tan(np.arcsin(optics.amplitude_contrast)) * phase + absorption
    wave = np.exp(1j * phase - damping)
    shape = (phase.shape[0], phase.shape[1])
    ky, kx = frequencies(shape, pixel_size)
    transfer = np.exp(1j * optics.phase_aberration(shape, pixel_size) - optics.envelope * (ky**2 + kx**2) / 4)
    return np.asarray(np.abs(scipy.fft.ifft2(scipy.fft.fft2(wave) * transfer)) ** 2)
