"""Locks between processes."""

import subprocess
import sys

import pytest
from filelock import FileLock

from deeplab_lit.utils import locks
from deeplab_lit.utils.errors import UserError
from deeplab_lit.utils.locks import one_at_a_time, one_or_none


def test_a_file_system_without_locks_is_worked_on(tmp_path, monkeypatch):
    """As Lustre without flock."""

    def refuse(self, timeout=None):
        raise NotImplementedError("FileSystem does not appear to support flock")

    monkeypatch.setattr(FileLock, "acquire", refuse)
    for lock in (one_at_a_time(tmp_path / "a"), one_or_none(tmp_path / "a", "taken")):
        with pytest.warns(UserWarning, match="cannot be locked"), lock:
            (tmp_path / "a").write_text("made")


def test_what_another_process_holds_is_refused_with_its_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "_PATIENCE", 0.1)
    held = f"with FileLock({str(tmp_path / '.a.lock')!r}): print('held', flush=True), input()"
    code = f"from filelock import FileLock\n{held}"
    holder = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(UserError, match="taken by another"), one_or_none(tmp_path / "a", "taken by another"):
        pass
    holder.kill()
    holder.wait()
    with one_or_none(tmp_path / "a", "taken by another"):
        pass
