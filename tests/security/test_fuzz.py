"""Damaged and invented files for everything that reads foreign bytes: only this library's own error comes out.

``make fuzz`` gives each reader 10,000 inputs (DEEPLAB_LIT_FUZZ); a plain run some dozens. Each input has two seconds
of processor time and 4 GB: what one takes beyond is an error too.
"""

import base64
import io
import json
import os
import pickle
import pickletools
import tarfile
import tempfile
import time
import zipfile
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import save_file
from scipy.io import savemat

from deeplab_lit.config.command_schemas import ScoreFilesConfig
from deeplab_lit.config.schemas import CheckpointConfig
from deeplab_lit.data.brush_codes import Brush
from deeplab_lit.data.channel_files import read_pixels
from deeplab_lit.data.cityscapes import Cityscapes
from deeplab_lit.data.class_list import read_class_list
from deeplab_lit.data.coco import COCO
from deeplab_lit.data.coco_masks import draw as drawn
from deeplab_lit.data.folder import Folder
from deeplab_lit.data.half_size import write_half
from deeplab_lit.data.image_files import read_image
from deeplab_lit.data.image_tags import read_tags
from deeplab_lit.data.labels import LabelSet
from deeplab_lit.data.mask_files import MaskCoding, read_mask
from deeplab_lit.data.normalization import Normalization
from deeplab_lit.data.pascal_context import PascalContext, read_label_map
from deeplab_lit.data.person_part import read_parts
from deeplab_lit.data.pixel_format import PixelFormat
from deeplab_lit.data.pixel_weights import read_pixel_weights
from deeplab_lit.data.regions import Bitmap
from deeplab_lit.data.safe_pickle import read_pickle
from deeplab_lit.data.sbd import read_sbd_mask
from deeplab_lit.data.voc import VOC
from deeplab_lit.inference import cityscapes_server, voc_server
from deeplab_lit.inference.cams import read_cam_scores
from deeplab_lit.inference.distributions import read_distribution
from deeplab_lit.inference.trained import load
from deeplab_lit.models.network import build_network
from deeplab_lit.utils.errors import UserError
from deeplab_lit.weights.convert import in_rgb
from deeplab_lit.weights.description import checked, describe, to_text
from deeplab_lit.weights.initialize import initialize
from deeplab_lit.weights.recognition import convert_state_dict
from deeplab_lit.weights.state_dicts import known
from tests.data import exports
from tests.data.layouts import part_annotation
from tests.weights import caffe_nets

COUNT = int(os.environ.get("DEEPLAB_LIT_FUZZ", "40"))
fuzz = settings(
    max_examples=COUNT,
    deadline=None,  # of processor time, below
    suppress_health_check=list(HealthCheck),
    database=None,
    derandomize=COUNT <= 1000,
)


pytestmark = pytest.mark.usefixtures("bounded")


@contextmanager
def one_way_or_the_other():
    """It works or says what is wrong, in five seconds of processor time, of which a busy machine needs more."""
    start = time.process_time()
    try:
        yield
    except UserError as error:
        assert str(error).strip()
    assert time.process_time() - start < 5


def survives(reader, content, name="file", folder=None):
    """The reader gives a result or says what is wrong in one line."""
    with tempfile.TemporaryDirectory() as inside:
        path = Path(folder or inside) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        with one_way_or_the_other():
            reader(path)


