import io
import json
import subprocess
import sys

import cv2
import numpy as np
import pytest
from PIL import Image, UnidentifiedImageError

from deeplab_lit.data.frequencies import inverse_root, median_frequency, pixel_counts, repeat_factors
from deeplab_lit.data.inspection import inspect
from deeplab_lit.data.sampling import TrainSampler
from deeplab_lit.data.voc import VOC
from deeplab_lit.utils.errors import UserError
from tests.conftest import write_voc
from tests.end_to_end.running import use


@pytest.fixture
def big(tmp_path):
    """Twelve pictures, of which the last two are to evaluate on."""
    root = write_voc(tmp_path / "voc", sizes=[(40, 56)] * 12, num_classes=4)
    rng = np.random.default_rng(5)
    for i in range(12):
        # photographs are smooth; noise would lose its likeness when it is resized
        coarse = Image.fromarray(rng.integers(0, 256, (5, 7, 3), np.uint8)).resize((56, 40), Image.Resampling.BICUBIC)
        coarse.save(root / "JPEGImages" / f"picture_{i}.jpg", quality=95)
    (tmp_path / "classes.txt").write_text("a\nb\nc\nd\n")
    lists = root / "ImageSets" / "Segmentation"
    (lists / "train.txt").write_text("".join(f"picture_{i}\n" for i in range(10)))
    (lists / "val.txt").write_text("picture_10\npicture_11\n")
    return root


def source(root):
    return VOC(root, classes=root.parent / "classes.txt")


def test_a_clean_set_gives_its_counts(big):
    report = inspect(source(big))
    assert report.bad == [] and report.shared == [] and report.elsewhere is None
    masks = [np.array(Image.open(big / "SegmentationClass" / f"picture_{i}.png")) for i in range(10)]
    train = report.splits["train"]
    np.testing.assert_array_equal(train.pixels, [sum((mask == c).sum() for mask in masks) for c in range(4)])
    np.testing.assert_array_equal(train.appears, [sum((mask == c).any() for mask in masks) for c in range(4)])
    assert train.void == pytest.approx(2 / 40) and train.sizes == {(40, 56): 10} and train.images == 10
    assert train.palettes == {"palette of the classes": 10} and train.modes == {"RGB": 10}


def test_every_bad_file_is_listed_and_the_scan_goes_on(big):
    images, masks = big / "JPEGImages", big / "SegmentationClass"
    (images / "picture_1.jpg").write_bytes((images / "picture_1.jpg").read_bytes()[:300])
    Image.open(masks / "picture_2.png").convert("RGB").save(masks / "picture_2.png")
    Image.fromarray(np.full((40, 56), 9, np.uint8)).save(masks / "picture_3.png")
    Image.fromarray(np.full((40, 56), 255, np.uint8)).save(masks / "picture_4.png")
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(masks / "picture_5.png")
    (masks / "picture_10.png").unlink()
    Image.open(images / "picture_11.jpg").convert("L").save(images / "picture_11.jpg")
    report = inspect(source(big))
    text = "\n".join(report.bad)
    assert len(report.bad) == 6, text
    for words in (
        "picture_1.jpg cannot be read",
        "picture_2.png is a picture of mode RGB",
        "picture_3.png has the value(s) 9, but there are 4 classes",
        "picture_4.png is void everywhere",
        "picture_5.png is 9x9",
        "picture_10.png does not exist",
    ):
        assert words in text, text
    assert report.splits["val"].modes == {"L": 1} and report.splits["train"].palettes["grey, no palette"] == 3


def test_pictures_in_two_places_are_found_by_their_content(big, tmp_path):
    images = big / "JPEGImages"
    # the same bytes under another name, and the same photograph saved again at another size
    (images / "picture_10.jpg").write_bytes((images / "picture_3.jpg").read_bytes())
    larger = Image.open(images / "picture_7.jpg").resize((80, 60), Image.Resampling.BICUBIC)
    larger.resize((56, 40)).save(images / "picture_11.jpg", quality=70)
    other = tmp_path / "coco" / "train2017"
    other.mkdir(parents=True)
    Image.open(images / "picture_0.jpg").resize((640, 457), Image.Resampling.LANCZOS).save(other / "x.jpg", quality=60)
    Image.open(images / "picture_1.jpg").rotate(90).save(other / "y.jpg")
    report = inspect(source(big), against=tmp_path / "coco")
    assert report.shared == [("train picture_3", "val picture_10"), ("train picture_7", "val picture_11")]
    assert report.elsewhere == [("train picture_0", str(other / "x.jpg"))]
    with pytest.raises(UserError, match="against='.*nowhere' is not a folder"):
        inspect(source(big), against=tmp_path / "nowhere")


def test_the_command_writes_its_report_and_ends_without_training(big, tmp_path):
    arguments = ["data=voc", f"data.root={big}", f"data.classes={tmp_path / 'classes.txt'}"]
    done = use("check_data", tmp_path, *arguments)
    (folder,) = (tmp_path / "checks" / "voc").iterdir()
    assert {file.name for file in folder.iterdir()} == {"report.json", "report.txt", "frequencies.png"}
    content = json.loads((folder / "report.json").read_text())
    assert content["splits"]["train"]["images"] == 10 and set(content["splits"]["val"]["pixels"]) == set("abcd")
    assert np.array(Image.open(folder / "frequencies.png")).std() > 10
    assert "10 images" in done.stdout and "bad files: 0" in done.stdout
    (big / "JPEGImages" / "picture_1.jpg").write_bytes(b"")
    done = use("check_data", tmp_path, *arguments, expect=1)
    assert "picture_1.jpg cannot be read" in done.stdout and "1 bad file(s)" in done.stderr
    assert not (tmp_path / "runs").exists() and len(list((tmp_path / "checks" / "voc").iterdir())) == 2


