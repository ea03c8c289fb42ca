"""Inference with a trained network: evaluation, prediction, refinement by the CRF, the search for its parameters."""
