"""Making scores probabilities, and two networks a hybrid, as ``attnpick calibrate`` does."""
