"""Shapes in the signatures of models, losses and metrics are checked while the tests run."""

import logging
import os
from pathlib import Path

# one thread for each of the processes that share the tests: waiting threads of one would hold the other up
os.environ.setdefault("OMP_NUM_THREADS", "1" if "PYTEST_XDIST_WORKER" in os.environ else "2")
os.environ.pop("COLUMNS", None)  # a worker of the tests has the width of a terminal, which its output is not
os.environ["WANDB_MODE"] = "offline"
os.environ["WANDB_SILENT"] = "true"
# a tenth of the start of a command is the compilation of the sources, which is kept
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

import lightning  # noqa: F401 -- before the hook, under which libraries are compiled from their sources
import torchvision  # noqa: F401
from jaxtyping import install_import_hook

install_import_hook(
    ["deeplab_lit.models", "deeplab_lit.training.losses", "deeplab_lit.inference.metrics"], "beartype.beartype"
)

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent


def pytest_collection_modifyitems(items):
    """Files with slow tests come first, so that no process is left alone with one at the end."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory):
    """Generated data sets go to a folder of this test session."""
    folder = tmp_path_factory.mktemp("cache")
    os.environ["DEEPLAB_LIT_CACHE"] = str(folder)
    return folder


@pytest.fixture(autouse=True)
def log_as_it_was():
    """What a training in this process wrote its log to is not what the next test's log goes to."""
    yield
    os.environ.pop("WANDB_SERVICE", None)  # commands that a test runs start a service of their own
    log = logging.getLogger("deeplab_lit")
    log.propagate = True
    for handler in [each for each in log.handlers if type(each) in (logging.StreamHandler, logging.FileHandler)]:
        log.removeHandler(handler)
        handler.close()


def write_voc(root, sizes=((40, 56), (48, 33), (64, 64)), num_classes=21, seed=0, lists=("train", "val")):
    """A folder in the VOC layout with random pictures and masks of the given (height, width)."""
    from deeplab_lit.data.labels import voc_colour

    rng = np.random.default_rng(seed)
    for name in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (root / name).mkdir(parents=True, exist_ok=True)
    palette = sum((list(voc_colour(i)) for i in range(256)), [])
    ids = []
    for number, (height, width) in enumerate(sizes):
        id = f"picture_{number}"
        Image.fromarray(rng.integers(0, 256, (height, width, 3), np.uint8)).save(root / "JPEGImages" / f"{id}.jpg")
        values = rng.integers(0, num_classes, (height // 8 + 1, width // 8 + 1), np.uint8)
        values = values.repeat(8, 0).repeat(8, 1)[:height, :width].copy()
        values[:2] = 255
        mask = Image.fromarray(values)
        mask.putpalette(palette)
        mask.save(root / "SegmentationClass" / f"{id}.png")
        ids.append(id)
    for name in lists:
        (root / "ImageSets" / "Segmentation" / f"{name}.txt").write_text("\n".join(ids) + "\n")
    return root


@pytest.fixture
def voc(tmp_path):
    return write_voc(tmp_path / "voc")
