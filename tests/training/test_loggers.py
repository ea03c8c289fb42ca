"""metrics.csv, and when W&B is left offline."""

import csv

from deeplab_lit.training.loggers import CsvLogger
from deeplab_lit.training.wandb_run import wandb_is_configured


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_csv_has_one_row_a_step_and_goes_on_after_a_resume(tmp_path):
    path = tmp_path / "metrics.csv"
    first = CsvLogger(path)
    for step in range(4):
        first.log_metrics({"train/loss": 1.0 / (step + 1), "epoch": 0}, step)
    first.log_metrics({"val/miou": 0.5}, 3)
    first.flush()
    second = CsvLogger(path)
    second.rewind(1)  # the last checkpoint was at step 1
    for step in (2, 3, 4):
        second.log_metrics({"train/loss": 9.0}, step)
    second.flush()
    found = rows(path)
    assert [row["step"] for row in found] == ["0", "1", "2", "3", "4"]
    assert [row["train/loss"] for row in found] == ["1", "0.5", "9", "9", "9"]
    assert all(row["val/miou"] == "" for row in found)


def test_wandb_asks_for_nothing_without_a_key(monkeypatch, tmp_path):
    for name in ("WANDB_API_KEY", "WANDB_MODE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert not wandb_is_configured()
    (tmp_path / ".netrc").write_text("machine api.wandb.ai login user password 0123\n")
    (tmp_path / ".netrc").chmod(0o600)
    assert wandb_is_configured()
