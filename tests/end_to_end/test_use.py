"""A trained network used from the command line: evaluated, predicted with, refined, searched, summed up."""

import http.server
import json
import re
import signal
import subprocess
import tarfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest
from PIL import Image

import deeplab_lit
from deeplab_lit.crf import preset
from deeplab_lit.data.normalization import Normalization
from deeplab_lit.inference import crf_search
from deeplab_lit.inference.distributions import read_distribution
from deeplab_lit.inference.predictor import Predictor
from deeplab_lit.models.network import build_network
from tests.conftest import write_voc
from tests.crf.test_dense import photograph
from tests.end_to_end.running import command, train, use, use_alone
from tests.end_to_end.test_train import TINY, run_folder

FAST = " device=cpu precision=32-true workers=2"


@pytest.fixture(scope="module")
def user(tmp_path_factory):
    """A folder with a run of the embedded data in it, whose best checkpoint was scored with a CRF too."""
    folder = tmp_path_factory.mktemp("user")
    train(folder, *TINY, "crf=v2_resnet101")
    pictures = folder / "pictures"
    pictures.mkdir()
    for number, shape in enumerate([(60, 80), (75, 50), (90, 90), (64, 64)]):
        Image.fromarray(photograph(*shape, number)).save(pictures / f"p{number}.jpg")
    (pictures / "broken.jpg").write_bytes((pictures / "p0.jpg").read_bytes()[:300])
    return folder


def checkpoint(folder):
    return run_folder(folder) / "checkpoints" / "best.ckpt"


def network(folder):
    """In single precision, as the commands are told to compute here."""
    trained = deeplab_lit.load(checkpoint(folder))
    trained.__dict__["_predictor"] = Predictor(
        trained.network, trained.normalization, trained.eval_size, device="cpu", precision="32-true"
    )
    return trained


def test_training_scores_its_best_checkpoint_with_the_crf(user):
    result = json.loads((run_folder(user) / "result.json").read_text())
    assert 0 <= result["crf"]["miou"] <= 1 and result["crf"]["parameters"]["bilateral_xy_std"] == 67
    log = (run_folder(user) / "train.log").read_text()
    assert f"with the CRF: mIoU {result['crf']['miou']:.4f}" in log
    # the same numbers as from the command of its own
    done = use_alone("evaluate", user, f"checkpoint={checkpoint(user)} crf=v2_resnet101 output=again" + FAST)
    (again,) = (json.loads(file.read_text()) for file in (user / "again").rglob("result.json"))
    assert again["miou"] == pytest.approx(result["miou"], abs=1e-6)
    assert again["crf"]["miou"] == pytest.approx(result["crf"]["miou"], abs=1e-6)
    assert "mIoU" in done.stdout and "with the CRF" in done.stdout


def test_evaluate_leaves_numbers_and_pictures(user):
    done = use("evaluate", user, f"checkpoint={checkpoint(user)} crf=v2_vgg16 flip=true scales=msc" + FAST)
    folder = user / re.search(r"results: (.+)", done.stdout)[1]
    result = json.loads((folder / "result.json").read_text())
    assert result["scales"] == [1.0, 0.75, 0.5] and result["flip"] is True and result["images"] == 5
    assert len(result["trimap"]["network"]) == len(result["trimap"]["crf"]) == 40
    assert len((folder / "images.csv").read_text().splitlines()) == 6
    for name in ("confusion.png", "trimap.png"):
        assert np.asarray(Image.open(folder / name)).std() > 5


def test_predict_writes_each_picture_once_and_names_what_it_could_not_read(user):
    arguments = (
        f"checkpoint={checkpoint(user)} images=pictures out=predicted crf=v2_resnet101 probabilities=true" + FAST
    )
    done = use_alone("predict", user, arguments, expect=1)
    assert "4 images written" in done.stdout and "broken.jpg cannot be read as an image" in done.stderr
    masks = sorted((user / "predicted/masks").iterdir())
    assert [mask.name for mask in masks] == ["p0.png", "p1.png", "p2.png", "p3.png"]
    with Image.open(masks[1]) as mask:
        assert mask.mode == "P" and mask.size == (50, 75)
        expected = network(user).probabilities(user / "pictures/p1.jpg")
        expected = preset("v2_resnet101").labels(np.array(Image.open(user / "pictures/p1.jpg")), expected)
        assert (np.array(mask) == expected).mean() > 0.999
    before = [mask.stat().st_mtime_ns for mask in masks]
    masks[2].unlink()
    done = use("predict", user, arguments, expect=1)
    assert "1 images written, 3 were there already" in done.stdout
    after = [mask.stat().st_mtime_ns for mask in masks]
    assert [a == b for a, b in zip(before, after, strict=True)] == [True, True, False, True]
    done = use("predict", user, arguments + " flip=true", expect=1)
    assert "holds results of flip=False" in done.stderr


