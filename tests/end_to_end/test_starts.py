"""From one training to the next: pretrained on one data set, fine-tuned on another; ImageNet's files; pseudo-labels."""

import json
import os
import signal
import subprocess

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image

from deeplab_lit.inference.trained import load
from deeplab_lit.weights.read import read
from tests.conftest import write_voc
from tests.end_to_end.running import command, train, train_alone
from tests.end_to_end.test_train import TINIEST, TINY, run_folder


def test_from_the_source_domain_to_the_target_domain(tmp_path):
    for name in ("source", "target"):
        (tmp_path / name).mkdir()
    train(tmp_path / "source", *TINY, "backbone=resnet18", "data.domain=source", "max_steps=2", "parity=caffe")
    first = run_folder(tmp_path / "source") / "checkpoints" / "best.ckpt"
    done = train(
        tmp_path / "target", *TINY, "backbone=resnet18", "init=checkpoint", f"init.path={first}",
        "max_steps=1", "scales=msc", "parity.ceil_mode=true",
    )  # fmt: skip
    assert "taken: trunk (100); new: head.branches.0.classifier (2)" in done.stdout, done.stdout
    assert "note: those weights were trained with" not in done.stdout
    second = run_folder(tmp_path / "target") / "checkpoints" / "best.ckpt"
    # the input is made as the weights are used to, though parity=modern would have another
    assert load(second).normalization == load(first).normalization and load(second).normalization.bgr
    assert len(load(first).labels) == 19 and len(load(second).labels) == 12
    names = {name for name in read(second)["state_dict"] if name.endswith("running_mean")}
    # the trunk's statistics are held: they are still those of the first training
    assert names
    old, new = read(first)["state_dict"], read(second)["state_dict"]
    for name in names:
        assert torch.equal(new[name], old[name.replace("network.network.", "network.", 1)]), name


def test_torchvisions_file_of_vgg_on_a_voc_folder_with_pseudo_labels_and_rare_classes(tmp_path):
    torch.manual_seed(0)
    torch.save(torchvision.models.vgg16(weights=None).state_dict(), tmp_path / "vgg16.pth")
    root = write_voc(tmp_path / "mine", num_classes=3)
    (tmp_path / "classes.txt").write_text("meadow\nroad\ncow\n")
    (tmp_path / "pseudo").mkdir()
    for file in (root / "SegmentationClass").iterdir():
        Image.fromarray(np.array(Image.open(file)) % 2).save(tmp_path / "pseudo" / file.name)
    done = train(
        tmp_path, *TINY[2:], "data=voc", "data.root=mine", "data.classes=classes.txt", "data.train_masks=pseudo",
        "backbone=vgg16", "model=aspp_s", "init=imagenet", "init.path=vgg16.pth", "optimizer=sgd", "max_steps=1",
        "loss.class_weights=median_frequency", "sampling=rare_classes", "eval_size=49", "parity=caffe",
    )  # fmt: skip
    assert "vgg16 vgg16.pth: taken: trunk (26), head.branches.0.hidden.fc6 (2)" in done.stdout, done.stdout
    assert "left: classifier.6 (2)" in done.stdout and "rare classes more often" in done.stdout
    assert "warning    the 3 training masks do not hold the class(es) 'cow'" in done.stdout
    assert "'cow'" in (run_folder(tmp_path) / "train.log").read_text()
    result = json.loads((run_folder(tmp_path) / "result.json").read_text())
    # evaluated on the true masks, which have a third class
    assert set(result["per_class_iou"]) == {"meadow", "road", "cow"} and result["per_class_iou"]["cow"] is not None


def test_offline_the_command_says_which_file_to_put_where(tmp_path):
    # nothing listens on this proxy
    dead = {"https_proxy": "http://127.0.0.1:9", "HTTPS_PROXY": "http://127.0.0.1:9", "TORCH_HOME": str(tmp_path)}
    done = train_alone(tmp_path, *TINY, "backbone=resnet18", "init=imagenet", expect=1, env=dead)
    assert "resnet18-f37072fd.pth" in done.stderr and "init.path=FILE" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert not list(tmp_path.glob("runs/*"))


@pytest.mark.long
def test_processes_that_a_cluster_starts_share_one_run(tmp_path):
    """srun starts every task itself and says by variables which is which."""
    arguments = [*TINIEST, "trainer=slurm", "trainer.accelerator=cpu", "trainer.devices=2", "trainer.precision=32-true"]
    port = str(20000 + os.getpid() % 20000)
    common = {
        **os.environ, "SLURM_NTASKS": "2",
        "SLURM_JOB_ID": "7", "SLURM_JOB_NAME": "train", "SLURM_NODELIST": "127.0.0.1",
        "SLURM_NODEID": "0", "SLURM_NNODES": "1", "SLURM_NTASKS_PER_NODE": "2", "MASTER_PORT": port,
        "MASTER_ADDR": "127.0.0.1", "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    tasks = [
        subprocess.Popen(
            command("train", *arguments), cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env={**common, "SLURM_PROCID": str(rank), "SLURM_LOCALID": str(rank)},
        )
        for rank in range(2)
    ]  # fmt: skip
    texts = [task.communicate(timeout=200)[0] for task in tasks]
    assert [task.returncode for task in tasks] == [0, 0], texts
    assert "mIoU 0." in texts[0] and "in each of 2 processes" in texts[0] and "mIoU" not in texts[1]
    assert json.loads((run_folder(tmp_path) / "result.json").read_text())["steps"] == 4


@pytest.mark.long
def test_a_bad_file_ends_all_processes_with_its_name(tmp_path):
    write_voc(tmp_path / "mine", sizes=[(32, 40)] * 34, num_classes=3)
    file = tmp_path / "mine" / "JPEGImages" / "picture_1.jpg"  # not among those read before training
    file.write_bytes(file.read_bytes()[:300])
    arguments = [a for a in TINY[2:] if "num_workers" not in a]
    two = ["trainer=ddp", "trainer.devices=2", "trainer.accelerator=cpu", "trainer.precision=32-true"]
    process = subprocess.Popen(
        [*command("train", *arguments), *two, "data=voc", "data.root=mine", "num_workers=1",
         "max_steps=40", "val_every=50"],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    try:
        text = process.communicate(timeout=120)[0]
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode != 0 and "picture_1.jpg cannot be read as an image" in text, text
    assert "another process of this training has ended" in text and "Traceback" not in text, text
