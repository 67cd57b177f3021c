"""Picking a list of micrographs into a job folder, going on with it, and cutting it anew."""
