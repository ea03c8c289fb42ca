"""One training, from its plan to its score."""
