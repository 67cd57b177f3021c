"""RELION's words: labels of STAR columns, names of blocks and marker files, and the types of a job's output nodes.

The only place that spells them, for 3.1, 4.0 and 5.0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from relion_attn_picker.model_spec import BEST_NAME

MICROGRAPH_NAME: Final = "rlnMicrographName"
MICROGRAPH_COORDINATES: Final = "rlnMicrographCoordinates"
MICROGRAPH_PIXEL_SIZE: Final = "rlnMicrographPixelSize"
ORIGINAL_PIXEL_SIZE: Final = "rlnMicrographOriginalPixelSize"
IMAGE_PIXEL_SIZE: Final = "rlnImagePixelSize"
OPTICS_GROUP: Final = "rlnOpticsGroup"
OPTICS_GROUP_NAME: Final = "rlnOpticsGroupName"
VOLTAGE: Final = "rlnVoltage"
SPHERICAL_ABERRATION: Final = "rlnSphericalAberration"
AMPLITUDE_CONTRAST: Final = "rlnAmplitudeContrast"
DETECTOR_PIXEL_SIZE: Final = "rlnDetectorPixelSize"
MAGNIFICATION: Final = "rlnMagnification"
DEFOCUS_U: Final = "rlnDefocusU"
DEFOCUS_V: Final = "rlnDefocusV"
DEFOCUS_ANGLE: Final = "rlnDefocusAngle"
PHASE_SHIFT: Final = "rlnPhaseShift"
COORDINATE_X: Final = "rlnCoordinateX"
COORDINATE_Y: Final = "rlnCoordinateY"
FIGURE_OF_MERIT: Final = "rlnAutopickFigureOfMerit"
CLASS_NUMBER: Final = "rlnClassNumber"
ANGLE_PSI: Final = "rlnAnglePsi"
ORIGIN_X: Final = "rlnOriginXAngst"
ORIGIN_Y: Final = "rlnOriginYAngst"
ORIGIN_X_PIXELS: Final = "rlnOriginX"
GROUP_PARTICLES: Final = "rlnGroupNrParticles"
MOVIE_NAME: Final = "rlnMicrographMovieName"
IMAGE_NAME: Final = "rlnImageName"
TOMO_PREFIX: Final = "rlnTomo"
TOTAL_DOSE: Final = "attnpickTotalDose"
"""e/Å² of a micrograph: RELION has no label for it; it keeps a column that it does not know."""

REASON: Final = "attnpickReason"
"""Why a micrograph could not be picked, or why a candidate was rejected."""

FAILED_NAME: Final = "attnpickMicrographName"
"""Name of a micrograph that could not be picked."""

TEXT_LABELS: Final = (
    *(MICROGRAPH_NAME, MICROGRAPH_COORDINATES, OPTICS_GROUP_NAME, MOVIE_NAME, IMAGE_NAME),
    *(FAILED_NAME, REASON),
)
"""Labels whose values stay text, even where they look like numbers."""

OPTICS_BLOCK: Final = "optics"
MICROGRAPHS_BLOCK: Final = "micrographs"
COORDINATES_BLOCK: Final = "coordinate_files"
PARTICLES_BLOCK: Final = "particles"
TOMO_BLOCK: Final = "global"

EXIT_SUCCESS: Final = "RELION_JOB_EXIT_SUCCESS"
EXIT_FAILURE: Final = "RELION_JOB_EXIT_FAILURE"
EXIT_ABORTED: Final = "RELION_JOB_EXIT_ABORTED"
ABORT_NOW: Final = "RELION_JOB_ABORT_NOW"
OUTPUT_NODES: Final = "RELION_OUTPUT_NODES.star"
OUTPUT_NODES_BLOCK: Final = "output_nodes"

NODE_NAME: Final = "rlnPipeLineNodeName"
NODE_TYPE: Final = "rlnPipeLineNodeType"
NODE_TYPE_LABEL: Final = "rlnPipeLineNodeTypeLabel"
NODE_DEPTH: Final = "rlnPipeLineNodeTypeLabelDepth"

JOB_TYPE_NUMBER: Final = "rlnJobType"
JOB_TYPE_LABEL: Final = "rlnJobTypeLabel"
JOB_IS_TOMO: Final = "rlnJobIsTomo"

PICKNAME: Final = "autopick"
INDEX_FILE: Final = "autopick.star"
SUFFIX_FILE: Final = "coords_suffix_autopick.star"
LOGFILE: Final = "logfile.pdf"
MODEL_FILE: Final = BEST_NAME


@dataclass(frozen=True)
class Flavour:
    """How one RELION version wants a job's output nodes: ``rows`` of a picking or a ``training`` under ``columns``.

    In a row, the first entry is a file's name in the job's folder.
    """

    name: str
    star_version: str
    columns: tuple[str, ...]
    rows: tuple[tuple[object, ...], ...]
    training: tuple[tuple[object, ...], ...]


_LOG_LABEL: Final = "LogFile.pdf.relion.autopick"
_TRAINING_LOG: Final = "LogFile.pdf.relion"
_MODEL: Final = "MlModel.safetensors.attnpick"
_COORDS_40: Final = "MicrographsCoords.star.relion.autopick"
_COORDS_50: Final = "MicrographCoordsGroup.star.relion.autopick"

FLAVOURS: Final = {
    flavour.name: flavour
    for flavour in (
        Flavour(
            "3.1",
            "30001",
            (NODE_NAME, NODE_TYPE),
            ((SUFFIX_FILE, 2), (LOGFILE, 13)),
            ((LOGFILE, 13),),
        ),
        Flavour(
            "4.0",
            "30001",
            (NODE_NAME, NODE_TYPE_LABEL),
            ((INDEX_FILE, _COORDS_40), (LOGFILE, _LOG_LABEL)),
            ((MODEL_FILE, _MODEL), (LOGFILE, _TRAINING_LOG)),
        ),
        Flavour(
            "5.0",
            "50001",
            (NODE_NAME, NODE_TYPE_LABEL, NODE_DEPTH),
            ((INDEX_FILE, _COORDS_50, 1), (LOGFILE, _LOG_LABEL, 1)),
            ((MODEL_FILE, _MODEL, 1), (LOGFILE, _TRAINING_LOG, 1)),
        ),
        Flavour(
            "unknown",
            "30001",
            (NODE_NAME, NODE_TYPE, NODE_TYPE_LABEL),
            ((SUFFIX_FILE, 2, _COORDS_50), (LOGFILE, 13, _LOG_LABEL)),
            ((LOGFILE, 13, _TRAINING_LOG),),
        ),
    )
}
"""``unknown`` is a job that was started by hand, without RELION's job.star: all versions can read its nodes.

RELION has no type for a trained network; from 4.0 on it takes any label, and ``MlModel`` is that of ccpem-pipeliner.
"""
