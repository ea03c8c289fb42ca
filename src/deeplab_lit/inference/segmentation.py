"""Segmentation of one image: its labels, their names and colours, and pictures of them."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from deeplab_lit.data.drawing import overlay, save_png
from deeplab_lit.data.image_files import write_mask
from deeplab_lit.data.labels import LabelSet
from deeplab_lit.utils.arrays import Bytes, Pixels
from deeplab_lit.utils.errors import UserError
from deeplab_lit.utils.files import replacing


@dataclass(frozen=True, eq=False, repr=False)
class Segmentation:
    """The labels of an image. A notebook shows its overlay.

    Attributes:
        image: as the network takes it, such as RGB bytes (H, W, 3).
        labels: class indices, uint8 (H, W).
        label_set: the names and colours of the classes.
    """

    image: Pixels
    labels: Bytes
    label_set: LabelSet

    @property
    def names(self) -> dict[str, float]:
        """The classes that are present, each with its share of the pixels, the largest first."""
        counts = np.bincount(self.labels.ravel(), minlength=len(self.label_set))
        order = [index for index in np.argsort(-counts, kind="stable") if counts[index]]
        return {self.label_set.names[index]: float(counts[index] / self.labels.size) for index in order}

    @property
    def colours(self) -> Bytes:
        """The colour of each pixel's class, RGB bytes (H, W, 3)."""
        return self.label_set.colours[self.labels]

    @property
    def overlay(self) -> Bytes:
        """The image with the colours of its classes blended in, RGB bytes (H, W, 3)."""
        return overlay(self.image, self.labels, self.label_set)

    def save(self, path: str | Path, overlay: bool = False) -> None:
        """Write the labels as an index PNG with the palette of the classes, or the overlay as an RGB PNG.

        Raises:
            UserError: the name does not end in .png.
        """
        path = Path(path).expanduser()
        if path.suffix.lower() != ".png":
            raise UserError(f"{path}: the name of a saved segmentation ends in .png, since other formats lose labels.")
        if overlay:
            save_png(Image.fromarray(self.overlay), path)
        else:
            with replacing(path) as temporary:
                write_mask(self.labels, self.label_set.colours, temporary)

    def __repr__(self) -> str:
        height, width = self.labels.shape
        shares = ", ".join(f"{name} {100 * share:.1f} %" for name, share in self.names.items())
        return f"Segmentation of {width} x {height} pixels: {shares}"

    def _repr_png_(self) -> bytes:
        file = io.BytesIO()
        Image.fromarray(self.overlay).save(file, format="PNG")
        return file.getvalue()
