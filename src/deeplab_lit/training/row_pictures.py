"""Row pictures: images and labels of one row for the report of its table, the same images for every row."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from deeplab_lit.data.drawing import shown
from deeplab_lit.data.image_files import save_image, write_mask
from deeplab_lit.data.labels import LabelSet
from deeplab_lit.utils.arrays import Bytes, Pixels
from deeplab_lit.utils.files import replacing


def write_row_pictures(
    rows: Sequence[tuple[Pixels, Bytes, Bytes]], refined: Sequence[Bytes], labels: LabelSet, folder: Path
) -> None:
    """Write ``N_image.jpg`` and the index PNGs ``N_truth.png``, ``N_labels.png`` and ``N_crf.png``, N from 0.

    Args:
        rows: (image, truth, prediction) of each picture, of shapes (H, W, C), (H, W) and (H, W).
        refined: each prediction after the CRF, uint8 (H, W); empty without a CRF.
        labels: the classes.
        folder: created if it does not exist.
    """
    palette = labels.colours
    for number, (image, truth, prediction) in enumerate(rows):
        masks = {"truth": truth, "labels": prediction, **({"crf": refined[number]} if refined else {})}
        for name, mask in masks.items():
            with replacing(folder / f"{number}_{name}.png") as temporary:
                write_mask(mask, palette, temporary)
        with replacing(folder / f"{number}_image.jpg") as temporary:
            save_image(Image.fromarray(shown(image)), temporary, format="JPEG", quality=88)
