"""What makes two trainings the same."""

import pytest

from deeplab_lit.training.runs import fingerprint
from tests.composing import config_of


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
        "+trainer.limit_val_batches=0.5",
        "data.train_images=5", "data.domain=source", "train_only_new=true", "align_corners=true", "loss=balanced",
        "loss=ohem", "loss.dense_energy=1e-7", "loss.pixel_weights=x", "schedule.every=10",
    ],
)  # fmt: skip
def test_what_changes_the_weights_is(override):
    assert fingerprint(composed(override)) != fingerprint(composed())


def test_a_start_is_the_same_as_before_it_could_name_its_rates():
    start = ["init=checkpoint", "init.path=a.ckpt"]
    before = composed(*start)
    assert before["init"].pop("rates") is None
    assert fingerprint(composed(*start)) == fingerprint(before) != fingerprint(composed(*start, "init.rates=[6,12]"))


def test_a_run_of_a_version_without_a_key_is_found():
    for data in ("shapes", "voc", "coco"):
        now = composed(f"data={data}", "data.root=x" if data != "shapes" else "data.seed=1")
        before = {**now, "data": {key: each for key, each in now["data"].items() if key not in ("val_list", "crowds")}}
        assert before["data"] != now["data"] and fingerprint(before) == fingerprint(now)
        other = {**now, "data": {**now["data"], "val_list": "mine.txt"}}
        assert fingerprint(other) != fingerprint(now)
    assert fingerprint({**now, "data": {**now["data"], "crowds": "class"}}) != fingerprint(now)


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


def test_a_run_of_a_release_without_a_key_is_found():
    """Such a run's config.yaml lacks the key; the value that stands for it has the same fingerprint."""
    now = composed()
    before = composed()
    for group, names in (
        ("loss", ("balanced", "threshold", "dense_energy", "pixel_weights")),
        ("schedule", ("every",)),
    ):
        for name in names:
            del before[group][name]
    del before["keep"]
    assert fingerprint(before) == fingerprint(now)
    assert fingerprint(before) != fingerprint(composed("schedule.every=10"))
    assert fingerprint(before) != fingerprint(composed("keep=last"))


def test_a_folder_is_the_same_with_a_stroke_behind_it():
    one, other = (composed("data=voc", f"data.root={root}", "data.train_masks=y/") for root in ("x", "x/"))
    assert fingerprint(one) == fingerprint(other) != fingerprint(composed("data=voc", "data.root=x"))
