"""Files that attack: each claim of SECURITY.md, with a file that tries what the claim rules out."""

import io
import json
import pickle
import tarfile
import zipfile
import zlib

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

import deeplab_lit
from deeplab_lit.crf.presets import preset
from deeplab_lit.data.coco import COCO
from deeplab_lit.data.coco_masks import draw
from deeplab_lit.data.downloads import _extract
from deeplab_lit.data.folder import Folder
from deeplab_lit.data.image_files import read_image
from deeplab_lit.data.mask_files import read_mask
from deeplab_lit.data.pascal_context import PascalContext
from deeplab_lit.data.sbd import VOCAug, read_sbd_mask
from deeplab_lit.data.source import open_source
from deeplab_lit.data.voc import VOC
from deeplab_lit.inference.distributions import read_distribution
from deeplab_lit.utils.errors import UserError
from tests.end_to_end.running import train_alone
from tests.end_to_end.test_train import TINIEST, run_folder
from tests.inference.test_trained import SPEC, save


class Attack:
    def __reduce__(self):
        return (open, ("attacked", "w"))


@pytest.fixture(autouse=True)
def nothing_happens(tmp_path, monkeypatch):
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    yield
    assert not [file for file in tmp_path.rglob("attacked*") if "out" not in file.parts], "the attack worked"


# ---- what a checkpoint names


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "deeplab_lit.utils.files.write_text",  # ours, but no network
        "deeplab_lit.utils.files.replacing",
        "deeplab_lit.data.decoded_cache.DecodedCache",  # would remove files
        "deeplab_lit.utils.files.tempfile",
        "deeplab_lit.utils.files.FileLock",  # a class, imported from elsewhere
        "deeplab_lit.train.main",
        "deeplab_lit.models.network.nn.Module",
        "deeplab_lit..os.system",
        "deeplab_lit.",
    ],
)
@pytest.mark.parametrize("part", ["backbone", "model"])
def test_a_checkpoint_builds_networks_of_this_library_and_nothing_else(tmp_path, target, part):
    arguments = {"path": "attacked", "text": "x", "command": "touch attacked", "lock_file": "attacked"}
    save(tmp_path / "a.ckpt", {**SPEC, part: {"_target_": target, **arguments}})
    with pytest.raises(UserError):
        deeplab_lit.load(tmp_path / "a.ckpt")


