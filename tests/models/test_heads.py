import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F

from deeplab_lit.models.heads import ASPP, Classifier, FieldOfView, MultiScaleFeatures


def test_few_classes_on_wide_features_train_in_bf16_without_breaking_the_heap():
    """In a process of its own: where it went wrong, the process was killed by its allocator."""
    code = (
        "import torch\n"
        "from deeplab_lit.models.heads import FieldOfView\n"
        "head = FieldOfView(8, 12, kernel_size=1, rate=1, hidden=4096, dropout=0.0)\n"
        # without the instructions bf16 is emulated, a hundred times slower
        "rounds, side = (12, 13) if torch.cpu._is_avx512_bf16_supported() else (2, 3)\n"
        "for _ in range(rounds):\n"
        "    with torch.autocast('cpu', torch.bfloat16):\n"
        "        scores = head(torch.randn(4, 8, side, side))\n"
        "    scores.float().square().mean().backward()\n"
        "    kept = [torch.randn(int(n)) for n in torch.randint(1, 5000, (50,))]\n"
        "print('done')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout.strip()) == (0, "done"), done.stderr


def test_classifier_is_a_convolution_in_both_realisations():
    layer = Classifier(6, 4, 3, padding=2, dilation=2)
    x = torch.randn(2, 6, 9, 11)
    expected = F.conv2d(x, layer.weight, layer.bias, padding=2, dilation=2)
    for realisation in ("holes", "interlace"):
        layer.realisation = realisation
        torch.testing.assert_close(layer(x), expected)


@pytest.mark.parametrize("std", [0.01, 5e-4])
def test_all_classifiers_start_with_the_spread_that_is_asked_for(std):
    torch.manual_seed(0)
    given = {} if std == 0.01 else {"init_std": std}  # the released nets' is the default
    heads = [
        FieldOfView(512, 21, **given),
        FieldOfView(64, 21, hidden=512, **given),
        ASPP(512, 21, **given),
        ASPP(64, 21, hidden=512, **given),
        MultiScaleFeatures(64, 21, [3, 8], [8, 8], tap_hidden=512, hidden=512, **given),
    ]
    for head in heads:
        weights = [layer.weight.detach() for layer in head.modules() if isinstance(layer, Classifier)]
        assert weights
        for weight in weights:
            assert float(weight.std()) == pytest.approx(std, rel=0.05)
    # what the noise of the first scores is: by the root of the inputs
    x = torch.randn(1, 512, 65, 65)
    one, four = (head(x)[..., 24:-24, 24:-24].std().item() for head in (FieldOfView(512, 21, 1, 1, **given), heads[2]))
    assert four / one == pytest.approx(6, rel=0.2)
