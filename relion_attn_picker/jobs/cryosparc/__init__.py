"""Going between CryoSPARC and RELION, by files and live, as ``attnpick cryosparc`` does."""
