"""Parts of an evaluation on disk: read as they were written, kept until what is made of them is there."""

import numpy as np
import pytest

from deeplab_lit.data.split import Example
from deeplab_lit.inference.evaluation_parts import Part, Parts
from deeplab_lit.inference.scoring import Evaluation, ImageResult
from deeplab_lit.utils.shards import Shard


def part(seed, images=3, seconds=1.5):
    rng = np.random.default_rng(seed)
    found = Evaluation.empty(2, 4, 3)
    found.matrices = [rng.integers(0, 2**40, (4, 4)) for _ in range(2)]
    for trimap in found.trimaps:
        trimap.rings = rng.integers(0, 99, (3, 4, 4))
    found.images = [(f"a/{seed}-{number}", (rng.random(), float("nan"))) for number in range(images)]
    for id, _ in found.images[:2]:
        image, labels = rng.integers(0, 256, (5, 6, 3), np.uint8), rng.integers(0, 4, (3, 5, 6), np.uint8)
        found.helped.append(ImageResult(Example(image, labels[0], id), (labels[1], labels[2]), (0.1, rng.random())))
    return Part(found, seconds, f"cuda:{seed}")


def parts(folder, index, count=2, deciding="crf"):
    return Parts(folder, {"crf": deciding}, Shard(index, count))


def same(one, two):
    np.testing.assert_equal(one.evaluation.images, two.evaluation.images)
    np.testing.assert_array_equal(one.evaluation.matrices, two.evaluation.matrices)
    for ours, theirs in zip(one.evaluation.trimaps, two.evaluation.trimaps, strict=True):
        np.testing.assert_array_equal(ours.rings, theirs.rings)
    for ours, theirs in zip(one.evaluation.helped, two.evaluation.helped, strict=True):
        assert ours.example.id == theirs.example.id and ours.accuracies == theirs.accuracies
        np.testing.assert_array_equal(ours.example.image, theirs.example.image)
        np.testing.assert_array_equal(ours.example.mask, theirs.example.mask)
        np.testing.assert_array_equal(ours.labels, theirs.labels)
    assert (one.seconds, one.device) == (two.seconds, two.device) and not two.evaluation.hurt


def test_parts_are_read_as_they_were_written_and_removed(tmp_path, capsys):
    first, second = part(1), part(2, images=0)
    with parts(tmp_path, 2).completed_by(second) as found:
        assert found is None
    assert "part 2 of 2 written, 1 still to come: " in capsys.readouterr().out
    with parts(tmp_path, 1).completed_by(first) as found:
        same(found[0], first)
        same(found[1], second)
    assert not [each for each in tmp_path.iterdir() if not each.name.startswith(".")]


def test_what_fails_leaves_the_parts(tmp_path):
    with parts(tmp_path, 1).completed_by(part(1)):
        pass
    with pytest.raises(OSError, match="full"), parts(tmp_path, 2).completed_by(part(2)):
        raise OSError("full")
    with parts(tmp_path, 2).completed_by(part(2)) as found:
        assert len(found) == 2


def test_other_settings_are_another_folder(tmp_path):
    for index, deciding in ((1, "crf"), (2, "other")):
        with parts(tmp_path, index, deciding=deciding).completed_by(part(index)) as found:
            assert found is None


def test_a_part_that_is_made_again_is_not_there_meanwhile(tmp_path):
    with parts(tmp_path, 1).completed_by(part(1)):
        pass
    again = parts(tmp_path, 1)
    with parts(tmp_path, 2).completed_by(part(2)) as found:
        assert found is None
    with again.completed_by(part(3)) as found:
        assert found[0].device == "cuda:3"


def test_the_time_is_the_longest_and_every_device_is_named():
    merged = Part.merged([part(1, seconds=2.0), part(0, seconds=7.0), part(1, seconds=1.0)], 2)
    assert merged.seconds == 7 and merged.device == "cuda:0, cuda:1"
