"""What the tests with outside programs share: a project with marked particles, and CryoSPARC's client libraries."""

from __future__ import annotations

import os
import site
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import mrcfile
import numpy as np
import pytest

import relion_attn_picker

PIXEL_SIZE = 1.5
DIAMETER = 48
"""Of a particle, in pixels of the micrographs."""

SHAPES_AND_CENTRES = {
    "Micrographs/wide.mrc": ((480, 640), [(100, 500), (400, 60), (240, 320), (61, 77)]),
    "Micrographs/tall.mrc": ((640, 480), [(500, 100), (333, 401), (90, 250)]),
    "Micrographs/empty.mrc": ((480, 640), []),
}
"""Of each micrograph its array's shape, and the ``[y, x]`` of its particles' centres."""


@pytest.fixture(scope="session")
def external_executable() -> Path:
    """The console script of the environment that runs the tests, as a user would enter it in the GUI."""
    path = Path(sys.executable).parent / "attnpick-external"
    assert path.is_file(), "the package is not installed: pip install -e ."
    return path


@pytest.fixture(scope="session")
def marked_micrographs() -> Mapping[str, list[tuple[int, int]]]:
    """Name of each micrograph and the centres of its particles."""
    return {name: centres for name, (_, centres) in SHAPES_AND_CENTRES.items()}


@pytest.fixture(scope="module")
def marked_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project folder with rectangular micrographs: noise and dark discs, the pixel in each centre the darkest."""
    folder = tmp_path_factory.mktemp("project")
    generator = np.random.default_rng(7)
    for name, (shape, centres) in SHAPES_AND_CENTRES.items():
        image = generator.normal(0, 0.5, shape)
        y, x = np.indices(shape)
        for centre_y, centre_x in centres:
            squared = (y - centre_y) ** 2 + (x - centre_x) ** 2
            image -= 6 * np.exp(-squared / (2 * (DIAMETER / 4) ** 2))
            image[centre_y, centre_x] = -20
        write_mrc(folder / name, image)
    return folder


def write_mrc(path: Path, image: np.ndarray) -> None:  # type: ignore[type-arg]
    path.parent.mkdir(parents=True, exist_ok=True)
    mrcfile.write(path, image.astype(np.float32), voxel_size=PIXEL_SIZE)


CRYOSPARC_FOLDER = Path(
    os.environ.get("ATTNPICK_CRYOSPARC_ENVIRONMENTS", Path(__file__).parent.parent.parent / "runs/cryosparc")
)
"""Where ``cryosparc_environments.sh`` makes an environment for each version."""


@dataclass(frozen=True)
class CryosparcClient:
    """An environment with the real cryosparc-tools of one version."""

    version: str
    python: Path

    def run(
        self, arguments: Sequence[str | Path], env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run its Python: cryosparc-tools is its own, everything else comes from the tests' interpreter."""
        own = Path(relion_attn_picker.__file__).parent.parent
        return subprocess.run(
            [self.python, *arguments],
            env={
                "PATH": os.environ["PATH"],
                "OMP_NUM_THREADS": "1",
                "PYTHONPATH": os.pathsep.join([str(own), *site.getsitepackages()]),
                **(env or {}),
            },
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )


@pytest.fixture(scope="module", params=["4.7.1", "5.0.3"])
def cryosparc_client(request: pytest.FixtureRequest) -> CryosparcClient:
    """The client library of each version in turn; the test is skipped where its environment is not there."""
    python = (CRYOSPARC_FOLDER / request.param / "bin/python").absolute()
    if not python.exists():
        pytest.skip(f"cryosparc-tools {request.param} is not here: bash tests/contract/cryosparc_environments.sh")
    return CryosparcClient(request.param, python)
