"""What is answered before torch is imported."""

import signal
import subprocess
import sys

import pytest
import yaml

from deeplab_lit.train import main


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


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["experiments=factorial", "--help"], ["-sc", "query=bash"], ["--cfg", "job"], ["max_stepps=1"]],
)
def test_nothing_heavy_is_imported(arguments):
    code = (
        f"import sys; sys.argv = ['train', *{arguments}]\n"
        "from deeplab_lit.train import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print([m for m in ('torch', 'lightning', 'wandb', 'cv2', 'numpy') if m in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip().splitlines()[-1] == "[]", done.stderr


@pytest.mark.parametrize("flag", [["--cfg", "job"], ["--cfg=job"], ["-c", "job", "--resolve"]])
def test_a_printed_config_has_values_instead_of_references(flag, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["train", *flag, "data=folder", "optimizer=sgd"])
    main()
    printed = yaml.safe_load(capsys.readouterr().out)
    assert (printed["crop_size"], printed["batch_size"], printed["optimizer"]["lr"]) == (321, 10, 1e-3)
    assert printed["data"]["root"] == "???" and printed["name"] == "folder-lite0_early-aspp_l"


@pytest.mark.parametrize(
    ("command", "arguments", "words"),
    [
        ("evaluate", [], "checkpoint is required: type checkpoint=RUN_DIRECTORY"),
        ("crf_search", [], "checkpoint is required"),
        ("evaluate", ["checkpoint=some.ckpt", "data.root=mine"], "no data is chosen that it could be set in"),
        ("predict", ["images=nowhere", "out=x", "checkpoint=some.ckpt"], "images=nowhere: there is no picture"),
        ("train", ["resume=autp"], "resume='autp' does not exist"),
        ("train", ["pictures=-1"], "pictures=-1: it is at least 0"),
        ("train", ["model.rates=6"], "model.rates=6: it takes a list, such as model.rates=[6, 12, 18, 24]"),
        ("train", ["scales.factors=1"], "scales.factors=1: it takes a list, such as scales.factors=[1]"),
        ("export", ["format=onnx", "checkpoint=some.ckpt", "allow=x"], "allow=x: it takes a list, such as allow=[x]"),
        ("train", ["logger.wandb=x"], "logger.wandb=x: it takes a mapping"),
        ("train", ["optimizer=3"], "optimizer takes one of adamw, sgd"),
        ("train", ["+optimizer.anything=1"], "optimizer.anything is not a key"),
        ("train", ["+data.check=true"], "data.check is a command of its own now"),
        ("train", ["model=aspp_l", "--mulitrun"], "Did you mean '--multirun'"),
        ("train", ["--config-dir", "own", "schedule=raw"], "schedule/raw.yaml: power is not known there"),
        ("train", ["--config-dir", "own", "--config-name", "config"], "the config that --config-name names is none of"),
        ("train", ["--config-name", "nowhere"], "there is no nowhere.yaml in the folder that --config-dir names"),
        ("report", ["output=nowhere"], "there are no runs of a table below"),
    ],
)
def test_mistakes_are_answered_before_torch_is_imported(command, arguments, words, tmp_path):
    (tmp_path / "some.ckpt").touch()
    (tmp_path / "own" / "schedule").mkdir(parents=True)
    (tmp_path / "own" / "schedule" / "raw.yaml").write_text("power: 0.5\n")
    (tmp_path / "own" / "config.yaml").write_text("max_steps: 3\nseed: 1\n")
    code = (
        f"import sys; sys.argv = [{command!r}, *{arguments}]\n"
        f"from deeplab_lit.{command} import main\n"
        "try: main()\n"
        "except SystemExit as ended: print(ended.code)\n"
        "print([name for name in ('torch', 'lightning', 'wandb') if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert words in done.stderr and len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert done.stdout.splitlines() == ["1", "[]"]


def test_a_reader_that_has_seen_enough_ends_the_command_quietly():
    """As ``summary | head -1``."""
    process = subprocess.Popen(
        [sys.executable, "-m", "deeplab_lit.summary", "backbone=resnet18"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    process.stdout.close()
    assert process.stderr.read() == "" and process.wait(timeout=60) == 128 + signal.SIGPIPE
