"""Looking at the attention gates on whole micrographs, as ``attnpick attention`` does."""
