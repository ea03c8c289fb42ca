"""A user's mistake ends in one paragraph with the mend, before anything heavy is imported."""

import shutil
import subprocess
import sys

import hydra
import pytest

from deeplab_lit.config import hydra_store, paths


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
        (["scale=mini"], ["scale is called budget now: type budget=full, budget=subset or budget=mini."]),
        (["data.check=true"], ["data.check is a command of its own now: type python -m deeplab_lit.check_data"]),
        (["+backbone.recipe.sgdlr=1"], ["backbone.recipe.sgdlr is not known", "'sgd_lr'"]),
        (["+trainer.devcies=2"], ["trainer.devcies is not known to lightning.Trainer", "'devices'"]),
        (["budget=mini"], ["budget=mini is for the rows of published tables: type experiments="]),
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

    from deeplab_lit.config.compose import typed
    from deeplab_lit.config.hydra_store import register_schemas
    from deeplab_lit.config.paths import conf_folder

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
            assert typed(cfg).name == "x"
            count += 1
    assert count >= 38


def test_folders_beside_the_configs_are_no_groups(tmp_path, monkeypatch):
    """In a checkout results lie beside conf/ and experiments/, named like the keys that say where they go."""
    for name in ("conf", "experiments"):
        shutil.copytree(paths.conf_folder().parent / name, tmp_path / name)
    for name in ("out", "images", "output", "name"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr(paths, "conf_folder", lambda: tmp_path / "conf")
    hydra_store.register_schemas()
    with hydra.initialize_config_dir(version_base="1.3", config_dir=str(tmp_path / "conf")):
        cfg = hydra.compose("predict", ["checkpoint=a", "images=b", "out=c"])
        assert (cfg.images, cfg.out) == ("b", "c")
        words = ["output=d", "name=e", "experiments=table3_aspp_vgg16"]
        cfg = hydra.compose("train", words, return_hydra_config=True)
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
