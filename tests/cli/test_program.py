"""The program deeplab-lit, as it is installed."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from deeplab_lit.cli.commands import COMMANDS

PROGRAM = [sys.executable, "-m", "deeplab_lit"]
INSTALLED = Path(sys.executable).parent / "deeplab-lit"


def run(*arguments, program=PROGRAM, **options):
    return subprocess.run([*program, *arguments], capture_output=True, text=True, timeout=120, **options)


@pytest.mark.parametrize("arguments", [[], ["--help"]])
def test_it_lists_the_commands(arguments):
    done = run(*arguments)
    assert done.returncode == 0 and all(f"\n  {name} " in done.stdout for name in COMMANDS)


def test_it_runs_a_command_and_its_mistakes():
    assert "model=aspp_l backbone=resnet101" in run("train", "--help").stdout
    done = run("train", "modle=aspp_l")
    assert done.returncode == 1 and done.stderr.startswith("error: modle is not a key of this configuration.")
    done = run("evalute")
    assert done.returncode == 1 and "Did you mean 'evaluate'?" in done.stderr
    done = run("data=shapes", "max_steps=3")
    assert done.returncode == 1 and "deeplab-lit train data=shapes" in done.stderr and "COMMAND" in done.stderr
    done = run("-sc", "query=bash")  # without a line to complete
    assert done.returncode == 0 and "train" in done.stdout.split()
    done = run("-sc", "install=fish")
    assert done.returncode == 1 and "-sc install=bash" in done.stderr


@pytest.mark.skipif(not INSTALLED.exists(), reason="the package is not installed")
def test_the_installed_program_is_the_same():
    options = ["model=largefov", "backbone=resnet18", "json=true", "classes=5"]
    done = run("summary", *options, program=[str(INSTALLED)], check=True)
    assert json.loads(done.stdout)["classes"] == 5
    line = "deeplab-lit summ"
    done = run("-sc", "query=bash", program=[str(INSTALLED)], env={"DEEPLAB_LIT_LINE": line, "PATH": "/usr/bin"})
    assert done.stdout.split() == ["summary"]
