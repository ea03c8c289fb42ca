"""Where first weights come from, and what is said where they are not there."""

import pytest
import torch
import torchvision

from deeplab_lit.config.schemas import ImageNetConfig
from deeplab_lit.data.labels import LabelSet
from deeplab_lit.models import DeepLab, FieldOfView, ResNet
from deeplab_lit.utils.errors import UserError
from deeplab_lit.weights.initialize import initialize

LABELS = LabelSet(("background", "cat", "dog"))


def test_resnets_take_torchvisions_trunk(tmp_path):
    torch.manual_seed(1)
    theirs = torchvision.models.resnet18(weights=None).eval()
    torch.save(theirs.state_dict(), tmp_path / "resnet18.pth")
    network = DeepLab(ResNet(18, output_stride=32, ceil_mode=False), FieldOfView(512, 3, 1, 1)).eval()
    init = ImageNetConfig(
        weights="IMAGENET1K_V1", path=str(tmp_path / "resnet18.pth"), fc="subset", fc_seed=0, normalization="imagenet",
        stride_on="3x3",
    )  # fmt: skip
    (line,) = initialize(network, init, LABELS, {})
    assert "taken: trunk (100)" in line and "new: head.classifier (2)" in line and "left: fc (2)" in line
    image = torch.randn(1, 3, 97, 65)
    with torch.no_grad():
        features = torch.nn.Sequential(*list(theirs.children())[:-2])(image)
        torch.testing.assert_close(network.trunk(image), features)
    other = DeepLab(ResNet(50), FieldOfView(2048, 3, 1, 1))
    with pytest.raises(UserError, match="is of another network"):
        initialize(other, init, LABELS, {})


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "does not exist: give torchvision's file for resnet18"),
        (b"garbage", "cannot be read as weights"),
        ({"epoch": 3}, "holds no plain state dict"),
    ],
)
def test_weight_files_that_are_none(tmp_path, content, words):
    path = tmp_path / "weights.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content:
        torch.save(content, path)
    init = ImageNetConfig(
        weights="IMAGENET1K_V1", path=str(path), fc="subset", fc_seed=0, normalization="imagenet", stride_on="3x3"
    )
    with pytest.raises(UserError, match=words):
        initialize(DeepLab(ResNet(18), FieldOfView(512, 3, 1, 1)), init, LABELS, {})
    init.weights, init.path = "IMAGENET", None
    with pytest.raises(UserError, match="init.weights='IMAGENET': for resnet18 there are IMAGENET1K_V1"):
        initialize(DeepLab(ResNet(18), FieldOfView(512, 3, 1, 1)), init, LABELS, {})


def test_without_internet_it_says_which_file_to_put_where(tmp_path, monkeypatch):
    import urllib.request

    def no_network(*_, **__):
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr(urllib.request, "urlopen", no_network)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    init = ImageNetConfig(
        weights="IMAGENET1K_V1", path=None, fc="subset", fc_seed=0, normalization="imagenet", stride_on="3x3"
    )
    with pytest.raises(UserError) as caught:
        initialize(DeepLab(ResNet(18), FieldOfView(512, 3, 1, 1)), init, LABELS, {})
    text = str(caught.value)
    assert "https://download.pytorch.org/models/resnet18-f37072fd.pth" in text and "init.path=FILE" in text
    assert str(tmp_path / "hub" / "checkpoints" / "resnet18-f37072fd.pth") in text
