"""Labels: class names, palettes and the label of void, which no other file defines."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from deeplab_lit.utils.errors import UserError

VOID = 255
"""The label of void pixels, which count neither in the loss nor in the scores.

The annotators leave the class of some pixels open, such as the rims of objects in VOC and the crowd regions of COCO.
Padding has no annotation. A network can neither learn from void pixels nor be judged by them. The label is 255, as in
VOC's masks. It is the largest value of a byte, so that the class indices begin at 0.
"""

UNUSED = "unused "
"""How names begin of classes that only fill a gap between indices, which no mask holds."""

VOC_CLASSES = (
    "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
    "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip

Colour = tuple[int, int, int]


def voc_colour(index: int) -> Colour:
    """The RGB colour of ``index`` (0 to 255) in the VOC palette.

    The bits of the index, from the lowest, go to red, green and blue in turn. Each channel takes its bits from the
    highest down.
    """
    channels = [0, 0, 0]
    for bit in range(8):
        channels[bit % 3] |= (index >> bit & 1) << (7 - bit // 3)
    return channels[0], channels[1], channels[2]


@dataclass(frozen=True)
class LabelSet:
    """The classes of a data set, in the order of their indices.

    Args:
        names: 2 to 255 distinct class names.
        palette: one RGB colour (0 to 255) for each class; the VOC palette unless given.

    Raises:
        UserError: there are too few or too many classes, a name occurs twice, or the palette has another length.
    """

    names: tuple[str, ...]
    palette: tuple[Colour, ...] = field(default=())

    def __post_init__(self) -> None:
        if not 2 <= len(self.names) <= VOID:
            raise UserError(f"{len(self.names)} classes given: a label set has 2 to {VOID}, background included.")
        twice = sorted({name for name in self.names if self.names.count(name) > 1})
        if twice:
            raise UserError(f"class {twice[0]!r} is named twice: each class needs a name of its own.")
        if not self.palette:
            object.__setattr__(self, "palette", tuple(voc_colour(i) for i in range(len(self.names))))
        if len(self.palette) != len(self.names):
            raise UserError(f"{len(self.palette)} colours for {len(self.names)} classes: give one for each.")

    def __len__(self) -> int:
        return len(self.names)

    @property
    def colours(self) -> NDArray[np.uint8]:
        """The colours of all 256 byte values, uint8 (256, 3): the palette, then black, and VOC's colour for void."""
        table = np.zeros((256, 3), np.uint8)
        table[: len(self)] = self.palette
        table[VOID] = voc_colour(VOID)
        return table

    @classmethod
    def voc(cls) -> LabelSet:
        """PASCAL VOC's 20 classes and the background."""
        return cls(VOC_CLASSES)
