"""The package for the test server, and every fault in it."""

import io
import tarfile

import numpy as np
import pytest
from PIL import Image

from deeplab_lit.data.labels import LabelSet
from deeplab_lit.inference.output_folder import Outputs
from deeplab_lit.inference.voc_server import pack, validate
from deeplab_lit.utils.errors import UserError
from tests.crf.test_dense import photograph

FOLDER = "results/VOC2012/Segmentation/comp6_test_cls"


@pytest.fixture
def package(tmp_path):
    images = {}
    out = Outputs(str(tmp_path / "out"), LabelSet.voc(), {}, False, False, False)
    for number, shape in enumerate([(20, 30), (33, 25)]):
        image = photograph(*shape, number)
        images[f"2008_{number}"] = tmp_path / f"2008_{number}.png"
        Image.fromarray(image).save(images[f"2008_{number}"])
        out.write(f"2008_{number}", image, (image[..., 0] % 21).astype(np.uint8), None)
    pack(out, images, tmp_path / "results.tar.gz", 6)
    return tmp_path / "results.tar.gz", images


def rewrite(package, change):
    """The package again, each member through ``change(name, content)``, which gives (name, content) or None."""
    with tarfile.open(package) as old:
        members = [(member.name, old.extractfile(member).read()) for member in old if member.isfile()]
    with tarfile.open(package, "w:gz") as new:
        for name, content in filter(None, (change(*each) for each in members)):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            new.addfile(info, io.BytesIO(content))


def edited(content, change):
    with Image.open(io.BytesIO(content)) as mask:
        mask.load()
        result = change(mask)
    file = io.BytesIO()
    result.save(file, format="PNG")
    return file.getvalue()


def test_a_package_is_where_and_what_the_server_expects(package):
    file, images = package
    with tarfile.open(file) as content:
        assert sorted(content.getnames()) == [f"{FOLDER}/2008_0.png", f"{FOLDER}/2008_1.png"]
    validate(file, images, LabelSet.voc(), 6)


def brown(mask):
    mask.putpalette([9] * 768)
    return mask


def void(mask):
    values = np.array(mask)
    values[0, 0] = 255
    changed = Image.fromarray(values)
    changed.putpalette(mask.getpalette())
    return changed


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda n, c: None if n.endswith("_1.png") else (n, c), "2008_1.png is missing"),
        (lambda n, c: (n.replace("2008_1", "2008_7"), c), "2008_7.png belongs to no image of the list"),
        (lambda n, c: (n.replace("comp6", "comp5"), c), "comp5_test_cls/2008_0.png belongs to no image"),
        (lambda n, c: (n, edited(c, lambda m: m.convert("RGB"))), "is a PNG of mode RGB, not a PNG with a palette"),
        (lambda n, c: (n, edited(c, lambda m: m.transpose(Image.Transpose.ROTATE_90))), "is 20x30, its image 30x20"),
        (lambda n, c: (n, edited(c, void)), "has the index 255, classes are 0 to 20"),
        (lambda n, c: (n, edited(c, brown)), "has another palette than VOC's"),
        (lambda n, c: (n, c[:40]), "cannot be read"),
    ],
)
def test_every_fault_is_found(package, change, words):
    file, images = package
    rewrite(file, change)
    with pytest.raises(UserError, match=words):
        validate(file, images, LabelSet.voc(), 6)


@pytest.mark.parametrize("kind", [tarfile.FIFOTYPE, tarfile.LNKTYPE, tarfile.SYMTYPE])
def test_a_member_that_is_no_file_is_named(package, kind):
    file, images = package
    rewrite(file, lambda n, c: None if n.endswith("_1.png") else (n, c))
    with tarfile.open(file) as old:
        content = old.extractfile(f"{FOLDER}/2008_0.png").read()
    with tarfile.open(file, "w:gz") as new:
        info = tarfile.TarInfo(f"{FOLDER}/2008_0.png")
        info.size = len(content)
        new.addfile(info, io.BytesIO(content))
        other = tarfile.TarInfo(f"{FOLDER}/2008_1.png")
        other.type, other.linkname = kind, "nowhere"
        new.addfile(other)
    with pytest.raises(UserError, match=r"2008_1.png is a link or a device, not a file\.$"):
        validate(file, images, LabelSet.voc(), 6)


def test_a_member_that_is_there_twice_is_named(package):
    file, images = package
    rewrite(file, lambda n, c: (n.replace("2008_1", "2008_0"), c))
    with pytest.raises(UserError, match="2008_0.png is there twice"):
        validate(file, images, LabelSet.voc(), 6)


def test_an_image_that_cannot_be_read_is_named(package):
    file, images = package
    images["2008_1"].write_text("no picture")
    with pytest.raises(UserError, match=r"2008_1.png has no size to be compared with: .*2008_1.png cannot be read"):
        validate(file, images, LabelSet.voc(), 6)
    images["2008_1"].unlink()
    with pytest.raises(UserError, match="2008_1.png has no size to be compared with"):
        validate(file, images, LabelSet.voc(), 6)


def test_a_file_that_is_no_package(package, tmp_path):
    file, images = package
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(UserError, match=r"cannot be read as a \.tar\.gz package"):
        validate(file, images, LabelSet.voc(), 6)