def test_refine_goes_on_from_saved_probabilities(user):
    use(
        "predict",
        user,
        f"checkpoint={checkpoint(user)} images=pictures/p*.jpg out=plain probabilities=true" + FAST,
    )
    saved = user / "plain/probabilities"
    done = use("refine", user, f"images=pictures probabilities={saved} out=refined crf=v2_resnet101 workers=2")
    assert "4 images written" in done.stdout
    crf = preset("v2_resnet101")
    for i in range(4):
        image = np.array(Image.open(user / f"pictures/p{i}.jpg"))
        # rounded to half precision; a network of four steps leaves classes that are hardly apart
        known = read_distribution(saved / f"p{i}.npz", image.shape[:2])
        assert (np.array(Image.open(user / f"refined/masks/p{i}.png")) == crf.labels(image, known)).all()
        np.testing.assert_allclose(known, network(user).probabilities(image), atol=1e-3)
    np.save(saved / "p1.npy", np.zeros((5, 3, 9), np.float32))
    done = use("refine", user, f"images=pictures probabilities={saved} out=refined crf=v2_resnet101", expect=1)
    assert "are both probabilities of p1" in done.stderr
    (saved / "p1.npz").unlink()
    done = use("refine", user, f"images=pictures probabilities={saved} out=other crf=v2_vgg16", expect=1)
    assert "p1.npy: it is (5, 3, 9) for an image of (75, 50)" in " ".join(done.stderr.split())
    assert "3 images written" in done.stdout
    done = use("refine", user, f"images=pictures probabilities={saved} out=none crf=none", expect=1)
    assert "crf=none refines nothing" in done.stderr


def test_the_search_writes_a_preset_that_can_be_used(user, monkeypatch):
    pools = []

    class Pool(ThreadPoolExecutor):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            pools.append(self)

    monkeypatch.setattr(crf_search, "ThreadPoolExecutor", Pool)
    arguments = (
        f"checkpoint={checkpoint(user)} images=2 held_out=2 bilateral_weight=[3,4,1] bilateral_xy_std=[10,20,10] "
        "bilateral_rgb_std=[3,5,1]" + FAST
    )
    done = use("crf_search", user, arguments)
    assert pools and all(pool._shutdown for pool in pools)
    folder = user / re.search(r"results: (.+)", done.stdout)[1]
    result = json.loads((folder / "result.json").read_text())
    assert result["searched_on"]["images"] == result["held_out"]["images"] == 2
    assert np.asarray(Image.open(folder / "search.png")).std() > 5
    scores = (folder / "scores.csv").read_text()
    best = max(float(line.rsplit(",", 1)[1]) for line in scores.splitlines()[1:])
    assert result["searched_on"]["found"] == best
    # again: every score is known
    assert "best of" in use("crf_search", user, arguments).stdout and (folder / "scores.csv").read_text() == scores
    use(
        "evaluate",
        user,
        f"--config-dir {folder} crf=searched checkpoint={checkpoint(user)} output=found" + FAST,
    )
    (found,) = (json.loads(file.read_text()) for file in (user / "found").rglob("result.json"))
    assert found["crf"]["parameters"]["bilateral_weight"] == result["bilateral_weight"]
    assert network(user).predict(user / "pictures/p0.jpg", crf=str(folder / "crf/searched.yaml")).shape == (60, 80)


def test_a_network_from_a_url(user):
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), partial(http.server.SimpleHTTPRequestHandler, directory=str(checkpoint(user).parent))
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        url = f"http://127.0.0.1:{server.server_port}/best.ckpt"
        image = photograph(40, 50)
        expected = deeplab_lit.load(checkpoint(user)).predict(image)
        np.testing.assert_array_equal(deeplab_lit.load(url).predict(image), expected)
    finally:
        server.shutdown()
    # it is fetched once
    np.testing.assert_array_equal(deeplab_lit.load(url).predict(image), expected)


