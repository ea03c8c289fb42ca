"""The part of Caffe's binary format that holds weights, declared for the protobuf package; Caffe is not needed."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_PACKAGE = "deeplab_lit.caffe"
_Field = descriptor_pb2.FieldDescriptorProto
# field: (number, type, repeated); a type that is a string names another message. Packed floats are length-delimited in
# the file, as bytes are, so that a field declared as bytes holds them all.
_MESSAGES: Mapping[str, Mapping[str, tuple[int, int | str, bool]]] = {
    "BlobShape": {"dim": (1, _Field.TYPE_INT64, True)},
    "Blob": {
        "num": (1, _Field.TYPE_INT32, False),
        "channels": (2, _Field.TYPE_INT32, False),
        "height": (3, _Field.TYPE_INT32, False),
        "width": (4, _Field.TYPE_INT32, False),
        "data": (5, _Field.TYPE_BYTES, False),
        "shape": (7, "BlobShape", False),
        "double_data": (8, _Field.TYPE_BYTES, False),
    },
    "Convolution": {"dilation": (18, _Field.TYPE_UINT32, True)},
    "BatchNorm": {"eps": (3, _Field.TYPE_FLOAT, False)},
    "Layer": {
        "name": (1, _Field.TYPE_STRING, False),
        "bottom": (3, _Field.TYPE_STRING, True),
        "top": (4, _Field.TYPE_STRING, True),
        "blobs": (7, "Blob", True),
        "convolution_param": (106, "Convolution", False),
        "batch_norm_param": (139, "BatchNorm", False),
    },
    # the older message of a layer, from the time of V1
    "OldLayer": {
        "bottom": (2, _Field.TYPE_STRING, True),
        "top": (3, _Field.TYPE_STRING, True),
        "name": (4, _Field.TYPE_STRING, False),
        "blobs": (6, "Blob", True),
    },
    "Net": {
        "name": (1, _Field.TYPE_STRING, False),
        "layers": (2, "OldLayer", True),
        "layer": (100, "Layer", True),
    },
}


@cache
def net_message() -> Any:
    """The class of a whole ``.caffemodel``: ``net_message().FromString(content)``."""
    file = descriptor_pb2.FileDescriptorProto(name="deeplab_lit/caffe.proto", package=_PACKAGE, syntax="proto2")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, (number, kind, many) in fields.items():
            label = _Field.LABEL_REPEATED if many else _Field.LABEL_OPTIONAL
            if isinstance(kind, str):
                message.field.add(
                    name=field,
                    number=number,
                    label=label,
                    type=_Field.TYPE_MESSAGE,
                    type_name=f".{_PACKAGE}.{kind}",
                )
            else:
                message.field.add(name=field, number=number, label=label, type=kind)
                if many and kind == _Field.TYPE_INT64:
                    message.field[-1].options.packed = True
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.Net"))
