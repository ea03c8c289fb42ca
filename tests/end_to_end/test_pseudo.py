"""Pseudo-labels from the command line: made in each code base's way, stopped and gone on with, audited."""

import json
import os
import re
import shutil
import signal
import subprocess
import time

import numpy as np
import pytest
from PIL import Image

from deeplab_lit.crf import preset
from deeplab_lit.data.labels import LabelSet
from deeplab_lit.data.pixel_weights import read_pixel_weights
from tests.conftest import write_voc
from tests.crf.test_dense import photograph
from tests.end_to_end.running import command, use

SIZES = [(40, 56), (48, 33), (36, 64), (50, 50)]


@pytest.fixture(scope="module")
def user(tmp_path_factory):
    """Photographs, true masks, tags, and activation maps of them in the forms of IRN, SEAM and CLIP-ES."""
    folder = tmp_path_factory.mktemp("user")
    rng = np.random.default_rng(0)
    lines = []
    for name in ("images", "truth", "irn", "seam", "clip_es"):
        (folder / name).mkdir()
    for number, size in enumerate(SIZES):
        id, keys = f"p{number}", [number, 14][: 1 + number % 2]
        Image.fromarray(photograph(*size, number)).save(folder / "images" / f"{id}.jpg")
        small = rng.random((len(keys), 5, 6)).astype(np.float32)
        maps = np.stack(
            [np.array(Image.fromarray(each).resize(size[::-1], Image.Resampling.BICUBIC)) for each in small]
        )
        maps = np.clip(maps, 0, None)
        maps /= maps.max((1, 2), keepdims=True)
        scores = np.concatenate([np.full((1, *size), 0.4), maps])
        truth = np.array([0, *keys])[scores.argmax(0)] + (scores.argmax(0) > 0)
        Image.fromarray(truth.astype(np.uint8)).save(folder / "truth" / f"{id}.png")
        np.save(folder / "irn" / f"{id}.npy", {"keys": np.array(keys), "high_res": maps})
        np.save(folder / "seam" / f"{id}.npy", dict(zip(keys, maps, strict=True)))
        np.save(folder / "clip_es" / f"{id}.npy", {"keys": np.array(keys), "attn_highres": maps.astype(np.float16)})
        lines.append(" ".join(map(str, [id, *keys])))
    (folder / "tags.txt").write_text("\n".join(lines) + "\n")
    return folder


def masks(folder):
    return {file.stem: np.array(Image.open(file)) for file in sorted((folder / "masks").glob("*.png"))}


def maps_of(user, id):
    content = np.load(user / "irn" / f"{id}.npy", allow_pickle=True).item()
    return np.array([0, *(content["keys"] + 1)]), content["high_res"]


def test_masks_as_three_code_bases_make_them(user):
    for name, arguments, background in (
        ("irn", "cams=irn", lambda m: np.full_like(m, 0.25)),
        ("seam", "cams=seam background=power alpha=24", lambda m: (1 - m) ** 24),
        ("clip", "cams=clip_es background=complement", lambda m: 1 - m),
    ):
        done = use("pseudo", user, f"{arguments} images=images out=out/{name} workers=2")
        assert "4 images written" in done.stdout and "void: 0.0 % of their pixels" in done.stdout
        assert f"next: deeplab-lit audit masks=out/{name}/masks images=images out=out/{name}_audit\n" in done.stdout
        assert f"data.train_masks=out/{name}/masks data.train_list=out/{name}/train.txt\n" in done.stdout
        found = masks(user / "out" / name)
        for id, mask in found.items():
            keys, maps = maps_of(user, id)
            if name == "clip":
                maps = maps.astype(np.float16).astype(np.float32)
            scores = np.concatenate([background(maps.max(0, keepdims=True)), maps])
            np.testing.assert_array_equal(mask, keys[scores.argmax(0)])
        assert (user / "out" / name / "train.txt").read_text() == "p0\np1\np2\np3\n"
    with Image.open(user / "out/irn/masks/p1.png") as picture:
        assert picture.mode == "P"
        assert picture.getpalette()[:63] == [each for colour in LabelSet.voc().palette for each in colour]


