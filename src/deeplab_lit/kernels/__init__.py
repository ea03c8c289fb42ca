"""Kernels: loops compiled for the CPU, arrays in, arrays out."""