_TEXT = st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass"))
_NUMBERS = [b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\x80\0\0\0"]


@st.composite
def damaged(draw, seeds):
    """A whole file with some bytes changed, cut, doubled or put in; sometimes bytes alone."""
    content = bytearray(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(0, 4))):
        kind = draw(st.sampled_from(["byte", "cut", "number", "insert", "repeat"]))
        at = draw(st.integers(0, max(0, len(content) - 1)))
        if draw(st.booleans()):  # headers decide most
            at = min(at, draw(st.integers(0, 400)))
        if kind == "byte" and content:
            content[at] = draw(st.integers(0, 255))
        elif kind == "cut":
            del content[at:]
        elif kind == "number":
            content[at : at + 4] = draw(
                st.sampled_from([b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\x80\0\0\0"])
            )
        elif kind == "insert":
            content[at:at] = draw(st.binary(max_size=16))
        else:
            content[at:at] = content[at : at + draw(st.integers(1, 64))]
    return bytes(content)


def saved(picture, kind, **options):
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


_NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (9, 12, 3), np.uint8))
_MASK = _NOISE.convert("L").convert("P")
_PALETTE = np.zeros((256, 3), np.uint8)
_EXIF = Image.Exif()
_EXIF[0x0112] = 6
PICTURES = [
    saved(_NOISE, "JPEG"), saved(_NOISE, "JPEG", exif=_EXIF, progressive=True), saved(_NOISE.convert("CMYK"), "JPEG"),
    saved(_NOISE, "PNG"), saved(_MASK, "PNG"), saved(_NOISE.convert("L"), "PNG"), saved(_NOISE, "TIFF"),
    saved(_NOISE, "TIFF", compression="tiff_lzw"), saved(_NOISE, "GIF"), saved(_NOISE, "BMP"), saved(_NOISE, "WEBP"),
    saved(_NOISE, "PPM"), saved(Image.fromarray(np.arange(12, dtype=np.uint16).reshape(3, 4) * 5000), "PNG"),
]  # fmt: skip


def read_colours(path):
    return read_mask(path, MaskCoding(("sky", "road"), ((0, 0, 0), (1, 2, 3))))


def read_own_numbers(path):
    return read_mask(path, MaskCoding(values=((0, 255), (7, 0), (40000, 1))))


def read_half(kind, path):
    target = path.with_name("half.png")
    write_half(MaskCoding(values=tuple((value, value % 20) for value in range(256))), _PALETTE, (kind, path, target))
    assert np.array(Image.open(target)).size


def read_weights(path):
    return read_pixel_weights(path, (3, 4))


READERS = [
    read_image, read_mask, read_colours, read_own_numbers, read_weights, partial(read_half, "image"),
    partial(read_half, "mask"),
]  # fmt: skip


def _with_channels():
    """Files of four channels of 16 bits: arrays, a PNG, and TIFFs in both orders of their values."""
    image = np.random.default_rng(0).integers(0, 65536, (9, 12, 4)).astype(np.uint16)
    file = io.BytesIO()
    np.save(file, image)
    yield file.getvalue()
    yield cv2.imencode(".png", image)[1].tobytes()
    for planes, order, compression in ((image, "contig", "zlib"), (image.transpose(2, 0, 1), "separate", None)):
        file = io.BytesIO()
        tifffile.imwrite(
            file, planes.copy(), photometric="minisblack", planarconfig=order, compression=compression, rowsperstrip=4
        )
        yield file.getvalue()


@fuzz
@given(damaged(list(_with_channels())))
def test_images_of_other_channels(content):
    survives(lambda path: read_pixels(path, PixelFormat(4, 16)), content)


@fuzz
@given(damaged(PICTURES), st.sampled_from(READERS))
def test_pictures_and_masks(content, reader):
    survives(reader, content)


@fuzz
@given(
    st.one_of(st.text(max_size=60).map(str.encode), st.binary(max_size=60), damaged([b"2007_000001\n2007_000002\n"]))
)
def test_split_lists(content):
    def reader(path):
        VOC(path.parents[2]).split("train")

    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "JPEGImages").mkdir()
        survives(reader, content, "ImageSets/Segmentation/train.txt", folder)
        survives(
            lambda path: PascalContext(path.parents[2]).listed_ids("train"), content, "ImageSets/Main/train.txt", folder
        )


def _packages():
    """A package for each test server."""
    mask, tar, zipped = saved(_MASK, "PNG"), io.BytesIO(), io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w:gz") as package:
        member = tarfile.TarInfo("results/VOC2012/Segmentation/comp6_test_cls/a.png")
        member.size = len(mask)
        package.addfile(member, io.BytesIO(mask))
    with zipfile.ZipFile(zipped, "w", zipfile.ZIP_DEFLATED) as other:
        other.writestr("berlin_000000_000000.png", saved(_NOISE.convert("L"), "PNG"))
    return [tar.getvalue(), zipped.getvalue()]


