"""Arrays: their types."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
"""RGB images (H, W, 3), and masks (H, W) of class indices."""

Floats = NDArray[np.float32]
"""Maps of numbers, such as probabilities (C, H, W)."""

Ints = NDArray[np.int32]
