"""What a W&B run holds, read back from its offline file."""

import json
import os
import sys
from pathlib import Path

import pytest
import torch
import yaml
from omegaconf import OmegaConf
from PIL import Image

from deeplab_lit.config.paths import experiments_folder
from tests.end_to_end.running import train_alone, use
from tests.end_to_end.test_train import TINIEST, rows, run_folder
from tests.sweeps.test_run_table import TINY as SWEPT

_HEADER, _BLOCK = 7, 32768


def read_records(path):
    """The records of a .wandb file: a LevelDB log (7-byte frames in blocks of 32 KiB) of protobuf messages."""
    from wandb.proto import wandb_internal_pb2

    content, position, pending, found = path.read_bytes(), _HEADER, b"", []
    assert content.startswith(b":W&B")
    while position + 7 <= len(content):
        if _BLOCK - position % _BLOCK < 7:  # no room for a frame at the end of a block
            position += _BLOCK - position % _BLOCK
            continue
        length, kind = int.from_bytes(content[position + 4 : position + 6], "little"), content[position + 6]
        pending += content[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):  # whole, or the last part
            found.append(wandb_internal_pb2.Record.FromString(pending))
            pending = b""
    return found


def nested(items):
    """A row of the history: its items name the way into nested values."""
    row = {}
    for item in items:
        *way, last = item.nested_key or [item.key]
        place = row
        for step in way:
            place = place.setdefault(step, {})
        place[last] = json.loads(item.value_json)
    return row


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("user")
    home = tmp_path_factory.mktemp("home")
    train_alone(
        folder, *TINIEST, "logger=default", "logger.wandb.tags=[mini]", "max_steps=6",
        env={"WANDB_MODE": None, "HOME": str(home), "WANDB_DATA_DIR": str(home)},
    )  # fmt: skip
    return run_folder(folder)


@pytest.fixture(scope="module")
def records(run):
    (file,) = run.glob("wandb/offline-run-*/run-*.wandb")
    by_kind = {}
    for record in read_records(file):
        kind = record.WhichOneof("record_type")
        by_kind.setdefault(kind, []).append(getattr(record, kind))
    return by_kind


@pytest.fixture(scope="module")
def history(records):
    return [nested(row.item) for row in records["history"]]


def test_the_config_is_complete(records):
    (about,) = records["run"]
    config = {item.key: json.loads(item.value_json) for item in about.config.update}
    assert config["max_steps"] == 6 and config["model"]["rates"] == [6, 12, 18, 24]
    assert config["optimizer"]["name"] == "adamw" and config["data"]["train_images"] == 24
    assert about.project == "deeplab_lit" and list(about.tags) == ["mini"]


def test_losses_rates_and_measures_are_those_of_metrics_csv(run, history):
    # one key in several rows of the history; W&B's own step differs from the trainer's
    for key in ("train/loss", "lr/base_weight", "lr/new_bias", "val/miou", "val/iou/background"):
        theirs = [row[key] for row in history if key in row]
        ours = [float(row[key]) for row in rows(run) if row[key]]
        assert theirs == pytest.approx(ours, rel=1e-4) and len(ours) >= 3, key
    steps = [row["trainer/global_step"] for row in history if "train/loss" in row]
    assert steps == list(range(6))


def test_throughput_is_logged(history):
    speeds = [row["train/images_per_second"] for row in history if "train/images_per_second" in row]
    assert speeds and all(speed > 0 for speed in speeds)


def test_the_table_of_ious_and_the_confusion_matrix(run, history):
    result = json.loads((run / "result.json").read_text())
    (last,) = [row for row in history if "per_class_iou" in row]
    (files,) = run.glob("wandb/offline-run-*/files")
    table = json.loads((files / last["per_class_iou"]["path"]).read_text())
    assert table["columns"] == ["class", "IoU"]
    found = {name: iou for name, iou in table["data"] if iou is not None}
    expected = {name: iou for name, iou in result["per_class_iou"].items() if iou is not None}
    assert found == pytest.approx(expected)
    (matrix,) = files.glob("media/table/confusion_matrix*.json")
    cells = json.loads(matrix.read_text())
    assert cells["columns"] == ["Actual", "Predicted", "nPredictions"] and len(cells["data"]) == 12 * 12
    # the IoUs follow from the matrix
    count = {(truth, guess): pixels for truth, guess, pixels in cells["data"]}
    names = list(result["per_class_iou"])
    for name, iou in expected.items():
        union = sum(count[name, other] + count[other, name] for other in names) - count[name, name]
        assert iou == pytest.approx(count[name, name] / union)


def test_overlays_are_pictures_with_masks(run, history):
    (files,) = run.glob("wandb/offline-run-*/files")
    entries = [value for row in history for key, value in row.items() if key.startswith("predictions/")]
    assert len(entries) == 3 * 2  # three validations, two pictures
    for entry in entries:
        (picture,) = entry["filenames"]
        (masks,) = entry["all_masks"]
        assert set(masks) == {"prediction", "truth"}
        size = Image.open(files / picture).size
        assert all(Image.open(files / mask["path"]).size == size for mask in masks.values())


