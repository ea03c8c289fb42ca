"""The printed summary of a training's costs."""

from deeplab_lit.training.summary import summary
from tests.composing import config_of


def test_the_printed_numbers_are_those_of_the_result_and_none_is_nothing(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    found = summary(config_of("model=aspp_l", "backbone=resnet18", config_name="summary"))
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 80 and "0.0 MiB" not in text
    assert found["parts"]["head"]["activations"] == 0 and "activations of the head" not in text
    whole = " ".join(text.split())
    assert f"field of view: {found['field_of_view']} pixels; {found['head_field_of_view']} as table 1" in whole
    assert f"holds {found['memory']['total'] / 2**20:.1f} MiB" in whole