@fuzz
@given(damaged(_packages()))
def test_packages_for_servers(content):
    images = {"a": Path("a.png"), "berlin_000000_000000": Path("berlin_000000_000000.png")}
    survives(lambda path: voc_server.validate(path, images, LabelSet.voc(), 6), content)
    survives(lambda path: cityscapes_server.validate(path, images), content)


@fuzz
@given(
    st.one_of(_TEXT, damaged([b"leftImg8bit/train/ulm/ulm_000000_000000_leftImg8bit.png\tx/y\nulm_000000_000001\n"]))
)
def test_lists_of_cityscapes(content):
    with tempfile.TemporaryDirectory() as folder:
        images = Path(folder) / "leftImg8bit" / "train" / "ulm"
        images.mkdir(parents=True)
        (images / "ulm_000000_000000_leftImg8bit.png").touch()
        survives(lambda path: Cityscapes(folder, "train", "train", train_list=path).listing("train"), content)


@fuzz
@given(st.one_of(_TEXT, damaged([b"sky 1 2 3\nroad 4 5 6\n", b"sky:1,2,3::\nroad:4,5,6::\n", b"0: sky\n1: road\n"])))
def test_class_lists(content):
    survives(read_class_list, content)


@fuzz
@given(st.one_of(_TEXT, st.binary(max_size=60), damaged([b"a 0 14\n/b/c.jpg /d/c.png 3\nd\n"])))
def test_lists_of_tags(content):
    survives(lambda path: read_tags(str(path), "foreground", 21), content)


def _mat(**options):
    file = io.BytesIO()
    cell = np.zeros((1, 1), [("Segmentation", "O"), ("CategoriesPresent", "O")])
    cell[0, 0] = (np.array(_MASK), np.array([1]))
    savemat(file, {"GTcls": cell}, **options)
    return file.getvalue()


@fuzz
@given(damaged([_mat(), _mat(do_compression=True)]))
def test_sbd_masks(content):
    survives(read_sbd_mask, content)


def _annotations(**options):
    """A file of PASCAL-Context and one of PASCAL-Part."""
    labels, parts = io.BytesIO(), io.BytesIO()
    mask = np.array(_MASK) > 99
    savemat(labels, {"LabelMap": np.array(_MASK).astype(np.uint16) + 200}, **options)
    savemat(parts, part_annotation([("person", 15, mask, [("head", mask), ("neck", ~mask)])] * 2), **options)
    return [labels.getvalue(), parts.getvalue()]


@fuzz
@given(damaged([*_annotations(), *_annotations(do_compression=True)]), st.sampled_from([read_label_map, read_parts]))
def test_annotations_of_voc_2010(content, reader):
    survives(reader, content)


_JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
    max_leaves=6,
)
_RLE = st.one_of(
    st.text(max_size=12), st.text("0123456789:;PQRSo", max_size=12), st.lists(st.integers(-3, 40), max_size=6)
)
_SEGMENTATION = st.one_of(
    _JSON,
    st.fixed_dictionaries({"size": st.sampled_from([[4, 5], [5, 4], None]), "counts": st.one_of(_RLE, _JSON)}),
    st.lists(st.lists(st.one_of(st.floats(), st.integers(-9, 9), st.integers()), max_size=10), max_size=3),
)


@fuzz
@given(_SEGMENTATION, st.booleans())
def test_coco_shapes(segmentation, clip):
    try:
        mask = drawn([(1, {"id": 1, "segmentation": segmentation})], 4, 5, clip=clip)
    except UserError:
        return
    assert mask.shape == (4, 5) and mask.max() <= 1


_WHOLE = {
    "images": [{"id": 1, "file_name": "a.jpg", "height": 4, "width": 5}],
    "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "segmentation": [[0, 0, 3, 0, 3, 3]], "iscrowd": 0}],
    "categories": [{"id": 1, "name": "person"}],
}


@st.composite
def annotations(draw):
    content = json.loads(json.dumps(_WHOLE))
    for _ in range(draw(st.integers(0, 3))):
        part = draw(st.sampled_from(list(_WHOLE)))
        if isinstance(content.get(part), list) and content[part] and draw(st.booleans()):
            entry = content[part][0]
            if isinstance(entry, dict):
                entry[draw(st.sampled_from(list(_WHOLE[part][0])))] = draw(_JSON)
        else:
            content[part] = draw(_JSON)
    return json.dumps(content).encode()


