"""Weights: files of this library and of other code bases, and the initial weights of a training."""