def test_tags_leave_classes_out_and_what_is_uncertain_is_void(user):
    (user / "fewer.txt").write_text("p0 0\np1 14\np2 2\np3 3\nq0 5\nq1 5\n")
    done = use("pseudo", user, "cams=irn images=images out=out/tags tags=fewer.txt uncertain=0.6")
    keys, maps = maps_of(user, "p1")
    scores = np.concatenate([np.full((1, *SIZES[1]), 0.25, np.float32), maps[1:]])
    expected = np.array([0, 15])[scores.argmax(0)]
    expected[(scores / scores.sum(0)).max(0) < 0.6] = 255
    np.testing.assert_array_equal(masks(user / "out/tags")["p1"], expected)
    assert set(np.unique(expected)) == {0, 15, 255} and list(keys) == [0, 2, 15]
    found = masks(user / "out/tags").values()
    assert f"void: {100 * np.mean([(each == 255).mean() for each in found]):.1f} % of their pixels" in done.stdout
    assert "without a mask: 2 images of tags=fewer.txt, such as q0" in done.stdout
    assert "out=out/tags_audit tags=fewer.txt tags_zero_is=foreground\n" in done.stdout


def test_confidences_are_weights_of_pixels(user):
    arguments = "cams=irn images=images background=power crf=seam_labels uncertain=0.6 workers=1"
    done = use("pseudo", user, arguments, "out=out/sure confidence=true")
    assert "loss.pixel_weights=out/sure/confidence\n" in done.stdout
    for id, mask in masks(user / "out/sure").items():
        _, maps = maps_of(user, id)
        scores = np.concatenate([(1 - maps.max(0, keepdims=True)) ** 4, maps])
        image = np.array(Image.open(user / "images" / f"{id}.jpg"))
        expected = preset("seam_labels")(image, scores / scores.sum(0)).max(0)
        weights = read_pixel_weights(user / "out/sure/confidence" / f"{id}.png", mask.shape)
        np.testing.assert_allclose(weights, expected, atol=3e-3)
        assert (mask[expected < 0.595] == 255).all() and (mask[expected > 0.605] != 255).all()
    use("pseudo", user, arguments, "out=out/unsure")
    assert masks(user / "out/unsure").keys() == masks(user / "out/sure").keys()
    assert all((each == masks(user / "out/unsure")[id]).all() for id, each in masks(user / "out/sure").items())


def probabilities(user, form):
    """The forms in which files hold probabilities with the background first."""
    rng = np.random.default_rng(0)
    (user / form).mkdir(exist_ok=True)
    for number, size in enumerate(SIZES):
        scores = rng.dirichlet(np.ones(21 if form == "network" else 3), size).transpose(2, 0, 1).astype(np.float16)
        if form == "network":
            np.savez(user / form / f"p{number}.npz", probabilities=scores)
        else:
            np.save(user / form / f"p{number}.npy", dict(zip((0, 5, 15), scores, strict=True)), allow_pickle=True)
    return f"cams={form} images=images"


@pytest.mark.parametrize("form", ["network", "seam_crf"])
@pytest.mark.parametrize("tags", ["", "tags=tags.txt"])
def test_probabilities_are_not_taken_for_activation_maps(user, form, tags):
    arguments = f"{probabilities(user, form)} out=out/{form}{len(tags)}"
    done = use("pseudo", user, arguments, tags, expect=1)
    said = " ".join(done.stderr.split())
    assert "add up to 1 at each pixel" in said and "type background=given zero_is=background" in said
    assert not (user / f"out/{form}{len(tags)}").exists()
    # what the message names works, in the same folder
    assert "4 images written" in use("pseudo", user, arguments, "background=given zero_is=background").stdout