def test_summary_is_one_json_object(user):
    found = json.loads(use("summary", user, "model=aspp_l backbone=resnet101 json=true").stdout)
    assert found["output_stride"] == 8 and found["params"] > 4e7
    assert found["flops"] > 1e9 and found["field_of_view"] > 300


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("checkpoint=nowhere.ckpt", "checkpoint 'nowhere.ckpt' does not exist"),
        ("", "checkpoint is required: type checkpoint=RUN_DIRECTORY"),
        ("checkpoint=cut.ckpt", "cut.ckpt cannot be read as a checkpoint"),
        (
            "checkpoint=CK crf=v3",
            "crf=v3 does not exist: choose one of afa, clip_es_labels, irn_labels",
        ),
        ("checkpoint=CK crf=v2_vgg16 crf.bilateral_xy_std=0", "crf.bilateral_xy_std=0"),
        ("checkpoint=CK data=voc data.root=voc", "scores 12 classes (background, ball, ring, star, ...), the data"),
        ("checkpoint=CK split=test", "split=test: choose train or val"),
        ("checkpoint=CK workers=0", "workers=0: it is at least 1"),
    ],
)
def test_mistakes_are_answered_in_one_sentence(user, arguments, words):
    if not (user / "cut.ckpt").is_file():
        content = checkpoint(user).read_bytes()
        (user / "cut.ckpt").write_bytes(content[: len(content) // 2])
        write_voc(user / "voc")
    done = use("evaluate", user, arguments.replace("CK", str(checkpoint(user))) + " device=cpu", expect=1)
    assert words in done.stderr, done.stderr
    assert done.stderr.startswith("error: ") and len(done.stderr.strip().splitlines()) == 1


def voc_checkpoint(path):
    from deeplab_lit.data.labels import LabelSet
    from deeplab_lit.training.checkpoints import WholeFileCheckpoint
    from deeplab_lit.weights.description import describe
    from tests.inference.test_trained import SPEC

    network = build_network(SPEC, 21)
    content = {
        "state_dict": {f"network.{key}": value for key, value in network.state_dict().items()},
        "global_step": 1,
        "deeplab_lit": describe(SPEC, LabelSet.voc(), Normalization()),
    }
    WholeFileCheckpoint().save_checkpoint(content, path)


def test_a_package_for_the_voc_server(tmp_path):
    voc_checkpoint(tmp_path / "a.ckpt")
    images = f"images={write_voc(tmp_path / 'voc')}/JPEGImages"
    (tmp_path / "ids.txt").write_text("picture_0\npicture_2\n")
    arguments = f"checkpoint=a.ckpt {images} list=ids.txt out=server format=voc_server" + FAST
    assert "package for the server, checked" in use("predict", tmp_path, arguments).stdout
    with tarfile.open(tmp_path / "server/results.tar.gz") as package:
        names = [f"results/VOC2012/Segmentation/comp6_test_cls/picture_{i}.png" for i in (0, 2)]
        assert sorted(package.getnames()) == names
    check = f"{images} out=x validate=server/results.tar.gz"
    assert "fit for the server, 2 images" in use("predict", tmp_path, check + " list=ids.txt").stdout
    assert "picture_1.png is missing" in use("predict", tmp_path, check, expect=1).stderr


@pytest.mark.parametrize("how", [signal.SIGKILL, pytest.param(signal.SIGINT, marks=pytest.mark.long)])
def test_a_stopped_prediction_leaves_whole_files_and_goes_on(user, tmp_path, how):
    (tmp_path / "many").mkdir()
    for number in range(40):
        Image.fromarray(photograph(100, 150, number)).save(tmp_path / "many" / f"{number:03}.png")
    arguments = f"checkpoint={checkpoint(user)} images=many out=out crf=v2_resnet101 overlays=false" + FAST
    process = subprocess.Popen(
        command("predict", arguments), cwd=tmp_path, stderr=subprocess.PIPE, text=True,
        # where the tests run in the background, a shell has told them to ignore Ctrl-C
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    masks, deadline = tmp_path / "out" / "masks", time.monotonic() + 200

    def finished():
        return [file for file in masks.glob("*.png") if not file.name.startswith(".")]

    while len(finished()) < 5 and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(how)
    _, said = process.communicate(timeout=60)
    there = len(finished())
    assert 5 <= there < 40
    assert all(np.array(Image.open(file)).shape == (100, 150) for file in finished())
    if how is signal.SIGINT:
        assert process.returncode == 130 and "the same command does the rest" in said and "Traceback" not in said
    again = use("predict", tmp_path, arguments)
    assert f"{40 - there} images written, {there} were there already" in again.stdout
    assert len(finished()) == 40


def test_the_crf_as_the_last_layer_is_trained_and_evaluated(tmp_path):
    train(tmp_path, *TINY, "crf=v2_resnet101", "crf.trainable=true", "max_steps=2", "crf.iterations=2")
    assert network(tmp_path).network.crf.bilateral_weight != 4
    assert "crf" not in json.loads((run_folder(tmp_path) / "result.json").read_text())
    use("evaluate", tmp_path, f"checkpoint={checkpoint(tmp_path)}" + FAST)
    done = use("evaluate", tmp_path, f"checkpoint={checkpoint(tmp_path)} scales=msc" + FAST, expect=1)
    assert "cannot be changed on a network that ends in a CRF" in done.stderr
