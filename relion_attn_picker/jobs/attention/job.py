"""``attnpick attention``: the gates over one micrograph after the other, and what they do on particles.

What this module does not do: it computes no ``α`` (``inference.attention``) and no figure (``evaluation``).
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final, NoReturn

import numpy as np

from relion_attn_picker.errors import InputError
from relion_attn_picker.evaluation.attention_check import AttentionCheck, check_gates, measure_gate
from relion_attn_picker.evaluation.attention_regions import KnownContents, find_regions
from relion_attn_picker.gate_maps import GateMap, Window
from relion_attn_picker.imaging.corner_grid import lay_on_corner
from relion_attn_picker.inference.attention import AttentionNetwork
from relion_attn_picker.io.attention_file import AttentionFile
from relion_attn_picker.io.digest import file_digest
from relion_attn_picker.io.mrc import read_image, write_image
from relion_attn_picker.io.output_folder import make_folder
from relion_attn_picker.jobs.attention.truth import NamedPoints, Truth, open_points, open_truth
from relion_attn_picker.jobs.micrograph_list import expand, find_project_dir, list_images
from relion_attn_picker.micrograph import Micrograph
from relion_attn_picker.picks import FloatArray
from relion_attn_picker.relion.micrographs import read_micrographs
from relion_attn_picker.report.attention_check import write_attention_check
from relion_attn_picker.report.attention_image import AttentionPicture, draw_attention

log = logging.getLogger(__name__)

MAPS_FILE: Final = "attention.h5"


@dataclass(frozen=True, kw_only=True)
class AttentionRequest:
    """What to look at.

    Parameters
    ----------
    micrographs, project_dir
        As ``list_attention_micrographs`` gives them.
    weights
        Checkpoint of an attention network, as ``inference.attention.find_attention`` gives it.
    particle_diameter
        Å.
    window
        Part of each micrograph; ``None``: all of it.
    coordinates
        Picks to draw as circles.
    truth
        Ground truth to check the gates against; drawn too where no ``coordinates`` are given.
    junk
        Folder of junk masks; ``None``: ``Junk/`` beside the truth, if it is there.
    command
        The command line, for the report.
    """

    micrographs: Sequence[Micrograph]
    project_dir: Path
    weights: Path
    particle_diameter: float
    window: Window | None = None
    coordinates: Path | None = None
    truth: Path | None = None
    junk: Path | None = None
    command: str = ""


@dataclass(frozen=True)
class SeenMicrograph:
    """A micrograph with its gates' maps; ``image`` is all of it, ``window`` what was looked at."""

    micrograph: Micrograph
    image: FloatArray
    window: Window
    gates: tuple[GateMap, ...]

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the micrograph."""
        return self.image.shape[0], self.image.shape[1]


def list_attention_micrographs(given: str, pixel_size: float | None, count: int) -> tuple[list[Micrograph], Path]:
    """Return the first micrographs of a STAR file, or of an MRC file or pattern, and the folder of their names.

    Raises
    ------
    InputError
        If nothing is found, or a pixel size is missing.
    """
    if count < 1:
        raise InputError(f"The number of micrographs is {count}: expected 1 or more.")
    if given.endswith(".star"):
        micrographs = list(read_micrographs(Path(given), pixel_size)[:count])
        return micrographs, find_project_dir(Path(given), [each.name for each in micrographs])
    return list_images(expand([given])[:count], pixel_size), Path()


def run_attention(
    out: Path,
    request: AttentionRequest,
    network: AttentionNetwork,
    report: Callable[[SeenMicrograph], None],
) -> AttentionCheck | None:
    """Write the gates' maps of each micrograph, and with a truth the check of what the gates do.

    Into ``out`` go ``attention.h5``, for each micrograph a picture and an MRC file a level, and with a truth
    ``attention.md``, ``attention.json`` and ``attention_check.png``. A micrograph that cannot be looked at is left out
    with a warning.

    Returns
    -------
    AttentionCheck
        ``None`` without a truth.

    Raises
    ------
    InputError
        If no micrograph, or none that the truth lists, can be looked at: it cannot be read, the window does not lie
        within it, the diameter is absurd for it, or its junk mask does not fit.
    """
    listed, folder = request.micrographs, request.project_dir
    truth = None if request.truth is None else open_truth(request.truth, request.junk, listed, folder)
    drawn = _choose_circles(request, truth)
    names = name_outputs([each.name for each in listed])
    settings: dict[str, str | float] = {
        "weights": request.weights.name,
        "weights_sha256": file_digest(request.weights),
        "particle_diameter": request.particle_diameter,
    }
    measured: dict[str, dict[str, dict[str, float]]] = {}
    failures: list[InputError] = []
    make_folder(out)
    with AttentionFile(out / MAPS_FILE, settings) as maps_file:
        for micrograph, name in zip(listed, names, strict=True):
            try:
                seen = see_micrograph(micrograph, request, network)
                known = None if truth is None else truth.read(micrograph, seen.shape)
            except InputError as error:
                log.warning("%s is left out: %s", micrograph.name, error)
                failures.append(error)
                continue
            maps_file.add(name, _describe(seen), seen.gates)
            write_maps(out, name, seen)
            draw_attention(out / f"{name}_attention.png", _picture(seen, request, drawn))
            if known is not None:
                measured[micrograph.name] = measure_micrograph(seen, known, request.particle_diameter)
            report(seen)
        if len(failures) == len(listed):
            _refuse_all(failures)
    if truth is None:
        return None
    if not measured:
        raise InputError(f"None of the micrographs in {request.truth} could be looked at; the first: {failures[0]}")
    check = check_gates(measured)
    write_attention_check(out, check, {**settings, "command": request.command, "micrographs": len(measured)})
    return check


def _refuse_all(failures: Sequence[InputError]) -> NoReturn:
    """Raise what is wrong with the only micrograph, or that none of several could be looked at."""
    if len(failures) == 1:
        raise failures[0]
    raise InputError(f"None of the {len(failures)} micrographs could be looked at; the first: {failures[0]}")


def see_micrograph(micrograph: Micrograph, request: AttentionRequest, network: AttentionNetwork) -> SeenMicrograph:
    """Read a micrograph and look at it.

    Raises
    ------
    InputError
        If it cannot be read, the window does not lie within it, or the diameter is absurd for it.
    """
    image, pixel_size = read_image(request.project_dir / micrograph.name), micrograph.optics.pixel_size
    height, width = image.shape
    if request.window is not None:
        request.window.check(micrograph.name, (height, width), request.particle_diameter / pixel_size)
    gates = network.see(image, pixel_size, request.particle_diameter, request.window)
    return SeenMicrograph(micrograph, image, request.window or Window(0, 0, width, height), gates)


def measure_micrograph(
    seen: SeenMicrograph, known: KnownContents, particle_diameter: float
) -> dict[str, dict[str, float]]:
    """Return level → figures of its gate on one micrograph; ``particle_diameter`` is in Å."""
    pixels = particle_diameter / seen.micrograph.optics.pixel_size
    return {
        gate.name: {
            "pixel_in_diameters": gate.pixel_size / particle_diameter,
            **measure_gate(gate.values, find_regions(gate, known, pixels)),
        }
        for gate in seen.gates
    }


def write_maps(out: Path, name: str, seen: SeenMicrograph) -> None:
    """Write each gate's map as an MRC file that lies over the micrograph; of a window, with its corner as origin."""
    pixel_size, window = seen.micrograph.optics.pixel_size, seen.window
    corner = (window.top * pixel_size, window.left * pixel_size)
    for gate in seen.gates:
        write_image(out / f"{name}_{gate.name}.mrc", lay_on_corner(gate, window), gate.pixel_size, corner)