def test_the_best_checkpoint_is_an_artifact(run, records):
    (artifact,) = [each for each in records["artifact"] if each.type == "model"]
    (entry,) = artifact.manifest.contents
    assert entry.path == "best.ckpt" and "best" in artifact.aliases
    assert torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)["global_step"] > 0
    # the checkpoint itself waits to be uploaded, not a copy that fills the disk
    assert entry.local_path == str((run / "checkpoints" / "best.ckpt").resolve())
    result = json.loads((run / "result.json").read_text())
    assert json.loads(artifact.metadata)["miou"] == pytest.approx(result["miou"])


@pytest.mark.slow
def test_a_row_of_a_table_stands_beside_the_published_numbers(tmp_path):
    train_alone(
        tmp_path,
        "experiments=table3_aspp_vgg16/aspp_s",
        *SWEPT,
        "trainer.log_every_n_steps=1",
        "logger=default",
        "pictures=1",
    )
    (result,) = tmp_path.glob("runs/table3_aspp_vgg16/aspp_s/*/result.json")
    (file,) = result.parent.glob("wandb/offline-run-*/run-*.wandb")
    records = read_records(file)
    (about,) = [record.run for record in records if record.WhichOneof("record_type") == "run"]
    assert (about.run_group, about.job_type, list(about.tags)) == (
        "table3_aspp_vgg16-mini", "aspp_s", ["mini", "batch 2 instead of 10"],
    )  # fmt: skip
    assert about.notes == "ASPP at rates 2, 4, 8, 12"
    summary = {}
    for record in records:
        if record.WhichOneof("record_type") == "summary":
            summary |= {".".join(item.nested_key or [item.key]): item.value_json for item in record.summary.update}
    found = json.loads(result.read_text())
    assert json.loads(summary["published/miou"]) == 66.98 and json.loads(summary["published/crf_miou"]) == 69.73
    difference = 100 * found["crf"]["miou"] - 69.73
    assert json.loads(summary["difference_mini/crf_miou"]) == pytest.approx(difference)
    assert not any(key.startswith("difference/") for key in summary)
    artifacts = {record.artifact.type for record in records if record.WhichOneof("record_type") == "artifact"}
    assert {"model", "predictions"} <= artifacts

    # a dashboard asks for what the run holds, and for no more
    use("dashboard", tmp_path, f"group={about.run_group}")
    specification = json.loads((tmp_path / "runs/table3_aspp_vgg16/dashboard-mini.json").read_text())
    (grid,) = [block for block in specification["spec"]["blocks"] if block["type"] == "panel-grid"]
    panels = [panel["config"] for panel in grid["metadata"]["panelBankSectionConfig"]["panels"]]
    logged = {key for record in records if record.WhichOneof("record_type") == "history"
              for key in nested(record.history.item)}  # fmt: skip
    tables = [panel["userQuery"]["queryFields"][0]["fields"][0]["args"][0]["value"] for panel in panels
              if "userQuery" in panel]  # fmt: skip
    asked = {key for panel in panels for key in [*panel.get("metrics", []), *panel.get("mediaKeys", [])]} | {*tables}
    assert len(asked) == 4 + 2 + 2 + 1
    assert asked <= logged | set(summary)
    (runs,) = grid["metadata"]["runSets"]
    assert [(each["key"]["name"], each["value"]) for each in runs["filters"]["filters"]] == [("group", about.run_group)]
    columns = {name.split(":")[1] for name in runs["runFeed"]["columnPinned"]}
    assert columns - {"displayName"} <= set(summary)


def sweep_file():
    return yaml.safe_load((experiments_folder() / "table3_wandb_sweep.yml").read_text())


def test_the_sweep_of_wandb_is_the_table():
    values = sweep_file()["parameters"]["experiments"]["values"]
    table = OmegaConf.load(experiments_folder() / "table3_aspp_vgg16.yaml")
    assert values == [f"table3_aspp_vgg16/{name}" for name in table.hydra.sweeper.rows]


@pytest.mark.long
def test_wandbs_agent_runs_a_row(tmp_path, monkeypatch):
    """The agent itself, given what the server would send it for the first combination."""
    from wandb.wandb_agent import Agent

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    for name, value in {"WANDB_SWEEP_ID": "abcd1234", "WANDB_MODE": "offline", "WANDB_DIR": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    for name in ("WANDB_RUN_ID", "WANDB_SWEEP_PARAM_PATH"):  # the agent sets them, and they are gone afterwards
        monkeypatch.setenv(name, "")
    sweep = sweep_file()
    parameters = {key: each.get("value", each.get("values", [None])[0]) for key, each in sweep["parameters"].items()}
    parameters |= dict(argument.split("=", 1) for argument in SWEPT) | {"logger": "default", "pictures": "1"}
    agent = Agent(api=None, queue=None, sweep_id="abcd1234")
    agent._sweep_command = sweep["command"]
    args = {key: {"value": value} for key, value in parameters.items()}
    agent._command_run({"run_id": "efgh5678", "program": sweep["program"], "args": args})
    assert agent._run_processes["efgh5678"].wait() == 0
    assert len(list(tmp_path.glob("runs/table3_aspp_vgg16/largefov/*/result.json"))) == 1
    (file,) = tmp_path.rglob("run-*.wandb")
    (about,) = [record.run for record in read_records(file) if record.WhichOneof("record_type") == "run"]
    assert (about.run_id, about.sweep_id) == ("efgh5678", "abcd1234")
    assert (about.run_group, about.job_type) == ("table3_aspp_vgg16-mini", "largefov")
