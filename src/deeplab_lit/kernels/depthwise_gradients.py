"""Depthwise gradients: both gradients of a depthwise convolution, compiled for a CPU.

Maps are float32 with the channels last, so that the loop over the channels of a tap is vectorised.
"""

# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

import numpy as np
from numba import prange

from deeplab_lit.kernels.jit import compiled, kernel


@compiled
def _inside(offset, stride, size, out_size):
    """The first output ``o`` with ``0 <= o * stride + offset < size``, and the end of these outputs."""
    return max(0, (-offset + stride - 1) // stride), min(out_size, (size - 1 - offset) // stride + 1)


def _filter_gradient(x, grad, stride_y, stride_x, pad_y, pad_x, rate_y, rate_x, kernel_y, kernel_x, parts):
    """The gradient of the filters from each part of the rows: (parts, kernel_y, kernel_x, channels)."""
    batch, height, width, channels = x.shape
    out_height, out_width = grad.shape[1], grad.shape[2]
    rows = batch * out_height
    found = np.zeros((parts, kernel_y, kernel_x, channels), np.float32)
    for part in prange(parts):
        for row in range(rows * part // parts, rows * (part + 1) // parts):
            n, y = row // out_height, row % out_height
            for i in range(kernel_y):
                from_y = y * stride_y - pad_y + i * rate_y
                if from_y < 0 or from_y >= height:
                    continue
                for j in range(kernel_x):
                    offset = j * rate_x - pad_x
                    first, end = _inside(offset, stride_x, width, out_width)
                    for o in range(first, end):
                        column = o * stride_x + offset
                        for c in range(channels):
                            found[part, i, j, c] += x[n, from_y, column, c] * grad[n, y, o, c]
    return found


def _input_gradient(grad, weight, height, width, stride_y, stride_x, pad_y, pad_x, rate_y, rate_x):
    """The gradient of the input (batch, height, width, channels); ``weight`` is (kernel_y, kernel_x, channels)."""
    batch, out_height, out_width, channels = grad.shape
    kernel_y, kernel_x = weight.shape[0], weight.shape[1]
    found = np.empty((batch, height, width, channels), np.float32)
    for row in prange(batch * height):
        n, y = row // height, row % height
        found[n, y] = 0
        for i in range(kernel_y):
            there = y + pad_y - i * rate_y
            if there < 0 or there % stride_y or there // stride_y >= out_height:
                continue
            from_y = there // stride_y
            for j in range(kernel_x):
                offset = j * rate_x - pad_x
                first = max(0, (-offset + stride_x - 1) // stride_x)
                last = min(out_width, (width - 1 - offset) // stride_x + 1)
                for o in range(first, last):
                    column = o * stride_x + offset
                    for c in range(channels):
                        found[n, y, column, c] += grad[n, from_y, o, c] * weight[i, j, c]
    return found


filter_gradient = kernel(_filter_gradient)[True]
input_gradient = kernel(_input_gradient)[True]
