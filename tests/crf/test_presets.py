"""The published parameters, and presets of one's own."""

import sys

import pytest

from deeplab_lit.crf import DenseCRF, preset
from deeplab_lit.crf.presets import build_crf
from deeplab_lit.utils.errors import UserError
from tests.composing import compose, config_of


@pytest.mark.parametrize(
    ("name", "published"),
    # w1, sigma_alpha, sigma_beta, w2, sigma_gamma of the released models
    [("v1_largefov", (4, 121, 5, 3, 3)), ("v2_vgg16", (4, 65, 3, 2, 2)), ("v2_resnet101", (4, 67, 3, 3, 1))],
)
def test_presets_hold_the_published_numbers(name, published):
    crf = preset(name)
    names = ("bilateral_weight", "bilateral_xy_std", "bilateral_rgb_std", "gaussian_weight", "gaussian_xy_std")
    found = tuple(getattr(crf, each) for each in names)
    assert found == published and crf.iterations == 10
    # the authors' code normalises after filtering
    assert crf.normalization == "after" and crf.engine == "permutohedral" and crf.prune_threshold == 0.01
    cfg = compose(f"crf={name}")
    assert cfg.crf.bilateral_weight == published[0] and cfg.crf.normalization == "after"
    assert compose(f"crf={name}", "parity.crf_normalization=symmetric").crf.normalization == "symmetric"


@pytest.mark.parametrize(
    ("name", "numbers"),
    # w1, sigma_alpha, sigma_beta, w2, sigma_gamma, iterations, as public code bases type them
    [
        ("kazuto", (4, 67, 3, 3, 1, 10)), ("clip_es_labels", (4, 67, 3, 3, 1, 10)),
        ("irn_labels", (10, 50, 5, 3, 3, 10)), ("seam_labels", (10, 80, 13, 3, 3, 10)),
        ("seam", (10, 32, 13, 3, 3, 1)), ("mctformer", (3, 83, 5, 3, 4, 10)),
        ("afa", (4, 64, 5, 3, 3, 10)), ("toco_labels", (4, 36, 3, 3, 3, 10)), ("toco", (4, 121, 5, 1, 1, 10)),
    ],
)  # fmt: skip
def test_presets_of_code_bases(name, numbers):
    """They call pydensecrf with its default normalisation, whatever the parity with Caffe says."""
    for crf in (preset(name), build_crf(config_of(f"crf={name}", "parity=caffe").crf)):
        found = (crf.bilateral_weight, crf.bilateral_xy_std, crf.bilateral_rgb_std, crf.gaussian_weight,
                 crf.gaussian_xy_std, crf.iterations)  # fmt: skip
        assert found == numbers and crf.normalization == "symmetric"
        assert crf.certainty == (0.7 if name == "irn_labels" else None)
        assert crf.image == ("mean_subtracted_bgr" if name == "kazuto" else "rgb")


def test_a_preset_prints_its_numbers():
    text = repr(preset("v2_resnet101"))
    assert text.startswith("DenseCRF(bilateral_weight=4") and "bilateral_xy_std=67" in text and "'after'" in text
    assert vars(eval(text, {"DenseCRF": DenseCRF})) == vars(preset("v2_resnet101"))


def test_none_is_none():
    assert preset("none") is None


def test_a_file_of_ones_own(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text(
        "bilateral_weight: 5\nbilateral_xy_std: 50\nbilateral_rgb_std: 4\ngaussian_weight: 1\ngaussian_xy_std: 2\n"
        "normalization: before\nengine: torch\n"
    )
    crf = preset(str(file))
    assert isinstance(crf, DenseCRF) and crf.bilateral_xy_std == 50 and crf.normalization == "before"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("bilateral_weight: heavy\n", "is no preset of the CRF"),
        ("bilateral_wieght: 4\n", "is no preset of the CRF"),
        ("- 1\n", "is no preset of the CRF"),
    ],
)
def test_files_that_are_none(tmp_path, text, words):
    file = tmp_path / "mine.yaml"
    file.write_text(text)
    with pytest.raises(UserError, match=words):
        preset(str(file))


def test_unknown_names():
    with pytest.raises(UserError, match="Did you mean 'v2_vgg16'"):
        preset("v2_vgg")


def test_an_engine_that_is_not_installed_is_answered_before_it_is_used(monkeypatch):
    monkeypatch.setitem(sys.modules, "pydensecrf", None)
    with pytest.raises(UserError, match="crf.engine=pydensecrf needs pydensecrf2"):
        build_crf(config_of("crf=v2_vgg16", "crf.engine=pydensecrf").crf)
    assert build_crf(config_of("crf=v2_vgg16").crf) is not None
