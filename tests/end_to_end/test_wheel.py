"""What is installed from a wheel, far from the sources, is whole."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.end_to_end.test_train import TINY

_COMPOSE = """
import sys
from pathlib import Path
import deeplab_lit
from deeplab_lit.config.compose import typed
from deeplab_lit.config.hydra_store import register_schemas
from deeplab_lit.config.paths import conf_folder
from hydra import compose, initialize_config_dir
package = Path(deeplab_lit.__file__).parent
assert Path(sys.prefix) in package.parents and conf_folder() == package / "conf", package
register_schemas()
from hydra_plugins.deeplab_lit_tables import Table
required = {"data/coco": ["data.root=x"], "data/coco_voc": ["data.root=x"], "init/checkpoint": ["init.path=x"],
            "recipe/kazuto": ["init.path=x"], "recipe/l2g": ["init.path=x"],
            "recipe/l2g_coco": ["init.path=x", "data.root=x"],
            "recipe/lpcam_coco": ["init.path=x", "data.root=x"], "recipe/rib_coco": ["data.root=x"],
            "data/folder": ["data.root=x", "data.classes=x"], "data/labelme": ["data.root=x", "data.classes=x"],
            "data/cvat": ["data.root=x"]}
with initialize_config_dir(version_base="1.3", config_dir=str(conf_folder())):
    for file in sorted([*conf_folder().glob("*/*.yaml"), *(package / "experiments").glob("*.yaml")]):
        choice = f"{file.parent.name}/{file.stem}"
        override = choice.replace("/", "=")
        command = "tune" if file.parent.name == "space" else "train"
        assert typed(compose(command, overrides=["name=x", override, *required.get(choice, [])]))
        print(choice)
"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """An environment with nothing but the wheel; what the wheel depends on is lent by this one."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", str(folder)]
    subprocess.run([*build, str(ROOT)], check=True, capture_output=True, timeout=120)
    (wheel,) = folder.glob("*.whl")
    subprocess.run([sys.executable, "-m", "venv", str(folder / "venv")], check=True, timeout=120)
    python = folder / "venv" / "bin" / "python"
    subprocess.run(
        [python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", wheel], check=True, timeout=120
    )
    (site,) = (folder / "venv" / "lib").glob("python*/site-packages")
    lent = [path for path in sys.path if path.endswith("site-packages")]
    # a plain path: editable installs in the lent folders are not followed
    (site / "lent.pth").write_text("\n".join(lent) + "\n")
    return python, wheel, folder


def clean():
    return {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}


def test_the_wheel_holds_every_config(environment):
    _, wheel, _ = environment
    names = set(zipfile.ZipFile(wheel).namelist())
    for folder in ("conf", "experiments"):
        ours = {f"deeplab_lit/{file.relative_to(ROOT)}" for file in (ROOT / folder).rglob("*.y*ml")}
        assert ours and ours <= names, ours - names


@pytest.mark.long
def test_every_config_composes_and_a_training_runs_far_from_the_sources(environment):
    python, _, folder = environment
    work = folder / "elsewhere"
    work.mkdir()
    done = subprocess.run([python, "-c", _COMPOSE], cwd=work, capture_output=True, text=True, timeout=300, env=clean())
    assert done.returncode == 0, done.stderr
    composed = set(done.stdout.split())
    assert {"data/voc_aug", "parity/caffe", "trainer/slurm", "experiments/table3_aspp_vgg16"} <= composed
    assert len(composed) > 38
    done = subprocess.run(
        [python, "-m", "deeplab_lit.train", *TINY, "max_steps=2"], cwd=work, capture_output=True, text=True,
        timeout=300, env=clean(),
    )  # fmt: skip
    assert done.returncode == 0 and "mIoU 0." in done.stdout, done.stdout + done.stderr
    assert len(list(Path(work).glob("runs/*/*/result.json"))) == 1
