"""The words of RELION: labels of STAR columns, names of marker files and node tables, by flavour.

They occur nowhere outside this folder. Labels are written without their leading underscore.
"""

from __future__ import annotations

from dataclasses import dataclass

MICROGRAPH_NAME = "rlnMicrographName"
MICROGRAPH_COORDINATES = "rlnMicrographCoordinates"
MICROGRAPH_MOVIE_NAME = "rlnMicrographMovieName"
IMAGE_NAME = "rlnImageName"
TOMOGRAPHY_PREFIX = "rlnTomo"

OPTICS_GROUP = "rlnOpticsGroup"
OPTICS_GROUP_NAME = "rlnOpticsGroupName"
MICROGRAPH_PIXEL_SIZE = "rlnMicrographPixelSize"
IMAGE_PIXEL_SIZE = "rlnImagePixelSize"
VOLTAGE = "rlnVoltage"
SPHERICAL_ABERRATION = "rlnSphericalAberration"
AMPLITUDE_CONTRAST = "rlnAmplitudeContrast"
BEAM_TILT_X = "rlnBeamTiltX"
BEAM_TILT_Y = "rlnBeamTiltY"
DETECTOR_PIXEL_SIZE = "rlnDetectorPixelSize"
MAGNIFICATION = "rlnMagnification"

DEFOCUS_U = "rlnDefocusU"
DEFOCUS_V = "rlnDefocusV"
DEFOCUS_ANGLE = "rlnDefocusAngle"
PHASE_SHIFT = "rlnPhaseShift"

COORDINATE_X = "rlnCoordinateX"
COORDINATE_Y = "rlnCoordinateY"
SCORE = "rlnAutopickFigureOfMerit"
CLASS_NUMBER = "rlnClassNumber"
ANGLE_PSI = "rlnAnglePsi"
SHIFT_X = "rlnOriginXAngst"
SHIFT_Y = "rlnOriginYAngst"
SHIFT_X_PIXELS = "rlnOriginX"
SHIFT_Y_PIXELS = "rlnOriginY"
GROUP_NR_PARTICLES = "rlnGroupNrParticles"

FAILURE_REASON = "attnpickFailureReason"
"""Our own label, for a table that RELION never reads; without RELION's prefix, so that no one takes it for RELION's."""

COORDINATE_FILES = "coordinate_files"
"""Block of ``autopick.star``, by the name that RELION 4 and 5 ask for."""

PICK_NAME = "autopick"
COORDINATE_SUFFIX = f"_{PICK_NAME}.star"
COORDINATE_INDEX = f"{PICK_NAME}.star"
COORDS_SUFFIX = f"coords_suffix_{PICK_NAME}.star"
LOGFILE = "logfile.pdf"

JOB_STAR = "job.star"
OUTPUT_NODES = "RELION_OUTPUT_NODES.star"
EXIT_SUCCESS = "RELION_JOB_EXIT_SUCCESS"
EXIT_FAILURE = "RELION_JOB_EXIT_FAILURE"
EXIT_ABORTED = "RELION_JOB_EXIT_ABORTED"
ABORT_NOW = "RELION_JOB_ABORT_NOW"
MARKERS = (EXIT_SUCCESS, EXIT_FAILURE, EXIT_ABORTED, ABORT_NOW)
"""RELION 3.1-5.0, pipeline_control.h."""

STAR_VERSION = 30001
"""RELION 3.1 to 5.0 read it."""


@dataclass(frozen=True)
class NodeTable:
    """What ``RELION_OUTPUT_NODES.star`` says to one flavour of RELION.

    Parameters
    ----------
    version
        Of the STAR file's comment line.
    labels
        Of the columns after the node's name.
    rows
        File in the job folder → its words in those columns.
    """

    version: int
    labels: tuple[str, ...]
    rows: dict[str, tuple[str, ...]]


NODE_NAME = "rlnPipeLineNodeName"
_TYPE = "rlnPipeLineNodeType"
_TYPE_LABEL = "rlnPipeLineNodeTypeLabel"
_DEPTH = "rlnPipeLineNodeTypeLabelDepth"
_LOGFILE_LABEL = "LogFile.pdf.relion.autopick"
_COORDINATES_LABEL_4 = "MicrographsCoords.star.relion.autopick"
_COORDINATES_LABEL_5 = "MicrographCoordsGroup.star.relion.autopick"

UNKNOWN_FLAVOUR = "unknown"
NODE_TABLES = {
    "3.1": NodeTable(30001, (_TYPE,), {COORDS_SUFFIX: ("2",), LOGFILE: ("13",)}),
    "4.0": NodeTable(30001, (_TYPE_LABEL,), {COORDINATE_INDEX: (_COORDINATES_LABEL_4,), LOGFILE: (_LOGFILE_LABEL,)}),
    "5.0": NodeTable(
        50001,
        (_TYPE_LABEL, _DEPTH),
        {COORDINATE_INDEX: (_COORDINATES_LABEL_5, "1"), LOGFILE: (_LOGFILE_LABEL, "1")},
    ),
    UNKNOWN_FLAVOUR: NodeTable(
        30001,
        (_TYPE, _TYPE_LABEL),
        {COORDS_SUFFIX: ("2", _COORDINATES_LABEL_5), LOGFILE: ("13", _LOGFILE_LABEL)},
    ),
}
"""Flavour → node table. RELION 3.1.3 pipeline_jobs.h:145-160, 4.0.2 :342-428, 5.0 :180-297.

A job folder without ``job.star`` was started by hand: its flavour is unknown, and the table has both kinds of types.
"""
