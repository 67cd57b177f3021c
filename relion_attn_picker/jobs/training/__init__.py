"""Training on labelled and on simulated micrographs, as ``attnpick train`` does."""
