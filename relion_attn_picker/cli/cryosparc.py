"""``attnpick cryosparc``: micrographs from CryoSPARC, picks to it, and picks from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from relion_attn_picker.cli._options import LIKE_RELION, OUTPUT_NAME, check_choices, live_picking_options
from relion_attn_picker.errors import InputError


@click.group(name="cryosparc")
def command() -> None:
    """Work with CryoSPARC: by files (exposures, export, import) or in a running instance (run).

    By files: attnpick cryosparc exposures, then attnpick pick, then attnpick cryosparc export.
    """


@command.command(context_settings=LIKE_RELION)
@click.argument("files", nargs=-1, required=True)
@click.option(
    "--out", type=OUTPUT_NAME, default="micrographs.star", show_default=True, help="Micrographs STAR file to write."
)
@click.option("--project_dir", help="CryoSPARC's project folder.  [default: looked for beside FILES]")
def exposures(files: tuple[str, ...], out: str, project_dir: str | None) -> None:
    """Write a micrographs STAR file for `attnpick pick` from an output of CryoSPARC.

    FILES is one .csg (every job's folder has one for each output, such as J12/J12_exposures.csg; an exported result
    group too), or the .cs files of one output, those with 'passthrough' in their names included.
    """
    from relion_attn_picker.jobs.cryosparc.exchange import list_exposures, read_exposure_files

    found = read_exposure_files([Path(name) for name in files])
    micrographs = list_exposures(found, None if project_dir is None else Path(project_dir), Path(out))
    sizes = sorted({micrograph.optics.pixel_size for micrograph in micrographs})
    print(f"{len(micrographs)} micrographs of {', '.join(f'{size:g}' for size in sizes)} Å per pixel; written: {out}")


@command.command(context_settings=LIKE_RELION)
@click.argument("picks")
@click.option(
    "--exposures", "exposure_files", multiple=True, required=True, help="As for `exposures`; repeat for several .cs."
)
@click.option(
    "--out", type=OUTPUT_NAME, required=True, help="Folder for the files, best one inside CryoSPARC's project folder."
)
@click.option(
    "--min_distance", type=float, help="Smallest distance between picks in Å.  [default: the job's, if known]"
)
@click.option("--flip_y/--no_flip_y", help="Mirror y: for micrographs that CryoSPARC has upside down.  [default: no]")
@click.option("--seed", type=int, help="Seed of the picks' uids, for a result that can be repeated.  [default: random]")
@click.option("--title", default="attnpick picks", show_default=True, help="What CryoSPARC shows.")
def export(picks: str, exposure_files: tuple[str, ...], out: str, **options: Any) -> None:
    """Write PICKS (a job's folder, autopick.star, particles STAR) for CryoSPARC.

    OUT gets attnpick_picks.cs and .csg for the job Import Result Group, and attnpick_picks.star for Import Particle
    Stack. The same command prints which fields of those jobs to set.
    """
    from relion_attn_picker.jobs.cryosparc.exchange import export_picks, read_exposure_files

    written = export_picks(
        Path(picks), read_exposure_files([Path(name) for name in exposure_files]), Path(out), **options
    )
    print(f"{written.n_picks} picks on {written.n_micrographs} micrographs; written: {written.table}, {written.group}")
    print((IMPORT_SCORED if written.has_scores else IMPORT_BARE).format(group=written.group.absolute()))
    if written.star is not None:
        print(IMPORT_STACK.format(star=written.star.absolute()))


IMPORT_SCORED = """
In CryoSPARC, with scores (best):
  1. Both files must lie in one folder inside the project folder, for example exports/groups/attnpick/.
  2. Job 'Import Result Group', path of the .csg file: {group}
  3. 'Inspect Picks' with its particles and the same exposures, then 'Extract From Micrographs'."""

IMPORT_BARE = """
In CryoSPARC (the picks have no scores):
  1. Both files must lie in one folder inside the project folder, for example exports/groups/attnpick/.
  2. Job 'Import Result Group', path of the .csg file: {group}
  3. 'Extract From Micrographs' with its particles and the same exposures."""

IMPORT_STACK = """
Or, without a result group: job 'Import Particle Stack', input 'micrographs' the same exposures, and
  Particle meta path                               {star}
  Ignore raw data                                  on
  Ignore pose data                                 on
  Remove leading UID in input micrograph path      off (names in the file are those of the exposures)
  Length of prefix and suffix to cut               leave empty"""


@command.command(name="import", context_settings=LIKE_RELION)
@click.argument("files", nargs=-1, required=True)
@click.option(
    "--micrographs", help="Micrographs STAR file whose names the coordinates get.  [default: CryoSPARC's paths]"
)
@click.option("--out", type=OUTPUT_NAME, required=True, help="Folder for the coordinates; made if absent.")
@click.option("--flip_y/--no_flip_y", help="Mirror y: for micrographs that CryoSPARC has upside down.  [default: no]")
def import_(files: tuple[str, ...], micrographs: str | None, out: str, flip_y: bool) -> None:
    """Write RELION coordinates from picks or particles of CryoSPARC, to train on or to evaluate against.

    FILES is one .csg or the .cs files of one output, for example of Select 2D Classes.
    """
    from relion_attn_picker.jobs.cryosparc.importing import import_picks

    star = None if micrographs is None else Path(micrographs)
    done = import_picks([Path(name) for name in files], star, out, flip_y=flip_y)
    print(f"{done.n_picks} picks on {done.n_micrographs} micrographs; written: {done.index}")


@command.command(context_settings=LIKE_RELION)
@click.option("--project", required=True, help="Project, such as P3.")
@click.option("--workspace", required=True, help="Workspace for the new job, such as W1.")
@click.option("--job", "source_job", required=True, help="Job with the micrographs, such as J12.")
@click.option("--output", default="exposures", show_default=True, help="Its output; after Curate: exposures_accepted.")
@click.option("--project_dir", help="The project folder as this machine sees it.  [default: as CryoSPARC says]")
@click.option(
    "--out",
    type=OUTPUT_NAME,
    help="Folder for the results here; continued if it holds some.  [default: attnpick_P3_J12]",
)
@live_picking_options
def run(
    project: str, workspace: str, source_job: str, output: str, project_dir: str | None, out: str | None, **options: Any
) -> int:
    """Pick in a running CryoSPARC, as an external job: exposures in, picks with scores out.

    Needs cryosparc-tools of the version of CryoSPARC (pip install 'cryosparc-tools~=4.7.0'). Set
    CRYOSPARC_MASTER_HOSTNAME, CRYOSPARC_BASE_PORT, CRYOSPARC_EMAIL and CRYOSPARC_PASSWORD, for 4.x CRYOSPARC_LICENSE_ID
    too; for 5.x a saved login (python -m cryosparc.tools login) will do.
    """
    from relion_attn_picker.cli._job_command import guard_job
    from relion_attn_picker.relion.job import JobDirectory

    job = JobDirectory.open(f"attnpick_{project}_{source_job}" if out is None else out)

    def work() -> None:
        choices = check_choices(**options)
        if choices.pixel_size is not None:
            raise InputError("--pixel_size is not for this command: CryoSPARC knows the pixel size of its exposures.")
        if choices.estimate_diameter:
            raise InputError("--diameter auto is not for this command: give the result of attnpick diameter, in Å.")
        from relion_attn_picker.cli._picking import build_request, pick_live
        from relion_attn_picker.jobs.cryosparc.job import LiveSource

        folder = None if project_dir is None else Path(project_dir)
        source = LiveSource(project=project, workspace=workspace, job=source_job, output=output, project_dir=folder)
        pick_live(job, source, build_request([], "", Path(), None, choices, job))

    return guard_job(job, work)
