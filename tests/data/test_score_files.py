"""Score files as code bases of weak supervision write them: which class each map is of."""

import pickle

import numpy as np
import pytest
import torch

from deeplab_lit.config.command_schemas import ScoreFilesConfig
from deeplab_lit.data.score_files import check_form, find_scores, read_scores
from deeplab_lit.utils.errors import UserError

SIZE = (40, 56)
RNG = np.random.default_rng(0)
MAPS = RNG.random((2, *SIZE)).astype(np.float32)
SMALL = RNG.random((2, 10, 14)).astype(np.float32)
ALL = RNG.random((21, *SIZE)).astype(np.float32)
FOREGROUND = {"zero_is": "foreground"}


def read(folder, content, name="a.npy", size=SIZE, **form):
    np.save(folder / name, content, allow_pickle=True)
    return read_scores(folder / name, size, ScoreFilesConfig(**form))


def test_irn(tmp_path):
    content = {"keys": torch.tensor([4, 14]), "cam": torch.from_numpy(SMALL), "high_res": MAPS}
    found = read(tmp_path, content, **FOREGROUND)
    assert found.classes == (5, 15) and found.indexed and found.maps.dtype == np.float32
    np.testing.assert_array_equal(found.maps, MAPS)
    found = read(tmp_path, content, array="cam", **FOREGROUND)
    assert found.classes == (5, 15)
    np.testing.assert_array_equal(found.maps, SMALL)
    # after IRN's own padding, the indices include the background
    padded = {"keys": np.array([0, 5, 15]), "high_res": np.concatenate([MAPS[:1], MAPS])}
    assert read(tmp_path, padded, zero_is="background").classes == (0, 5, 15)


def test_clip_es(tmp_path):
    content = {"keys": np.array([4, 14]), "attn_highres": MAPS.astype(np.float16)}
    found = read(tmp_path, content, **FOREGROUND)
    assert found.classes == (5, 15)
    np.testing.assert_array_equal(found.maps, MAPS.astype(np.float16))


@pytest.mark.parametrize("kind", [">f4", ">f8", "<f2"])
def test_byte_orders(tmp_path, kind):
    """Arrays keep the byte order of the machine that wrote them."""
    np.testing.assert_array_equal(read(tmp_path, MAPS.astype(kind)).maps, MAPS.astype(kind).astype(np.float32))


def test_seam_and_mctformer(tmp_path):
    found = read(tmp_path, {4: MAPS[0], 14: MAPS[1]}, **FOREGROUND)
    assert found.classes == (5, 15)
    np.testing.assert_array_equal(found.maps, MAPS)
    assert read(tmp_path, {0: MAPS[0], 5: MAPS[1]}, zero_is="background").classes == (0, 5)
    nothing = read(tmp_path, {}, **FOREGROUND)
    assert nothing.classes == () and len(nothing.maps) == 0
    assert read(tmp_path, {"keys": np.zeros(0, int), "high_res": MAPS[:0]}, **FOREGROUND).classes == ()


def test_logits_of_segmentation_stages(tmp_path):
    for name in ("msc_seg", "segs"):
        found = read(tmp_path, {name: ALL[None]})
        assert found.classes == tuple(range(21)) and not found.indexed
        np.testing.assert_array_equal(found.maps, ALL)
    both = {"segs": ALL[None], "msc_segs": ALL[None] * 2}
    np.testing.assert_array_equal(read(tmp_path, both).maps, ALL * 2)
    np.testing.assert_array_equal(read(tmp_path, both, array="segs").maps, ALL)
    # classes of the foreground alone
    assert read(tmp_path, ALL[1:], **FOREGROUND).classes == tuple(range(1, 21))


def test_names_in_other_files(tmp_path):
    np.savez(tmp_path / "a.npz", keys=[4, 14], cam=SMALL)
    (tmp_path / "b.pkl").write_bytes(pickle.dumps({"keys": [4, 14], "cam": SMALL}))
    torch.save({"keys": torch.tensor([4, 14]), "cam": torch.from_numpy(SMALL)}, tmp_path / "c.pth")
    for name in ("a.npz", "b.pkl", "c.pth"):
        found = read_scores(tmp_path / name, SIZE, ScoreFilesConfig(zero_is="foreground"))
        assert found.classes == (5, 15), name
        np.testing.assert_array_equal(found.maps, SMALL)
    assert list(find_scores(str(tmp_path))) == ["a", "b", "c"]


def test_bytes_stand_for_0_to_1(tmp_path):
    found = read(tmp_path, np.full((21, *SIZE), 51, np.uint8))
    np.testing.assert_allclose(found.maps, 0.2, rtol=1e-6)


