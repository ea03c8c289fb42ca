"""The version of this library, and in a clone of its repository the commit."""

from __future__ import annotations

import subprocess
from pathlib import Path

import deeplab_lit


def code_version() -> str:
    """As ``0.1.0``; in a clone ``0.1.0, commit 195d54b``, and `` and changes`` where tracked files differ from it."""
    package = Path(deeplab_lit.__file__).resolve().parent
    clone = package.parent.parent
    if not (clone / ".git").exists():  # the package may be installed below somebody else's repository
        return deeplab_lit.__version__
    told = ["git", "-C", str(clone), "describe", "--always", "--abbrev=7", "--exclude=*", "--dirty= and changes"]
    try:
        answer = subprocess.run(told, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return deeplab_lit.__version__
    commit = answer.stdout.strip()
    return (
        f"{deeplab_lit.__version__}, commit {commit}" if answer.returncode == 0 and commit else deeplab_lit.__version__
    )
