"""Utilities that know nothing of segmentation."""
