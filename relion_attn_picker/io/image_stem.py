"""What programs call a micrograph that they name without folder and extension, as Topaz, EMAN and crYOLO do."""

from __future__ import annotations

from collections.abc import Container
from pathlib import PurePosixPath
from typing import Final

IMAGE_SUFFIXES: Final = (".mrc", ".mrcs", ".tif", ".tiff", ".eer", ".st")


def image_stem(name: str, suffixes: Container[str] = IMAGE_SUFFIXES) -> str:
    """Return the file's name without its folder and one of the extensions; other dots belong to the name."""
    path = PurePosixPath(name)
    return path.stem if path.suffix.lower() in suffixes else path.name
