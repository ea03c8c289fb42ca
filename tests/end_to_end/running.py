"""Commands as a user types them: in a process of their own, or in this one, which has imported everything already.

Arguments are words, or several in one string.
"""

import contextlib
import importlib
import io
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass

import pytest


@dataclass
class Done:
    stdout: str
    stderr: str


UID = 12345
"""The number of a user that the list of users lacks, as in a container."""

AS_NOBODY = (
    f"setpriv --reuid={UID} --regid={UID} --clear-groups --inh-caps=-all,+dac_read_search "
    "--ambient-caps=+dac_read_search --bounding-set=-all,+dac_read_search"
).split()
"""Words before a command that is to run as this user.

The interpreter may lie in a folder that only root reads, so this user reads everything, and writes what others may.
"""

_can_be_nobody = (
    hasattr(os, "getuid")
    and os.getuid() == 0
    and shutil.which("setpriv") is not None
    and subprocess.run([*AS_NOBODY, sys.executable, "-c", ""], capture_output=True).returncode == 0
)
needs_nobody = pytest.mark.skipif(not _can_be_nobody, reason="only root can become another user")


def command(name, *arguments):
    return [sys.executable, "-m", f"deeplab_lit.{name}", *" ".join(arguments).split()]


def use(name, folder, *arguments, expect=0):
    """The command in this process, in ``folder``."""
    program = importlib.import_module(f"deeplab_lit.{name}").main
    out, err, argv, status = io.StringIO(), io.StringIO(), sys.argv, 0
    sys.argv = [f"{name}.py", *" ".join(arguments).split()]
    try:
        with contextlib.chdir(folder), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            program()
    except SystemExit as ended:
        status = ended.code
    finally:
        sys.argv = argv
    assert (status or 0) == expect, out.getvalue() + err.getvalue()
    return Done(out.getvalue(), err.getvalue())


def use_alone(name, folder, *arguments, expect=0, env=None, within=400, nobody=False):
    """The command in a process of its own; ``env`` adds variables, those with None are taken away.

    With ``nobody`` it runs as the user :data:`UID`.
    """
    merged = {key: value for key, value in {**os.environ, **(env or {})}.items() if value is not None}
    whole = [*(AS_NOBODY if nobody else []), *command(name, *arguments)]
    done = subprocess.run(whole, cwd=folder, capture_output=True, text=True, timeout=within, env=merged)
    assert done.returncode == expect, done.stdout + done.stderr
    return Done(done.stdout, done.stderr)


def use_together(name, folder, *arguments, within=400):
    """The command in two processes at once, with what torchrun tells each of them."""
    whole, started = command(name, *arguments), []
    for rank in range(2):
        told = {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
        pipe = subprocess.PIPE
        started.append(subprocess.Popen(whole, cwd=folder, stdout=pipe, stderr=pipe, text=True, env=os.environ | told))
    done = [Done(*process.communicate(timeout=within)) for process in started]
    assert all(process.returncode == 0 for process in started), done
    return done


def train(folder, *arguments, expect=0):
    return use("train", folder, *arguments, expect=expect)


def train_alone(folder, *arguments, **options):
    return use_alone("train", folder, *arguments, **options)
