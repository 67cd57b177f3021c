"""Tell how far coordinates lie from the centres of particles, without any truth: by the average of the boxes.

The average of many boxes round particles in all orientations is symmetric about the particles' centre. This prints the
shift, in pixels, of that point from the coordinates: 0, 0 where they are right.

Usage, in the project's folder: python check_centres.py MICROGRAPHS.star COORDINATES HALF_BOX
"""

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from relion_attn_picker.io.mrc import read_image
from relion_attn_picker.relion.coordinates import open_coordinates
from relion_attn_picker.relion.micrographs import read_micrographs

STEP, REACH = 0.25, 3.0


def average_box(micrographs_star: Path, coordinates: Path, half: int) -> tuple[NDArray[np.float64], int]:
    """Return the average of all whole boxes of ``2 * half + 1`` pixels, and their number."""
    listed = open_coordinates(coordinates)
    total, count = np.zeros((2 * half + 1, 2 * half + 1)), 0
    for micrograph in read_micrographs(micrographs_star):
        table = listed.read(micrograph.name)
        if table is None:
            continue
        image = read_image(Path(micrograph.name))
        image = (image - image.mean()) / image.std()
        for y, x in np.rint(table.yx).astype(int):
            if half <= y < image.shape[0] - half and half <= x < image.shape[1] - half:
                total += image[y - half : y + half + 1, x - half : x + half + 1]
                count += 1
    return total / max(count, 1), count


def find_symmetry_centre(box: NDArray[np.float64]) -> tuple[float, float]:
    """Return the shift (y, x) of the point about which the box is most like itself turned by 180 degrees."""
    half = box.shape[0] // 2
    frequency = np.fft.fftfreq(box.shape[0])
    spectrum = np.fft.fft2(box)
    inner = np.hypot(*np.mgrid[-half : half + 1, -half : half + 1]) < 0.75 * half
    best, centre = -np.inf, (0.0, 0.0)
    for y in np.arange(-REACH, REACH + STEP, STEP):
        for x in np.arange(-REACH, REACH + STEP, STEP):
            ramp = np.exp(2j * np.pi * (frequency[:, None] * y + frequency[None, :] * x))
            moved = np.real(np.fft.ifft2(spectrum * ramp))
            likeness = float(np.corrcoef(moved[inner], moved[::-1, ::-1][inner])[0, 1])
            if likeness > best:
                best, centre = likeness, (float(y), float(x))
    return centre


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    box, count = average_box(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
    y, x = find_symmetry_centre(box)
    print(f"{count} boxes; the centre lies at y {y:+.2f}, x {x:+.2f} pixels from the coordinates")