def name_outputs(names: Sequence[str]) -> list[str]:
    """Return a short name for the files of each micrograph: its stem, with its folders where two have the same.

    Files of one folder that differ by what follows the stem get a number.
    """
    paths = [PurePosixPath(name) for name in names]
    stems = [path.stem for path in paths]
    if len(set(stems)) == len(stems):
        return stems
    own: list[str] = []
    for path in paths:
        name = wanted = "_".join(part for part in path.with_suffix("").parts if part != "/")
        numbers = itertools.count(2)
        while name in own:
            name = f"{wanted}_{next(numbers)}"
        own.append(name)
    return own


def _choose_circles(request: AttentionRequest, truth: Truth | None) -> NamedPoints | None:
    if request.coordinates is not None:
        return open_points(request.coordinates, request.micrographs, request.project_dir)
    return None if truth is None else truth.particles


def _describe(seen: SeenMicrograph) -> Mapping[str, object]:
    """Return what ``attention.h5`` tells of one micrograph."""
    window = seen.window
    return {
        "micrograph": seen.micrograph.name,
        "micrograph_pixel_size": seen.micrograph.optics.pixel_size,
        "micrograph_shape_yx": seen.shape,
        "window_x_y_width_height": (window.left, window.top, window.width, window.height),
    }


def _picture(seen: SeenMicrograph, request: AttentionRequest, drawn: NamedPoints | None) -> AttentionPicture:
    pixel_size = seen.micrograph.optics.pixel_size
    found = None if drawn is None else drawn.read(seen.micrograph.name)
    return AttentionPicture(
        title=f"{PurePosixPath(seen.micrograph.name).name}, diameter {request.particle_diameter:g} Å, "
        f"{pixel_size:.4g} Å per pixel: attention gates of {request.weights.name}",
        image=seen.image,
        pixel_size=pixel_size,
        particle_diameter_px=request.particle_diameter / pixel_size,
        window=seen.window,
        gates=seen.gates,
        yx=np.empty((0, 2), dtype=np.float32) if found is None else found,
        circles="true particles" if request.coordinates is None else "picks",
    )
