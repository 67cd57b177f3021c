"""What programs call a micrograph that they name without folder and extension, as Topaz, EMAN and crYOLO do."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Final

IMAGE_SUFFIXES: Final = (".mrc", ".mrcs", ".tif", ".tiff", ".eer", ".st")


def image_stem(name: str) -> str:
    """Return the file's name without its folder and an image's extension; other dots belong to the name."""
    path = PurePosixPath(name)
    return path.stem if path.suffix.lower() in IMAGE_SUFFIXES else path.name
