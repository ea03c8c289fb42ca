"""Arrays: their types."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
"""RGB images (H, W, 3), and masks (H, W) of class indices."""

Pixels = NDArray[np.unsignedinteger[Any]]
"""Images (H, W, C) of uint8 or uint16, such as RGB bytes."""

Floats = NDArray[np.float32]
"""Maps of numbers, such as probabilities (C, H, W)."""

Ints = NDArray[np.int32]
