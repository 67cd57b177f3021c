"""Comparing both networks and their combinations on labelled micrographs, as ``attnpick compare`` does."""
