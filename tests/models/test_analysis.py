"""Numbers of networks against the papers' and against what a network does to real tensors."""

import json

import pytest
import torch
from omegaconf import OmegaConf
from torch.utils.flop_counter import FlopCounterMode

from deeplab_lit.config.compose import typed
from deeplab_lit.models.analysis import field_of_view, flops, saved_for_backward
from deeplab_lit.training.summary import summary
from deeplab_lit.utils.errors import UserError
from tests.composing import compose
from tests.models.test_network import network


def summary_of(*overrides):
    cfg = compose("parity=caffe", "data=voc", "data.root=/nowhere", *overrides, config_name="summary")
    OmegaConf.set_struct(cfg, False)
    return summary(typed(cfg))


@pytest.mark.parametrize(
    ("model", "view", "params"),
    # V1, table 1: kernel and stride, field of view, parameters
    [("deeplab_7x7", 224, 134.3), ("deeplab_4x4", 128, 65.1), ("deeplab_4x4_r8", 224, 65.1), ("largefov", 224, 20.5)],
)
def test_table_1(model, view, params, capsys):
    found = summary_of("backbone=vgg16", f"model={model}", "json=true")
    assert found["head_field_of_view"] == view and found["output_stride"] == 8
    assert found["params"] / 1e6 == pytest.approx(params, abs=0.06)
    (line,) = capsys.readouterr().out.splitlines()
    assert {"params", "flops", "output_stride", "field_of_view"} <= json.loads(line).keys()


def test_parts_add_up_and_the_table_is_readable(capsys):
    found = summary_of("backbone=resnet101", "model=aspp_l", "scales=msc")
    parts = found["parts"].values()
    assert sum(part["params"] for part in parts) == found["params"]
    assert sum(part["flops"] for part in parts) == pytest.approx(found["flops"], rel=1e-3)
    assert sum(value for key, value in found["memory"].items() if key != "total") == found["memory"]["total"]
    text = capsys.readouterr().out
    assert "trunk" in text and "field of view" in text and "GiB" in text


def test_the_field_of_view_is_what_moves_the_output():
    """One pixel after another is changed: the outermost ones that move the centre are the field of view."""
    net = network("backbone=resnet18", "model=largefov", "backbone.frozen_norm=false", parity="modern").eval()
    view = field_of_view(net)
    # all weights alike and positive, so that nothing is hidden by a sign, and no max that picks one of many
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.fill_(1e-2)
    size = int(2 * (view // 2) + 65) // 8 * 8 + 1
    x = torch.zeros(1, 3, size, size, requires_grad=True)
    map = net.double()(x.double())
    middle = map.shape[-1] // 2
    reached = []
    for where in (middle,):
        (gradient,) = torch.autograd.grad(map[0, 0, where, where], x, retain_graph=True)
        columns = torch.nonzero(gradient[0].abs().sum((0, 1))).flatten()
        reached.append(int(columns[-1] - columns[0]) + 1)
    # the maximum of equal values sends its gradient to one of them: up to a pooling window less at each side
    assert view - 16 <= reached[0] <= view


def test_operations_are_those_that_pytorch_counts():
    net = network("backbone=resnet18", "model=aspp_s", parity="modern")
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        net.eval()(torch.zeros(1, 3, 97, 97))
    assert flops(net, 97)["total"] == counter.get_total_flops()


def test_activations_are_what_autograd_keeps():
    net = network("backbone=resnet18", "model=largefov", parity="modern").train()
    kept = {}
    parameters = {each.untyped_storage().data_ptr() for each in (*net.parameters(), *net.buffers())}

    def pack(tensor):
        place = tensor.untyped_storage()
        if place.data_ptr() not in parameters:
            kept[place.data_ptr()] = place.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss = net(torch.randn(2, 3, 97, 97)).square().mean()
    total = sum(saved_for_backward(net, 97, 2, lambda maps: maps[0].square().mean()).values())
    assert total == pytest.approx(sum(kept.values()), rel=0.1)
    assert loss.requires_grad


def test_classes_that_are_not_known_are_asked_for():
    with pytest.raises(UserError, match="type classes=NUMBER"):
        cfg = compose("data=folder", "data.root=/nowhere", "data.classes=/none.txt", config_name="summary")
        summary(typed(cfg))
