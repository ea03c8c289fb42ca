"""Caffe's side of the matter, for tests: its real file format, and its layers computed one by one.

A net is a list of layers as a prototxt has them: name, type, bottoms, top, parameters. It is written with the full
types of Caffe's schema and run by what Caffe's documentation says of each type.
"""

from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

T = descriptor_pb2.FieldDescriptorProto


@dataclass
class Layer:
    name: str
    type: str
    bottoms: list
    top: str
    blobs: list = field(default_factory=list)
    options: dict = field(default_factory=dict)


def _messages():
    fields = {
        "BlobShape": [("dim", 1, T.TYPE_INT64, "packed")],
        "BlobProto": [
            ("num", 1, T.TYPE_INT32, ""), ("channels", 2, T.TYPE_INT32, ""), ("height", 3, T.TYPE_INT32, ""),
            ("width", 4, T.TYPE_INT32, ""), ("data", 5, T.TYPE_FLOAT, "packed"), ("diff", 6, T.TYPE_FLOAT, "packed"),
            ("shape", 7, "BlobShape", ""),
        ],
        "ConvolutionParameter": [
            ("num_output", 1, T.TYPE_UINT32, ""), ("pad", 3, T.TYPE_UINT32, "many"),
            ("kernel_size", 4, T.TYPE_UINT32, "many"), ("stride", 6, T.TYPE_UINT32, "many"),
            ("dilation", 18, T.TYPE_UINT32, "many"),
        ],
        "BatchNormParameter": [("use_global_stats", 1, T.TYPE_BOOL, ""), ("eps", 3, T.TYPE_FLOAT, "")],
        "LayerParameter": [
            ("name", 1, T.TYPE_STRING, ""), ("type", 2, T.TYPE_STRING, ""), ("bottom", 3, T.TYPE_STRING, "many"),
            ("top", 4, T.TYPE_STRING, "many"), ("blobs", 7, "BlobProto", "many"), ("phase", 10, T.TYPE_INT32, ""),
            ("convolution_param", 106, "ConvolutionParameter", ""), ("batch_norm_param", 139, "BatchNormParameter", ""),
        ],
        "V1LayerParameter": [
            ("bottom", 2, T.TYPE_STRING, "many"), ("top", 3, T.TYPE_STRING, "many"), ("name", 4, T.TYPE_STRING, ""),
            ("type", 5, T.TYPE_INT32, ""), ("blobs", 6, "BlobProto", "many"), ("blobs_lr", 7, T.TYPE_FLOAT, "many"),
        ],
        "NetParameter": [
            ("name", 1, T.TYPE_STRING, ""), ("layers", 2, "V1LayerParameter", "many"),
            ("layer", 100, "LayerParameter", "many"),
        ],
    }  # fmt: skip
    file = descriptor_pb2.FileDescriptorProto(name="caffe.proto", package="caffe", syntax="proto2")
    for name, entries in fields.items():
        message = file.message_type.add(name=name)
        for key, number, kind, how in entries:
            entry = message.field.add(name=key, number=number, label=T.LABEL_REPEATED if how else T.LABEL_OPTIONAL)
            if isinstance(kind, str):
                entry.type, entry.type_name = T.TYPE_MESSAGE, f".caffe.{kind}"
            else:
                entry.type = kind
            if how == "packed":
                entry.options.packed = True
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("caffe.NetParameter"))


Net = _messages()


def write(path, layers, old=False):
    """The layers as a .caffemodel; ``old`` takes the older messages, without dilation, and four-dimensional blobs."""
    net = Net(name="test")
    for layer in layers:
        message = (net.layers if old else net.layer).add(name=layer.name, bottom=layer.bottoms, top=[layer.top])
        if not old:
            message.type = layer.type
        for blob in layer.blobs:
            target = message.blobs.add(data=blob.ravel().tolist())
            if old:
                shape = (1,) * (4 - blob.ndim) + blob.shape
                target.num, target.channels, target.height, target.width = shape
            else:
                target.shape.dim.extend(blob.shape)
        if not old and layer.type == "Convolution" and layer.options.get("dilation", 1) > 1:
            message.convolution_param.dilation.append(layer.options["dilation"])
        if not old and "eps" in layer.options:
            message.batch_norm_param.eps = layer.options["eps"]
    path.write_bytes(net.SerializeToString())
    return path


