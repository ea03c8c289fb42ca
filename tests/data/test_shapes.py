import hashlib
import subprocess
import sys

import cv2
import numpy as np
import pytest

from deeplab_lit.data.shapes.dataset import DOMAINS, Shapes
from deeplab_lit.data.shapes.scene import render
from deeplab_lit.data.shapes.textures import checks, dots, stripes
from deeplab_lit.utils.errors import UserError


def digest(root):
    found = {}
    for file in sorted(root.rglob("*")):
        if file.is_file():
            found[str(file.relative_to(root))] = hashlib.sha256(file.read_bytes()).hexdigest()
    return found


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    data = Shapes(train_images=60, val_images=20, cache=tmp_path_factory.mktemp("shapes"))
    data.prepare()
    return data


def test_a_seed_gives_the_same_files_and_another_gives_others(made, tmp_path):
    again = Shapes(train_images=60, val_images=20, cache=tmp_path)
    again.prepare()
    assert again.root.name == made.root.name and digest(again.root) == digest(made.root)
    other = Shapes(train_images=60, val_images=20, seed=1, cache=tmp_path)
    other.prepare()
    assert other.root != again.root and digest(other.root) != digest(again.root)


def test_it_is_a_voc_folder_with_every_class_and_a_void_rim(made):
    pixels, sizes = np.zeros(256, np.int64), []
    for i, split in enumerate(("train", "val")):
        examples = made.split(split)
        assert len(examples) == (60, 20)[i]
        for j in range(len(examples)):
            example = examples[j]
            counts = np.bincount(example.mask.ravel(), minlength=256)
            pixels += counts
            sizes += [count for count in counts[1:255] if count]
    assert len(made.labels) == 12 and (pixels[:12] > 0).all() and pixels[12:255].sum() == 0
    assert 0.02 < pixels[255] / pixels.sum() < 0.15
    assert 0.4 < pixels[0] / pixels.sum() < 0.85
    assert np.sqrt(np.percentile(sizes, 99.5) / np.percentile(sizes, 0.5)) > 8  # extents, from areas


def test_train_and_val_share_no_picture(made):
    files = [digest(made.root)[f"JPEGImages/{id}.jpg"] for split in ("train", "val") for id in made.split(split).ids]
    assert len(set(files)) == 80


@pytest.mark.parametrize("domain", DOMAINS)
def test_boat_and_sled_are_one_drawing_on_different_ground(domain):
    things = DOMAINS[domain].things
    boat, sled = things["boat"], things["sled"]
    assert (boat.ground, sled.ground) == ("water", "snow")
    assert (boat.texture, boat.colours, boat.size) == (sled.texture, sled.colours, sled.size)
    assert all(np.array_equal(a, b) for a, b in zip(boat.outline(), sled.outline(), strict=True))


def test_the_source_domain_has_more_classes_and_other_statistics():
    assert set(DOMAINS["target"].things) < set(DOMAINS["source"].things)
    assert len(Shapes("target").labels) == 15 and len(Shapes("source").labels) == 19

    def statistics(name):
        pictures = [render(np.random.default_rng(i), DOMAINS[name], 96, 96)[0] for i in range(12)]
        return np.mean(pictures, (0, 1, 2)), np.mean([picture.std() for picture in pictures])

    (mean, spread), (other_mean, other_spread) = statistics("target"), statistics("source")
    assert np.abs(mean - other_mean).max() > 5 and spread > other_spread


def test_classes_of_the_target_have_the_same_range_of_areas():
    """The largest disc and the largest moon of equal squash and tilt cover the same number of pixels."""
    for name in ("ball", "moon", "leaf", "lamp"):
        thing = DOMAINS["target"].things[name]
        fine = [(part * thing.size[1] * 4 + 1200).round().astype(np.int32) for part in thing.outline()]
        canvas = np.zeros((2400, 2400), np.uint8)
        for part in fine:
            cv2.fillPoly(canvas, [part], 1)
        assert canvas.sum() / 16 == pytest.approx(160**2, rel=0.02)
        assert thing.size[1] / thing.size[0] == pytest.approx(8 if name == "lamp" else 16)


def test_the_pictures_of_target_are_of_256_pixels_and_a_third_of_them_is_objects(tmp_path):
    data = Shapes("target", train_images=40, val_images=2, cache=tmp_path)
    data.prepare()
    masks = [data.split("train")[i].mask for i in range(40)]
    assert all(max(mask.shape) == 256 and min(mask.shape) >= 192 for mask in masks)
    assert 0.15 < np.mean([(mask % 255 > 0).mean() for mask in masks]) < 0.4


@pytest.mark.parametrize("texture", [stripes, checks, dots])
def test_detail_of_the_target_s_textures_grows_with_the_object(texture):
    """The same object drawn twice as large, and shrunk by two, is the same picture, as of things nearer or farther."""

    def drawn(pixels):
        y, x = (np.mgrid[0 : 4 * pixels, 0 : 4 * pixels].astype(np.float32) + 0.5) / pixels - 2
        return texture(np.random.default_rng(0), x, y, pixels)

    small, large = drawn(40), drawn(80)
    shrunk = cv2.resize(large, small.shape[::-1], interpolation=cv2.INTER_AREA)
    assert np.corrcoef(shrunk.ravel(), small.ravel())[0, 1] > 0.9


def test_two_processes_at_once_and_a_killed_one_leave_one_whole_folder(tmp_path):
    code = (
        "from deeplab_lit.data.shapes.dataset import Shapes\n"
        f"if __name__ == '__main__': Shapes(train_images=40, val_images=8, cache={str(tmp_path)!r}).prepare()\n"
    )
    script = tmp_path / "make.py"
    script.write_text(code)
    killed = subprocess.Popen([sys.executable, script], stderr=subprocess.DEVNULL)
    data = Shapes(train_images=40, val_images=8, cache=tmp_path)
    import time

    deadline = time.monotonic() + 60
    while (
        not any(tmp_path.glob(".shapes-*/JPEGImages/*.jpg")) and killed.poll() is None and time.monotonic() < deadline
    ):
        time.sleep(0.01)
    killed.kill()
    killed.wait()
    both = [subprocess.Popen([sys.executable, script]) for _ in range(2)]
    assert [process.wait(120) for process in both] == [0, 0]
    assert len(digest(data.root)) == 2 * 48 + 2
    assert [len(data.split(name)) for name in ("train", "val")] == [40, 8]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [({"domain": "targets"}, "Did you mean 'target'"), ({"val_images": 0}, "at least 1")],
)
def test_bad_arguments(arguments, words):
    with pytest.raises(UserError, match=words):
        Shapes(**arguments)