@pytest.mark.parametrize("step", [2, 4, 8, 16, 32, 0.5, 0.4])
@pytest.mark.parametrize("size", [(375, 500), (333, 500), (500, 281), (97, 97), (1, 3)])
def test_maps_of_the_whole_image_at_any_resolution(tmp_path, step, size):
    for rounded in (np.floor, np.ceil, lambda side: np.floor((side * step - 1) / step) + 1):
        h, w = (max(1, int(rounded(side / step))) for side in size)
        assert read(tmp_path, np.zeros((2, h, w), np.float16), size=size).maps.shape == (2, h, w)


@pytest.mark.parametrize("shape", [(2, 65, 65), (2, 63, 47), (2, 47, 47), (47, 63, 2), (2, 513, 513), (2, 0, 0)])
def test_maps_of_another_aspect_ratio_are_refused(tmp_path, shape):
    """Such as those of padded images, turned ones, and maps with the classes last."""
    with pytest.raises(UserError, match=r"for an image of \(375, 500\).*aspect ratio; cut off what was padded"):
        read(tmp_path, np.zeros(shape, np.float16), size=(375, 500))


@pytest.mark.parametrize(
    ("content", "form", "words"),
    [
        (
            {4: MAPS[0]},
            {},
            "type zero_is=background if 0 is the background.* IRN.*: make masks with the command pseudo",
        ),
        ({"keys": [4], "cam": MAPS[:1]}, {}, "type zero_is=background if 0 is the background"),
        ({"keys": [4], "cam": MAPS}, FOREGROUND, "it has 2 maps for 1 class indices"),
        ({"keys": [4, 4], "cam": MAPS}, FOREGROUND, r"two maps of one class \(indices 4, 4\)"),
        ({"keys": [-1, 4], "cam": MAPS}, {"zero_is": "background"}, "classes from -1 to 4: they are numbered from 0"),
        ({"keys": [254, 4], "cam": MAPS}, FOREGROUND, "classes from 5 to 255: they are numbered from 0 to 254"),
        ({"keys": "cat", "cam": MAPS}, FOREGROUND, "its keys are no list of whole numbers"),
        ({"keys": ["cat", "dog"], "cam": MAPS}, FOREGROUND, "its keys are no list of whole numbers"),
        ({"keys": [0.5, float("nan")], "cam": MAPS}, FOREGROUND, "its keys are no list of whole numbers"),
        ({4: MAPS[0], 5: SMALL[0]}, FOREGROUND, "a dict from numbers to what are not maps of one size"),
        ({4: MAPS[0], 5: MAPS[0].astype(np.uint8)}, FOREGROUND, "a dict from numbers to what are not maps of one size"),
        ({4: 5}, FOREGROUND, "a dict from numbers to what are not maps of one size"),
        (dict.fromkeys(range(3000), MAPS[0]), FOREGROUND, "it has 26880000 bytes, more than its image can need"),
        ({"keys": np.zeros(300, int), "cam": MAPS}, FOREGROUND, "its keys are no list of whole numbers"),
        ({"scores": MAPS}, {}, "it holds scores: say which of them is the array of scores, array=NAME"),
        ({"segs": ALL}, {"array": "seg"}, "it holds segs, not array=seg. Did you mean 'segs'"),
        ({"cam": [1, 2]}, {}, "it is a list: give"),
        ([1, 2], {}, r"it is int64 \(2,\): give"),
        (MAPS[0], {}, r"it is float32 \(40, 56\): give .*; one map alone is array\[None\], of shape \(1, 40, 56\)\."),
        (np.full((2, *SIZE), 1e300), {}, "it holds NaN or infinity.*: .*a map of zeros divided by its maximum"),
    ],
)
def test_what_is_not_clear_is_asked(tmp_path, content, form, words):
    with pytest.raises(UserError, match=words) as caught:
        read(tmp_path, content, **form)
    assert "\n" not in str(caught.value)


def test_the_keys_have_few_values():
    check_form(ScoreFilesConfig())
    check_form(ScoreFilesConfig(values="logits", zero_is="background"))
    with pytest.raises(UserError, match="values=logit: choose probabilities or logits. Did you mean 'logits'"):
        check_form(ScoreFilesConfig(values="logit"))
    with pytest.raises(UserError, match="zero_is=cat: choose background or foreground"):
        check_form(ScoreFilesConfig(zero_is="cat"))


def test_folders_of_score_files(tmp_path):
    with pytest.raises(UserError, match="scores=.*nowhere is not a folder"):
        find_scores(str(tmp_path / "nowhere"), "scores")
    with pytest.raises(UserError, match=r"holds no \.npy, \.npz, \.pkl, \.pth, \.pt or \.png file"):
        find_scores(str(tmp_path))
    (tmp_path / "sub").mkdir()
    for name in ("b.npy", "sub/b.npz", ".b-x.npz"):
        (tmp_path / name).touch()
    assert find_scores(str(tmp_path)) == {"b": tmp_path / "b.npy", "sub/b": tmp_path / "sub/b.npz"}
    (tmp_path / "b.pkl").touch()
    with pytest.raises(UserError, match=r"b\.npy and .*b\.pkl are both"):
        find_scores(str(tmp_path))
