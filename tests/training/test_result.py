"""result.json as a schema."""

import json

import pytest

from deeplab_lit.training.result import Result
from deeplab_lit.utils.errors import UserError

SCORES = {"miou": 0.5, "per_class_iou": {"sky": 0.5, "road": None}, "pixel_accuracy": 0.6, "mean_accuracy": 0.7}


def test_it_comes_back_as_it_was_written_without_what_a_run_does_not_have(tmp_path):
    result = Result(**SCORES, steps=3, crf={"miou": 0.55})
    result.write(tmp_path / "result.json")
    assert json.loads((tmp_path / "result.json").read_text()) == {**SCORES, "steps": 3, "crf": {"miou": 0.55}}
    assert Result.read(tmp_path / "result.json") == result and result.crf_miou == 0.55
    assert Result(**SCORES).crf_miou is None


def test_keys_of_other_versions_are_left_out(tmp_path):
    (tmp_path / "result.json").write_text(json.dumps({**SCORES, "from": "elsewhere"}))
    assert Result.read(tmp_path / "result.json") == Result(**SCORES)


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"miou": 0.5}'])
def test_what_is_no_result_is_named(tmp_path, content):
    (tmp_path / "result.json").write_text(content)
    with pytest.raises(UserError, match=r"result\.json cannot be read"):
        Result.read(tmp_path / "result.json")
