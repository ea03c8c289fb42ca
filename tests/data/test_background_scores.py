"""Background scores: the formulas of the code bases, and which threshold makes the masks of an exponent."""

import numpy as np
import pytest

from deeplab_lit.config.command_schemas import PseudoConfig
from deeplab_lit.config.schemas import CRFConfig, DenseCRFConfig
from deeplab_lit.data.background_scores import alpha_of, background_method, check_pseudo, threshold_of
from deeplab_lit.utils.errors import UserError

M = np.linspace(0, 1, 101, dtype=np.float32).reshape(1, -1)
IRN = {
    "bilateral_weight": 10, "bilateral_xy_std": 50, "bilateral_rgb_std": 5, "gaussian_weight": 3, "gaussian_xy_std": 3,
}  # fmt: skip


def config(**given):
    return PseudoConfig(**{"cams": "a", "images": "b", "out": "c", "crf": CRFConfig(), **given})


def test_each_method_has_the_formula_of_its_code_base():
    np.testing.assert_array_equal(background_method(config()).score(M), np.full((1, 101), 0.25, np.float32))
    np.testing.assert_allclose(background_method(config(background="power")).score(M), (1 - M) ** 4, rtol=1e-5)
    np.testing.assert_allclose(
        background_method(config(background="power", alpha=24)).score(M), (1 - M) ** 24, rtol=1e-4
    )
    np.testing.assert_allclose(background_method(config(background="complement")).score(M), 1 - M)
    two = background_method(config(background="two_thresholds", background_threshold=0.1))
    assert two.values == {"foreground_threshold": 0.30, "background_threshold": 0.1}
    assert sorted(two.thresholds()) == [0.1, 0.3] and background_method(config(threshold="auto")).thresholds() == []


@pytest.mark.parametrize("alpha", [0.5, 1, 4, 24])
def test_an_exponent_makes_the_masks_of_a_threshold(alpha):
    method = background_method(config(background="power", alpha=alpha))
    (threshold,) = method.thresholds()
    m = np.random.default_rng(0).random(10_000).astype(np.float32)
    np.testing.assert_array_equal(m > method.score(m), m > threshold)
    assert threshold_of(alpha) == pytest.approx(threshold) and alpha_of(threshold) == pytest.approx(alpha)
    assert threshold_of(1) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"background": "treshold"}, "background=treshold: choose one of .* Did you mean 'threshold'"),
        ({"threshold": 0}, "threshold=0: it is between 0 and 1, .*, or auto"),
        ({"threshold": "otsu"}, "threshold=otsu: it is between 0 and 1"),
        ({"threshold": True}, "threshold=True"),
        (
            {"alpha": 4},
            "alpha=4 belongs to background=power, and this is background=threshold: leave it out, or type",
        ),
        ({"background": "power", "alpha": -1}, "alpha=-1: it is a number above 0"),
        ({"background": "power", "threshold": "auto"}, "threshold=auto belongs to background=threshold"),
        ({"background": "two_thresholds", "background_threshold": 0.3}, "the first is the higher one"),
        ({"background": "two_thresholds", "uncertain": 0.9}, "uncertain=0.9: background=two_thresholds has no"),
        (
            {"background": "two_thresholds", "crf": DenseCRFConfig(**IRN, normalization="symmetric")},
            "gives the CRF hard labels: type crf=irn_labels",
        ),
        ({"uncertain": 1.5}, "uncertain=1.5: it is a probability"),
        ({"values": "logits"}, "values=logits belongs to background=given"),
        ({"background": "given", "masks": "x"}, "background=given has none"),
        ({"zero_is": "bg"}, "zero_is=bg: choose background or foreground"),
    ],
)
def test_what_does_not_go_together_is_refused(given, words):
    with pytest.raises(UserError, match=words) as raised:
        check_pseudo(config(**given))
    assert "\n" not in str(raised.value)
