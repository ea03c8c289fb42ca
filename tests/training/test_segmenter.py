"""One training step, as it stands and compiled."""

import numpy as np
import pytest
import torch
from torch import nn

from deeplab_lit.config.schemas import LossConfig, PolyConfig, SGDConfig
from deeplab_lit.data.datamodule import of_equal_size, stacked
from deeplab_lit.data.labels import LabelSet
from deeplab_lit.models import ASPP, DeepLab, MultiScaleInput, dilate
from deeplab_lit.models.norm import freeze_norm
from deeplab_lit.training.losses import segmentation_loss, summed_cross_entropy
from deeplab_lit.training.segmenter import Segmenter


class Trunk(nn.Module):
    """Small, with what the large ones have: folded normalisation, depthwise layers, holes."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 8, 3, 2, 1, bias=False),
            nn.BatchNorm2d(8),
            nn.ReLU6(),
            nn.Conv2d(8, 8, 3, 2, 1, groups=8, bias=False),
            nn.BatchNorm2d(8),
            nn.ReLU6(),
            nn.Conv2d(8, 16, 3, 1, 1),
        )
        self.channels, self.output_stride = 16, 2
        freeze_norm(self, False)
        dilate(self, 2)

    def forward(self, image):
        return self.layers(image)


def segmenter(compiled):
    torch.manual_seed(0)
    network = MultiScaleInput(DeepLab(Trunk(), ASPP(16, 3, rates=(1, 2), dropout=0.0)), (0.5, 1.0))
    labels = LabelSet(("a", "b", "c"))
    return Segmenter(
        network, labels, SGDConfig(), PolyConfig(), 10, LossConfig(resolution="full"), class_weights=[0.5, 1.0, 2.0],
        compiled=compiled,
    )  # fmt: skip


@pytest.mark.long
@pytest.mark.parametrize("compiled", ["loss", "network"])
def test_a_compiled_step_is_the_same_step(compiled):
    torch._dynamo.reset()
    generator = torch.Generator().manual_seed(1)
    image = torch.randn(2, 3, 33, 41, generator=generator)
    mask = torch.randint(0, 3, (2, 33, 41), generator=generator)
    mask[:, :5] = 255
    results = []
    for module in (segmenter("none"), segmenter(compiled)):
        module.train()
        loss = segmentation_loss(
            module._supervised(image), mask, "full", True, module.class_weights, None, module._summed
        )
        loss.backward()
        results.append((loss, {name: weight.grad for name, weight in module.named_parameters()}))
        assert not any("_orig_mod" in name for name in module.state_dict())
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] > 0
    (plain, expected), (loss, found) = results
    torch.testing.assert_close(loss, plain)
    for name, grad in expected.items():
        torch.testing.assert_close(
            found[name], grad, msg=lambda text, name=name: f"{name}: {text}", atol=1e-5, rtol=1e-4
        )


def test_a_validation_batch_of_several_sizes_counts_what_single_images_count():
    module, generator = segmenter("none").eval(), np.random.default_rng(0)
    samples = [
        {"image": torch.from_numpy(generator.integers(0, 256, (3, *size), np.uint8)),
         "mask": torch.from_numpy(generator.integers(0, 3, size, np.uint8)), "id": "x"}
        for size in ((33, 41), (49, 33), (33, 41), (33, 41))
    ]  # fmt: skip
    with torch.no_grad():
        module.validation_step(of_equal_size(samples), 0)
        together = module.confusion.compute().clone()
        module.confusion.reset()
        for number, sample in enumerate(samples):
            module.validation_step([stacked([sample])], number)
    assert torch.equal(module.confusion.compute(), together)
    assert together.sum() == sum(sample["mask"].numel() for sample in samples)


def test_the_loss_upsamples_in_single_precision():
    scores = torch.randn(1, 3, 4, 5).bfloat16().requires_grad_()
    labels = torch.randint(0, 3, (1, 33, 41))
    value = summed_cross_entropy(scores, labels, True)
    upsampled = nn.functional.interpolate(scores.float(), (33, 41), mode="bilinear", align_corners=True)
    expected = nn.functional.cross_entropy(upsampled, labels, reduction="sum")
    assert value.item() == pytest.approx(expected.item(), rel=1e-6)
