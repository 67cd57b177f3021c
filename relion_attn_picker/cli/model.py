"""``attnpick model``: look into a file of weights, or make one for release."""

from __future__ import annotations

from pathlib import Path

import click


@click.group(name="model")
def command() -> None:
    """Look into a file of weights, or make one for release."""


@command.command()
@click.argument("file")
def show(file: str) -> None:
    """Print the header of FILE as JSON: network, scale, normalisation, threshold, and how it was trained."""
    import json

    from relion_attn_picker.io.checkpoint import read_header

    print(json.dumps(read_header(Path(file)).to_dict(), indent=1))


@command.command()
@click.argument("file")
@click.argument("out")
def release(file: str, out: str) -> None:
    """Write the weights of FILE to OUT as float16, half the size, and a model card beside them."""
    import torch

    from relion_attn_picker.io.checkpoint import read_checkpoint, write_checkpoint
    from relion_attn_picker.models.builders import build_model
    from relion_attn_picker.report.model_card import format_model_card

    checkpoint = read_checkpoint(Path(file))
    model = build_model(checkpoint.header.spec)
    checkpoint.load_into(model, Path(file))
    write_checkpoint(Path(out), model, checkpoint.header, dtype=torch.float16)
    n_parameters = sum(parameter.numel() for parameter in model.parameters())
    Path(out).with_suffix(".md").write_text(format_model_card(checkpoint.header, n_parameters))