@fuzz
@given(st.one_of(annotations(), damaged([json.dumps(_WHOLE).encode()])), st.sampled_from(["coco", "voc", "file"]))
def test_coco_annotations(content, classes):
    def reader(path):
        source = COCO(path.parents[1], classes=classes, converted=path.parents[1] / "out", train="a", val="a")
        source.prepare()
        source.entries("train")

    with tempfile.TemporaryDirectory() as folder:
        survives(reader, content, "annotations/instances_a.json", folder)
        outside = [file for file in Path(folder).rglob("*.png") if Path(folder, "out") not in file.parents]
        assert not outside


_SHAPES = [
    exports.labelme_shape("road", [[0, 0], [3, 0], [3, 3]]),
    exports.labelme_shape("road", [[1, 1], [4, 3]], "circle"),
    exports.labelme_shape("sky", [[1, 1], [3, 2]], "mask", mask=exports.base64_png(np.ones((2, 3), bool))),
]
_LABELME = json.loads(exports.labelme_json(_SHAPES, (4, 5)))
_RESULTS = [
    exports.result("polygonlabels", "road", (4, 5), points=[[0, 0], [60, 0], [60, 75]]),
    exports.result("brushlabels", "road", (4, 5), format="rle", rle=exports.brush_of(np.ones((4, 5), bool))),
    exports.result("ellipselabels", "sky", (4, 5), x=50, y=50, radiusX=20, radiusY=30, rotation=30),
    exports.result("bitmasklabels", "sky", (4, 5), imageDataURL=exports.base64_png(np.ones((4, 5), bool))),
]
_TASKS = [exports.task(1, "a.png", _RESULTS)]


@st.composite
def changed(draw, whole):
    """A JSON file some of whose values, however deep, are others or gone."""
    content = json.loads(json.dumps(whole))
    for _ in range(draw(st.integers(0, 3))):
        place = content
        while True:
            keys = sorted(place) if isinstance(place, dict) else list(range(len(place)))
            if not keys:
                break
            key = draw(st.sampled_from(keys))
            if isinstance(place[key], (dict, list)) and draw(st.booleans()):
                place = place[key]
                continue
            if draw(st.booleans()):
                place[key] = draw(_JSON)
            else:
                del place[key]
            break
    return json.dumps(content).encode()


def _drawn(path, masks):
    """Draw the mask of a.png beside an annotation."""
    _NOISE.crop((0, 0, 5, 4)).save(path.parent / "a.png")
    (path.parent / "list.txt").write_text("a\n")
    source = Folder(
        path.parent, ["background", "road", "255 sky"], ".", masks, "list", "list", converted=path.parent / "out"
    )
    source.prepare()
    mask = source.split("train")[0].mask
    assert mask.shape == (4, 5) and set(np.unique(mask)) <= {0, 1, 255}


@fuzz
@given(st.one_of(changed(_LABELME), damaged([json.dumps(_LABELME).encode()])))
def test_labelme_files(content):
    survives(lambda path: _drawn(path, "."), content, "a.json")


@fuzz
@given(st.one_of(changed(_TASKS), damaged([json.dumps(_TASKS).encode()])))
def test_label_studio_files(content):
    survives(lambda path: _drawn(path, path.name), content, "export.json")


@fuzz
@given(damaged([bytes(exports.brush_of(np.eye(40, 50) > 0)), bytes(exports.brush_of(np.ones((40, 50), bool)))]))
def test_brush_codes(content):
    with one_way_or_the_other():
        Brush(list(content)).pixels(40, 50, "it")


@fuzz
@given(damaged(PICTURES))
def test_bitmaps(content):
    with one_way_or_the_other():
        Bitmap(base64.b64encode(content).decode()).pixels(9, 12, "it")