def test_a_background_before_the_classes_of_each_image(user, tmp_path):
    """IRN's keys after its padding: without image tags nothing but the index 0 in each file tells of it."""
    (tmp_path / "cams").mkdir()
    for number, size in enumerate(SIZES):
        maps = np.random.default_rng(number).random((3, *size)).astype(np.float32)
        content = {"keys": np.array([0, number + 1, 15]), "high_res": maps}
        np.save(tmp_path / "cams" / f"p{number}.npy", content, allow_pickle=True)
    arguments = f"cams=cams images={user}/images out=out"
    done = use("pseudo", tmp_path, arguments, expect=1)
    assert "each of the 4 files that were looked at has a map of the class index 0 beside others" in done.stderr
    # some files contradict the tags: none is written
    (tmp_path / "tags.txt").write_text("p0 0 14\np1 0 14\np2 0 14\np3 1 19\n")
    done = use("pseudo", tmp_path, arguments, "tags=tags.txt", expect=1)
    assert "p3.npy: it has maps of the classes [1, 5, 16], and the image's tags are [2, 20]" in done.stderr
    assert not (tmp_path / "out").exists()
    assert "4 images written" in use("pseudo", tmp_path, arguments, "zero_is=foreground").stdout


def test_a_class_that_there_is_not(user, tmp_path):
    (tmp_path / "cams").mkdir()
    for number, size in enumerate(SIZES):
        np.save(tmp_path / "cams" / f"p{number}.npy", {45 + number: np.ones(size, np.float32)}, allow_pickle=True)
    arguments = f"cams=cams images={user}/images out=out"
    done = use("pseudo", tmp_path, arguments, expect=1)
    assert (
        "a map of class 46, and there are 21 classes with the background: give the class list, classes" in done.stderr
    )
    (tmp_path / "many.txt").write_text("".join(f"c{number}\n" for number in range(60)))
    use("pseudo", tmp_path, arguments, "classes=many.txt")
    assert set(np.unique(masks(tmp_path / "out")["p2"])) == {48}


def test_the_mend_that_a_message_names_works_in_the_same_folder(user, tmp_path):
    """Logits, and tags that count otherwise."""
    (tmp_path / "logits").mkdir()
    for number, size in enumerate(SIZES):
        np.save(tmp_path / "logits" / f"p{number}.npy", np.random.default_rng(0).normal(0, 5, (21, *size)))
    arguments = f"cams=logits images={user}/images out=out"
    for words, then in (
        ("type background=given", "background=given"),
        ("type values=logits", "background=given values=logits"),
    ):
        assert words in use("pseudo", tmp_path, arguments, expect=1).stderr
        assert not (tmp_path / "out").exists()
        arguments = f"cams=logits images={user}/images out=out {then}"
    assert "4 images written" in use("pseudo", tmp_path, arguments).stdout
    (tmp_path / "tags.txt").write_text("p0 1\np1 2\np2 3\np3 4\n")
    arguments = f"cams={user}/irn images={user}/images out=tagged tags=tags.txt"
    assert "type zero_is=background or tags_zero_is=background" in use("pseudo", tmp_path, arguments, expect=1).stderr
    assert "4 images written" in use("pseudo", tmp_path, arguments, "tags_zero_is=background").stdout


def test_what_all_files_have_is_said_once_and_nothing_is_written(user, tmp_path):
    (tmp_path / "cams").mkdir()
    for number, size in enumerate(SIZES):
        np.save(
            tmp_path / "cams" / f"p{number}.npy", {number: np.full(size, 2 + number, np.float32)}, allow_pickle=True
        )
    done = use("pseudo", tmp_path, f"cams=cams images={user}/images out=out", expect=1)
    assert done.stderr.count("it runs from") == 1 and "none of the 4 files can be used" in done.stderr
    assert "(4 such)" in done.stderr and not (tmp_path / "out").exists()
    done = use("pseudo", tmp_path, f"cams={user}/irn images={user}/images out=out array=camm", expect=1)
    assert done.stderr.count("not array=camm") == 1 and not (tmp_path / "out").exists()


