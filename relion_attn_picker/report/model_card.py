"""The model card of a checkpoint: what its header says, for people."""

from __future__ import annotations

from typing import Any

from relion_attn_picker.model_spec import CheckpointHeader

DESCRIPTIONS = {
    "attention": "Attention U-Net (Oktay et al. 2018): a U-Net with a gate on each of the four skip connections.",
    "standard": "U-Net (Ronneberger et al. 2015).",
}

LIMITS = """\
- The threshold and the best step were chosen on the validation micrographs, so the figures above are slightly
  optimistic.
- Micrographs of the same proteins tell little of other proteins: judge it by picks on one that it was not trained on.
- Particles much smaller or larger than the stated diameter were not trained on.
- The map marks centres, not outlines: its pixel recall against full discs is low by design."""


def format_model_card(header: CheckpointHeader, n_parameters: int) -> str:
    """Return the card as Markdown; every number comes from the header.

    Parameters
    ----------
    header
        Of a checkpoint that ``training.fit`` wrote.
    n_parameters
        Of the network.
    """
    spec, trained = header.spec, header.trained_with
    lines = [
        f"# {spec.architecture}",
        "",
        DESCRIPTIONS[spec.architecture],
        "",
        f"- {spec.base_features} base features, {n_parameters:,} parameters",
        f"- particle diameter {header.particle_diameter_px:g} network pixels",
        f"- default threshold {header.calibration.threshold:g}: {header.calibration.source}",
        f"- attnpick {trained.get('version', 'unknown')}, seed {trained.get('seed', 'unknown')}, "
        f"{trained.get('steps', 'unknown')} steps of the best checkpoint",
        "",
        "## Trained on",
        "",
        *(_describe_source(source) for source in trained.get("data", [])),
        "",
        "## Validated on whole micrographs that were held out",
        "",
        "| set | micrographs | particles | average precision | best F1 | F1 at the default threshold |",
        "|---|---|---|---|---|---|",
        *_validation_rows(trained),
        "",
        "Picks matched one-to-one within half a particle diameter.",
        "",
        "## What to expect",
        "",
        LIMITS,
        "",
        "## Options of the training",
        "",
        *(f"- {name}: {value}" for name, value in trained.get("options", {}).items()),
        "",
    ]
    return "\n".join(lines)


def _describe_source(source: dict[str, Any]) -> str:
    """Return the line of a source; fields that are made anew for each batch have no number."""
    count = f"{source['micrographs']} micrographs " if "micrographs" in source else ""
    return f"- {source['name']}: {count}({source['description']})"


def _validation_rows(trained: dict[str, Any]) -> list[str]:
    figures = trained.get("figures", {})
    return [
        f"| {name} | {counts['micrographs']} | {counts['particles']} | "
        + " | ".join(f"{figures[f'{name}: {figure}']:.3f}" for figure in ("average_precision", "best_f1", "f1"))
        + " |"
        for name, counts in trained.get("validation", {}).items()
    ]
