"""``attnpick convert``: coordinates from one program's format into another's."""

from __future__ import annotations

from pathlib import Path

import click

from relion_attn_picker.cli._options import LIKE_RELION, OUTPUT_NAME


@click.command(name="convert", context_settings=LIKE_RELION)
@click.argument("source")
@click.argument("target", type=OUTPUT_NAME)
@click.option("--from", "source_format", help="Format of SOURCE.  [default: told from its name and content]")
@click.option("--to", "target_format", help="Format of TARGET.  [default: told from its name]")
@click.option("--micrographs", help="Micrographs STAR file: names of the result, and the images to check against.")
@click.option(
    "--exposures",
    multiple=True,
    help="For cs: the .csg of CryoSPARC's job with the micrographs, or its .cs files, repeating the option.",
)
@click.option(
    "--match",
    help="What of two names must be equal: exact (all), name (without folders), stem (nor extension), stem-no-uid (nor "
    "CryoSPARC's number).  [default: exact from STAR files with micrographs' names, stem-no-uid from cs, stem from "
    "others]",
)
@click.option("--strip", default="", help="Cut this from the ends of names first, such as _autopick.")
@click.option(
    "--factor",
    type=float,
    default=1.0,
    show_default=True,
    help="Multiply coordinates: 4 if picked on images that were scaled down 4 times.",
)
@click.option("--flip_y", is_flag=True, help="Count rows from the other end: y becomes height - 1 - y.")
@click.option("--box_size", type=int, help="Box in pixels, where TARGET has boxes and SOURCE has none.")
@click.option(
    "--outside",
    default="refuse",
    show_default=True,
    help="Points outside their image: refuse, drop, clip (to its edge) or keep.",
)
@click.option(
    "--whole_pixels/--fractions",
    default=None,
    help="Round to whole pixels, or keep fractions where TARGET can.  [default: round for relion, which cuts them off]",
)
def command(source: str, target: str, micrographs: str | None, exposures: tuple[str, ...], **given: object) -> None:
    """Convert the coordinates in SOURCE into TARGET, and tell what was changed, lost or not matched.

    Formats: relion (a job folder), star (one STAR file), cs (CryoSPARC's .cs with its .csg), box (EMAN), cbox
    (crYOLO), topaz (its table), table (plain x y). All coordinates are centres in pixels of the micrograph, counted
    from 0; boxes are turned into centres.
    """
    import json
    import logging

    from relion_attn_picker.jobs.conversion.job import ConversionOptions, convert
    from relion_attn_picker.replacing import replace_file

    options = ConversionOptions(
        micrographs=None if micrographs is None else Path(micrographs),
        exposures=tuple(Path(name) for name in exposures),
        **given,  # type: ignore[arg-type]
    )
    report = convert(Path(source), Path(target), options)
    log = logging.getLogger("relion_attn_picker")
    for note in report.notes:
        log.warning(note)
    if report.without_coordinates:
        print(f"{len(report.without_coordinates)} micrographs of the list have no coordinates.")
    told = Path(target.rstrip("/") + ".conversion.json")
    replace_file(told, json.dumps(report.to_dict(), indent=1, ensure_ascii=False) + "\n", through_links=True)
    print(
        f"{report.n_points} points on {report.n_micrographs} micrographs, {report.source_format} to "
        f"{report.target_format}. Written: {target} and {told}"
    )
