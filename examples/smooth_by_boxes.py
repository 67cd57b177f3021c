"""Process micrographs as some published sets were: level the contrast, then average twice over squares.

The squares have a side of a quarter of a particle, as in the images of CryoSegNet (see the README beside the weights).
OUT gets the STAR files of the project and its processed micrographs under the same names.

Usage: python smooth_by_boxes.py PROJECT DIAMETER OUT   (PROJECT has micrographs.star and the files it names)
"""

import shutil
import sys
from pathlib import Path

import mrcfile
import numpy as np
from scipy.ndimage import gaussian_filter, uniform_filter

from relion_attn_picker.io.mrc import read_image
from relion_attn_picker.relion.micrographs import read_micrographs


def main(project: str, diameter: str, out: str) -> None:
    """Write OUT."""
    source, target = Path(project), Path(out)
    target.mkdir(parents=True)
    for path in source.glob("*.star"):
        shutil.copy(path, target)
    for micrograph in read_micrographs(source / "micrographs.star"):
        pixel_size = micrograph.optics.pixel_size
        particle = float(diameter) / pixel_size
        image = read_image(source / micrograph.name)
        flat = image - gaussian_filter(image, 2 * particle)
        spread = np.sqrt(gaussian_filter(flat**2, 2 * particle))
        level = np.clip(flat / (spread + 1e-3 * image.std()), -3, 3)
        side = max(2, round(particle / 4))
        smooth = uniform_filter(uniform_filter(level, side), side)
        path = target / micrograph.name
        path.parent.mkdir(parents=True, exist_ok=True)
        with mrcfile.new(path) as file:
            file.set_data(smooth.astype(np.float32))
            file.voxel_size = pixel_size


if __name__ == "__main__":
    main(*sys.argv[1:4])
