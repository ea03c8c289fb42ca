"""Evaluate, predict and refine in parts: what several processes leave is what one leaves, to the byte."""

import json
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import write_voc
from tests.crf.test_dense import photograph
from tests.end_to_end.running import train, use, use_together
from tests.end_to_end.test_train import TINIEST, run_folder
from tests.end_to_end.test_use import FAST, voc_checkpoint


@pytest.fixture(scope="module")
def user(tmp_path_factory):
    """A folder with a run, five pictures, and what one process makes of them."""
    folder = tmp_path_factory.mktemp("shards")
    train(folder, *TINIEST)
    (folder / "best.ckpt").symlink_to(run_folder(folder) / "checkpoints" / "best.ckpt")
    (folder / "pictures").mkdir()
    for number in range(5):
        Image.fromarray(photograph(40 + 3 * number, 50, number)).save(folder / "pictures" / f"p{number}.png")
    use("evaluate", folder, EVALUATE, "output=one")
    use("predict", folder, PREDICT, "out=one/predicted")
    use("refine", folder, REFINE, "out=one/refined")
    return folder


EVALUATE = "checkpoint=best.ckpt crf=v2_resnet101 pictures=2" + FAST
PREDICT = "checkpoint=best.ckpt images=pictures crf=v2_resnet101 probabilities=true" + FAST
REFINE = (
    "images=pictures probabilities=one/predicted/probabilities crf=v1_largefov save_probabilities=true overlays=true "
    "workers=2"
)


def files(folder):
    """Name below the folder -> bytes, or an archive's arrays, since an archive holds the time."""
    found = {}
    for file in sorted(each for each in Path(folder).rglob("*") if each.is_file() and not each.name.startswith(".")):
        content = np.load(file)["probabilities"].tobytes() if file.suffix == ".npz" else file.read_bytes()
        found[str(file.relative_to(folder))] = content
    return found


def evaluation(folder):
    """The files of the only evaluation below a folder; of result.json what does not tell of time and command."""
    (result,) = Path(folder).rglob("result.json")
    found = files(result.parent)
    content = json.loads(found.pop("result.json"))
    assert content.pop("seconds") >= 0 and content.pop("command")
    return found | {"result.json": content}


def parts_below(folder):
    return sorted(file.name for file in Path(folder).rglob("*") if re.search(r"parts-\w+$|of-\d\.npz", file.name))


def test_two_evaluations_in_parts_are_one(user):
    one = evaluation(user / "one")
    assert {"confusion.png", "trimap.png", "images.csv", "result.json"} < set(one) and "crf_hurt.png" in one
    first = use("evaluate", user, EVALUATE, "output=two shard=2/2").stdout
    assert re.search(r"^part 2 of 2 written, 1 still to come: two/\S+/parts-\w{10}$", first, re.M), first
    assert not list((user / "two").rglob("result.json"))
    second = use("evaluate", user, EVALUATE, "output=two shard=1/2").stdout
    assert "5 images in" in second and "still to come" not in second
    assert evaluation(user / "two") == one and not parts_below(user / "two")


def test_parts_of_other_settings_and_of_stopped_calls_are_not_merged(user):
    """Without a CRF; a part of other settings, of another number of parts, and one from a call that was stopped."""
    plain = EVALUATE.replace("crf=v2_resnet101 ", "")
    use("evaluate", user, plain, "output=plain")
    for changes in ("flip=true shard=1/2", "shard=1/3", "shard=2/2"):
        assert "still to come" in use("evaluate", user, plain, "output=parts", changes).stdout
    (left,) = (file for file in (user / "parts").rglob("2-of-2.npz"))
    left.write_bytes(b"cut")
    assert "1 still to come" in use("evaluate", user, plain, "output=parts shard=2/2").stdout
    assert "5 images in" in use("evaluate", user, plain, "output=parts shard=1/2").stdout
    assert evaluation(user / "parts") == evaluation(user / "plain")
    assert [name for name in parts_below(user / "parts") if "of" in name] == ["1-of-2.npz", "1-of-3.npz"]


def test_shards_predict_and_refine_what_one_process_does(user):
    for name, arguments, out in (("predict", PREDICT, "predicted"), ("refine", REFINE, "refined")):
        for index, count in ((3, 1), (1, 2), (2, 2)):
            said = use(name, user, arguments, f"out=two/{out} shard={index}/3").stdout
            assert f"{count} images written" in said
        assert files(user / "two" / out) == files(user / "one" / out)
        again = use(name, user, arguments, f"out=two/{out} shard=1/3").stdout
        assert "0 images written, 2 were there already" in again


@pytest.mark.long
def test_two_processes_leave_what_one_leaves(user):
    said = [done.stdout for done in use_together("evaluate", user, EVALUATE, "output=both")]
    assert sum("1 still to come" in text for text in said) == 1 == sum("5 images in" in text for text in said), said
    assert evaluation(user / "both") == evaluation(user / "one") and not parts_below(user / "both")
    for name, arguments, out in (("predict", PREDICT, "predicted"), ("refine", REFINE, "refined")):
        said = [done.stdout for done in use_together(name, user, arguments, f"out=both/{out}")]
        assert "3 images written" in said[0] and "2 images written" in said[1]
        assert files(user / "both" / out) == files(user / "one" / out)


def test_the_last_shard_packs_for_the_server(tmp_path):
    voc_checkpoint(tmp_path / "a.ckpt")
    images = f"images={write_voc(tmp_path / 'voc')}/JPEGImages"
    arguments = f"checkpoint=a.ckpt {images} out=server format=voc_server" + FAST
    said = use("predict", tmp_path, arguments, "shard=1/2").stdout
    assert "no package yet, 1 of 3 images have no labels" in said and "type the same command without shard" in said
    assert "package for the server, checked" in use("predict", tmp_path, arguments, "shard=2/2").stdout
    with tarfile.open(tmp_path / "server/results.tar.gz") as package:
        assert len(package.getnames()) == 3
    done = use("predict", tmp_path, arguments, "shard=1/2 overwrite=true", expect=1)
    assert "choose another out=FOLDER" in done.stderr and len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("command", ["evaluate", "predict", "refine", "pseudo"])
def test_a_shard_that_is_none_is_answered_before_torch_is_imported(command, user):
    given = {
        "evaluate": ["checkpoint=best.ckpt"],
        "predict": ["checkpoint=best.ckpt", "images=x", "out=y"],
        "refine": ["images=x", "probabilities=y", "out=z"],
        "pseudo": ["images=x", "cams=y", "out=z"],
    }
    words = [sys.executable, "-X", "importtime", "-m", f"deeplab_lit.{command}", *given[command], "shard=9/8"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, cwd=user)
    assert done.returncode == 1 and "error: shard=9/8: it is I/N" in done.stderr, done.stderr
    assert "torch" not in [line.rpartition("|")[2].strip() for line in done.stderr.splitlines()]
