"""Training in rounds on unlabelled micrographs, as ``attnpick self-train`` does."""
