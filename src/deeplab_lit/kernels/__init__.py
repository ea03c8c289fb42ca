"""Compiled loops of the CPU: arrays in, arrays out."""
