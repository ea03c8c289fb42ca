"""What is answered before torch is imported."""

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
    assert (printed["crop_size"], printed["batch_size"], printed["optimizer"]["lr"]) == (321, 10, 2.5e-4)
    assert printed["data"]["root"] == "???" and printed["name"] == "folder-resnet18-aspp_l"
