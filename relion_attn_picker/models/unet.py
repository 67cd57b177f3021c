"""The standard U-Net (Ronneberger et al. 2015).

Also the frame of the Attention U-Net, which differs only in what happens to the four skips.
"""

from __future__ import annotations

from typing import Final

from torch import Tensor, nn

from relion_attn_picker.models.blocks import DoubleConvolution, UpSampling, concatenate, pad_to_stride

DEPTH: Final = 4
"""Encoder levels above the bottleneck."""

STRIDE: Final = 2**DEPTH
"""Network pixels per pixel of the bottleneck: images are padded to a multiple of this."""

SKIP_LEVELS: Final = tuple(f"level_{level}" for level in range(1, DEPTH + 1))
"""Names of the four skips, the finest (full size) first."""


class UNet(nn.Module):
    """U-Net after Ronneberger et al. 2015 (arXiv:1505.04597) for one-channel images of any size.

    Four encoder levels with ``base_features`` × 1, 2, 4, 8 channels, a bottleneck with × 16, direct concatenation of
    the skips, one 1×1 head. 31,042,369 parameters at 64 base features.

    Parameters
    ----------
    base_features
        Channels of the finest level, 8 to 64, even.
    """

    def __init__(self, base_features: int) -> None:
        super().__init__()
        channels = [base_features * 2**level for level in range(DEPTH + 1)]
        self.base_features = base_features
        self.encoder = nn.ModuleList(
            DoubleConvolution(before, after) for before, after in zip([1, *channels[:-2]], channels[:-1], strict=True)
        )
        self.pool = nn.MaxPool2d(kernel_size=2)
        self.bottleneck = DoubleConvolution(channels[-2], channels[-1])
        self.upsampling = nn.ModuleList(UpSampling(2 * skip) for skip in channels[:-1])
        self.decoder = nn.ModuleList(DoubleConvolution(2 * skip, skip) for skip in channels[:-1])
        self.head = nn.Conv2d(base_features, 1, kernel_size=1)

    def filter_skip(self, level: int, skip: Tensor, upsampled: Tensor) -> Tensor:
        """Return what the decoder sees of the encoder's feature at ``level`` (0 = finest): here, all of it."""
        return skip

    def forward(self, images: Tensor) -> Tensor:
        """Return one logit a pixel.

        Parameters
        ----------
        images
            Shape ``(b, 1, h, w)``, any ``h`` and ``w``, standardised as the checkpoint's header says.

        Returns
        -------
        Tensor
            Logits, shape ``(b, 1, h, w)``; their sigmoid is the probability map.
        """
        height, width = images.shape[-2:]
        feature = pad_to_stride(images, STRIDE)
        skips: list[Tensor] = []
        for encode in self.encoder:
            feature = encode(feature)
            skips.append(feature)
            feature = self.pool(feature)
        feature = self.bottleneck(feature)
        for level in reversed(range(DEPTH)):
            upsampled = self.upsampling[level](feature)
            skip = self.filter_skip(level, skips.pop(), upsampled)
            feature = self.decoder[level](concatenate(skip, upsampled))
        logits: Tensor = self.head(feature)
        return logits[..., :height, :width]


def receptive_field() -> int:
    """Return the side, in network pixels, of the square of input that one output pixel can see.

    Each 3×3 convolution adds two pixels of its level: four convolutions a level and two in the bottleneck add
    8 · (1 + 2 + 4 + 8) + 4 · 16. Each pooling adds one pixel of its level. Up-sampling adds none, but where a pixel
    lies within the coarse one that it came from shifts its field by up to one coarse pixel less one.
    """
    convolutions = 8 * (STRIDE - 1) + 4 * STRIDE
    poolings = alignment = STRIDE - 1
    return 1 + convolutions + poolings + alignment
