"""Trained weights from elsewhere: a foreign state dict in, ours out."""
