"""The two environments with real client libraries that ``cryosparc_environments.sh`` makes, lent our own packages."""

from __future__ import annotations

import os
import site
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

import relion_attn_picker

VERSIONS = ("4.7.1", "5.0.3")
TIMEOUT = 120
ROOT = Path(__file__).parent.parent.parent
FOLDER = Path(os.environ.get("ATTNPICK_CRYOSPARC_ENVIRONMENTS", ROOT / "runs/cryosparc"))


def find_python(version: str) -> Path:
    """Return the interpreter of an environment; the test is skipped without it."""
    python = (FOLDER / version / "bin/python").absolute()
    if not python.exists():
        pytest.skip(f"cryosparc-tools {version} is not here: bash tests/contract/cryosparc_environments.sh")
    return python


def run_in(version: str, arguments: Sequence[str], env: Mapping[str, str] = {}) -> subprocess.CompletedProcess[str]:
    """Run the environment's Python: cryosparc-tools is its own, everything else comes from the tests' interpreter."""
    own = Path(relion_attn_picker.__file__).parent.parent
    return subprocess.run(
        [find_python(version), *arguments],
        env={
            "PATH": os.environ["PATH"],
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": os.pathsep.join([str(own), *site.getsitepackages()]),
            **env,
        },
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
