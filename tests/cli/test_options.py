"""Options stand anywhere among the keys, and unknown ones are answered in one sentence."""

import pytest

from deeplab_lit.cli.options import options_last
from deeplab_lit.utils.errors import UserError


@pytest.mark.parametrize(
    ("typed", "parsed"),
    [
        ("a=1 -m b=2", "a=1 b=2 -m"),
        ("--config-dir here a=1 --cfg job b=-2", "a=1 b=-2 --config-dir here --cfg job"),
        ("--multi a=1,2 --config-name=mine", "a=1,2 --multi --config-name=mine"),
        ("-cjob a=1", "a=1 -cjob"),
        ("~a +b=1 -c hydra", "~a +b=1 -c hydra"),
    ],
)
def test_keys_come_first(typed, parsed):
    assert options_last(typed.split()) == parsed.split()


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("--hlep", "--hlep is no option. Did you mean '--help'?"),
        ("-help", "Did you mean '--help'?"),
        ("-H a=1", "Did you mean '--help'?"),
        ("a=1 --mulitrun", "Did you mean '--multirun'?"),
        ("--config-fir x", "Did you mean '--config-dir'?"),
        ("--lr=3", "--lr=3 is no option."),
        ("--cfg jobs", "--cfg takes job"),
        ("--cfg", "--cfg takes job"),
    ],
)
def test_unknown_options(typed, words):
    with pytest.raises(UserError) as caught:
        options_last(typed.split())
    assert words in str(caught.value)