def test_a_check_imports_no_torch(big, tmp_path):
    arguments = ["data=voc", f"data.root={big}", f"data.classes={tmp_path / 'classes.txt'}"]
    code = (
        f"import sys; sys.argv = ['check_data', *{arguments!r}]\n"
        "from deeplab_lit.check_data import main\n"
        "if __name__ == '__main__':\n"
        "    main()\n"
        "    print([m for m in ('torch', 'lightning') if m in sys.modules])\n"
    )
    (tmp_path / "checks.py").write_text(code)
    done = subprocess.run([sys.executable, "checks.py"], cwd=tmp_path, capture_output=True, text=True, timeout=100)
    assert done.stdout.rstrip().endswith("[]") and "bad files: 0" in done.stdout, done.stdout + done.stderr


COUNTS = np.array([[80, 20, 0, 0], [90, 0, 10, 0], [50, 50, 0, 0], [100, 0, 0, 0]], np.int64)


def test_class_weights_from_frequencies():
    # median frequency: pixels of a class over all pixels of the images that have it
    frequency = np.array([320 / 400, 70 / 200, 10 / 100])
    np.testing.assert_allclose(median_frequency(COUNTS), [*(0.35 / frequency), 1], rtol=1e-6)
    weights = inverse_root(COUNTS)
    assert weights[:3].mean() == pytest.approx(1) and weights[3] == 1
    assert weights[2] / weights[0] == pytest.approx(np.sqrt(320 / 10))


def test_rare_classes_come_more_often(big):
    counts = pixel_counts(source(big).split("train"))
    masks = [np.array(Image.open(big / "SegmentationClass" / f"picture_{i}.png")) for i in range(10)]
    np.testing.assert_array_equal(counts, [[(mask == c).sum() for c in range(4)] for mask in masks])
    np.testing.assert_array_equal(pixel_counts(source(big).split("train")), counts)  # from the cache
    Image.fromarray(np.zeros((40, 56), np.uint8)).save(big / "SegmentationClass" / "picture_0.png")
    assert pixel_counts(source(big).split("train"))[0].tolist() == [40 * 56, 0, 0, 0]
    # classes stand in 4, 2, 1 of four images; their median is 2
    np.testing.assert_allclose(repeat_factors(COUNTS), [1, np.sqrt(2), 1, 1])


def test_weighted_passes_keep_to_the_weights_and_repeat():
    weights = np.array([1.0, 1.0, 2.0, 4.0])
    draws = [index for index, _ in TrainSampler(4, 4000, seed=0, weights=weights)]
    np.testing.assert_allclose(np.bincount(draws) / 4000, weights / 8, atol=0.01)
    for start in range(0, 4000, 400):
        assert np.abs(np.bincount(draws[start : start + 4], minlength=4) - weights / 2).max() <= 1
    assert [index for index, _ in TrainSampler(4, 4000 - 1234, 0, 1234, weights=weights)] == draws[1234:]
    assert draws != [index for index, _ in TrainSampler(4, 4000, seed=1, weights=weights)]


def test_a_class_that_no_training_mask_holds_is_found(big, tmp_path):
    (tmp_path / "classes.txt").write_text("a\nb\nc\nd\nghost\n")
    report = inspect(source(big))
    (sentence,) = report.findings
    assert "the 10 training masks do not hold the class(es) 'ghost'" in sentence and report.bad == []
    (tmp_path / "classes.txt").write_text("a\nb\n")
    for file in (big / "SegmentationClass").iterdir():
        Image.fromarray(((np.array(Image.open(file)) == 1) * 255).astype(np.uint8)).save(file)
    (sentence,) = inspect(source(big)).findings
    assert "hold only the values 0 and 255" in sentence and "data.binary=true" in sentence


def test_a_palette_with_the_classes_colours_in_another_order_is_found(big, tmp_path):
    (tmp_path / "classes.txt").write_text("a 0 0 0\nb 250 50 83\nc 128 128 128\nd 0 255 0\n")
    mask = big / "SegmentationClass" / "picture_0.png"
    picture = Image.open(mask)
    picture.putpalette([0, 255, 0, 128, 128, 128, 250, 50, 83, 0, 0, 0] + [224, 224, 192] * 252)
    picture.save(mask)
    report = inspect(source(big))
    assert report.splits["train"].palettes["palette of the classes in another order"] == 1
    (sentence,) = report.findings
    assert sentence.startswith("1 mask(s) have a palette with the colours of data.classes at other indices")


@pytest.mark.parametrize("ending", ["tif", "webp", "bmp", "jp2"])
def test_pictures_of_each_kind_are_compared(big, tmp_path, ending):
    other = tmp_path / "other"
    other.mkdir()
    Image.open(big / "JPEGImages" / "picture_0.jpg").save(other / f"x.{ending}")
    report = inspect(source(big), against=other)
    assert report.elsewhere == [("train picture_0", str(other / f"x.{ending}"))]


def test_a_picture_that_only_opencv_reads_is_counted(voc, monkeypatch):
    image = voc / "JPEGImages" / "picture_0.jpg"
    deep = np.array(Image.open(image)).astype(np.uint16) * 257
    image.write_bytes(cv2.imencode(".tif", deep)[1].tobytes())
    opened = Image.open

    def of_an_older_pillow(file, **options):
        content = file.getvalue() if isinstance(file, io.BytesIO) else file.read_bytes()
        if content.startswith(b"II"):
            raise UnidentifiedImageError("16 bits")
        return opened(file, **options)

    monkeypatch.setattr(Image, "open", of_an_older_pillow)
    report = inspect(VOC(voc))
    assert report.bad == [] and report.splits["train"].modes == {"RGB": 2, "RGB of another kind": 1}
