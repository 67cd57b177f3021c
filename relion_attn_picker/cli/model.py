"""``attnpick model``: look into a file of weights, or make one for release."""

from __future__ import annotations

from pathlib import Path

import click

from relion_attn_picker.cli._options import OUTPUT_NAME
from relion_attn_picker.errors import InputError
from relion_attn_picker.io.output_folder import check_folder


@click.group(name="model")
def command() -> None:
    """Look into a file of weights, or make one for release."""


@command.command()
@click.argument("file")
def show(file: str) -> None:
    """Print what FILE holds, as JSON.

    That is network, scale, normalisation, threshold, and how it was trained. FILE may also be the folder of a training,
    or attention or standard: the released weights.
    """
    import json

    from relion_attn_picker.io.checkpoint import read_header
    from relion_attn_picker.training.starting import find_start

    print(json.dumps(read_header(find_start(file, None)).to_dict(), indent=1))


@command.command()
@click.argument("file")
@click.argument("out", type=OUTPUT_NAME)
def release(file: str, out: str) -> None:
    """Make a file of half the size, with a card.

    The weights of FILE, or of the folder of a training, go to OUT (*.safetensors) as float16, a model card beside them.
    """
    target = Path(out)
    if target.suffix != ".safetensors":
        raise InputError(f"The weights would go to {target}: expected a name that ends in .safetensors.")
    if not target.parent.is_dir():
        raise InputError(f"There is no folder {target.parent} to write {target.name} to: make it, or give another.")
    check_folder(target.parent)
    import torch

    from relion_attn_picker.inference.weights import weights_in
    from relion_attn_picker.io.checkpoint import read_checkpoint, read_header, write_checkpoint
    from relion_attn_picker.models.builders import build_model
    from relion_attn_picker.replacing import replace_file
    from relion_attn_picker.report.model_card import format_model_card

    source = weights_in(Path(file))
    checkpoint = read_checkpoint(source)
    model = build_model(checkpoint.header.spec)
    checkpoint.load_into(model, source)
    card = format_model_card(checkpoint.header, sum(parameter.numel() for parameter in model.parameters()))
    if target.exists() and (target.samefile(source) or read_header(target) != checkpoint.header):
        raise InputError(f"{target} holds other weights, which would be overwritten: give another name, or remove it.")
    card_path = target.with_suffix(".md")
    if card_path.exists() and card_path.read_bytes() != card.encode():
        raise InputError(f"{card_path} is not the card of these weights, and would be overwritten: move it away.")
    write_checkpoint(target, model, checkpoint.header, dtype=torch.float16)
    replace_file(card_path, card, through_links=True)
