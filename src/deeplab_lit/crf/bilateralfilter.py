"""The bilateral filter of the dense-energy loss: sums over all pairs of pixels, approximated by a lattice.

``bilateralfilter`` and ``bilateralfilter_batch`` take what the functions of the same names take that code bases of weak
supervision compile for themselves, so that ``from deeplab_lit.crf.bilateralfilter import bilateralfilter_batch`` takes
their place. For pixels p and q at places x and with colours I,

    out[p] = sum over q of exp(-|x_p - x_q|^2 / (2 sigma_xy^2) - |I_p - I_q|^2 / (2 sigma_rgb^2)) seg[q]

without a normalisation; the sum includes q = p. The permutohedral lattice, which those code bases use too, gives 0.5 to
0.6 of this sum, nearly the same share for all pixels of an image. The result equals theirs within rounding.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from deeplab_lit.crf.features import positions
from deeplab_lit.kernels.loading import has_numba
from deeplab_lit.utils.arrays import Floats
from deeplab_lit.utils.errors import UserError


def bilateralfilter_batch(
    images: Floats, segs: Floats, out: Floats, N: int, K: int, H: int, W: int, sigma_rgb: float, sigma_xy: float
) -> None:
    """Filter K channels of each of N images, several images at once.

    Args:
        images: the colours, 0 to 255, float32 of N * 3 * H * W numbers, in this order of dimensions.
        segs: the channels, float32 of N * K * H * W numbers.
        out: takes the result; float32 of N * K * H * W numbers, contiguous.
        N, K, H, W: the numbers of images, channels, rows and columns.
        sigma_rgb: standard deviation of the colours, in grey levels.
        sigma_xy: standard deviation of the places, in pixels.

    Raises:
        UserError: an array has another size or type, or the deviations are too small for an image.
    """
    colours, channels, found = (
        _shaped(name, array, (N, depth, H, W))
        for name, array, depth in (("images", images, 3), ("segs", segs, K), ("out", out, K))
    )
    if not (sigma_rgb > 0 and sigma_xy > 0):
        raise UserError(f"sigma_rgb={sigma_rgb}, sigma_xy={sigma_xy}: a standard deviation is above 0.")
    for number, each in enumerate(_filtered(colours, channels, sigma_rgb, sigma_xy)):
        found[number] = each


def bilateralfilter(image: Floats, seg: Floats, out: Floats, H: int, W: int, sigma_rgb: float, sigma_xy: float) -> None:
    """Filter one channel of one image; the arguments and the errors are those of :func:`bilateralfilter_batch`."""
    bilateralfilter_batch(image, seg, out, 1, 1, H, W, sigma_rgb, sigma_xy)


def features(image: Floats, sigma_rgb: float, sigma_xy: float) -> Floats:
    """Place and colour of each pixel of an image (3, H, W), in units of their deviations: float32 (H * W, 5)."""
    places, colours = positions(*image.shape[1:]), image.reshape(3, -1).T
    return np.concatenate([places / np.float32(sigma_xy), colours / np.float32(sigma_rgb)], 1)


def _shaped(name: str, array: Floats, shape: tuple[int, int, int, int]) -> Floats:
    """The array itself in this shape."""
    fits = isinstance(array, np.ndarray) and array.dtype == np.float32 and array.size == np.prod(shape)
    if not (fits and array.flags.c_contiguous):
        given = f"{array.dtype} {array.shape}" if isinstance(array, np.ndarray) else type(array).__name__
        raise UserError(
            f"{name} is {given}: the bilateral filter takes a contiguous float32 array of "
            f"{' x '.join(map(str, shape))} numbers."
        )
    return array.reshape(shape)


def _filtered(images: Floats, segs: Floats, sigma_rgb: float, sigma_xy: float) -> Iterator[Floats]:
    """The filtered channels (K, H, W) of each image (3, H, W)."""
    if not has_numba():
        import torch

        from deeplab_lit.crf import tensor_lattice

        for image, seg in zip(images, segs, strict=True):
            built = tensor_lattice.build(torch.from_numpy(features(image, sigma_rgb, sigma_xy))[None])
            found: Floats = built.filter(torch.from_numpy(seg.reshape(len(seg), -1).T)).numpy().T
            yield found.reshape(seg.shape)
        return
    from deeplab_lit.crf.permutohedral import build_filter, messages
    from deeplab_lit.kernels.jit import threads

    def work(image: Floats, seg: Floats) -> Floats:
        kernel = build_filter(features(image, sigma_rgb, sigma_xy), 1, "none", parallel=False)
        return messages(seg.reshape(len(seg), -1), [kernel], parallel=False).reshape(seg.shape)

    with ThreadPoolExecutor(threads()) as pool:
        yield from pool.map(work, images, segs)
