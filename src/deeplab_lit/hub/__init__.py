"""Trained networks on the Hugging Face Hub."""
