"""The package for Cityscapes' server, and every fault in it."""

import io
import zipfile

import numpy as np
import pytest
from PIL import Image

from deeplab_lit.data.cityscapes import CITYSCAPES
from deeplab_lit.inference.cityscapes_server import check_images, pack, validate
from deeplab_lit.inference.output_folder import Outputs
from deeplab_lit.utils.errors import UserError

# the data set's own table, of which the classes alone are scored
LABEL_IDS = {"road": 7, "sky": 23, "person": 24, "bicycle": 33}


@pytest.fixture
def package(tmp_path):
    images = {}
    out = Outputs(str(tmp_path / "out"), CITYSCAPES, {}, False, False, False)
    for number, city in enumerate(("berlin", "bonn")):
        name = f"{city}/{city}_000000_00001{number}_leftImg8bit"
        images[name] = tmp_path / "test" / f"{name}.png"
        images[name].parent.mkdir(parents=True)
        Image.new("RGB", (2048, 1024)).save(images[name])
        labels = np.full((1024, 2048), 10 + number, np.uint8)
        for row, known in enumerate(LABEL_IDS):
            labels[row] = CITYSCAPES.names.index(known)
        out.write(name, np.zeros((1024, 2048, 3), np.uint8), labels, None)
    pack(out, images, tmp_path / "results.zip")
    return tmp_path / "results.zip", images


def rewrite(package, change):
    """The package again, each member through ``change(name, content)``, which gives (name, content) or None."""
    with zipfile.ZipFile(package) as old:
        members = [(name, old.read(name)) for name in old.namelist()]
    with zipfile.ZipFile(package, "w") as new:
        for name, content in filter(None, (change(*each) for each in members)):
            new.writestr(name, content)


def edited(content, change):
    file = io.BytesIO()
    with Image.open(io.BytesIO(content)) as mask:
        change(mask).save(file, format="PNG")
    return file.getvalue()


def with_value(value):
    def change(mask):
        values = np.array(mask)
        values[5, 5] = value
        return Image.fromarray(values)

    return change


def test_a_package_is_what_the_server_expects(package):
    file, images = package
    with zipfile.ZipFile(file) as content:
        assert content.namelist() == ["berlin_000000_000010.png", "bonn_000000_000011.png"]
        for number, name in enumerate(content.namelist()):
            with Image.open(io.BytesIO(content.read(name))) as mask:
                assert mask.mode == "L" and mask.size == (2048, 1024)
                values = np.array(mask)
            assert [int(values[row, 0]) for row in range(4)] == list(LABEL_IDS.values())
            assert (values[4:] == (23, 24)[number]).all()  # sky and person
    validate(file, images)


def test_masks_may_lie_in_folders_and_have_longer_names(package):
    """As the server's own script finds them: CITY_SEQ_FRAME*.png in any folder."""
    file, images = package
    rewrite(file, lambda n, c: (f"results/{n[:4]}/{n.removesuffix('.png')}_pred_labelIds.png", c))
    validate(file, images)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda n, c: None if "bonn" in n else (n, c), r"bonn_000000_000011\.png is missing"),
        (lambda n, c: (n.replace("bonn_000000_000011", "bonn_000000_000019"), c), "000019.png belongs to no image"),
        (lambda n, c: (n.replace("bonn_", "Bonn-"), c), "Bonn-000000_000011.png belongs to no image of the list"),
        (lambda n, c: (n.replace(".png", ".jpg"), c), r"berlin_000000_000010\.jpg belongs to no image"),
        (
            lambda n, c: ("a/berlin_000000_000010_x.png" if "bonn" in n else n, c),
            r"berlin_000000_000010\.png and a/berlin_000000_000010_x\.png are both berlin_000000_000010",
        ),
        (lambda n, c: (n, edited(c, lambda m: m.convert("RGB"))), "is a PNG of mode RGB, not a PNG of one channel"),
        (lambda n, c: (n, edited(c, lambda m: m.convert("P"))), "is a PNG of mode P, not a PNG of one channel"),
        (lambda n, c: (n, edited(c, lambda m: m.convert("I;16"))), "is a PNG of mode I;16, not a PNG of one channel"),
        (lambda n, c: (n, edited(c, lambda m: m.resize((1024, 512), 0))), "is 1024x512, not 2048x1024"),
        (lambda n, c: (n, edited(c, with_value(255))), r"has the value 255, which is no class's label id(;|\.)"),
        (lambda n, c: (n, edited(c, with_value(9))), r"has the value 9, which is no class's label id(;|\.)"),
        (
            lambda n, c: (n, edited(c, lambda m: Image.new("L", m.size, 10))),
            r"has the value 10, which is no class's label id \(they look like train ids\)",
        ),
        (lambda n, c: (n, c[:40]), "cannot be read"),
    ],
)
def test_every_fault_is_found(package, change, words):
    file, images = package
    rewrite(file, change)
    with pytest.raises(UserError, match=words) as caught:
        validate(file, images)
    assert "is not fit for the server" in str(caught.value) and "\n" not in str(caught.value)


def test_a_member_that_unpacks_to_too_much_is_not_read(package, monkeypatch):
    file, images = package
    monkeypatch.setattr("deeplab_lit.inference.cityscapes_server._LARGEST", 1000)
    with pytest.raises(UserError, match=r"berlin_000000_000010\.png unpacks to \d+ bytes, more than a mask has"):
        validate(file, images)


@pytest.mark.parametrize("content", [b"", b"no zip at all", b"PK\x03\x04"])
def test_a_file_that_is_no_package(package, content):
    file, images = package
    for whole in (content, file.read_bytes()[:-30]):
        file.write_bytes(whole)
        with pytest.raises(UserError, match=r"cannot be read as a \.zip package"):
            validate(file, images)
    file.unlink()
    with pytest.raises(UserError, match=r"cannot be read as a \.zip package"):
        validate(file, images)


def test_images_whose_masks_cannot_be_handed_in(package, tmp_path):
    _, images = package
    check_images(images)
    name, path = next(iter(images.items()))
    with pytest.raises(UserError, match=r"photo\.png is not named as an image of Cityscapes: .*berlin_000000_000019"):
        check_images({**images, "photo": tmp_path / "photo.png"})
    with pytest.raises(UserError, match=r"are both berlin_000000_000010: give images= one folder"):
        check_images({**images, f"val/{name}": path})
    Image.new("RGB", (1024, 512)).save(path)
    with pytest.raises(
        UserError, match=r"is 1024x512: .* masks of 2048x1024, .*scales=single scales\.factors=\[0\.5\]"
    ):
        check_images(images)
    path.write_text("no picture")
    with pytest.raises(UserError, match=r"leftImg8bit\.png cannot be read .*replace it"):
        check_images(images)
