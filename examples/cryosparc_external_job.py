"""Pick with attnpick as an external job of CryoSPARC: `attnpick cryosparc run` in a page, to be changed at will.

Run it where CryoSPARC's project folder is mounted, with cryosparc-tools of the version of CryoSPARC (pip install
'cryosparc-tools~=4.7.0', or ~=5.0.0), and CRYOSPARC_MASTER_HOSTNAME, CRYOSPARC_BASE_PORT, CRYOSPARC_EMAIL,
CRYOSPARC_PASSWORD (4.x: and CRYOSPARC_LICENSE_ID) in the environment.

Each micrograph is picked by itself, by the weights' own threshold; the command fits one to the scores of all.

Usage: python cryosparc_external_job.py P3 W1 J12 exposures 150 [WEIGHTS]      (150: the particle's diameter in Å)
"""

import sys
from pathlib import Path

import numpy as np

from relion_attn_picker.inference.weights import find_weights
from relion_attn_picker.io.cryosparc_exposures import EXPOSURE_SLOTS, read_exposures
from relion_attn_picker.io.cryosparc_picks import PICK_SLOTS, ExposurePicks, make_pick_table
from relion_attn_picker.jobs.cryosparc.job import as_dataset, as_result, connect, project_folder
from relion_attn_picker.micrograph import Micrograph
from relion_attn_picker.options import InferenceOptions, PickOptions
from relion_attn_picker.pipeline import load_picker, pick_micrograph

project_uid, workspace, source_job, output, diameter, *weights = sys.argv[1:]
options = PickOptions(particle_diameter=float(diameter))
picker = load_picker(find_weights(None, Path(weights[0]) if weights else None), InferenceOptions())

project = connect().find_project(project_uid)
project_dir = project_folder(project)
job = project.create_external_job(workspace, title="attnpick, by script")
job.connect("micrographs", source_job, output, slots=list(EXPOSURE_SLOTS))
job.add_output("particle", "picks", slots=list(PICK_SLOTS))
job.start("running")
try:
    exposures = read_exposures(as_result(job.load_input("micrographs", slots=list(EXPOSURE_SLOTS)))).items
    picks = []
    for number, exposure in enumerate(exposures, start=1):
        micrograph = Micrograph(exposure.path, exposure.optics)
        found = pick_micrograph(micrograph, project_dir, picker, options)
        picks.append(ExposurePicks(exposure, found.yx, found.score))
        job.log(f"{number}/{len(exposures)} {exposure.path} {len(found)} picks")
    job.save_output("picks", as_dataset(make_pick_table(picks, np.random.default_rng())))
except BaseException as error:  # Ctrl-C too must not leave the job running, or as completed
    job.stop(error=str(error) or type(error).__name__)
    raise
job.stop()
