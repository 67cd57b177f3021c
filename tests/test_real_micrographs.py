"""The released weights on real micrographs that were held out of their training."""

from __future__ import annotations

from pathlib import Path

import pytest

from relion_attn_picker.inference.weights import find_weights
from relion_attn_picker.io.checkpoint import read_header
from relion_attn_picker.jobs.picking.request import PickingRequest
from relion_attn_picker.jobs.picking.session import run_picking_job
from relion_attn_picker.options import InferenceOptions, PickOptions
from relion_attn_picker.relion.job import JobDirectory
from relion_attn_picker.relion.micrographs import read_micrographs

SETS = [("apoferritin_10146", 120.0, 3, 0.95), ("betagal_10017", 150.0, 4, 0.85)]


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["attention", "standard"])
@pytest.mark.parametrize(("folder", "diameter", "held_out", "least"), SETS)
def test_f1_at_the_default_threshold(
    variant: str, folder: str, diameter: float, held_out: int, least: float, shared_data: Path, tmp_path: Path
) -> None:
    project = shared_data / folder
    micrographs = read_micrographs(project / "micrographs.star")[-held_out:]
    request = PickingRequest(
        micrographs=micrographs,
        project_dir=project,
        micrographs_star=str(project / "micrographs.star"),
        weights=find_weights(variant, None),
        options=PickOptions(particle_diameter=diameter),
        inference=InferenceOptions(gpu="cpu", threads=2),
        reference=project / "truth.star",
    )
    summary = run_picking_job(JobDirectory.open(str(tmp_path)), request, lambda *_: None, lambda: False)
    assert summary.evaluation is not None
    assert summary.evaluation.headline.pooled.f1 >= least


@pytest.mark.parametrize("variant", ["attention", "standard"])
def test_released_weights_say_what_they_were_trained_with(variant: str) -> None:
    path = find_weights(variant, None)
    header = read_header(path)
    assert header.spec.architecture == variant
    assert header.trained_with["validation"]["betagal_10017"]["micrographs"] == 4
    card = path.with_suffix(".md").read_text()
    assert f"default threshold {header.calibration.threshold:g}" in card


def test_pair_was_trained_alike() -> None:
    headers = [read_header(find_weights(variant, None)) for variant in ("attention", "standard")]
    first, second = (header.trained_with for header in headers)
    assert first["data"] == second["data"]
    assert first["seed"] == second["seed"]
    assert {**first["options"], "architecture": ""} == {**second["options"], "architecture": ""}
    assert headers[0].normalization == headers[1].normalization