def run(layers, image):
    """The last layer's output for a BGR image with its mean subtracted, (1, 3, H, W)."""
    blobs = {"data": image}
    for layer in layers:
        inputs = [blobs[name] for name in layer.bottoms]
        blobs[layer.top] = _OPERATIONS[layer.type](layer, *inputs)
    return blobs[layers[-1].top]


def _convolution(layer, x):
    weight, bias = (*(torch.from_numpy(blob) for blob in layer.blobs), None)[:2]
    o = layer.options
    return F.conv2d(x, weight, bias, o.get("stride", 1), o.get("pad", 0), o.get("dilation", 1))


def _pooling(layer, x):
    o = layer.options
    if o.get("average"):
        return F.avg_pool2d(x, o["kernel"], o["stride"], o.get("pad", 0), ceil_mode=True)
    return F.max_pool2d(x, o["kernel"], o["stride"], o.get("pad", 0), ceil_mode=True)


def _batch_norm(layer, x):
    mean, variance, factor = (torch.from_numpy(blob) for blob in layer.blobs)
    mean, variance = mean / factor, variance / factor
    deviation = (variance + layer.options.get("eps", 1e-5)).sqrt()
    return (x - mean[:, None, None]) / deviation[:, None, None]


def _scale(layer, x):
    gamma, beta = (torch.from_numpy(blob) for blob in layer.blobs)
    return x * gamma[:, None, None] + beta[:, None, None]


_OPERATIONS = {
    "Convolution": _convolution,
    "Pooling": _pooling,
    "BatchNorm": _batch_norm,
    "Scale": _scale,
    "ReLU": lambda layer, x: x.relu(),
    "Dropout": lambda layer, x: x,
    "Split": lambda layer, x: x,
    "Eltwise": lambda layer, *inputs: sum(inputs[1:], inputs[0]),
}


class Builder:
    """Layers one after the other, with random weights that keep the values of the maps in bounds."""

    def __init__(self, seed=0):
        self.rng, self.layers = np.random.default_rng(seed), []

    def conv(self, name, bottom, inputs, outputs, kernel, bias=True, **options):
        spread = np.sqrt(2 / (inputs * kernel * kernel))
        blobs = [self.rng.normal(0, spread, (outputs, inputs, kernel, kernel)).astype(np.float32)]
        if bias:
            blobs.append(self.rng.normal(0, 0.1, outputs).astype(np.float32))
        self.layers.append(Layer(name, "Convolution", [bottom], name, blobs, options))
        return name

    def relu(self, name):
        self.layers.append(Layer(f"relu_{name}", "ReLU", [name], name))
        return name

    def add(self, name, type, bottoms, blobs=(), **options):
        self.layers.append(Layer(name, type, list(bottoms), name, list(blobs), options))
        return name

    def normalised(self, conv, norm, scale, channels, eps=1e-5):
        """BatchNorm, which keeps sums over 999.98 batches, and Scale, both in place."""
        rng = self.rng
        mean, variance = rng.normal(0, 0.2, channels), rng.uniform(0.5, 2, channels)
        factor = 999.98
        blobs = [(mean * factor).astype(np.float32), (variance * factor).astype(np.float32), np.float32([factor])]
        self.layers.append(Layer(norm, "BatchNorm", [conv], conv, blobs, {"eps": eps} if eps != 1e-5 else {}))
        gamma, beta = rng.uniform(0.3, 0.8, channels), rng.normal(0, 0.1, channels)
        self.layers.append(Layer(scale, "Scale", [conv], conv, [gamma.astype(np.float32), beta.astype(np.float32)]))
        return conv


