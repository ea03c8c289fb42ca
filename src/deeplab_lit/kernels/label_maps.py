"""Label maps: upsampling and argmax in one pass over the pixels, and counts of pairs of labels, compiled for a CPU.

No upsampled map of a class is stored. Classes are the last dimension, padded to whole vectors.
"""

# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

import numpy as np
from numba import prange

from deeplab_lit.kernels.jit import compiled, kernel
from deeplab_lit.kernels.loss import blend


def _upsampled_argmax(scores, above, below, down, left, right, across):
    """The class with the highest score at each pixel, uint8 (batch, height, width).

    ``scores`` is (batch, h, w, lanes). ``above``, ``below`` and ``down`` are the two rows of scores for each row of
    pixels, and the weight of the second; ``left``, ``right``, ``across`` are the same for columns. Of equal scores, the
    first class counts.
    """
    batch, _, columns, lanes = scores.shape
    height, width = len(above), len(left)
    found = np.empty((batch, height, width), np.uint8)
    for job in prange(batch * height):
        n, y = job // height, job % height
        row, values = np.empty((columns, lanes), np.float32), np.empty(lanes, np.float32)
        blend(scores[n, above[y]], scores[n, below[y]], down[y], row)
        for x in range(width):
            first, second, share = left[x], right[x], across[x]
            top = np.float32(-np.inf)
            for c in range(lanes):
                value = row[first, c] + share * (row[second, c] - row[first, c])
                values[c] = value
                top = max(top, value)
            best = 0
            while values[best] != top:
                best += 1
            found[n, y, x] = best
    return found


upsampled_argmax = kernel(_upsampled_argmax)[True]


@compiled
def count_pairs(prediction, truth, void, counts):
    """Add the pixels of two flat arrays to ``counts`` (true class, predicted class); returns how many have no class."""
    classes, unknown = len(counts), 0
    for i in range(len(truth)):
        t, p = truth[i], prediction[i]
        if t == void:
            continue
        if t < 0 or t >= classes or p < 0 or p >= classes:
            unknown += 1
        else:
            counts[t, p] += 1
    return unknown
