"""Foreign weights: those of another code base, under this library's names, and the description of their network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from deeplab_lit.data.coco import COCO_IDS, coco91
from deeplab_lit.data.labels import VOC_CLASSES, LabelSet
from deeplab_lit.data.normalization import BGR_BYTES, Normalization
from deeplab_lit.weights.description import CHECKPOINT_KEY, describe


@dataclass
class Foreign:
    """The weights of another code base.

    Attributes:
        what: the name of their layout, for messages.
        backbone: the trunk's description.
        model: the head's description; None for weights without a classifier, which training can start from.
        weights: tensors under the names of a :class:`DeepLab`; the fully connected layers of an ImageNet classifier as
            ``classifier.0`` and so on.
        classes: the number of classes of the head; 0 without a head.
        normalization: of the network's input.
        scales: of the input.
        align_corners: how scores are resized.
        notes: further remarks, one sentence each.
    """

    what: str
    backbone: dict[str, Any]
    model: dict[str, Any] | None
    weights: dict[str, Tensor]
    classes: int
    normalization: Normalization = BGR_BYTES
    scales: Sequence[float] = (1.0,)
    align_corners: bool = True
    notes: list[str] = field(default_factory=list)

    def content(self) -> dict[str, Any]:
        """The content of a checkpoint of this library with these weights."""
        network = {
            "backbone": self.backbone,
            "model": self.model,
            "scales": list(self.scales),
            "align_corners": self.align_corners,
            "atrous": "auto",
            "msc_loss": "full_map" if self.align_corners else "own_map",
        }
        labels = names_for(self.classes)
        # the names that a Segmenter gives them
        prefix = "network." if len(self.scales) == 1 else "network.network."
        return {
            CHECKPOINT_KEY: {**describe(network, labels, self.normalization), "source": self.what, "notes": self.notes},
            "state_dict": {f"{prefix}{name}": value for name, value in self.weights.items()},
            "global_step": 0,
        }


def names_for(classes: int) -> LabelSet | None:
    """Class names for a number of classes: VOC's for 21, COCO's for 91, else ``class 0`` and so on; None for 0."""
    known = {0: None, len(VOC_CLASSES): LabelSet.voc(), len(COCO_IDS): coco91()}
    return known[classes] if classes in known else LabelSet(tuple(f"class {i}" for i in range(classes)))


def vgg16() -> dict[str, Any]:
    """The trunk of the released VGG-16 nets."""
    trunk = "deeplab_lit.models.backbones.VGG16"
    return {"_target_": trunk, "output_stride": 8, "pool_size": 3, "ceil_mode": True}


def resnet(depth: int, stride_on: str = "1x1", ceil_mode: bool = True) -> dict[str, Any]:
    """The trunk of the released ResNets, or of another one."""
    return {
        "_target_": "deeplab_lit.models.backbones.ResNet",
        "depth": depth,
        "output_stride": 8,
        "stride_on": stride_on,
        "ceil_mode": ceil_mode,
        "frozen_norm": True,
        "frozen_affine": True,
    }


def aspp(rates: Sequence[int], hidden: int | None) -> dict[str, Any]:
    """ASPP with these rates."""
    return {"_target_": "deeplab_lit.models.heads.ASPP", "rates": list(rates), "hidden": hidden}


def field_of_view(kernel_size: int, rate: int, hidden: int | None, average_pool: bool) -> dict[str, Any]:
    """One classifier with a chosen field of view."""
    return {
        "_target_": "deeplab_lit.models.heads.FieldOfView",
        "kernel_size": kernel_size,
        "rate": rate,
        "hidden": hidden,
        "average_pool": average_pool,
    }
