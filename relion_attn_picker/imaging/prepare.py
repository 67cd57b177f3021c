"""From a micrograph's pixels to what the network sees: the one function that training and inference share."""

from __future__ import annotations

from dataclasses import dataclass

from relion_attn_picker.errors import InputError
from relion_attn_picker.imaging.normalize import clip_outliers, flatten_background, standardize
from relion_attn_picker.imaging.resample import choose_ratio, fourier_resample
from relion_attn_picker.model_spec import Normalization
from relion_attn_picker.picks import FloatArray

MIN_DIAMETERS_PER_IMAGE = 1.5
"""A field narrower than this many particle diameters shows no whole particle with background around it."""


@dataclass(frozen=True)
class NetworkImage:
    """An image at the network's scale: ``values`` ``(h, w)`` float32, standardised; ``pixel_size`` in Å per pixel."""

    values: FloatArray
    pixel_size: float


def prepare_image(
    image: FloatArray,
    pixel_size: float,
    particle_diameter: float,
    particle_diameter_px: float,
    normalization: Normalization,
    workers: int = 1,
) -> NetworkImage:
    """Bring a micrograph to the network's scale and standardise it.

    In this order: clip outliers, Fourier-resample so that the particle has ``particle_diameter_px`` pixels, flatten
    the background, standardise and clip.

    Parameters
    ----------
    image
        Shape ``(h, w)``, float32, as it lies in the file.
    pixel_size
        Å per pixel of ``image``.
    particle_diameter
        Å.
    particle_diameter_px
        Network pixels per particle diameter, from the checkpoint's header.
    normalization
        From the checkpoint's header.
    workers
        Threads of the Fourier transforms.

    Raises
    ------
    InputError
        If the diameter is absurd for this image.
    """
    check_diameter(image.shape, pixel_size, particle_diameter)
    ratio = choose_ratio(particle_diameter / particle_diameter_px / pixel_size)
    resampled = fourier_resample(clip_outliers(image, normalization.raw_clip), ratio, workers)
    flat = flatten_background(resampled, normalization.highpass_diameters * particle_diameter_px)
    return NetworkImage(standardize(flat, normalization.clip), pixel_size * ratio.factor)


def check_diameter(shape: tuple[int, ...], pixel_size: float, particle_diameter: float) -> None:
    """Refuse a particle diameter (Å) that cannot be meant for an image of ``shape`` pixels of ``pixel_size`` (Å).

    Raises
    ------
    InputError
        If the particle would have fewer than 4 pixels, or the image's shorter side fewer than 1.5 diameters.
    """
    if particle_diameter < 4 * pixel_size:
        raise InputError(
            f"A particle diameter of {particle_diameter:g} Å is only {particle_diameter / pixel_size:.1f} pixels at "
            f"{pixel_size:g} Å per pixel: expected at least 4 pixels; check that the diameter is in Å."
        )
    side = min(shape) * pixel_size
    if side < MIN_DIAMETERS_PER_IMAGE * particle_diameter:
        raise InputError(
            f"A particle diameter of {particle_diameter:g} Å does not fit an image of {side:.0f} Å on its shorter side "
            f"({min(shape)} pixels of {pixel_size:g} Å): check the diameter and the pixel size."
        )
