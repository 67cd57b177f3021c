"""The microscope: wavelength, contrast transfer, and the image of an exit wave."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.fft

from relion_attn_picker.micrograph import CtfParameters
from relion_attn_picker.picks import FloatArray


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

    def phase_aberration(self, shape: tuple[int, int], pixel_size: float) -> FloatArray:
        """Return χ(k) in rad on the full Fourier grid of an image ``(h, w)``.

        χ = π λ Δz(θ) k² - (π/2) Cs λ³ k⁴ + phase plate, Δz(θ) = mean + half difference · cos 2(θ - θ₀)
        (Rohou & Grigorieff 2015, equations 2 to 4); k² cos 2(θ - θ₀) is written without θ.
        """
        ky, kx = frequencies(shape, pixel_size)
        k2 = ky**2 + kx**2
        wavelength = electron_wavelength(self.voltage)
        mean = (self.ctf.defocus_u + self.ctf.defocus_v) / 2
        difference = (self.ctf.defocus_u - self.ctf.defocus_v) / 2
        twice = 2 * np.deg2rad(self.ctf.defocus_angle)
        aberration = k2 * np.float32(mean) - k2**2 * np.float32(self.spherical_aberration * 1e7 * wavelength**2 / 2)
        aberration += (kx**2 - ky**2) * np.float32(difference * np.cos(twice))
        aberration += (2 * kx * ky) * np.float32(difference * np.sin(twice))
        aberration *= np.float32(np.pi * wavelength)
        aberration += np.float32(np.deg2rad(self.ctf.phase_shift))
        aberration[0, 0] = 0  # a phase plate shifts the scattered wave against the unscattered beam
        return aberration

    def contrast_transfer(self, shape: tuple[int, int], pixel_size: float) -> FloatArray:
        """Return -2 sin(χ + asin A) exp(-B k²/4): what a weak phase is multiplied by (underfocus makes it dark)."""
        damping = np.exp(squared_frequencies(shape, pixel_size) * np.float32(-self.envelope / 4))
        aberration = self.phase_aberration(shape, pixel_size) + np.float32(np.arcsin(self.amplitude_contrast))
        return np.asarray(-2 * np.sin(aberration) * damping)


def frequencies(shape: tuple[int, int], pixel_size: float) -> tuple[FloatArray, FloatArray]:
    """Return the frequencies (1/Å) along y, ``(h, 1)``, and along x, ``(1, w)``."""
    return (
        scipy.fft.fftfreq(shape[0], pixel_size)[:, None].astype(np.float32),
        scipy.fft.fftfreq(shape[1], pixel_size)[None, :].astype(np.float32),
    )


def squared_frequencies(shape: tuple[int, int], pixel_size: float, half: bool = False) -> FloatArray:
    """Return k² (1/Å²) on the Fourier grid ``(h, w)`` of an image, or on the half of it that ``rfft2`` keeps."""
    ky, kx = frequencies(shape, pixel_size)
    return np.asarray(ky**2 + (kx[:, : shape[1] // 2 + 1] if half else kx) ** 2)


def image_intensity(phase: FloatArray, absorption: FloatArray | float, optics: Optics, pixel_size: float) -> FloatArray:
    """Return the intensity that an exit wave exp(iφ - μ) makes in the image, 1 without a specimen.

    The full wave is propagated, so that strong objects (carbon, ice) come out right. In the weak limit this is
    I = 1 - 2 FT⁻¹[φ̂ sin(χ + asin A)] cos(asin A)⁻¹ for μ = tan(asin A) φ.

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
    shape = (phase.shape[0], phase.shape[1])
    damping = np.float32(np.tan(np.arcsin(optics.amplitude_contrast))) * phase + absorption
    wave = _polar(np.exp(-damping), phase)
    envelope = np.exp(squared_frequencies(shape, pixel_size) * np.float32(-optics.envelope / 4))
    spectrum = scipy.fft.fft2(wave, overwrite_x=True)
    spectrum *= _polar(envelope, optics.phase_aberration(shape, pixel_size))
    image = scipy.fft.ifft2(spectrum, overwrite_x=True)
    return np.asarray(image.real**2 + image.imag**2)


def _polar(modulus: FloatArray, angle: FloatArray) -> np.ndarray[tuple[int, ...], np.dtype[np.complex64]]:
    """Return modulus · exp(i angle) in single precision."""
    wave = np.empty(angle.shape, dtype=np.complex64)
    np.multiply(modulus, np.cos(angle), out=wave.real)
    np.multiply(modulus, np.sin(angle), out=wave.imag)
    return wave
