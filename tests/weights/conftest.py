"""What tests of several kinds of weights start from."""

import pytest
import torch
import torchvision


@pytest.fixture(scope="module")
def vgg():
    torch.manual_seed(0)
    net = torchvision.models.vgg16(weights=None).eval()
    for layer in (net.classifier[0], net.classifier[3]):
        torch.nn.init.uniform_(layer.bias)  # torchvision draws none
    return net
