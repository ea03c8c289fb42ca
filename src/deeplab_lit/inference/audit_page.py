"""Page of an audit: one HTML file with its numbers and the worst masks."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from typing import Any

from PIL import Image

from deeplab_lit.data.drawing import overlay
from deeplab_lit.data.labels import VOID, LabelSet
from deeplab_lit.inference.mask_audit import ImageAudit, Views
from deeplab_lit.utils.arrays import Bytes
from deeplab_lit.utils.html_page import data_url, rendered

_SIDE = 240
"""The longest side of a picture in pixels."""
_COLUMNS = {
    "pixels": "pixels, %", "images": "images", "precision": "precision, %", "recall": "recall, %", "iou": "IoU, %",
    "missing": "tagged, without a pixel", "additional": "with pixels, not tagged",
}  # fmt: skip
_OF = {
    "masks": "masks", "images": "images", "truth": "true masks", "tags": "image tags", "crf": "CRF", "date": "made on",
}  # fmt: skip
_FACTS = {
    "void": "void", "crf_changes": "pixels that the CRF changes", "miou": "mIoU, void counted as wrong",
    "miou_of_labelled": "mIoU where the masks have a class",
}  # fmt: skip


def class_table(result: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """The titles and the lines of the table of classes, of those and of that what an audit knows something about."""
    classes = {name: each for name, each in result["classes"].items() if any(each.values())}
    known = [key for key in _COLUMNS if any(each[key] is not None for each in classes.values())]
    lines = [[name, *(_cell(each[key]) for key in known)] for name, each in classes.items()]
    return ["class", *(_COLUMNS[key] for key in known)], lines


def facts(result: dict[str, Any]) -> list[tuple[str, str]]:
    """The names and the values of what an audit knows about all masks together."""
    return [(text, f"{100 * result[key]:.2f} %") for key, text in _FACTS.items() if result[key] is not None]


def audit_page(result: dict[str, Any], worst: Sequence[tuple[ImageAudit, Views]], labels: LabelSet) -> str:
    """The HTML page of an audit.

    Args:
        result: the content of audit.json.
        worst: the images to show, with their masks.
        labels: names and colours.
    """
    titles, lines = class_table(result)
    of = result["of"]
    return rendered(
        "inference/audit_page.html.j2",
        images=result["images"],
        with_truth=result["with_truth"],
        of=[(text, of[key]) for key, text in _OF.items() if of[key] is not None],
        crf=of["crf"] if result["crf_changes"] is not None else None,
        tags=of["tags"],
        facts=facts(result),
        titles=titles,
        lines=lines,
        worst=[
            {"id": image.id, "about": _about(image, labels), "pictures": list(_pictures(views, labels))}
            for image, views in worst
        ],
        keys=[(line[0], "#{:02x}{:02x}{:02x}".format(*labels.palette[labels.names.index(line[0])])) for line in lines],
    )


def _cell(value: Any) -> str:
    return "" if value is None else f"{100 * value:.2f}" if isinstance(value, float) else str(value)


def _about(image: ImageAudit, labels: LabelSet) -> str:
    shares = {"IoU": image.iou, "void": image.void, "changed by the CRF": image.crf_changes}
    parts = [f"{name} {100 * share:.1f} %" for name, share in shares.items() if share is not None]
    for key, classes in (("missing", image.missing), ("additional", image.additional)):
        if classes:
            parts.append(f"{_COLUMNS[key]}: {', '.join(labels.names[each] for each in classes)}")
    return "; ".join(parts)


def _pictures(views: Views, labels: LabelSet) -> Iterable[tuple[str, str]]:
    yield "image", _small(Image.fromarray(views.image))
    for name, mask in (("pseudo-label", views.mask), ("the CRF's", views.refined), ("truth", views.truth)):
        if mask is not None:
            yield name, _small(_painted(views.image, mask, labels))


def _painted(image: Bytes, mask: Bytes, labels: LabelSet) -> Image.Image:
    """The image with the classes painted over it; void in its own colour."""
    painted = overlay(image, mask, labels)
    painted[mask == VOID] = labels.colours[VOID]
    return Image.fromarray(painted)


def _small(picture: Image.Image) -> str:
    picture.thumbnail((_SIDE, _SIDE))
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=80)
    return data_url(file.getvalue(), ".jpg")
