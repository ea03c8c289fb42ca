"""The fully connected CRF (V1, section 4.2; V2, section 3.3): arrays in, arrays out.

:class:`deeplab_lit.crf.layer.CRFLayer` is the same CRF as a layer of a network.
"""

from deeplab_lit.crf.dense import DenseCRF
from deeplab_lit.crf.presets import preset

__all__ = ["DenseCRF", "preset"]
