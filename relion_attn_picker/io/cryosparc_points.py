"""CryoSPARC's picks or particles as one point set, and a point set as a result that CryoSPARC imports.

Columns and geometry are those of ``cryosparc_picks``. What this module does not do: it matches no names; a point set
to be written has the paths of CryoSPARC's exposures already.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np

from relion_attn_picker.errors import InputError
from relion_attn_picker.io.cryosparc import write_cs
from relion_attn_picker.io.cryosparc_exposures import Exposures
from relion_attn_picker.io.cryosparc_group import read_result, write_group
from relion_attn_picker.io.cryosparc_picks import (
    ExposurePicks,
    make_pick_table,
    pick_slots,
    read_located_picks,
    warn_of_losses,
)
from relion_attn_picker.point_set import MicrographPoints, PointSet, gather


def read_cryosparc_points(path: Path) -> PointSet:
    """Read all picks of one ``.cs`` or ``.csg`` file, those outside their micrographs too.

    Micrographs have their paths in CryoSPARC; ``ncc_score``, where it is there, is the score.

    Raises
    ------
    InputError
        If the file is none of CryoSPARC, or has no coordinates.
    """
    if path.is_dir():
        raise InputError(f"{path} is a folder: give the .csg file of the output that is meant.")
    located = read_located_picks(read_result([path]).columns, keep_outside=True)
    warn_of_losses(located)
    scores = [None if score is None else score.astype(np.float64) for score in located.score]
    points = [MicrographPoints(*each) for each in zip(located.paths, located.yx, scores, strict=True)]
    sizes = set(located.pixel_sizes)
    gathered = gather(points, sizes.pop() if len(sizes) == 1 else None)
    return replace(gathered, image_shapes=tuple(located.shapes))


def write_cryosparc_points(path: Path, points: PointSet, exposures: Exposures) -> None:
    """Write points as the two files of one result: ``.cs``, and the ``.csg`` that Import Result Group takes.

    Parameters
    ----------
    path
        Either of the two; the other lies beside it.
    points
        Their names are paths of ``exposures``.
    exposures
        Give uid, shape, group and pixel size of each micrograph.

    Raises
    ------
    InputError
        If the path has another suffix, some points have a score and others none, or one lies outside its micrograph.
    """
    if path.suffix not in (".cs", ".csg"):
        raise InputError(f"{path} must end in .cs or .csg: a result of CryoSPARC is one file of each.")
    if points.score is not None and not np.isfinite(points.score).all():
        raise InputError("Some points have a score and others none, which CryoSPARC cannot sort: convert them apart.")
    by_path = {exposure.path: exposure for exposure in exposures.items}
    picks = [ExposurePicks(by_path[each.name], each.yx, each.score) for each in points.micrographs()]
    table = make_pick_table(picks, np.random.default_rng())
    metafile = path.with_suffix(".cs")
    write_cs(metafile, table)
    write_group(
        path.with_suffix(".csg"),
        metafile.name,
        pick_slots(table),
        len(table),
        title=path.stem,
        version=exposures.version,
        created=datetime.now(),
    )
