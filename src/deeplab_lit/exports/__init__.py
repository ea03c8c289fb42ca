"""Exports of trained networks in forms that other programs run."""
