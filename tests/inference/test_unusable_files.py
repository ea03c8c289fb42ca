"""Files that could not be used: by their reasons, before anything is written and at the end."""

import pytest

from deeplab_lit.data.score_files import Contradiction, WrongForm
from deeplab_lit.inference.unusable_files import Fault, look_at_first, refuse
from deeplab_lit.utils.errors import UserError


def told(call, *arguments):
    with pytest.raises(UserError) as raised:
        call(*arguments)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_one_sentence_for_a_reason():
    runs = [Fault(f"p{i}", f"cams/p{i}.npy: it runs from {-1 - i / 7:.3g} to {i}: too high.") for i in range(20)]
    sizes = [Fault(f"q{i}", f"cams/q{i}.npy: it is ({i}, 3, 4) for an image of (30, {i}): cut.") for i in range(7)]
    other = [Fault("z", "cams/z.npy: it is cut.")]
    assert told(refuse, sizes + runs + other, 100) == (
        "28 of 100 files could not be used: cams/p0.npy: it runs from -1 to 0: too high. (20 such) | cams/q0.npy: it "
        "is (0, 3, 4) for an image of (30, 0): cut. (7 such) | cams/z.npy: it is cut."
    )
    assert told(refuse, runs, 20).startswith("none of the 20 files can be used: cams/p0.npy: it runs")
    assert told(refuse, other, 1) == "the file cannot be used: cams/z.npy: it is cut."
    refuse([], 20)


def test_the_name_of_the_file_makes_no_reason_of_its_own():
    """Nor do lists of classes, and the paths of its image and its true mask."""
    faults = [
        Fault("cat", "/a b/cat.npy: it has maps of the classes [1, 5, 7], and the tags are [2]: a cat."),
        Fault("dog", "/a b/dog.npy: it has maps of the classes [3], and the tags are [2, 4]: a cat."),
        Fault("sub/dog", "/a b/sub/dog.npy: it has maps of the classes [3], and the tags are [2, 4]: a cat."),
    ]
    assert told(refuse, faults, 3).endswith("a cat. (3 such)")
    assert told(refuse, [Fault("a", "a.npy: cut."), Fault("b", "b.npy: turned.")], 2).endswith(
        "a.npy: cut. | b.npy: turned."
    )


def test_many_reasons(tmp_path):
    faults = [Fault(name, f"{name}.npy: {name * 3}.") for name in "abcde"]
    file = tmp_path / "unusable.txt"
    assert told(refuse, faults, 9, file).endswith(f"| c.npy: ccc. | 2 others. All are listed in {file}.")
    assert file.read_text().splitlines() == [each.text for each in faults]
    told(refuse, faults[:3], 9, file)
    assert not file.exists()  # the message names them


def test_some_are_looked_at_before_anything_is_written(tmp_path):
    files, seen = {f"{i}": tmp_path / f"{i}.npy" for i in range(100)}, []

    def reads(fault=None, bad=()):
        def read(name):
            seen.append(name)
            if name in bad:
                raise fault
            return name

        return read

    every_tenth = [f"{i}" for i in range(0, 100, 10)]
    assert look_at_first(files, reads()) == seen == every_tenth
    # what can be used is used
    assert look_at_first(files, reads(UserError("it is cut."), every_tenth[:-1])) == ["90"]
    assert told(look_at_first, files, reads(UserError("it is cut."), files)) == (
        f"of 100 files 10 were looked at, and none of them can be used: {tmp_path}/0.npy: it is cut. (10 such) Nothing "
        "was written."
    )
    few = {"0": files["0"]}
    assert told(look_at_first, few, reads(UserError("it is cut."), files)).startswith("the file cannot be used: ")
    # a key that is wrong for the first file is most likely wrong for all
    assert len(look_at_first(files, reads(WrongForm("type values=logits."), ["20"]))) == 9
    one = told(look_at_first, files, reads(WrongForm("type values=logits."), ["0"]))
    assert one == f"{tmp_path}/0.npy: type values=logits. Nothing was written."
    # one that other files may fit by chance is wrong
    one = told(look_at_first, files, reads(Contradiction("type zero_is=background."), ["20"]))
    assert one == f"{tmp_path}/20.npy: type zero_is=background. Nothing was written."