def test_maps_that_were_made_anew_are_told(user, tmp_path):
    shutil.copytree(user / "irn", tmp_path / "cams")
    arguments = f"cams=cams images={user}/images out=out"
    use("pseudo", tmp_path, arguments)
    (tmp_path / "cams/p1.npy").unlink()
    content = {2: np.ones(SIZES[1], np.float32)}
    np.save(tmp_path / "cams/p1.npy", content, allow_pickle=True)
    after = (tmp_path / "out/masks/p1.png").stat().st_mtime + 1
    os.utime(tmp_path / "cams/p1.npy", (after, after))
    done = use("pseudo", tmp_path, arguments)
    assert "1 input file(s) are newer" in done.stderr and "cams/p1.npy: type overwrite=true" in done.stderr
    assert not use("pseudo", tmp_path, arguments, "overwrite=true").stderr
    assert set(np.unique(masks(tmp_path / "out")["p1"])) == {3}


def test_masks_of_saved_probabilities(user, tmp_path):
    """As ``predict probabilities=true`` saves them."""
    (tmp_path / "saved").mkdir()
    scores = np.random.default_rng(0).random((3, *SIZES[0])).astype(np.float32)
    scores /= scores.sum(0)
    np.savez(tmp_path / "saved/p0.npz", probabilities=scores)
    use("pseudo", tmp_path, f"cams=saved images={user / 'images'} out=out background=given uncertain=0.5")
    expected = np.where(scores.max(0) < 0.5, 255, scores.argmax(0))
    np.testing.assert_array_equal(masks(tmp_path / "out")["p0"], expected)


def test_the_curve_and_the_rule(user):
    done = use("pseudo", user, "cams=irn images=images out=out/curve threshold=auto masks=truth")
    result = json.loads((user / "out/curve/thresholds.json").read_text())
    # where the true masks were cut
    assert result["best"]["threshold"] == pytest.approx(0.40) and result["best"]["miou"] == pytest.approx(1)
    rule = float(re.search(r"threshold=auto: ([\d.]+)", done.stdout)[1])
    assert result["without_truth"]["threshold"] == result["chosen"][0]["threshold"] == rule
    for id, mask in masks(user / "out/curve").items():
        keys, maps = maps_of(user, id)
        np.testing.assert_array_equal(mask, np.where(maps.max(0) > rule, keys[maps.argmax(0) + 1], 0))
    assert f"the rule without true masks: threshold {rule:g}" in done.stdout
    assert np.asarray(Image.open(user / "out/curve/thresholds.png")).std() > 5
    # the masks of another threshold are not mixed with these
    done = use("pseudo", user, "cams=irn images=images out=out/curve threshold=0.9", expect=1)
    assert f"holds results of threshold={rule}, this is threshold=0.9" in done.stderr


def test_shards_leave_what_one_process_leaves(user):
    arguments = "cams=irn images=images background=two_thresholds crf=irn_labels overlays=true workers=2"
    use("pseudo", user, arguments, "out=out/one")
    for index in (2, 1):
        assert "2 images written" in use("pseudo", user, arguments, f"out=out/two shard={index}/2").stdout
    one, two = (
        {file.relative_to(user / each): file.read_bytes() for file in (user / each).rglob("*.[tp][xn][tg]")}
        for each in ("out/one", "out/two")
    )
    assert one == two and len(one) == 9
    assert "0 images written, 2 were there already" in use("pseudo", user, arguments, "out=out/two shard=1/2").stdout


