"""The pixel grid of a simulated field, and its frequencies."""

from __future__ import annotations

from dataclasses import dataclass

import scipy.fft
import torch
from torch import Tensor

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Grid:
    """A field of pixels on one device.

    Parameters
    ----------
    shape
        ``(h, w)`` in pixels.
    pixel_size
        Å per pixel.
    device
        Where its tensors live.
    """

    shape: tuple[int, int]
    pixel_size: float
    device: torch.device = CPU

    @property
    def extent(self) -> tuple[float, float]:
        """Height and width in Å."""
        return self.shape[0] * self.pixel_size, self.shape[1] * self.pixel_size

    def zeros(self) -> Tensor:
        """Return ``(h, w)`` zeros, float32."""
        return torch.zeros(self.shape, device=self.device)

    def nowhere(self) -> Tensor:
        """Return an empty mask ``(h, w)``."""
        return torch.zeros(self.shape, dtype=torch.bool, device=self.device)

    def axes(self, y: float = 0.0, x: float = 0.0) -> tuple[Tensor, Tensor]:
        """Return the distances in Å from the point (y, x) in Å along y, ``(h, 1)``, and along x, ``(1, w)``."""
        rows, columns = (torch.arange(n, device=self.device, dtype=torch.float32) * self.pixel_size for n in self.shape)
        return rows[:, None] - y, columns[None, :] - x

    def frequencies(self) -> tuple[Tensor, Tensor]:
        """Return the frequencies (1/Å) along y, ``(h, 1)``, and along x, ``(1, w)``."""
        ky, kx = (torch.fft.fftfreq(n, self.pixel_size, device=self.device) for n in self.shape)
        return ky[:, None], kx[None, :]

    def squared_frequencies(self, half: bool = False) -> Tensor:
        """Return k² (1/Å²) on the Fourier grid ``(h, w)``, or on the half ``(h, w // 2 + 1)`` that ``rfft2`` keeps."""
        ky, kx = self.frequencies()
        return ky**2 + (kx[:, : self.shape[1] // 2 + 1] if half else kx) ** 2

    def field_of(self, spectrum: Tensor) -> Tensor:
        """Return the real field ``(h, w)`` of a half Fourier transform ``(h, w // 2 + 1)``."""
        field: Tensor = torch.fft.irfft2(spectrum, s=self.shape)
        return field


def fast_length(length: int) -> int:
    """Return the next length that Fourier transforms are fast for: 32 times factors 2, 3 and 5."""
    return 32 * int(scipy.fft.next_fast_len(-(-length // 32), real=True))
