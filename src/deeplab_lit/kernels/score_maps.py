"""Score maps: coarse maps in the form that the compiled kernels take."""

from __future__ import annotations

import functools

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

_LANES = 16  # lanes of a vector unit
_NOTHING = np.float32(-1e30)  # the score of a padding class


def classes_last(scores: Float[Tensor, "batch classes h w"]) -> NDArray[np.float32]:
    """Scores as (batch, h, w, lanes): classes last, padded to whole vectors with scores that do not count."""
    batch, classes, *size = scores.shape
    padded = np.full((batch, *size, -(-classes // _LANES) * _LANES), _NOTHING, np.float32)
    padded[..., :classes] = scores.detach().permute(0, 2, 3, 1).numpy()
    return padded


@functools.cache
def places(new: int, old: int, align_corners: bool) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """The two old positions around each new one, and the weight of the second."""
    steps = np.arange(new)
    place = steps * ((old - 1) / max(new - 1, 1)) if align_corners else np.maximum((steps + 0.5) * old / new - 0.5, 0)
    first = np.minimum(place.astype(np.int64), old - 1)
    return first, np.minimum(first + 1, old - 1), (place - first).astype(np.float32)
