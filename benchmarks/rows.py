"""The hand-written vector code of the CRF's rows of labels, beside the same loops in plain numba.

One thread. The plain loops know the number of labels when they are compiled, as the vector code does, and may reorder
sums. Rows of 32 labels for 187500 pixels, which is 500 x 375, on lattices whose points lie near one another in memory.
What each function computes is stated in docs/kernels.md. The times are the least of several, in turns.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from common import best_in_turns, command, parser, table
from numba import njit

from deeplab_lit.kernels.half_precision import computes_half, stores_half
from deeplab_lit.kernels.simd_rows import blur_row, splat_row, update_row

LABELS = 32
_fast = njit(fastmath=True, error_model="numpy", nogil=True)


@_fast
def plain_blur(old, left, right, new, lanes):  # type: ignore[no-untyped-def]
    for p in range(len(left)):
        for label in range(8 * len(lanes)):
            new[p, label] = old[p, label] + np.float32(0.5) * (old[left[p], label] + old[right[p], label])


@_fast
def vector_blur(old, left, right, new, lanes):  # type: ignore[no-untyped-def]
    for p in range(len(left)):
        blur_row(old, p, left[p], right[p], new, p, lanes)


@_fast
def plain_splat(marginals, pixels, shares, starts, values, lanes):  # type: ignore[no-untyped-def]
    for p in range(len(starts) - 1):
        for label in range(8 * len(lanes)):
            values[p, label] = 0
        for entry in range(starts[p], starts[p + 1]):
            for label in range(8 * len(lanes)):
                values[p, label] += shares[entry] * marginals[pixels[entry], label]


@_fast
def vector_splat(marginals, pixels, shares, starts, values, lanes):  # type: ignore[no-untyped-def]
    for p in range(len(starts) - 1):
        splat_row(marginals, pixels, shares, starts[p], starts[p + 1], values, p, lanes)


@_fast
def plain_update(unary, near, near_weights, near_values, close, close_weights, close_values, into, lanes):  # type: ignore[no-untyped-def]
    score = np.empty(8 * len(lanes), np.float32)
    for n in range(len(unary)):
        for label in range(8 * len(lanes)):
            score[label] = unary[n, label]
        for corner in range(6):
            for label in range(8 * len(lanes)):
                score[label] += near_weights[n, corner] * near_values[near[n, corner], label]
        for corner in range(3):
            for label in range(8 * len(lanes)):
                score[label] += close_weights[n, corner] * close_values[close[n, corner], label]
        top = score[0]
        for label in range(1, 8 * len(lanes)):
            top = max(top, score[label])
        total = np.float32(0)
        for label in range(8 * len(lanes)):
            score[label] = np.exp(score[label] - top)
            total += score[label]
        for label in range(8 * len(lanes)):
            into[n, label] = score[label] / total


@_fast
def vector_update(unary, near, near_weights, near_values, close, close_weights, close_values, into, lanes):  # type: ignore[no-untyped-def]
    six, three = (0, 0, 0, 0, 0, 0), (0, 0, 0)
    for n in range(len(unary)):
        update_row(
            unary, n, near, near_weights, near_values, six, close, close_weights, close_values, three, into, n, lanes
        )


def half(rows: np.ndarray) -> np.ndarray:
    return rows.astype(np.float16).view(np.uint16)


def near(rng: np.random.Generator, count: int, among: int, each: int) -> np.ndarray:
    """``each`` rows for each of ``count`` places, close to where the place lies among the rows."""
    middle = (np.arange(count) * among // count)[:, None]
    return np.clip(middle + rng.integers(-400, 400, (count, each)), 0, among - 1).astype(np.int32)


def work(pixels: int) -> dict[str, tuple[Any, Any, tuple[Any, ...], tuple[Any, ...]]]:
    """Of each function: plain, vector, its arguments in float32 and in half precision."""
    rng, points, few = np.random.default_rng(0), pixels * 2 // 3, pixels // 3
    lanes = (0,) * (LABELS // 8)
    rows, marginals = (rng.random((count, LABELS), np.float32) for count in (points, pixels))
    left, right = near(rng, points, points, 1)[:, 0], near(rng, points, points, 1)[:, 0]
    entries, shares = near(rng, 6 * pixels, pixels, 1)[:, 0], rng.random(6 * pixels, np.float32)
    starts = np.linspace(0, 6 * pixels, points + 1).astype(np.int32)
    unary, close_values = rng.normal(0, 3, (pixels, LABELS)).astype(np.float32), rng.random((few, LABELS), np.float32)
    six, three = (near(rng, pixels, points, 6), rng.random((pixels, 6), np.float32)), (
        near(rng, pixels, few, 3), rng.random((pixels, 3), np.float32),
    )  # fmt: skip
    new, into = np.empty_like(rows), np.empty_like(unary)
    half_new, half_into = np.empty(rows.shape, np.uint16), np.empty(unary.shape, np.uint16)
    return {
        "`blur_row`": (
            plain_blur, vector_blur,
            (rows, left, right, new, lanes), (half(rows), left, right, half_new, lanes),
        ),
        "`splat_row`": (
            plain_splat, vector_splat,
            (marginals, entries, shares, starts, new, lanes),
            (half(marginals), entries, shares, starts, half_new, lanes),
        ),
        "`update_row`": (
            plain_update, vector_update,
            (unary, *six, rows, *three, close_values, into, lanes),
            (unary, *six, half(rows), *three, half(close_values), half_into, lanes),
        ),
    }  # fmt: skip


def main(arguments: list[str] | None = None) -> None:
    options = parser(__doc__)
    options.add_argument("--runs", type=int, default=9)
    given = options.parse_args(arguments)
    pixels, runs = (3_000, 1) if given.quick else (500 * 375, given.runs)
    found: list[list[object]] = []
    for name, (plain, vector, whole, halved) in work(pixels).items():
        ways: dict[str, Any] = {"plain": lambda p=plain, a=whole: p(*a), "vector": lambda v=vector, a=whole: v(*a)}
        if stores_half():
            ways["half"] = lambda v=vector, a=halved: v(*a)
        best = {way: 1e3 * seconds for way, seconds in best_in_turns(ways, runs).items()}
        ours = best.get("half", "")
        over = best["plain"] / ours if isinstance(ours, float) else ""
        found.append([name, best["plain"], best["vector"], best["plain"] / best["vector"], ours, over])
    table(["function", "plain numba, ms", "vector, ms", "ratio", "vector over half precision, ms", "ratio"], found)
    print(f"Half precision on this processor: stored {stores_half()}, computed {computes_half()}.")


if __name__ == "__main__":
    command(main)