def test_an_allowed_package_gives_no_way_to_what_it_imports(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text("from subprocess import check_call\nfrom os import system\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    for target in ("mine.check_call", "mine.system"):
        save(tmp_path / "a.ckpt", {**SPEC, "backbone": {"_target_": target, "command": "touch attacked"}})
        for allow in (["mine."], ["mine"]):
            with pytest.raises(UserError, match="is no backbone"):
                deeplab_lit.load(tmp_path / "a.ckpt", allow=allow)
        for allow in ([], ["min"], [""], ["."], ["mine.other"]):
            with pytest.raises(UserError, match='type allow=\\["mine"\\]'):
                deeplab_lit.load(tmp_path / "a.ckpt", allow=allow)


def test_a_checkpoint_does_not_choose_where_its_data_set_is_written(tmp_path, monkeypatch):
    monkeypatch.setenv("DEEPLAB_LIT_CACHE", str(tmp_path / "cache"))
    config = {
        "_target_": "deeplab_lit.data.shapes.dataset.Shapes",
        "train_images": 1,
        "val_images": 1,
        "cache": str(tmp_path / "attacked"),
    }
    source = open_source(config, allowed=("deeplab_lit.",))
    assert tmp_path / "cache" in source.root.parents
    with pytest.raises(UserError, match="is no data"):
        open_source({"_target_": "deeplab_lit.utils.files.write_text", "path": "attacked"}, allowed=("deeplab_lit.",))


def test_a_network_far_larger_than_its_file_is_refused_before_it_is_made(tmp_path):
    huge = {"_target_": "deeplab_lit.models.heads.FieldOfView", "kernel_size": 1, "rate": 1, "hidden": 10**7}
    save(tmp_path / "a.ckpt", {**SPEC, "model": huge})
    with pytest.raises(UserError, match="does not fit its own description"):
        deeplab_lit.load(tmp_path / "a.ckpt")


# ---- what files carry


def test_pickles_are_not_run(tmp_path):
    evil = tmp_path / "evil"
    evil.write_bytes(pickle.dumps(Attack()))
    for reader in (deeplab_lit.load, read_sbd_mask):
        with pytest.raises(UserError):
            reader(evil)
    array = np.empty(1, object)
    array[0] = Attack()
    np.save(tmp_path / "a.npy", array, allow_pickle=True)
    np.savez(tmp_path / "a.npz", probabilities=array)
    for name in ("a.npy", "a.npz"):
        with pytest.raises(UserError, match=r"names (io|builtins|_io)\.open, which no array, .*nothing of it was run"):
            read_distribution(tmp_path / name, (2, 2))


def test_safetensors_name_no_code(tmp_path):
    about = {"network": {**SPEC, "model": {"_target_": "os.system"}}}
    text = json.dumps({"about": about, "global_step": 0})
    save_file({"a": torch.zeros(1)}, tmp_path / "a.safetensors", {"deeplab_lit": text})
    with pytest.raises(UserError):
        deeplab_lit.load(tmp_path / "a.safetensors")


def test_yaml_is_data(tmp_path):
    (tmp_path / "evil.yaml").write_text("bilateral_weight: !!python/object/apply:os.system ['touch attacked']\n")
    with pytest.raises(UserError):
        preset(str(tmp_path / "evil.yaml"))


# ---- archives and bombs


@pytest.mark.parametrize("kind", ["up", "absolute", "link", "hard link", "device"])
def test_archives_that_would_write_outside_are_refused(tmp_path, kind):
    target = str(tmp_path / "attacked")
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        member = tarfile.TarInfo({"up": "../attacked", "absolute": target}.get(kind, "inside"))
        member.size = 1
        if kind == "link":
            member.type, member.linkname, member.size = tarfile.SYMTYPE, str(tmp_path), 0
        if kind == "hard link":
            member.type, member.linkname, member.size = tarfile.LNKTYPE, "../../etc/passwd", 0
        if kind == "device":
            member.type, member.size = tarfile.CHRTYPE, 0
        archive.addfile(member, io.BytesIO(b"x"))
        if kind == "link":
            after = tarfile.TarInfo("inside/attacked")
            after.size = 1
            archive.addfile(after, io.BytesIO(b"x"))
    (tmp_path / "out").mkdir()
    if kind == "absolute":  # its slash is taken away
        _extract(tmp_path / "a.tar", tmp_path / "out")
        assert (tmp_path / "out" / target.lstrip("/")).is_file()
        return
    with pytest.raises(UserError, match="would write outside its folder"):
        _extract(tmp_path / "a.tar", tmp_path / "out")


def png(width, height, colour=0):
    """A PNG that says this size, of a few bytes."""

    def chunk(kind, data):
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    head = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([8, colour, 0, 0, 0])
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.parametrize("reader", [read_image, read_mask])
def test_image_bombs_are_refused_by_their_headers(tmp_path, reader):
    (tmp_path / "bomb.png").write_bytes(png(60_000, 60_000))
    with pytest.raises(UserError, match=r"bomb\.png cannot be read"):
        reader(tmp_path / "bomb.png")


def test_probabilities_that_unpack_to_more_than_an_image_needs(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive, archive.open("a.npy", "w") as file:
        np.lib.format.write_array_header_1_0(
            file, {"descr": "|u1", "fortran_order": False, "shape": (1, 1, 10_000_000)}
        )
        file.write(bytes(10_000_000))
    assert (tmp_path / "a.npz").stat().st_size < 20_000
    with pytest.raises(UserError, match="unpacks to 10000128 bytes, more than its image can need"):
        read_distribution(tmp_path / "a.npz", (20, 20))
    for name in ("lie.npy", "lie.npz"):
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(
            header, {"descr": "<f4", "fortran_order": False, "shape": (21, 10**6, 10**6)}
        )
        if name.endswith("npy"):
            (tmp_path / name).write_bytes(header.getvalue())
        else:
            with zipfile.ZipFile(tmp_path / name, "w") as archive:
                archive.writestr("a.npy", header.getvalue())
        with pytest.raises(UserError, match="cannot be read as an array"):
            read_distribution(tmp_path / name, (10**6, 10**6))


def test_checkpoints_that_unpack_to_more_than_they_are(tmp_path):
    save(tmp_path / "a.ckpt")
    with zipfile.ZipFile(tmp_path / "a.ckpt") as archive:
        content = {info.filename: archive.read(info) for info in archive.infolist()}
    with zipfile.ZipFile(tmp_path / "bomb.ckpt", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in content.items():
            archive.writestr(name, bytes(len(data)) if "/data/" in name else data)
    with pytest.raises(UserError, match="unpacks to"):
        deeplab_lit.load(tmp_path / "bomb.ckpt")


# ---- paths that lead outside


@pytest.mark.parametrize("line", ["../secret", "/etc/passwd", "a/../../secret", "/../x.jpg /SegmentationClass/x.png"])
def test_lists_that_lead_outside_the_data_set(tmp_path, line):
    for folder in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation", "images", "masks"):
        (tmp_path / "data" / folder).mkdir(parents=True)
    for name in ("train", "val"):
        (tmp_path / "data/ImageSets/Segmentation" / f"{name}.txt").write_text(f"{line}\n")
        (tmp_path / "data" / f"{name}.txt").write_text(f"{line}\n")
    (tmp_path / "classes.txt").write_text("a\nb\n")
    with pytest.raises(UserError, match="leads out of the data set's folder"):
        VOC(tmp_path / "data").split("train")
    if " " not in line:
        with pytest.raises(UserError, match="leads out of the data set's folder"):
            folder = Folder(tmp_path / "data", tmp_path / "classes.txt", train="train", val="val")
            folder.split("train")
        with pytest.raises(UserError, match="leads out of the data set's folder"):
            VOCAug(tmp_path / "data", tmp_path / "data", tmp_path / "png").ids()
        own = str(tmp_path / "data" / "train.txt")
        with pytest.raises(UserError, match="leads out of the data set's folder"):
            PascalContext(tmp_path / "data", train=own).listed_ids("train")


def coco(root, file_name="a.jpg", segmentation=None, height=4):
    (root / "annotations").mkdir(parents=True)
    image = {"id": 1, "file_name": file_name, "height": height, "width": 5}
    annotations = [{"id": 1, "image_id": 1, "category_id": 1, "segmentation": segmentation or [[0, 0, 3, 0, 3, 3]]}]
    content = {"images": [image], "annotations": annotations, "categories": [{"id": 1, "name": "person"}]}
    for name in ("train2017", "val2017"):
        (root / "annotations" / f"instances_{name}.json").write_text(json.dumps(content))
    return root


@pytest.mark.parametrize("name", ["../../attacked.jpg", "/tmp/attacked.jpg", "a/../../../attacked.jpg"])
def test_coco_files_that_lead_outside(tmp_path, name):
    source = COCO(coco(tmp_path / "coco", name), converted=tmp_path / "out")
    with pytest.raises(UserError, match="leads out of the data set's folder"):
        source.prepare()
    assert not list((tmp_path / "out").rglob("*.png"))


@pytest.mark.parametrize(
    "segmentation",
    [
        {"size": [4, 5], "counts": [0, 10**6]},  # more than the image: pycocotools would write behind its memory
        {"size": [4, 5], "counts": [-1, 21]},
        {"size": [4, 5], "counts": "0" * 4 + "o" * 30},
        {"size": [4, 5], "counts": "PPYo0" * 9},
        {"size": [4, 5], "counts": "\N{SNOWMAN}"},
        {"size": [4, 5], "counts": ""},
        {"size": [4, 5]},
        [[0, 0, 1e30, 0, 1e30, 1e30]],
        [[0, 0, float("nan"), 0, 3, 3]],
        [[0, 0, True, 0, "3", 3]],
    ],
)
@pytest.mark.parametrize("clip", [False, True])
def test_codes_and_polygons_that_would_write_behind_their_memory(segmentation, clip):
    with pytest.raises(UserError, match="run-length code|polygon"):
        draw([(1, {"id": 1, "segmentation": segmentation})], 4, 5, clip=clip)


@pytest.mark.parametrize("height", [10**10, 27280770, 65536])
def test_an_image_of_any_size_is_not_drawn(tmp_path, height):
    with pytest.raises(UserError, match=f"an image of 5x{height} pixels"):
        COCO(coco(tmp_path / "coco", height=height), converted=tmp_path / "out").prepare()


# ---- secrets

SECRETS = {
    "WANDB_API_KEY": "0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c",
    "HF_TOKEN": "hf_averysecrettokenindeed",
    "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMIverysecret",
    "MY_PASSWORD": "correct-horse-battery",
}


@pytest.mark.slow
def test_no_key_of_the_environment_is_written_anywhere(tmp_path):
    environment = {**SECRETS, "WANDB_MODE": "offline"}
    done = train_alone(tmp_path, *TINIEST, "logger=default max_steps=2 val_every=2", env=environment)
    written = [file for file in run_folder(tmp_path).rglob("*") if file.is_file()]
    assert any(file.suffix == ".wandb" for file in written)
    for name, secret in SECRETS.items():
        assert secret not in done.stdout + done.stderr, name
        for file in written:
            assert secret.encode() not in file.read_bytes(), f"{name} in {file}"


def test_postscript_is_not_given_to_an_interpreter(tmp_path, monkeypatch):
    monkeypatch.setattr("PIL.EpsImagePlugin.Ghostscript", lambda *_, **__: (tmp_path / "attacked").touch())
    (tmp_path / "a.jpg").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n")
    with Image.open(tmp_path / "a.jpg") as file:
        assert file.format == "EPS"  # Pillow by itself would
    for reader in (read_image, read_mask):
        with pytest.raises(UserError, match=r"a\.jpg cannot be read"):
            reader(tmp_path / "a.jpg")
