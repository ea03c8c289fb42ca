"""Completion, by itself and in a real shell."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from deeplab_lit.cli.completion import candidates


def test_words_are_completed():
    assert candidates("train", [], "mod") == ["model=", "model."]
    assert candidates("train", [], "model=asp") == ["model=aspp_l", "model=aspp_s"]
    assert "experiments=table3_aspp_vgg16/aspp_l" in candidates("train", [], "experiments=table3_aspp_vgg16/")
    assert "optimizer.momentum=" in candidates("train", ["optimizer=sgd"], "optimizer.")
    assert "optimizer.momentum=" not in candidates("train", [], "optimizer.")
    assert candidates("train", [], "resume=") == ["resume=auto"] and candidates("train", [], "resume=r") == []
    assert candidates("evaluate", [], "trim") == ["trimap="]


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("bash"), reason="no bash")
@pytest.mark.parametrize(
    ("line", "reply"),
    [
        ("python -m deeplab_lit.train back", ["backbone=", "backbone."]),
        ("python -m deeplab_lit.train model=aspp_s backbone=resnet1", ["resnet101", "resnet18"]),
        ("python -m deeplab_lit.predict imag", ["images="]),
        ("python -m deeplab_lit summ", ["summary "]),
        ("python -m deeplab_lit train resume=", ["auto"]),
        ("python -m deeplab_lit train model=aspp_s backbone=resnet1", ["resnet101", "resnet18"]),
        ("python -m http.server 80", []),
        ("python somewhere.py mod", []),
    ],
)
def test_bash_completes(line, reply):
    # as readline splits the line, = and : among the breaks
    words = [word for word in re.split(r"\s+|(=)", line) if word]
    quoted = " ".join(f"'{word}'" for word in words)
    script = (
        f'eval "$(python -m deeplab_lit.train -sc install=bash)"\nCOMP_LINE={line!r} COMP_POINT={len(line)}\n'
        f"COMP_WORDS=({quoted}) COMP_CWORD={len(words) - 1}\n"
        'f=$(complete -p python); f=${f##*-F }; ${f%% *}; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    env = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=120, env=env)
    assert [word for word in done.stdout.split("\n") if word] == reply, done.stderr
