"""Normalisation of a training's images: that of its weights, with what the data set says of further channels."""

from __future__ import annotations

from deeplab_lit.data.base import Layout
from deeplab_lit.data.channel_statistics import measured
from deeplab_lit.data.normalization import Normalization
from deeplab_lit.utils.errors import UserError
from deeplab_lit.utils.progress import Progress


def of_data(normalization: Normalization, source: Layout, progress: Progress | None = None) -> Normalization:
    """The normalisation of the images of a data set, whose network starts from weights.

    ``data.mean`` and ``data.std`` come first. Channels for which they have no number keep the normalisation of the
    weights, on the scale of the images' bits. The channels that the weights lack are measured over the training images;
    all of them are for images with less than three channels, which stand for no colours of the weights.

    Args:
        normalization: of the weights.
        source: the data set.
        progress: told how many images are measured.

    Raises:
        UserError: the weights have other further channels than the data set, or a training image cannot be read.
    """
    pixels, mean, std = source.pixels, source.mean, source.std
    kept = normalization.in_bits(pixels.bits)
    same = kept.pixels == pixels
    if not same and len(kept.mean) != 3:
        raise UserError(
            f"the weights are of {normalization.pixels}, the data set has {pixels}: type data.channels="
            f"{normalization.pixels.channels}, or start from weights of RGB images."
        )
    if mean is None and same:
        return kept
    if mean is None or mean == "measured":
        found = measured(source.split("train"), progress)
        own = 3 if mean is None and pixels.channels > 3 else 0
        mean, std = found[0][own:], found[1][own:]
    assert mean is not None and std is not None  # they come together
    first = pixels.channels - len(mean)  # channels that keep what the weights say
    bgr = kept.bgr and pixels.channels >= 3
    return Normalization.of([*kept.mean[:first], *mean], [*kept.std[:first], *std], bgr, pixels.bits)
