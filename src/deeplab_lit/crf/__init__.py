"""The fully connected CRF (V1, section 3.2; V2, section 3.3): arrays in, arrays out."""

from deeplab_lit.crf.dense import DenseCRF

__all__ = ["DenseCRF"]