def test_a_killed_call_leaves_whole_files_and_goes_on(user, tmp_path):
    (tmp_path / "cams").mkdir()
    (tmp_path / "images").mkdir()
    rng = np.random.default_rng(0)
    for number in range(30):
        Image.fromarray(photograph(100, 150, number)).save(tmp_path / "images" / f"{number:02}.png")
        np.save(tmp_path / "cams" / f"{number:02}.npy", {number % 20: rng.random((100, 150)).astype(np.float32)})
    arguments = "cams=cams images=images out=out background=power crf=seam_labels workers=2"
    process = subprocess.Popen(command("pseudo", arguments), cwd=tmp_path, stdout=subprocess.PIPE)
    deadline = time.monotonic() + 200

    def finished():
        return [file for file in (tmp_path / "out/masks").glob("*.png") if not file.name.startswith(".")]

    while len(finished()) < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    there = len(finished())
    assert 3 <= there < 30 and not (tmp_path / "out/train.txt").exists()
    assert all(np.array(Image.open(file)).shape == (100, 150) for file in finished())
    again = use("pseudo", tmp_path, arguments)
    assert f"{30 - there} images written, {there} were there already" in again.stdout
    assert len((tmp_path / "out/train.txt").read_text().splitlines()) == 30


def test_what_cannot_be_used_is_named_and_everything_else_is_written(user, tmp_path):
    (tmp_path / "cams").mkdir()
    np.save(tmp_path / "cams/p0.npy", {0: np.ones(SIZES[0], np.float32)})
    np.save(tmp_path / "cams/p1.npy", {0: np.full(SIZES[1], 7, np.float32)})
    (tmp_path / "cams/p2.npy").write_bytes(b"cut")
    done = use("pseudo", tmp_path, f"cams=cams images={user / 'images'} out=out masks={user / 'truth'}", expect=1)
    said = " ".join(done.stderr.split())
    assert "2 of 3 files could not be used" in said and "p1.npy: it runs from 0 to 7" in said and "p2.npy: it" in said
    assert list(masks(tmp_path / "out")) == ["p0"] and (tmp_path / "out/train.txt").read_text() == "p0\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("background=otsu", "background=otsu: choose one of threshold, power, complement, two_thresholds, given"),
        ("threshold=2", "threshold=2: it is between 0 and 1"),
        ("crf=v2_vgg16 background=two_thresholds", "gives the CRF hard labels: type crf=irn_labels"),
        ("tags=nowhere.txt", "tags=nowhere.txt does not exist: give a text file with a line"),
        ("tags=few.txt", "tags=few.txt does not name 'p1' (3 such in all)"),
        ("masks=images", "masks=images has no NAME.png of any image in irn"),
        ("images=truth/p0.png", "has no image of that name in truth/p0.png (3 such in all)"),
        ("cams=images", "cams=images holds no .npy"),
        ("shard=3/2", "shard=3/2: it is I/N"),
        (
            "confidence=true background=two_thresholds",
            "confidence=true: background=two_thresholds has no probabilities",
        ),
    ],
)
def test_mistakes_are_answered_in_one_sentence(user, arguments, words):
    (user / "few.txt").write_text("p0 0\n")
    given = {
        "cams": "irn",
        "images": "images",
        "out": "out/no",
        **dict(each.split("=", 1) for each in arguments.split()),
    }
    done = use("pseudo", user, *(f"{key}={value}" for key, value in given.items()), expect=1)
    assert words in " ".join(done.stderr.split()), done.stderr
    assert done.stderr.startswith("error: ") and len(done.stderr.strip().splitlines()) == 1


