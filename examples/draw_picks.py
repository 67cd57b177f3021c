"""Draw a job's picks on one of its micrographs: right ones, wrong ones, and missed particles.

Usage, in the project's folder: python draw_picks.py JOB MICROGRAPH TRUTH DIAMETER PICTURE.png
"""

import sys
from pathlib import Path

from relion_attn_picker.io.mrc import read_header, read_image
from relion_attn_picker.relion.coordinates import open_coordinates
from relion_attn_picker.report.picks_image import draw_picks


def main(job: str, micrograph: str, truth: str, diameter: str, picture: str) -> None:
    """Draw the picture."""
    pixel_size = read_header(Path(micrograph)).pixel_size
    picks = open_coordinates(Path(job)).read(micrograph)
    true = open_coordinates(Path(truth)).read(micrograph)
    if pixel_size is None or picks is None or true is None:
        sys.exit(f"{micrograph} has no pixel size, no picks or no truth.")
    draw_picks(read_image(Path(micrograph)), picks.yx, Path(picture), float(diameter) / pixel_size, true_yx=true.yx)


if __name__ == "__main__":
    if len(sys.argv) != 6:
        sys.exit(__doc__)
    main(*sys.argv[1:])
