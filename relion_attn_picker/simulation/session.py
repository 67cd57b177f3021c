"""The conditions of one simulated session: one microscope, one kind of particle, what the user chose of the rest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from relion_attn_picker.options import SimulationOptions
from relion_attn_picker.simulation.conditions import Conditions, Processing, draw_conditions

SPHERICAL_ABERRATION = 2.7
"""mm, of every session."""

AMPLITUDE_CONTRAST = 0.1
"""Fraction, of every session."""


def draw_session_conditions(options: SimulationOptions, number: int, rng: np.random.Generator) -> Conditions:
    """Draw the conditions of micrograph ``number`` (from 1) of a session.

    They are milder than those that networks are trained on: no phase plate, no broken particles, no later filters;
    every second micrograph has the edge of a carbon film where the dirt is usual.
    """
    conditions = replace(
        draw_conditions(rng),
        voltage=options.voltage,
        spherical_aberration=SPHERICAL_ABERRATION,
        amplitude_contrast=AMPLITUDE_CONTRAST,
        coverage=float(rng.uniform(*options.coverage)),
        min_separation=1.05,
        snr=float(rng.uniform(*options.snr)),
        protein_noise=float(rng.uniform(0.1, 1.0)),
        carbon=number % 2 == 0,
        phase_shift=0.0,
        damaged=0.0,
        mottling=0.0,
        border=0,
        lowpass=1.0,
        processing=Processing(),
        gold=False,
        lattice=False,
        second_layer=0.0,
        dead_pixels=0,
        dead_columns=0,
    )
    chosen = DIRT[options.dirt](rng)
    if options.dose is not None:
        chosen["dose"] = options.dose
    if options.defocus is not None:
        chosen["defocus"] = float(rng.uniform(*options.defocus))
    if options.empty and rng.random() < options.empty:
        chosen["coverage"] = 0.0
    return replace(conditions, **chosen)


def _as_drawn(rng: np.random.Generator) -> dict[str, Any]:
    return {}


def _clean(rng: np.random.Generator) -> dict[str, Any]:
    counts = ("blobs", "specks", "aggregates", "micelles", "filaments", "vesicles", "hot_pixels")
    return {"carbon": False, "gain_residue": 0.0, "patchiness": 0.0, **dict.fromkeys(counts, 0)}


def _heavy(rng: np.random.Generator) -> dict[str, Any]:
    return {
        "carbon": bool(rng.random() < 0.7),
        "blobs": int(rng.poisson(4)),
        "specks": int(rng.poisson(15)),
        "aggregates": int(rng.poisson(3)),
        "damaged": float(rng.uniform(0.1, 0.3)),
        "hot_pixels": int(rng.integers(10, 40)),
        "border": int(rng.choice([0, 0, 8])),
    }


DIRT: dict[str, Callable[[np.random.Generator], dict[str, Any]]] = {
    "none": _clean,
    "usual": _as_drawn,
    "heavy": _heavy,
}
"""What each amount of dirt changes in the conditions."""
