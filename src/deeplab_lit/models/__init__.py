"""DeepLab as plain PyTorch modules: no Lightning, no Hydra."""

from deeplab_lit.models.atrous import AtrousConv2d, dilate, set_realisation
from deeplab_lit.models.backbones import VGG16, ResNet
from deeplab_lit.models.crf_refined import RefinedByCRF
from deeplab_lit.models.deeplab import DeepLab
from deeplab_lit.models.heads import ASPP, FieldOfView, MultiScaleFeatures
from deeplab_lit.models.multiscale import MultiScaleInput
from deeplab_lit.models.norm import synchronise_norms

__all__ = [
    "ASPP",
    "VGG16",
    "AtrousConv2d",
    "DeepLab",
    "FieldOfView",
    "MultiScaleFeatures",
    "MultiScaleInput",
    "RefinedByCRF",
    "ResNet",
    "dilate",
    "set_realisation",
    "synchronise_norms",
]