def vgg16(head, classes=21, width=16, msc=False):
    """The released VGG-16 nets: ``head`` is largefov, deeplab_7x7, aspp or none."""
    b, x, channels = Builder(), "data", 3
    taps = []
    if msc:
        b.add("data_split_0", "Split", ["data"])
        taps.append(("data", "data_split_0", 3, 8))
    for block, (count, outputs) in enumerate(zip((2, 2, 3, 3, 3), (64, 128, 256, 512, 512), strict=True), 1):
        for number in range(1, count + 1):
            rate = 2 if block == 5 else 1
            x = b.relu(b.conv(f"conv{block}_{number}", x, channels, outputs, 3, pad=rate, dilation=rate))
            channels = outputs
        x = b.add(f"pool{block}", "Pooling", [x], kernel=3, stride=2 if block < 4 else 1, pad=1)
        if msc and block < 5:
            taps.append((f"pool{block}", x, channels, {1: 4, 2: 2, 3: 1, 4: 1}[block]))
    scores = []
    if head == "none":
        return b.layers
    if head == "largefov":
        x = b.add("pool5a", "Pooling", [x], kernel=3, stride=1, pad=1, average=True)
    kernel, rates = {"largefov": (3, [12]), "deeplab_7x7": (7, [4]), "aspp": (3, [6, 12, 18, 24])}[head]
    for number, rate in enumerate(rates, 1):
        end = f"_{number}" if len(rates) > 1 else ""
        y = b.relu(b.conv(f"fc6{end}", x, 512, width, kernel, pad=rate * (kernel - 1) // 2, dilation=rate))
        y = b.relu(b.conv(f"fc7{end}", b.add(f"drop6{end}", "Dropout", [y]), width, width, 1))
        scores.append(b.conv(f"fc8_voc12{end}", b.add(f"drop7{end}", "Dropout", [y]), width, classes, 1))
    for name, bottom, inputs, stride in taps:
        y = b.relu(b.conv(f"{name}_conv", bottom, inputs, 8, 3, pad=1, stride=stride))
        y = b.relu(b.conv(f"{name}_fc", b.add(f"{name}_drop", "Dropout", [y]), 8, 8, 1))
        scores.append(b.conv(f"{name}_ms_voc12", y, 8, classes, 1))
    if len(scores) > 1:
        b.add("scores", "Eltwise", scores)
    return b.layers


def resnet(counts=(3, 4, 6, 3), head="aspp", classes=21, eps=1e-5):
    """The released ResNets; blocks are a, b, c, ... in ResNet-50 and a, b1, b2, ... in the deep stages of 101."""
    b = Builder()
    b.conv("conv1", "data", 3, 64, 7, bias=False, stride=2, pad=3)
    b.relu(b.normalised("conv1", "bn_conv1", "scale_conv1", 64, eps))
    x, channels = b.add("pool1", "Pooling", ["conv1"], kernel=3, stride=2, pad=1), 64
    for stage, count in enumerate(counts, 2):
        width, rate = 32 << stage - 1, {2: 1, 3: 1, 4: 2, 5: 4}[stage]
        for number in range(count):
            deep = counts[2] > 6 and stage in (3, 4)
            letter = ("a" if number == 0 else f"b{number}") if deep else "abcdef"[number]
            block, stride = f"{stage}{letter}", 2 if number == 0 and stage == 3 else 1

            def unit(branch, bottom, inputs, outputs, kernel, block=block, **options):
                name = b.conv(f"res{block}_branch{branch}", bottom, inputs, outputs, kernel, bias=False, **options)
                return b.normalised(name, f"bn{block}_branch{branch}", f"scale{block}_branch{branch}", outputs, eps)

            shortcut = unit("1", x, channels, 4 * width, 1, stride=stride) if number == 0 else x
            y = b.relu(unit("2a", x, channels, width, 1, stride=stride))
            y = b.relu(unit("2b", y, width, width, 3, pad=rate, dilation=rate))
            y = unit("2c", y, width, 4 * width, 1)
            x = b.relu(b.add(f"res{block}", "Eltwise", [shortcut, y]))
            channels = 4 * width
    if head == "aspp":
        names = [
            b.conv(f"fc1_voc12_c{i}", x, 2048, classes, 3, pad=rate, dilation=rate)
            for i, rate in enumerate((6, 12, 18, 24))
        ]
        b.add("fc1_voc12", "Eltwise", names)
    elif head == "coco":
        b.conv("fc1_coco", x, 2048, 91, 1)
    return b.layers
