"""A user's mistake ends in one paragraph with the mend, before anything heavy is imported."""

import re
import shutil
import subprocess
import sys

import hydra
import pytest

from deeplab_lit.config import hydra_store


def run(*arguments, env=None):
    import os

    return subprocess.run(
        [sys.executable, "-m", "deeplab_lit.train", *arguments],
        capture_output=True, text=True, timeout=120, env={**os.environ, **(env or {})},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["modle=aspp_l"], ["modle is not a key", "'model'"]),
        (["max_step=3"], ["max_step is not a key", "'max_steps'"]),
        (["lr=3"], ["lr is not a key", "'optimizer.lr'"]),
        (["model=asppl"], ["model=asppl does not exist", "aspp_l, aspp_s", "'aspp_l'"]),
        (["max_steps=many"], ["error: max_steps=many: it takes a whole number."]),
        (["ema=lots"], ["error: ema=lots: it takes a number."]),
        (["augment.flip=perhaps"], ["error: augment.flip=perhaps: it takes true or false."]),
        (["scales=[0.5,1.0]"], ["scales takes one of msc, single", "scales.KEY=VALUE"]),
        (["data=voc", "data.rooot=x"], ["data.rooot is not a key", "'data.root'"]),
        (["data=voc"], ["data.root is missing", "data.download=true"]),
        (["data=coco"], ["data.root is missing", "data.root=FOLDER", "roots.coco"]),
        (
            ["experiments=table4_resnet101/asp"],
            ["experiments=table4_resnet101/asp does not exist", "aspp, aug", "'aspp'"],
        ),
        (["experiments=table4"], ["experiments=table4 does not exist", "table4_resnet101"]),
        (["init=checkpoint"], ["init.path", "is required"]),
        (["parity=cafe"], ["parity=cafe does not exist", "caffe, modern"]),
        (
            ["model=deeplab_7x7"],
            ["model=deeplab_7x7 does not go with backbone=resnet18", "backbone=vgg16", "aspp_l"],
        ),
        (
            ["backbone=vgg16", "model=baseline"],
            ["does not go with backbone=vgg16", "resnet101", "msc_features"],
        ),
        (["optimizer.lr"], ["optimizer.lr"]),
    ],
)
def test_mistakes_in_the_config(arguments, words):
    done = run(*arguments, "hydra.verbose=false")
    assert done.returncode == 1, done.stdout
    text = done.stderr.strip()
    for word in words:
        assert word in text, text
    assert "Traceback" not in text and len(text.splitlines()) == 1, text


def test_the_trace_comes_back_when_asked_for():
    done = run("model=deeplab_7x7", env={"HYDRA_FULL_ERROR": "1"})
    assert done.returncode == 1 and "Traceback" in done.stderr and "UserError" in done.stderr


def test_every_config_composes_alone():
    """Each choice of each group, on top of the defaults."""
    from hydra import compose, initialize_config_dir

    from deeplab_lit.cli.entry_point import plain
    from deeplab_lit.config.hydra_store import conf_folder, register_schemas

    register_schemas()
    count = 0
    required = {
        "coco": ["data.root=x"],
        "coco_voc": ["data.root=x"],
        "folder": ["data.root=x", "data.classes=x"],
        "checkpoint": ["init.path=x"],
    }
    with initialize_config_dir(version_base="1.3", config_dir=str(conf_folder())):
        for file in sorted(conf_folder().glob("*/*.yaml")):
            cfg = compose(
                "tune" if file.parent.name == "space" else "train",
                overrides=[
                    "name=x",
                    f"{file.parent.name}={file.stem}",
                    *required.get(file.stem, []),
                ],
            )
            assert plain(cfg)["name"] == "x"
            count += 1
    assert count >= 38


def test_folders_beside_the_configs_are_no_groups(tmp_path, monkeypatch):
    """In a checkout results lie beside conf/ and experiments/, named like the keys that say where they go."""
    for name in ("conf", "experiments"):
        shutil.copytree(hydra_store.conf_folder().parent / name, tmp_path / name)
    for name in ("out", "images", "output", "name"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr(hydra_store, "conf_folder", lambda: tmp_path / "conf")
    hydra_store.register_schemas()
    with hydra.initialize_config_dir(version_base="1.3", config_dir=str(tmp_path / "conf")):
        cfg = hydra.compose("predict", ["checkpoint=a", "images=b", "out=c"])
        assert (cfg.images, cfg.out) == ("b", "c")
        typed = ["output=d", "name=e", "experiments=table3_aspp_vgg16"]
        cfg = hydra.compose("train", typed, return_hydra_config=True)
        assert list(cfg.hydra.sweeper.rows) == ["largefov", "aspp_s", "aspp_l"] and cfg.name == "e"


@pytest.mark.parametrize("command", ["evaluate", "predict", "export", "push", "crf_search"])
def test_a_checkpoint_that_is_not_there_is_answered_before_torch_is_imported(command, tmp_path):
    given = {"predict": ["images=x", "out=y"], "push": ["repo=a/b"]}.get(command, [])
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", f"deeplab_lit.{command}", "checkpoint=nowhere.ckpt", *given],
        capture_output=True, text=True, timeout=120, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 1 and "error: checkpoint 'nowhere.ckpt' does not exist" in done.stderr, done.stderr
    imported = [line.rpartition("|")[2].strip() for line in done.stderr.splitlines()]
    assert "hydra" in imported and "torch" not in imported


@pytest.mark.parametrize("what", ["all", "config"])
def test_info_is_hydras_own_though_it_is_composed_once(what):
    """Against Hydra without our shortcut, which composes several times."""
    count = (
        "from hydra._internal.config_loader_impl import ConfigLoaderImpl as Loader\n"
        "from deeplab_lit import train\n"
        "from deeplab_lit.cli import entry_point as app\n"
        "compose = Loader.load_configuration\n"
        "Loader.load_configuration = lambda *a, **k: print('composing', file=sys.stderr) or compose(*a, **k)\n"
    )

    def shown(code):
        arguments = ["--info", what, "model=aspp_l", "max_steps=7"]
        done = subprocess.run(
            [sys.executable, "-c", f"import sys\n{count}{code}train.main()", *arguments],
            capture_output=True, text=True, timeout=120, check=True,
        )  # fmt: skip
        # of Hydra's own measurements each is another
        lines = [line for line in done.stdout.splitlines() if not re.search(r"\d\.\d\d\d", line)]
        return lines, done.stderr.count("composing")

    theirs, often = shown("app._asks_for_info = lambda arguments: False\n")
    ours, once = shown("")
    assert ours == theirs and "max_steps: 7" in ours
    assert often > 1 and once == 1
