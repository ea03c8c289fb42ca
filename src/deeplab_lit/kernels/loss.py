"""The loss of upsampled scores, cross-entropy, in one pass over the pixels, compiled for a CPU.

No upsampled map is stored: each pixel's scores are interpolated from the coarse map, and its gradient is added to the
coarse gradient at once. Classes are the last dimension, padded to whole vectors with scores that do not count.
"""

# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

import numpy as np
from numba import prange

from deeplab_lit.kernels.jit import compiled, kernel


@compiled
def blend(first, second, share, found):
    """Write into ``found`` the interpolation of two rows of a map; ``share`` is the weight of the second."""
    for j in range(found.shape[0]):
        for c in range(found.shape[1]):
            found[j, c] = first[j, c] + share * (second[j, c] - first[j, c])


@compiled
def _exp(x):
    """e ** x of x <= 0 in single precision: a power of two times a polynomial in the rest, which is in [-0.5, 0.5]."""
    t = max(x * np.float32(1.4426950408889634), np.float32(-126.0))
    whole = np.int32(t - np.float32(0.5))
    f = t - np.float32(whole)
    p = np.float32(0.001333355814) + f * np.float32(0.000154035304)
    p = np.float32(0.05550410866) + f * (np.float32(0.009618129107) + f * p)
    p = np.float32(1.0) + f * (np.float32(0.6931471805599453) + f * (np.float32(0.2402265069591007) + f * p))
    return p * np.int32((whole + np.int32(127)) << np.int32(23)).view(np.float32)


def _cross_entropy(scores, labels, weights, void, above, below, down, left, right, across, parts):
    """The summed loss, the summed weight, the gradient of the loss, and the number of labels that no class has.

    ``scores`` is (batch, h, w, lanes), ``labels`` (batch, height, width). ``above``, ``below`` and ``down`` are the two
    rows of scores for each row of pixels, and the weight of the second; ``left``, ``right``, ``across`` are those for
    columns. The rows of an image are divided into ``parts``, each with its own sums, whatever the number of threads.
    """
    batch, height, width = labels.shape
    rows, columns, lanes = scores.shape[1:]
    classes = len(weights)
    sums = np.zeros((batch * parts, 3))
    grad = np.zeros((batch * parts, rows, columns, lanes), np.float32)
    for job in prange(batch * parts):
        n, part = job // parts, job % parts
        row, of_row = np.empty((columns, lanes), np.float32), np.empty((columns, lanes), np.float32)
        values = np.empty(lanes, np.float32)
        loss, weight, unknown = 0.0, 0.0, 0
        for y in range(height * part // parts, height * (part + 1) // parts):
            upper, lower, share_y = above[y], below[y], down[y]
            blend(scores[n, upper], scores[n, lower], share_y, row)
            of_row[:] = 0
            for x in range(width):
                label = labels[n, y, x]
                if label == void:
                    continue
                if label < 0 or label >= classes:
                    unknown += 1
                    continue
                first, second, share = left[x], right[x], across[x]
                top = np.float32(-np.inf)
                for c in range(lanes):
                    value = row[first, c] + share * (row[second, c] - row[first, c])
                    values[c] = value
                    top = max(top, value)
                true = values[label]
                total = np.float32(0)
                for c in range(lanes):
                    value = _exp(values[c] - top)
                    values[c] = value
                    total += value
                loss += weights[label] * (np.log(total) + top - true)
                weight += weights[label]
                scale = weights[label] / total
                for c in range(lanes):
                    values[c] *= scale
                values[label] -= weights[label]
                for c in range(lanes):
                    value = share * values[c]
                    of_row[second, c] += value
                    of_row[first, c] += values[c] - value
            for j in range(columns):
                for c in range(lanes):
                    value = share_y * of_row[j, c]
                    grad[job, lower, j, c] += value
                    grad[job, upper, j, c] += of_row[j, c] - value
        sums[job, 0], sums[job, 1], sums[job, 2] = loss, weight, unknown
    return sums, grad


cross_entropy = kernel(_cross_entropy)[True]
