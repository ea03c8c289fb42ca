"""Unseen classes: those that no training mask holds, so that a network cannot learn them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from deeplab_lit.data.labels import UNUSED, VOID, LabelSet
from deeplab_lit.data.mask_files import read_mask
from deeplab_lit.data.palettes import REORDERED, REORDERED_MEANS, palette_kind
from deeplab_lit.data.split import Split
from deeplab_lit.utils.errors import UserError

_SAMPLE = 200


def unseen_classes(split: Split, labels: LabelSet) -> str | None:
    """One sentence on the classes that a sample of a split's masks lacks; None if it holds all classes.

    Masks are read in a random order until each class has been seen, 200 at most. A mask among them whose palette has
    the colours of the classes at other indices is told of instead.

    Raises:
        UserError: a mask cannot be read, or none has a labelled pixel.
    """
    counts = np.zeros(256, np.int64)
    sample = np.random.default_rng(0).permutation(len(split))[:_SAMPLE]
    for index in sample:
        own = np.bincount(read_mask(split.masks[index], split.coding).ravel(), minlength=256)
        if palette_kind(split.masks[index], labels, split.coding, own) == REORDERED:
            return f"{split.masks[index]} and perhaps others {REORDERED_MEANS}"
        counts += own
        if counts[: len(labels)].all():
            return None
    if not counts[:VOID].any():
        _refuse_void_alone(split)
    masks = f"the {len(split)} training masks"
    return unseen(counts, labels, masks if len(sample) == len(split) else f"{len(sample)} of {masks}")


def _refuse_void_alone(split: Split) -> None:
    """Raise UserError if no mask has a labelled pixel."""
    if all((read_mask(path, split.coding) == VOID).all() for path in split.masks):
        raise UserError(
            f"the {len(split)} training masks hold void (255) alone, such as {split.masks[0]}: from that nothing is "
            "learned."
        )


def unseen(counts: NDArray[np.int64], labels: LabelSet, masks: str) -> str | None:
    """One sentence on the classes that do not occur; None if all occur.

    Args:
        counts: pixels of each mask value (256,).
        labels: the label set.
        masks: what the message calls the masks that were counted.
    """
    if np.flatnonzero(counts).tolist() == [0, VOID]:
        return (
            f"{masks} hold only the values 0 and 255, and 255 is void, from which nothing is learned: if 255 is the "
            "object, type data=folder data.binary=true with a class list of two names."
        )
    names = [name for name, count in zip(labels.names, counts, strict=False) if not count]
    names = [name for name in names if not name.startswith(UNUSED)]
    if not names:
        return None
    shown = ", ".join(repr(name) for name in names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
    return (
        f"{masks} do not hold the class(es) {shown}, which the network cannot learn from them: compare data.classes "
        "with the masks."
    )
