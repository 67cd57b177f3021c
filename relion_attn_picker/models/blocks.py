"""Building blocks that both networks share.

What this module does not do: it knows no files, no pixel sizes and no micrographs; tensors only, ``(b, c, h, w)``.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class DoubleConvolution(nn.Sequential):
    """Two 3×3 convolutions with bias, each followed by batch norm and ReLU (``h`` and ``w`` are kept).

    One level of the U-Net of Ronneberger et al. 2015 (arXiv:1505.04597, section 2), with zero padding instead of
    cropped borders and with batch normalisation (Ioffe & Szegedy 2015, arXiv:1502.03167).
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(
            nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(out_channels, out_channels, kernel_size=3, padding=1),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
        )


class UpSampling(nn.ConvTranspose2d):
    """Transposed 2×2 convolution with stride 2: halves the channels, doubles ``h`` and ``w``."""

    def __init__(self, in_channels: int) -> None:
        super().__init__(in_channels, in_channels // 2, kernel_size=2, stride=2)


def pad_to_stride(images: Tensor, stride: int) -> Tensor:
    """Repeat the lower and right edge of ``(b, c, h, w)`` until ``stride`` divides ``h`` and ``w``."""
    height, width = images.shape[-2:]
    below, right = -height % stride, -width % stride
    if below == 0 and right == 0:
        return images
    return functional.pad(images, (0, right, 0, below), mode="replicate")


def concatenate(skip: Tensor, upsampled: Tensor) -> Tensor:
    """Join the encoder's feature and the up-sampled decoder feature along the channels."""
    return torch.cat((skip, upsampled), dim=1)
