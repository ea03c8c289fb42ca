"""Three thousand steps with validation, checkpoints and pictures: nothing grows."""

import os
import subprocess
import time
from pathlib import Path

import pytest

from tests.end_to_end.running import command
from tests.end_to_end.test_train import TINIEST

STEPS = 3000


def status(pid):
    lines = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    files = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    return {"memory": int(lines["VmRSS"].split()[0]), "threads": int(lines["Threads"]), "files": files}


def family(pid):
    """The process and its loaders, which live as long as it does."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *map(int, children)]


def step_of(folder):
    files = list(folder.glob("runs/*/*/metrics.csv"))
    lines = files[0].read_text().splitlines() if files else []
    return int(lines[-1].split(",")[0]) if len(lines) > 1 else 0


@pytest.mark.long
def test_nothing_grows(tmp_path):
    (tmp_path / "tmp").mkdir()
    environment = {**os.environ, "TMPDIR": str(tmp_path / "tmp"), "OMP_NUM_THREADS": "1"}
    arguments = [*TINIEST, "logger=csv", f"max_steps={STEPS}", "val_every=50", "num_workers=1", "pictures=2"]
    seen = []  # (step, memory of all, threads, open files, temporary files)
    with (tmp_path / "output").open("w+") as output:
        process = subprocess.Popen(
            command("train", *arguments), cwd=tmp_path, env=environment, stdout=output, stderr=output
        )
        while process.poll() is None:
            time.sleep(0.5)
            try:
                found = [status(pid) for pid in family(process.pid)]
            except (FileNotFoundError, ProcessLookupError, KeyError):
                continue
            sums = [sum(each[key] for each in found) for key in ("memory", "threads", "files")]
            seen.append((step_of(tmp_path), *sums, len(list((tmp_path / "tmp").rglob("*")))))
    assert process.returncode == 0, (tmp_path / "output").read_text()[-2000:]
    warm = [each for each in seen if STEPS // 5 <= each[0] < 2 * STEPS // 5]
    late = [each for each in seen if 4 * STEPS // 5 <= each[0] < STEPS - 20]
    assert len(warm) > 5 and len(late) > 5, seen

    def middle(values, column):
        return sorted(each[column] for each in values)[len(values) // 2]

    growth = middle(late, 1) / middle(warm, 1)
    print(f"memory {middle(warm, 1)} kB, then {middle(late, 1)} kB: {growth:.4f}")
    assert growth < 1.03
    for column, what in ((2, "threads"), (3, "open files"), (4, "temporary files")):
        assert middle(late, column) <= middle(warm, column), what
    checkpoints = list(tmp_path.glob("runs/*/*/checkpoints/*"))
    assert sorted(file.name for file in checkpoints) == ["best.ckpt", "last.ckpt"]
