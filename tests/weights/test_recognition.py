"""State dicts that fit no layout whole, and what is said of them."""

import pytest
import torch

from deeplab_lit.utils.errors import UserError
from deeplab_lit.weights.read import read
from deeplab_lit.weights.state_dicts import known


def test_a_partial_load_is_refused_with_what_was_found(tmp_path, theirs):
    state = dict(theirs.state_dict())

    def refused(state, *words):
        torch.save(state, tmp_path / "odd.pth")
        with pytest.raises(UserError) as caught:
            read(tmp_path / "odd.pth")
        assert all(word in str(caught.value) for word in words), caught.value

    less = {name: value for name, value in state.items() if name != "layer4.block3.reduce.conv.weight"}
    refused(
        less,
        "nearest layout is the PyTorch DeepLab V2 with ResNet-101",
        "1 are missing (layer4.block3.reduce.conv.weight)",
    )
    refused({**state, "ema.decay": torch.zeros(1)}, "1 have no place (ema.decay)", "Nothing was loaded")
    other = {**state, "aspp.c1.weight": torch.zeros(19, 2048, 3, 3)}
    refused(other, "1 have another shape (aspp.c1.weight (19, 2048, 3, 3) for (21, 2048, 3, 3))")
    refused({"encoder.w": torch.zeros(2, 3)}, "begin with encoder.w (2, 3)", "No layout that is known")
    refused({"epoch": 3, "name": "x"}, "holds a dict with epoch, name, not tensors by name")
    refused([1, 2], "holds list, not tensors by name")