def _caffe_seeds():
    rng = np.random.default_rng(0)
    norm = [rng.random(2), rng.random(2), rng.random(1)]
    layers = [
        caffe_nets.Layer("conv1_1", "Convolution", ["data"], "conv1_1", [rng.random((2, 3, 3, 3)), rng.random(2)]),
        caffe_nets.Layer("res2a_branch1", "Convolution", ["conv1_1"], "res2a_branch1", [rng.random((2, 2, 1, 1))]),
        caffe_nets.Layer("bn2a_branch1", "BatchNorm", ["res2a_branch1"], "res2a_branch1", norm),
    ]
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for some in (layers, layers[1:], layers[:1]):
            caffe_nets.write(Path(folder) / "a", some)
            found.append((Path(folder) / "a").read_bytes())
    return found


@fuzz
@given(damaged(_caffe_seeds()))
def test_caffe_models(content):
    survives(load, content)


_FORM = st.builds(
    ScoreFilesConfig,
    values=st.sampled_from(["probabilities", "logits"]),
    zero_is=st.sampled_from([None, "background", "foreground"]),
    array=st.sampled_from([None, "cam"]),
    align_corners=st.booleans(),
)


def _arrays():
    values = np.random.default_rng(0).random((3, 4, 5)).astype(np.float32)
    values /= values.sum(0)
    plain, zipped, packed = io.BytesIO(), io.BytesIO(), io.BytesIO()
    np.save(plain, values)
    np.savez(zipped, probabilities=values)
    np.savez_compressed(packed, values.astype(np.float16))
    return [plain.getvalue(), zipped.getvalue(), packed.getvalue()]


def _score_files():
    """The forms of dicts, by the ending of their file."""
    maps = np.random.default_rng(0).random((2, 4, 5)).astype(np.float32)
    both = {"keys": torch.tensor([0, 3]), "cam": torch.from_numpy(maps / maps.sum(0))}
    found = [(".npy", content) for content in _arrays()]
    for content in ({0: maps[0], 3: 1 - maps[0]}, {"msc_seg": maps[None].astype(np.float16)}, both):
        file = io.BytesIO()
        np.save(file, content, allow_pickle=True)
        found += [(".npy", file.getvalue()), (".pkl", pickle.dumps(content, 2)), (".pkl", pickle.dumps(content, 5))]
    for zipped in (True, False):
        file = io.BytesIO()
        torch.save(both, file, _use_new_zipfile_serialization=zipped)
        found.append((".pth", file.getvalue()))
    return found


_SCORE_FILES = _score_files()


@st.composite
def damaged_scores(draw):
    ending, content = draw(st.sampled_from(_SCORE_FILES))
    return ending, draw(damaged([content]))


@fuzz
@given(damaged_scores(), _FORM)
def test_score_files(file, form):
    survives(lambda path: read_distribution(path, (4, 5), form), file[1], f"file{file[0]}")
    survives(lambda path: read_cam_scores(path, (4, 5), form, 21, {3, 4}), file[1], f"file{file[0]}")


@fuzz
@given(damaged([content for _, content in _SCORE_FILES]))
def test_pickles(content):
    with one_way_or_the_other():
        read_pickle(content, 100_000)


_OPCODES = st.lists(st.sampled_from([opcode.code.encode("latin-1") for opcode in pickletools.opcodes]), max_size=30)
_PIECES = st.lists(
    st.one_of(
        _OPCODES.map(b"".join),
        st.sampled_from([
            b"cnumpy\ndtype\n", b"cnumpy.core.multiarray\n_reconstruct\n", b"c_codecs\nencode\n", b"U\x02f4", b"K\x01",
            b"ctorch._utils\n_rebuild_tensor_v2\n", b"cnumpy.core.multiarray\nscalar\n", b"}", b"]", b"(", b")",
        ]),
        st.binary(max_size=4),
    ),
    max_size=12,
)  # fmt: skip


@fuzz
@given(_PIECES)
def test_steps_of_pickles_in_any_order(pieces):
    with one_way_or_the_other():
        read_pickle(b"".join(pieces) + b".", 100_000)


_SPEC = {
    "backbone": {"_target_": "deeplab_lit.models.backbones.ResNet", "depth": 18},
    "model": {"_target_": "deeplab_lit.models.heads.ASPP", "rates": [1, 2]},
    "scales": [1.0],
    "align_corners": False,
    "atrous": "holes",
}
_LABELS = LabelSet(("sky", "road"))
_ABOUT = describe(_SPEC, _LABELS, Normalization())


