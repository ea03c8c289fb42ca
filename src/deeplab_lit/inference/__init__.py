"""What a trained network is used for: evaluation, prediction, refinement by the CRF, the search for its parameters."""
