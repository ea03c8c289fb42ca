"""Label Studio's brush codes."""

import time

import numpy as np
import pytest

from deeplab_lit.data.brush_codes import Brush, decoded
from deeplab_lit.utils.errors import UserError
from tests.data.exports import blocks, brush_code, brush_of

# from the tests of Label Studio's converter (tests/test_brush.py of HumanSignal/label-studio-converter)
WORDS = [1, 1, 1, 1, 2, 3, 5, 6, 7, 8, 4, 4, 4, 4, 4, 4, 4, 4]
CODE = [0, 0, 0, 18, 57, 27, 252, 96, 32, 1, 0, 6, 0, 40, 0, 192, 3, 128, 17, 56, 32]


def test_a_code_of_label_studio():
    assert decoded(CODE, 18, "it").tolist() == WORDS
    assert brush_code(np.array(WORDS, np.uint8)) == CODE


def literals(words):
    """A code with all words in one run of different words."""
    bits = f"{len(words):032b}{7:05b}" + f"{15:04b}" * 4 + f"011{len(words) - 1:016b}"
    bits += "".join(f"{word:08b}" for word in words)
    bits += "0" * (-len(bits) % 8)
    return [int(bits[i : i + 8], 2) for i in range(0, len(bits), 8)]


def test_words_that_do_not_repeat():
    words = np.random.default_rng(0).integers(0, 256, 1001)
    assert decoded(literals(words.tolist()), 1001, "it").tolist() == words.tolist()


@pytest.mark.parametrize("lengths", [(3, 4, 8, 16), (1, 2, 3, 4)])
def test_repeated_words(lengths):
    words = np.random.default_rng(0).integers(0, 3, 3000).repeat(7).astype(np.uint8)
    assert (decoded(brush_code(words, lengths), len(words), "it") == words).all()


def test_a_stroke_covers_what_is_at_least_half_opaque():
    inside = blocks(0) == 2
    np.testing.assert_array_equal(Brush(brush_of(inside)).pixels(24, 32, "it"), inside)
    alpha = np.array([[0, 127, 128, 255]], np.uint8)
    assert Brush(brush_code(alpha.repeat(4))).pixels(1, 4, "it").tolist() == [[False, False, True, True]]


def test_a_large_stroke_is_read_in_little_time():
    columns, rows = np.mgrid[:1200, :1600]
    code = brush_of((columns - 600) ** 2 + (rows - 800) ** 2 < 500**2)
    start = time.process_time()
    Brush(code).pixels(1200, 1600, "it")
    assert time.process_time() - start < 1


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (None, "no list of bytes"),
        ([0, 256], "no list of bytes"),
        ([0, 1.0], "no list of bytes"),
        ([0, 0, 0, 4], "of another size"),
        (brush_code(np.zeros(20, np.uint8)), "of another size"),
        (brush_code(np.arange(16, dtype=np.uint8))[:-3], "cut short or damaged"),
        ([0, 0, 0, 16, 248, *brush_code(np.zeros(16, np.uint8))[5:]], "whose words are not bytes"),
    ],
)
def test_what_is_no_code(code, words):
    with pytest.raises(UserError, match=rf"it, whose image is 2x2, has a brush code.*{words}"):
        Brush(code).pixels(2, 2, "it")