def _checkpoints():
    """Checkpoints whose weights are few, for most of what is read comes before them."""
    content = {"state_dict": {"network.a": torch.zeros(2)}, "global_step": 1, "deeplab_lit": _ABOUT}
    new, old, other = io.BytesIO(), io.BytesIO(), io.BytesIO()
    torch.save(content, new)
    torch.save(content, old, _use_new_zipfile_serialization=False)
    torch.save({"layer1.0.conv1.weight": torch.zeros(2)}, other)
    with tempfile.TemporaryDirectory() as folder:
        save_file(content["state_dict"], Path(folder) / "a", {"deeplab_lit": to_text(content)})
        safe = (Path(folder) / "a").read_bytes()
    return [new.getvalue(), old.getvalue(), other.getvalue(), safe]


@fuzz
@given(damaged(_checkpoints()))
def test_checkpoints(content):
    survives(load, content)


@st.composite
def state_dicts(draw):
    """The tensors of a known layout of another code base, some of them gone, renamed, or of another form."""
    prefix = draw(st.sampled_from(["", "module.", "base.", "Scale.", "scale.module."]))
    shapes = draw(st.sampled_from(known())).expected(draw(st.integers(0, 300)))
    state = {prefix + name: torch.zeros(()).expand(shape) for name, shape in shapes.items()}
    for _ in range(draw(st.integers(0, 3))):
        name = draw(st.sampled_from(list(state)))
        value = state.pop(name)
        kind = draw(st.sampled_from(["gone", "renamed", "type", "shape"]))
        if kind == "renamed":
            state[draw(st.text(max_size=20))] = value
        elif kind == "type":
            state[name] = value.to(draw(st.sampled_from([torch.bool, torch.int64, torch.float16, torch.complex64])))
        elif kind == "shape":
            sizes = draw(st.lists(st.sampled_from([0, 1, 3, 21, 2048, 10**6]), max_size=3))
            state[name] = torch.zeros(()).expand(sizes)
    return state


@fuzz
@given(state_dicts(), st.sampled_from([None, [6, 12], [6, 12, 18, 24], [], [0], [10**9] * 4]))
def test_state_dicts(state, rates):
    with one_way_or_the_other():
        content = convert_state_dict(state, "file", rates).content()
        in_rgb(checked(content, "file"))


_ODD = [10**9, -1, 0, [1] * 50, 1e308, [1.0, 10.0**9], "deeplab_lit.models.deeplab.DeepLab", "deeplab_lit.train.main"]


@st.composite
def descriptions(draw):
    about = json.loads(json.dumps(_ABOUT))
    for _ in range(draw(st.integers(1, 3))):
        place, key = about, draw(st.sampled_from(list(about)))
        while isinstance(place[key], dict) and place[key] and draw(st.integers(0, 3)):
            place = place[key]
            key = draw(st.sampled_from(list(place)))
        if draw(st.booleans()):
            about["source"], about["notes"] = draw(st.one_of(_JSON, st.just("a"))), draw(st.one_of(_JSON, st.just([])))
        place[key] = draw(
            st.one_of(_JSON, st.sampled_from([10**9, -1, [1] * 50, 1e308, "deeplab_lit.models.network.DeepLab"]))
        )
    return about


_NETWORK = build_network(_SPEC, 2)
_STATE = {f"network.{key}": value for key, value in _NETWORK.state_dict().items()}
_FEW = {key: value for key, value in _STATE.items() if value.numel() < 1000}


@fuzz
@given(descriptions())
def test_descriptions(about):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.ckpt"
        torch.save({"state_dict": _FEW, "global_step": 1, "deeplab_lit": about}, path)
        with one_way_or_the_other():
            load(path)
        with one_way_or_the_other():
            initialize(_NETWORK, CheckpointConfig(path=str(path)), _LABELS, _SPEC["backbone"])


@fuzz
@given(damaged(_arrays()), st.booleans())
def test_zip_files(content, inside):
    """Other archives under the names of checkpoints."""
    if inside:
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("archive/data/weights/model_weights_config.json", content)
            archive.writestr("archive/extra/deeplab_lit.json", content)
        content = file.getvalue()
    survives(load, content)
