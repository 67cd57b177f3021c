"""The door to STAR files: what the rest of the package reads and writes.

Behind it: ``micrographs_star`` and ``coordinates`` read, ``job_tables`` writes, ``star_format`` knows the format.
"""

from relion_attn_picker.relion.coordinates import Coordinates, CoordinateTable, open_coordinates
from relion_attn_picker.relion.job_tables import (
    write_coordinate_index,
    write_coords_suffix,
    write_failures,
    write_picks,
    write_summary,
)
from relion_attn_picker.relion.micrographs_star import read_micrographs
from relion_attn_picker.relion.star_format import write_table

__all__ = [
    "CoordinateTable",
    "Coordinates",
    "open_coordinates",
    "read_micrographs",
    "write_coordinate_index",
    "write_coords_suffix",
    "write_failures",
    "write_picks",
    "write_summary",
    "write_table",
]