def test_masks_with_confidences_are_made_void_or_refined(user, tmp_path):
    """The masks of `truth` with some void, and confidences that fall off from left to right."""
    given, sure = {}, {}
    for name in ("masks", "confidences"):
        (tmp_path / name).mkdir()
    for file in sorted((user / "truth").glob("*.png")):
        given[file.stem] = np.array(Image.open(file))
        given[file.stem][:5] = 255
        sure[file.stem] = (
            np.linspace(255, 0, given[file.stem].shape[1]).astype(np.uint8)[None].repeat(len(given[file.stem]), 0)
        )
        Image.fromarray(given[file.stem]).save(tmp_path / "masks" / file.name)
        Image.fromarray(sure[file.stem]).save(tmp_path / "confidences" / file.name)
    both = f"background=given cams=masks images={user / 'images'}"
    use("pseudo", tmp_path, f"{both} out=same")
    use("pseudo", tmp_path, f"{both} out=sure confidences=confidences uncertain=0.6")
    use("pseudo", tmp_path, f"{both} out=crf confidences=confidences crf=v2_resnet101")
    use("refine", tmp_path, f"probabilities=masks confidences=confidences images={user / 'images'} out=refined")
    refined = masks(tmp_path / "refined")
    for name, mask in given.items():
        np.testing.assert_array_equal(masks(tmp_path / "same")[name], mask)
        np.testing.assert_array_equal(
            masks(tmp_path / "sure")[name], np.where(sure[name] / np.float32(255) < 0.6, 255, mask)
        )
        np.testing.assert_array_equal(masks(tmp_path / "crf")[name], refined[name])
        assert 255 not in refined[name] and {*np.unique(refined[name])} <= {*np.unique(mask), 0}
    use("pseudo", tmp_path, f"cams=masks images={user / 'images'} out=no", expect=1)


def test_an_audit_leaves_numbers_and_a_page(user):
    use("pseudo", user, "cams=irn images=images out=audited")
    done = use("audit", user, "masks=audited/masks images=images out=report truth=truth tags=tags.txt pictures=3")
    assert "mIoU, void counted as wrong" in done.stdout and "4 masks" in done.stdout
    result = json.loads((user / "report/audit.json").read_text())
    assert result["images"] == result["with_truth"] == 4
    for each in result["per_image"]:
        mask, truth = (np.array(Image.open(user / of / f"{each['id']}.png")) for of in ("audited/masks", "truth"))
        classes = np.union1d(mask, truth)
        ious = [((mask == c) & (truth == c)).sum() / ((mask == c) | (truth == c)).sum() for c in classes]
        assert each["iou"] == pytest.approx(np.mean(ious)) and 0 < each["crf_changes"] < 1
        assert each["missing"] == each["additional"] == []
    page = (user / "report/audit.html").read_text()
    worst = sorted(result["per_image"], key=lambda each: each["iou"])[:3]
    assert re.findall(r"<p><b>(\w+)</b>", page) == [each["id"] for each in worst]
    assert page.count("<img ") == 3 * 4 and not re.search(r"(src|href)=\"(?!data:)", page)
    titles = ("precision, %", "recall, %", "IoU, %", "tagged, without a pixel", "with pixels, not tagged")
    assert all(title in page and title in " ".join(done.stdout.split()) for title in titles)
    about = {"masks": "audited/masks", "images": "images", "truth": "truth", "tags": "tags.txt", "crf": "irn_labels"}
    assert {key: result["of"][key] for key in about} == about
    assert all(value in page for value in about.values()) and time.strftime("%Y-%m-%d") in page
    assert "They are those of the lowest IoU" in page and "to which the CRF irn_labels gives another class" in page
    assert len(page) < 500_000


def test_an_audit_without_truth_and_of_some_masks(user, tmp_path):
    write_voc(tmp_path / "voc")
    arguments = f"masks={tmp_path}/voc/SegmentationClass images={tmp_path}/voc/JPEGImages out=plain crf=none"
    done = use("audit", user, arguments, "sample=2")
    result = json.loads((user / "plain/audit.json").read_text())
    assert [each["id"] for each in result["per_image"]] == ["picture_0", "picture_1"] and "void: " in done.stdout
    page = (user / "plain/audit.html").read_text()
    assert result["miou"] is None and result["void"] > 0 and "<img " not in page
    assert "the CRF" not in page and "lowest IoU" not in page


