"""The command refine on files of other code bases: what it makes of each form, and what it says of a wrong key."""

import numpy as np
import pytest
from PIL import Image

from deeplab_lit.crf import preset
from tests.crf.test_dense import coarse_probabilities, photograph
from tests.end_to_end.running import use

NAMES = {"a": (40, 56), "b": (48, 33)}
PRESENT = [0, 5, 15]


@pytest.fixture(scope="module")
def user(tmp_path_factory):
    """Two photographs, and distributions of three of VOC's classes on them in several forms."""
    folder = tmp_path_factory.mktemp("user")
    for form in ("photos", "logits", "dicts", "keys", "cams"):
        (folder / form).mkdir()
    for number, (name, size) in enumerate(NAMES.items()):
        image = photograph(*size, number)
        maps = coarse_probabilities(image, 3)
        whole = np.full((21, *size), 1e-9, np.float32)
        whole[PRESENT] = maps
        Image.fromarray(image).save(folder / "photos" / f"{name}.png")
        for form, content in {
            "logits": {"msc_seg": np.log(whole)[None]},
            "dicts": dict(zip(PRESENT, maps, strict=True)),
            "keys": {"keys": np.array(PRESENT), "high_res": maps},
            "cams": {4: maps[1], 14: maps[2]},
        }.items():
            np.save(folder / form / f"{name}.npy", content, allow_pickle=True)
    return folder


@pytest.mark.parametrize(
    ("form", "keys"), [("logits", "values=logits"), ("dicts", "zero_is=background"), ("keys", "zero_is=background")]
)
def test_masks_are_those_of_the_crf(user, form, keys):
    done = use("refine", user, f"images=photos probabilities={form} out=of_{form} {keys} workers=1")
    assert "2 images written" in done.stdout
    assert (user / f"of_{form}/train.txt").read_text() == "a\nb\n"
    for number, (name, size) in enumerate(NAMES.items()):
        image = photograph(*size, number)
        expected = np.array(PRESENT)[preset("v2_resnet101").labels(image, coarse_probabilities(image, 3))]
        found = np.array(Image.open(user / f"of_{form}" / "masks" / f"{name}.png"))
        assert (found == expected).mean() > 0.995


@pytest.mark.parametrize(
    ("form", "keys", "words"),
    [
        ("logits", "", "so it holds no probabilities: type values=logits"),
        ("dicts", "", "type zero_is=background if 0 is the background"),
        ("cams", "", "there is no background: make masks with the command pseudo."),
        (
            "cams",
            "zero_is=foreground",
            "without a background: make masks of it with the command pseudo, background=threshold.",
        ),
        ("dicts", "zero_is=background save_probabilities=true", "type classes=FILE, one class name a line."),
        ("logits", "values=logits crf=none", "choose one of afa, clip_es_labels, irn_labels, kazuto, mctformer, seam"),
        ("dicts", "values=scores", "values=scores: choose probabilities or logits."),
    ],
)
def test_a_wrong_key_is_told_once_before_anything_is_written(user, form, keys, words):
    done = use("refine", user, f"images=photos probabilities={form} out=none {keys}", expect=1)
    said = " ".join(done.stderr.split())
    assert said.endswith(words) or words in said
    assert said.count("error:") == 1 and "b.npy" not in said and not (user / "none").exists()


def test_one_file_of_another_form_leaves_the_others(user):
    (user / "mixed").mkdir()
    for name, form in (("a", "logits"), ("b", "cams")):
        (user / "mixed" / f"{name}.npy").write_bytes((user / form / f"{name}.npy").read_bytes())
    done = use("refine", user, "images=photos probabilities=mixed out=some values=logits workers=1", expect=1)
    assert "1 images written" in done.stdout and "mixed/b.npy: its maps have class indices" in done.stderr
