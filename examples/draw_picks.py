"""Draw a job's picks on one of its micrographs: right ones, wrong ones, and missed particles.

Picks on what the ``ignored.star`` beside the truth lists (broken particles in simulations) are neither right nor wrong.

Usage, in the project's folder: python draw_picks.py JOB MICROGRAPH TRUTH DIAMETER PICTURE.png
"""

import sys
from pathlib import Path

from relion_attn_picker.io.mrc import read_header, read_image
from relion_attn_picker.jobs.reference import open_reference
from relion_attn_picker.relion.coordinates import open_coordinates
from relion_attn_picker.report.picks_image import draw_picks


def main(job: str, micrograph: str, truth: str, diameter: str, picture: str) -> None:
    """Draw the picture."""
    pixel_size = read_header(Path(micrograph)).pixel_size
    picks = open_coordinates(Path(job)).read(micrograph)
    reference = open_reference(Path(truth), Path(), {})
    true, ignored_yx = reference.true.read(micrograph), reference.read_ignored(micrograph)
    if pixel_size is None or picks is None or true is None:
        sys.exit(f"{micrograph} has no pixel size, no picks or no truth.")
    diameter_px = float(diameter) / pixel_size
    image = read_image(Path(micrograph))
    draw_picks(image, picks.yx, Path(picture), diameter_px, true_yx=true.yx, ignored_yx=ignored_yx)


if __name__ == "__main__":
    if len(sys.argv) != 6:
        sys.exit(__doc__)
    main(*sys.argv[1:])