def test_an_audit_that_can_use_no_mask_leaves_the_one_before(user, tmp_path):
    (tmp_path / "masks").mkdir()
    for number in range(14):
        Image.fromarray(photograph(40, 56, number)).save(tmp_path / f"{number}.png")
        Image.fromarray(np.zeros((40, 56), np.uint8)).save(tmp_path / "masks" / f"{number}.png")
    arguments = f"masks=masks images={tmp_path}/*.png out=report crf=none"
    use("audit", tmp_path, arguments)
    before = {file: file.read_bytes() for file in (tmp_path / "report").iterdir()}
    assert len(before) == 2
    for number in range(14):
        Image.fromarray(np.zeros((40, 50 + number), np.uint8)).save(tmp_path / "masks" / f"{number}.png")
    Image.fromarray(np.zeros((40, 57), np.uint8)).save(tmp_path / "masks/6.png")
    done = use("audit", tmp_path, arguments, expect=1)
    assert (
        done.stdout == "looking at masks\n"
        and "none of them can be used" in done.stderr
        and "masks are as large" in done.stderr
    )
    assert "of 14 files 10 were looked at" in done.stderr and len(done.stderr) < 300
    assert {file: file.read_bytes() for file in (tmp_path / "report").iterdir()} == before
    Image.fromarray(np.zeros((40, 56), np.uint8)).save(tmp_path / "masks/0.png")
    done = use("audit", tmp_path, arguments, expect=1)
    assert "1 masks" in done.stdout and "13 of 14 files could not be used" in done.stderr
    assert len((tmp_path / "report/unusable.txt").read_text().splitlines()) == 13


def test_an_audit_of_masks_in_colours(user, tmp_path):
    (tmp_path / "list.txt").write_text("background 0 0 0\nroad 128 64 128\n")
    (tmp_path / "masks").mkdir()
    mask = np.zeros((*SIZES[0], 3), np.uint8)
    mask[:10] = 128, 64, 128
    Image.fromarray(mask).save(tmp_path / "masks/p0.png")
    arguments = f"masks=masks images={user}/images out=out crf=none"
    done = use("audit", tmp_path, arguments, expect=1)
    assert "masks of colours need a class list" in done.stderr and " classes=FILE" in done.stderr
    use("audit", tmp_path, arguments, "classes=list.txt")
    result = json.loads((tmp_path / "out/audit.json").read_text())
    assert result["classes"]["road"]["pixels"] == pytest.approx(0.25)
    mask[0] = 1, 2, 3
    Image.fromarray(mask).save(tmp_path / "masks/p0.png")
    done = use("audit", tmp_path, arguments, "classes=list.txt", expect=1)
    assert "to the class list" in done.stderr and "data.classes" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("masks=nowhere", "masks=nowhere is not a folder"),
        ("masks=images", "masks=images holds no NAME.png"),
        ("masks=above", "masks=above holds masks/: type masks=above/masks."),
        ("truth=above", "truth=above holds masks/: type truth=above/masks."),
        ("truth=images", "truth=images holds no NAME.png"),
        ("crf=v2_vgg16", "masks are hard labels, of which the CRF needs to know how certain they are"),
        ("sample=0", "sample=0: it is at least 1"),
        ("pictures=1000", "pictures=1000: 0 to 200"),
        ("classes=two.txt crf=none", "p1.png has the class 15, and there are 2 classes: give classes=FILE"),
        ("tags=few.txt", "tags=few.txt does not name 'p1'"),
    ],
)
def test_mistakes_of_an_audit_are_answered_in_one_sentence(user, arguments, words):
    (user / "few.txt").write_text("p0 0\n")
    (user / "two.txt").write_text("background\naeroplane\n")
    (user / "above").mkdir(exist_ok=True)
    if not (user / "above/masks").exists():
        (user / "above/masks").symlink_to(user / "truth")
    given = "" if arguments.startswith("masks") else "masks=truth"
    done = use("audit", user, f"{given} images=images out=no {arguments}", expect=1)
    assert words in " ".join(done.stderr.split()), done.stderr
    assert done.stderr.startswith("error: ") and len(done.stderr.strip().splitlines()) == 1
