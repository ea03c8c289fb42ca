import csv
import time

import pytest

from deeplab_lit.training.loggers import CsvLogger, wandb_is_configured
from deeplab_lit.training.runs import fingerprint, new_run, read_config, run_to_resume
from deeplab_lit.utils.errors import UserError
from deeplab_lit.utils.files import replacing, write_json
from tests.composing import config_of


def config(tmp_path, *overrides):
    return config_of("name=data-trunk-head", f"output={tmp_path}", "logger=csv", *overrides)


def test_new_runs_never_share_a_folder(tmp_path):
    folders = {new_run(config(tmp_path)).folder for _ in range(4)}
    assert len(folders) == 4 and all((folder / "config.yaml").is_file() for folder in folders)


def test_auto_takes_the_newest_run_of_the_same_config(tmp_path):
    runs = []
    for _ in range(2):
        runs.append(new_run(config(tmp_path)))
        runs[-1].checkpoints.mkdir()
        runs[-1].last.touch()
        time.sleep(0.02)
    new_run(config(tmp_path, "seed=1")).checkpoints.mkdir()
    unfinished = new_run(config(tmp_path))  # without a checkpoint: nothing to go on from
    found = run_to_resume(config(tmp_path, "resume=auto", "num_workers=7"))
    assert found.folder == runs[-1].folder and found.resume_from == runs[-1].last
    assert unfinished.folder != found.folder
    assert run_to_resume(config(tmp_path, "resume=auto", "max_steps=6")) is None
    assert run_to_resume(config(tmp_path)) is None


def test_a_given_run_or_checkpoint(tmp_path):
    run = new_run(config(tmp_path))
    with pytest.raises(UserError, match=r"has no checkpoints/last\.ckpt"):
        run_to_resume(config(tmp_path, f"resume={run.folder}"))
    run.checkpoints.mkdir()
    run.last.touch()
    run.best.touch()
    assert run_to_resume(config(tmp_path, f"resume={run.folder}")).resume_from == run.last
    given = run_to_resume(config(tmp_path, f"resume={run.best}"))
    assert given.folder == run.folder and given.resume_from == run.best
    with pytest.raises(UserError, match="nowhere.*does not exist"):
        run_to_resume(config(tmp_path, f"resume={tmp_path / 'nowhere'}"))


def composed(*overrides):
    return config_of(*overrides).as_dict()


@pytest.mark.parametrize(
    "override",
    [
        "trainer.devices=2", "+trainer.num_nodes=2", "trainer.log_every_n_steps=1", "trainer=ddp", "trainer=gpu",
        "compile=loss", "channels_last=true", "atrous=holes", "eval_batch_size=3", "num_workers=0", "decoded_gb=1",
        "pictures=0", "on_nan=skip", "logger=csv", "name=y", "output=elsewhere", "crf=v2_resnet101", "roots.voc=x",
        "data.cache=elsewhere", "resume=auto", "preview=true",
    ],
)  # fmt: skip
def test_what_leaves_the_weights_alone_is_no_part_of_a_run(override):
    """Trainings on other devices, and those that are watched otherwise, began anew without a word."""
    assert fingerprint(composed(override)) == fingerprint(composed())


@pytest.mark.parametrize(
    "override",
    [
        "seed=1", "batch_size=3", "max_steps=7", "val_every=3", "crop_size=65", "eval_size=161", "ema=0.9",
        "optimizer.lr=1", "schedule.power=1", "augment.flip=false", "model.rates=[1]", "backbone.output_stride=16",
        "scales=msc", "loss.resolution=map", "sampling=rare_classes", "parity.normalization=bgr_bytes", "tf32=false",
        "trainer.precision=32-true", "trainer.accumulate_grad_batches=2", "trainer.gradient_clip_val=1",
        "data.train_images=5", "data.domain=source", "train_only_new=true", "align_corners=true",
    ],
)  # fmt: skip
def test_what_changes_the_weights_is(override):
    assert fingerprint(composed(override)) != fingerprint(composed())


def test_a_trained_crf_is_part_of_a_run():
    trained = ["crf=v2_resnet101", "crf.trainable=true"]
    assert fingerprint(composed(*trained)) != fingerprint(composed())
    assert fingerprint(composed(*trained)) != fingerprint(composed(*trained, "crf.iterations=2"))


def test_a_planner_recognises_what_a_job_of_slurm_trains(monkeypatch):
    """SLURM's variables are set in the job alone."""
    planned = fingerprint(composed("trainer=slurm"))
    monkeypatch.setenv("SLURM_NTASKS_PER_NODE", "4")
    monkeypatch.setenv("SLURM_NNODES", "2")
    job = composed("trainer=slurm")
    assert (job["trainer"]["devices"], job["trainer"]["num_nodes"]) == (4, 2)
    assert fingerprint(job) == planned


def test_a_run_is_found_by_its_config_as_it_lies_on_disk(tmp_path):
    """Numbers and texts go through YAML."""
    given = config(tmp_path, "optimizer.lr=1e-5", "model.rate_scale=0.30000000000000004", "crf=v2_resnet101")
    run = new_run(given)
    assert read_config(run) == given.as_dict() and fingerprint(read_config(run)) == fingerprint(given.as_dict())


def test_auto_says_why_it_starts_anew(tmp_path):
    first = new_run(config(tmp_path, "optimizer.lr=0.1"))
    first.checkpoints.mkdir()
    first.last.touch()
    anew = config(tmp_path, "optimizer.lr=0.2", "resume=auto")
    assert run_to_resume(anew) is None
    new = new_run(anew)
    assert new.resume_from is None and new.folder != first.folder
    assert (new.other, new.changes) == (first.folder, ("optimizer.lr: 0.1 -> 0.2",))


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "result.json"
    write_json(path, {"miou": 1.0, "iou": [float("nan")]})
    before = path.read_text()
    assert '"miou": 1.0' in before and "null" in before
    with pytest.raises(RuntimeError), replacing(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == before and [file.name for file in tmp_path.iterdir()] == ["result.json"]


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
