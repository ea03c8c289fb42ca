"""The papers' tables: the published numbers, what rows depend on, and what a sweep does when rows fail or are done."""

import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import hydra
import numpy as np
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf
from PIL import Image

from deeplab_lit.config.compose import typed
from deeplab_lit.config.hydra_private import failures_as_results
from deeplab_lit.config.hydra_store import register_schemas
from deeplab_lit.config.paths import conf_folder
from deeplab_lit.data.shapes.dataset import DOMAINS
from deeplab_lit.models.heads import scaled_rate
from deeplab_lit.reports.report_rows import Report, Row
from deeplab_lit.sweeps.run_table import Job, _ready, plan, rows_with_options
from deeplab_lit.training.result import Result
from deeplab_lit.training.runs import fingerprint, new_run
from deeplab_lit.utils.errors import UserError
from tests.composing import config_of
from tests.end_to_end.running import command, train, train_alone, use, use_alone

EXPERIMENTS = conf_folder().parent / "experiments"
TABLES = sorted(file.stem for file in EXPERIMENTS.glob("*.yaml") if (EXPERIMENTS / file.stem).is_dir())
TINY = [
    "budget=mini", "data.train_images=24", "data.val_images=5", "max_steps=2", "val_every=2", "global_batch_size=2",
    "crop_size=49", "num_workers=0", "trainer.accelerator=cpu", "trainer.precision=32-true", "logger=csv", "pictures=0",
    "backbone=timm", "backbone.name=test_resnet", "init=random", "optimizer.lr=0.001",
]  # fmt: skip

PUBLISHED = """
table1_fov/deeplab_7x7 64.38 67.64
table1_fov/deeplab_4x4 59.80 63.74
table1_fov/deeplab_4x4_r8 63.41 67.14
table1_fov/largefov 62.25 67.64
v1_multiscale_features/msc 61.30 65.21
v1_multiscale_features/msc_largefov 64.21 68.70
table2_policy/step_30_6k 62.25
table2_policy/poly_30_6k 63.42
table2_policy/poly_30_10k 64.90
table2_policy/poly_10_10k 64.71
table2_policy/poly_10_20k 65.88
table3_aspp_vgg16/largefov 65.76 69.84
table3_aspp_vgg16/aspp_s 66.98 69.73
table3_aspp_vgg16/aspp_l 68.96 71.57
table4_resnet101/baseline 68.72
table4_resnet101/msc 71.27
table4_resnet101/coco 73.28
table4_resnet101/aug 74.87
table4_resnet101/largefov 75.54
table4_resnet101/aspp 76.35
table4_resnet101/crf 76.35 77.69
table6_pascal_context/vgg16_largefov 37.6
table6_pascal_context/vgg16_crf 37.6 39.6
table6_pascal_context/baseline 39.6
table6_pascal_context/msc 41.4
table6_pascal_context/coco 42.9
table6_pascal_context/largefov 43.5
table6_pascal_context/aspp 44.7
table6_pascal_context/crf 44.7 45.7
table7_person_part/baseline 58.90
table7_person_part/msc 63.10
table7_person_part/coco 64.40
table7_person_part/crf 64.40 64.94
table7_person_part/largefov 62.18
table7_person_part/aspp 62.76
table9_cityscapes/vgg16_half 62.97
table9_cityscapes/vgg16_half_crf 62.97 64.18
table9_cityscapes/vgg16_largefov 64.89
table9_cityscapes/vgg16_crf 64.89 65.94
table9_cityscapes/baseline 66.6
table9_cityscapes/largefov 69.2
table9_cityscapes/aspp 70.4
table9_cityscapes/aug 71.0
table9_cityscapes/crf 71.0 71.4
"""


def row(name, *overrides):
    return config_of(f"experiments={name}", *overrides).as_dict()


def rows_of(table):
    return list(OmegaConf.load(EXPERIMENTS / f"{table}.yaml").hydra.sweeper.rows)


def parsed(*words):
    return OverridesParser.create().parse_overrides(list(words))


@pytest.mark.parametrize("typed", ["rows=crf,baseline", "rows=[crf,baseline]", "rows='crf,baseline'"])
def test_some_rows_of_a_table_run_in_its_order_with_each_combination_of_options(typed):
    rows = ["baseline", "msc", "crf"]
    jobs = rows_with_options("table", rows, parsed("experiments=table", typed, "seed=0,1", "budget=mini"))
    assert jobs == [[f"experiments=table/{row}", f"seed={seed}", "budget=mini"]
                    for row in ("baseline", "crf") for seed in (0, 1)]  # fmt: skip
    for all_of_them in ((), ("rows=null",)):
        found = rows_with_options("table", rows, parsed("experiments=table", *all_of_them))
        assert found == [[f"experiments=table/{row}"] for row in rows]
    with pytest.raises(UserError, match="rows=crg: the rows of table are baseline, msc, crf. Did you mean 'crf'"):
        rows_with_options("table", rows, parsed("rows=msc,crg"))


def ends(folder, table):
    return {each["row"]: each for each in json.loads((folder / "runs" / table / "sweep-mini.json").read_text())}


@pytest.mark.parametrize("line", PUBLISHED.split("\n")[1:-1])
def test_the_published_numbers(line):
    name, *numbers = line.split()
    published = row(name)["row"]["published"]
    found = [published[key] for key in ("miou", "crf_miou") if key in published]
    assert found == [float(number) for number in numbers]
    table, first = name.split("/")
    assert first in rows_of(table)


def test_every_row_composes_at_the_small_scales():
    assert {*TABLES} == {word.split("/")[0] for word in PUBLISHED.split() if "/" in word} | {"factorial"}
    register_schemas()
    with hydra.initialize_config_dir(version_base="1.3", config_dir=str(conf_folder())):
        for table in TABLES:
            files = {file.stem for file in (EXPERIMENTS / table).glob("*.yaml")}
            assert files - {"coco_pretraining"} == set(rows_of(table))
            for name in files:
                for budget in ("mini", "subset")[: 1 + (name in ("largefov", "aspp", "msc"))]:
                    row = typed(hydra.compose("train", [f"experiments={table}/{name}", f"budget={budget}"])).row
                    assert (row.table, row.name, row.budget) == (table, name, budget)


def test_full_scale_is_the_papers():
    vgg, resnet = row("table2_policy/step_30_6k"), row("table4_resnet101/aspp")
    for config, lr, batch, steps in ((vgg, 1e-3, 30, 6000), (resnet, 2.5e-4, 10, 20000)):
        assert config["data"]["_target_"].endswith("VOCAug") and config["crop_size"] == 321
        assert config["optimizer"] == {**config["optimizer"], "name": "sgd", "lr": lr, "momentum": 0.9, "new_lr": 10.0}
        assert (config["global_batch_size"], config["max_steps"]) == (batch, steps)
        assert config["parity"]["align_corners"] and config["loss"]["resolution"] == "map"
    assert vgg["schedule"] == {**vgg["schedule"], "name": "step", "every": 2000, "factor": 0.1}
    assert resnet["schedule"]["name"] == "poly" and resnet["schedule"]["power"] == 0.9
    assert resnet["augment"]["scale_list"] == [0.5, 0.75, 1.0, 1.25, 1.5]
    assert resnet["scales"]["factors"] == [0.5, 0.75, 1.0] and resnet["model"]["rates"] == [6, 12, 18, 24]
    assert row("table4_resnet101/msc")["augment"]["scale_list"] is None


@pytest.mark.parametrize("budget", ["full", "subset", "mini"])
def test_a_row_of_table_4_is_the_one_before_and_one_thing_more(budget):
    rows = {name: row(f"table4_resnet101/{name}", f"budget={budget}") for name in rows_of("table4_resnet101")}
    for before, name, allowed in (
        ("baseline", "msc", {"scales", "loss"}), ("msc", "coco", set()), ("coco", "aug", {"augment"}),
        ("aug", "largefov", {"model"}), ("aug", "aspp", {"model"}), ("aspp", "crf", {"crf"}),
    ):  # fmt: skip
        different = {key for key in rows[name] if rows[name][key] != rows[before][key]} - {"row", "name"}
        assert different <= allowed, (name, different)


def test_the_rows_of_the_other_data_sets_have_their_marks_and_nothing_else():
    marks = {"MSC": {"scales", "loss"}, "Aug": {"augment"}, "LargeFOV": {"model"}, "ASPP": {"model"}, "CRF": {"crf"},
             "Full": {"data", "crop_size", "eval_batch_size", "val_every"}, "COCO": set()}  # fmt: skip
    for table in ("table6_pascal_context", "table7_person_part", "table9_cityscapes"):
        configs = {name: row(f"{table}/{name}") for name in rows_of(table)}
        rows = [Row(each["row"]["name"], "", each["row"]["marks"], {}) for each in configs.values()]
        report = Report(table, rows)
        extended = {each.name: before.name for each in rows if (before := report.extended(each))}
        assert len(rows) - len(extended) == 1 + ("vgg16_crf" in configs)  # the first row of each trunk
        for name, before in extended.items():
            more = set(configs[name]["row"]["marks"]) - set(configs[before]["row"]["marks"])
            different = {key for key in configs[name] if configs[name][key] != configs[before][key]} - {"row", "name"}
            assert different <= set().union(*(marks[mark] for mark in more)), (table, name, different)
            assert ("COCO" in configs[name]["row"]["marks"]) == bool(configs[name]["row"]["starts_from"])


def test_the_miniature_keeps_the_papers_relations():
    """V2, sections 4.1.1 and 4.1.2: crops of 321 with maps of 41, rates up to 24, 20,000 batches of 10 of 10,582."""
    mini = row("table4_resnet101/aspp", "budget=mini")
    cells = (mini["crop_size"] - 1) // mini["backbone"]["output_stride"] + 1
    rates = [scaled_rate(rate, mini["model"]["rate_scale"]) for rate in mini["model"]["rates"]]
    assert rates == [round(rate / 41 * cells) for rate in (6, 12, 18, 24)]
    small = row("table3_aspp_vgg16/aspp_s", "budget=mini")["model"]
    assert len({scaled_rate(rate, small["rate_scale"]) for rate in small["rates"]}) == 4
    passes = mini["max_steps"] * mini["global_batch_size"] / mini["data"]["train_images"]
    assert passes == pytest.approx(20_000 * 10 / 10_582, rel=0.1)
    # pictures are larger than crops, and at half the scale there is a map to fuse
    assert DOMAINS["target"].long / mini["crop_size"] > 1.2 and (cells + 1) // 2 > 12


def test_trainings_that_stand_in_two_tables_are_one():
    for one, other in (
        ("table1_fov/largefov", "table2_policy/step_30_6k"),
        ("table2_policy/poly_10_20k", "table3_aspp_vgg16/largefov"),
        ("table4_resnet101/aspp", "table4_resnet101/crf"),
    ):
        assert fingerprint(row(one)) == fingerprint(row(other)), (one, other)
    assert fingerprint(row("table2_policy/poly_10_20k")) != fingerprint(row("table2_policy/poly_10_10k"))


def test_the_head_of_the_training_on_coco_is_dropped():
    """The released initial net has 91 outputs; with VOC's 21 the rows would start with its classifier too."""
    before, after = row("table4_resnet101/coco_pretraining"), row("table4_resnet101/coco")
    assert before["data"]["classes"] == "coco91" and after["data"]["recipe"]["classes"] == 21


@pytest.mark.parametrize("coco", [None, "COCO"])
def test_without_coco_a_subset_goes_without_its_row(tmp_path, coco):
    told = ["budget=subset", "roots.voc=x", f"output={tmp_path}", *([f"roots.coco={coco}"] if coco else [])]
    names = list(OmegaConf.load(EXPERIMENTS / "table4_resnet101.yaml").hydra.sweeper.rows)
    swept = [[f"seed={seed}", f"optimizer.lr={lr}"] for seed in (0, 1) for lr in (1e-3, 1e-4)]
    rows = [[f"experiments=table4_resnet101/{name}", *told, *each] for name in names for each in swept]
    register_schemas()
    with hydra.initialize_config_dir(version_base="1.3", config_dir=str(conf_folder())):
        hydra.compose("train")
        planned = plan(rows)
    jobs = {job.name: job for job in planned}
    assert [job.name for job in planned if job.state == "no data"] == ([] if coco else ["coco"] * 4)
    assert ("coco_pretraining" in jobs) == bool(coco)
    assert jobs["coco"].mark != jobs["msc"].mark if coco else jobs["coco"].mark == jobs["msc"].mark
    assert jobs["aug"].start is None if not coco else jobs["aug"].start


def test_what_starts_from_a_row_that_failed_fails_with_it(tmp_path):
    """Also where both are rows of the same table, typed in another order of options."""
    options = [f"output={tmp_path}", "seed=0", "budget=mini"]
    first = Job(options, config_of("experiments=table1_fov/largefov", *options), None)
    second = Job(options, config_of("experiments=v1_multiscale_features/msc_largefov", *options), ["any"])
    second.row.start_run = first.mark
    assert _ready([first, second]) == [first]
    first.state = "failed"
    assert _ready([first, second]) == []
    assert second.state == "failed" and second.reason == "it needs largefov, which failed"


@pytest.mark.slow
def test_all_seeds_of_a_table_start_from_one_training_and_it_ends_with_their_means(tmp_path, monkeypatch):
    """With trainings that only write down their results."""
    trained = []
    gains = {"coco_pretraining": 0, "msc": 2, "coco": 4, "crf": 7}

    def write_down(config, command, watchers=()):
        run = new_run(config)
        miou = (60 + gains[config.row.name] + config.seed**2) / 100  # of seeds 0, 1 and 2: 60, 61 and 64
        crf = {"miou": miou + 0.01 * config.seed} if config.row.name == "crf" else None
        run.checkpoints.mkdir()
        run.best.touch()
        Result(miou=miou, per_class_iou={}, pixel_accuracy=1.0, mean_accuracy=1.0, crf=crf).write(run.result)
        trained.append((config.row.name, config.seed, config.row.start))

    monkeypatch.setattr("deeplab_lit.training.train.train", write_down)
    done = train(tmp_path, "experiments=table4_resnet101", "budget=mini", "seed=0,1,2", "rows=msc,coco,crf")
    starts = [seed for name, seed, _ in trained if name == "coco_pretraining"]
    assert starts == [0] and len(trained) == 1 + 3 * 3
    from_it = {start for name, _, start in trained if name in ("coco", "crf")}
    (folder,) = (tmp_path / "runs/table4_resnet101/coco_pretraining").iterdir()
    assert from_it == {str(folder.relative_to(tmp_path) / "checkpoints" / "best.ckpt")}
    # means of 0, 1 and 4 are 5/3, of 0, 2 and 6 8/3; deviations 2.0817 and 3.0551
    means = done.stdout.split("mean ± deviation over the seeds")[1].splitlines()
    lines = {line.split("  ")[0]: " ".join(line.split()) for line in means if line}
    assert lines["msc"] == "msc 0 1 2 63.67 ± 2.08 71.27"
    assert lines["crf"] == "crf 0 1 2 68.67 ± 2.08 69.67 ± 3.06 76.35 / 77.69"
    assert lines["coco_pretraining"] == "coco_pretraining 0 60.00"
    again = train(tmp_path, "experiments=table4_resnet101", "budget=mini", "seed=0", "rows=msc")
    assert len(trained) == 10 and "±" not in again.stdout


@pytest.mark.slow
def test_all_tables_run_at_once_and_the_report_has_one_page(tmp_path, monkeypatch):
    """With trainings that only write down their results."""
    trained = []

    def write_down(config, command, watchers=()):
        run = new_run(config)
        run.checkpoints.mkdir()
        run.best.touch()
        Result(miou=0.5, per_class_iou={}, pixel_accuracy=1.0, mean_accuracy=1.0).write(run.result)
        trained.append(f"{config.row.table}/{config.row.name}")

    monkeypatch.setattr("deeplab_lit.training.train.train", write_down)
    some = "rows=table7_person_part,table9_cityscapes"
    done = train(tmp_path, "experiments=paper", some, "budget=mini", "logger=csv")
    # a CRF's row has the training of the row before, and another table's pretraining is trained once
    assert [name for name in trained if name.endswith("pretraining")] == ["table4_resnet101/coco_pretraining"]
    assert len(trained) == len(set(trained)) and "table7_person_part/coco" in trained
    states = {name: each["state"] for name, each in ends(tmp_path, "table9_cityscapes").items()}
    # the embedded images have one size, so what full size adds cannot be seen
    assert states == {**dict.fromkeys(rows_of("table9_cityscapes"), "done"), "vgg16_largefov": "no data",
                      "vgg16_crf": "no data"}  # fmt: skip
    assert {*ends(tmp_path, "table7_person_part")} == {*rows_of("table7_person_part")}
    assert done.stdout.count("budget=mini: the published numbers are of other data") == 3
    told = use("report", tmp_path).stdout
    assert f"written: {Path('runs/paper.html')}" in told
    page = (tmp_path / "runs" / "paper.html").read_text()
    for table in TABLES:
        run = table in ("table4_resnet101", "table7_person_part", "table9_cityscapes")
        assert (f'href="{table}/report.html"' in page) == run and (f'id="{table}"' in page) == (table != "factorial")
    assert "http://" not in page.replace("http://www.w3.org/2000/svg", "") and "64.40" in page
    refused = train(tmp_path, "experiments=paper", "budget=mini", "rows=msc", expect=1)
    assert "rows=msc: the tables of paper are v1_multiscale_features, table1_fov," in refused.stderr
    several = train(tmp_path, "experiments=paper,factorial", "-m", expect=1)
    assert "experiments=paper is all tables: type it alone" in several.stderr


@pytest.mark.slow
def test_a_table_runs_its_start_once_and_the_crf_on_what_is_trained(tmp_path):
    train(tmp_path, "experiments=table4_resnet101", *TINY, "pictures=1")
    found = ends(tmp_path, "table4_resnet101")
    assert [each["state"] for each in found.values()] == ["done"] * 8
    assert list(found).index("coco_pretraining") < list(found).index("coco")
    results = {
        name: json.loads((tmp_path / each["folder"] / "result.json").read_text()) for name, each in found.items()
    }
    assert "crf" in results["crf"] and "crf" not in results["aspp"]
    assert results["crf"]["miou"] == pytest.approx(results["aspp"]["miou"], abs=1e-6)
    assert results["crf"]["checkpoint"] == results["aspp"]["checkpoint"]
    assert len(results["crf"]["crf"]["trimap"]["after"]) == 40
    walls = {row: tmp_path / found[row]["folder"] / "pictures" / "wall" for row in ("aspp", "crf")}
    assert {file.name for file in walls["crf"].iterdir()} == {
        "0_image.jpg", "0_truth.png", "0_labels.png", "0_crf.png",
    }  # fmt: skip
    masks = [np.array(Image.open(wall / "0_labels.png")) for wall in walls.values()]
    assert np.array_equal(*masks) and not (walls["aspp"] / "0_crf.png").exists()
    assert len(list((tmp_path / "runs").glob("*/*/*/checkpoints/best.ckpt"))) == 7
    log = (tmp_path / found["coco"]["folder"] / "train.log").read_text()
    assert f"{found['coco_pretraining']['folder']}/checkpoints/best.ckpt" in log
    # another sweep finds all of it, another seed the start alone
    before = sorted((tmp_path / "runs").glob("*/*/*"))
    train(tmp_path, "experiments=table4_resnet101", *TINY)
    assert {each["state"] for each in ends(tmp_path, "table4_resnet101").values()} == {"skipped"}
    done = train(tmp_path, "experiments=table4_resnet101/aspp", *TINY)
    assert f"aspp is finished: {found['aspp']['folder']}/result.json" in done.stdout
    assert sorted((tmp_path / "runs").glob("*/*/*")) == before
    train(tmp_path, "experiments=table4_resnet101/coco", "seed=1", *TINY)
    assert len(list((tmp_path / "runs/table4_resnet101/coco_pretraining").iterdir())) == 1
    # the start is lost: a row alone says what makes it
    shutil.rmtree(tmp_path / "runs/table4_resnet101/coco_pretraining")
    done = train(tmp_path, "experiments=table4_resnet101/coco", "seed=2", *TINY, expect=1)
    assert "experiments=table4_resnet101/coco_pretraining trains it" in done.stderr


@pytest.mark.slow
def test_a_row_that_fails_stops_no_other_and_is_tried_again(tmp_path, monkeypatch):
    from deeplab_lit.models.heads import ASPP

    made = ASPP.__init__

    def broken(self, *arguments, **named):
        if list(named["rates"]) == [2, 4, 8, 12]:
            raise ValueError("no such rates today")
        made(self, *arguments, **named)

    with monkeypatch.context() as patch:
        patch.setattr(ASPP, "__init__", broken)
        done = train(tmp_path, "experiments=table3_aspp_vgg16", *TINY, "seed=0,1", expect=1)
    assert "2 of 6 rows of table3_aspp_vgg16 failed: the same command tries them again." in done.stderr
    found = json.loads((tmp_path / "runs/table3_aspp_vgg16/sweep-mini.json").read_text())
    assert [(each["row"], each["seed"], each["state"]) for each in found] == [
        (row, seed, "failed" if row == "aspp_s" else "done")
        for row in ("largefov", "aspp_s", "aspp_l")
        for seed in (0, 1)
    ]
    assert "no such rates today" in found[2]["reason"] and "no such rates today" in done.stdout
    train(tmp_path, "experiments=table3_aspp_vgg16", *TINY, "seed=0,1")
    found = json.loads((tmp_path / "runs/table3_aspp_vgg16/sweep-mini.json").read_text())
    assert [each["state"] for each in found] == ["skipped", "skipped", "done", "done", "skipped", "skipped"]


@pytest.mark.long
def test_a_killed_sweep_goes_on_where_it_was(tmp_path):
    arguments = ["experiments=table3_aspp_vgg16", *TINY, "max_steps=40", "val_every=5"]
    sweep = subprocess.Popen(command("train", *arguments), cwd=tmp_path, stdout=subprocess.DEVNULL)
    folder, until = tmp_path / "runs" / "table3_aspp_vgg16", time.monotonic() + 120
    # the first row is in the middle
    while not list(folder.glob("largefov/*/checkpoints/last.ckpt")) and time.monotonic() < until:
        time.sleep(0.05)
    sweep.kill()
    sweep.wait()
    (first,) = folder.glob("largefov/*")
    assert not (first / "result.json").exists() and not list(folder.glob("aspp_*"))
    train(tmp_path, *arguments)
    assert [path.parent for path in folder.glob("largefov/*/result.json")] == [first]
    assert f"resumed from {first.relative_to(tmp_path)}/checkpoints/last.ckpt" in (first / "train.log").read_text()
    assert json.loads((first / "result.json").read_text())["steps"] == 40
    assert {each["state"] for each in ends(tmp_path, "table3_aspp_vgg16").values()} == {"done"}


@pytest.mark.long
def test_a_killed_sweep_of_several_processes_goes_on(tmp_path):
    """Its workers may outlive it for a while: the same command waits for their rows or goes on with them."""
    arguments = ["experiments=table3_aspp_vgg16", *TINY, "max_steps=40", "val_every=5", "launcher=joblib"]
    arguments += ["hydra.launcher.n_jobs=2", "num_workers=1"]
    sweep = subprocess.Popen(command("train", *arguments), cwd=tmp_path, stdout=subprocess.DEVNULL)
    folder, until = tmp_path / "runs" / "table3_aspp_vgg16", time.monotonic() + 240
    while len(list(folder.glob("*/*/checkpoints/last.ckpt"))) < 2 and time.monotonic() < until:
        time.sleep(0.05)
    sweep.kill()
    sweep.wait()
    assert len(list(folder.glob("*/*/result.json"))) < 3
    train_alone(tmp_path, *arguments)
    assert {each["state"] for each in ends(tmp_path, "table3_aspp_vgg16").values()} == {"done"}
    for name in rows_of("table3_aspp_vgg16"):
        (run,) = folder.glob(f"{name}/*/result.json")
        steps = [int(line.split(",")[0]) for line in (run.parent / "metrics.csv").read_text().splitlines()[1:]]
        assert steps == sorted(set(steps)) and steps[-1] == 39 and len(steps) == len(range(4, 40, 5)), steps


@pytest.mark.slow
def test_the_preview_trains_nothing_and_counts_what_is_trained(tmp_path):
    """With equal batches and steps Table 2's rows are two trainings, of one policy each; a rate that makes the
    random weights diverge at once, as the papers' does with ResNet-101's, is no matter."""
    options = [*TINY, "max_steps=7", "optimizer.lr=1e30"]
    done = train(tmp_path, "experiments=table2_policy", *options, "preview=true")
    assert not (tmp_path / "runs").exists()
    lines = {line.split()[0]: line.split() for line in done.stdout.splitlines() if line}
    found = [lines[name][lines[name].index("s") + 1] for name in rows_of("table2_policy")]
    assert found == ["7", "7", "0", "0", "0"] and lines["all"][1] == "14"
    summary = json.loads(use("summary", tmp_path, "experiments=table2_policy/step_30_6k", *TINY, "json=true").stdout)
    assert lines["step_30_6k"][1] == f"{summary['params'] / 1e6:.2f}"


@pytest.mark.long
@pytest.mark.parametrize("launcher", ["joblib", "submitit_local"])
def test_launchers_that_start_processes_keep_the_order(tmp_path, launcher):
    """V1's rows start from rows of Table 1, which is not among those of the sweep."""
    arguments = [word for word in TINY if not word.startswith("backbone")]  # ResNet-18, which has taps
    arguments += ["num_workers=1", f"launcher={launcher}"]
    done = train_alone(tmp_path, "experiments=v1_multiscale_features", *arguments)
    found = ends(tmp_path, "v1_multiscale_features")
    assert [(name, each["state"]) for name, each in found.items()] == [
        (name, "done") for name in ("deeplab_4x4", "msc", "largefov", "msc_largefov")
    ], done.stdout
    for name, start in (("msc", "deeplab_4x4"), ("msc_largefov", "largefov")):
        log = (tmp_path / found[name]["folder"] / "train.log").read_text()
        assert f"{found[start]['folder']}/checkpoints/best.ckpt: taken: trunk" in log


@pytest.mark.slow
def test_several_tables_in_one_multirun_are_refused(tmp_path):
    """Each would be a training of the defaults."""
    done = train_alone(tmp_path, "-m", "experiments=table1_fov,table2_policy", expect=1)
    assert "experiments=table1_fov is a table: " in done.stderr and "experiments=table1_fov/ROW" in done.stderr
    assert not list(tmp_path.glob("runs/*/*"))


@pytest.mark.slow
def test_the_summary_of_a_table_is_that_of_its_rows(tmp_path):
    """Parameters as in Table 1 of V1: 134.3 M, 65.1 M twice and 20.5 M; nothing is written, no row counts as run."""
    done = use_alone("summary", tmp_path, "experiments=table1_fov", "json=true")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(each["row"], round(each["params"] / 1e6, 1)) for each in rows] == [
        ("table1_fov/deeplab_7x7", 134.3),
        ("table1_fov/deeplab_4x4", 65.1),
        ("table1_fov/deeplab_4x4_r8", 65.1),
        ("table1_fov/largefov", 20.5),
    ]
    assert not list(tmp_path.iterdir())


def test_the_summary_is_of_what_train_would_build():
    """Rows set values that have defaults, such as the average of the weights."""
    for name in ("table4_resnet101/aspp", "table2_policy/poly_10_20k"):
        for budget in ("full", "subset", "mini"):
            options = [f"experiments={name}", f"budget={budget}"]
            summary = config_of(*options, config_name="summary").as_dict()
            assert (summary.pop("json"), summary.pop("classes")) == (False, None)
            assert summary == config_of(*options).as_dict()


@pytest.mark.slow
def test_a_scale_is_for_rows(tmp_path):
    done = train_alone(tmp_path, "budget=mini", "logger=csv", expect=1)
    assert "budget=mini is for the rows of published tables: type experiments=" in done.stderr


TWO = ["trainer=ddp", "trainer.devices=2", "trainer.accelerator=cpu", "trainer.precision=32-true"]


@pytest.mark.long
def test_rows_of_several_processes_train_in_processes_of_their_own(tmp_path):
    """Row crf is only evaluated; the processes of one sweep went different ways after such a row, and hung."""
    names = ["coco_pretraining", "aspp", "crf"]
    rows = ",".join(f"table4_resnet101/{name}" for name in names)
    arguments = ["-m", f"experiments={rows}", *TINY, *TWO]
    done = train_alone(tmp_path, *arguments, env={"OMP_NUM_THREADS": "1"})
    results = {path.parts[-3]: json.loads(path.read_text()) for path in tmp_path.glob("runs/*/*/*/result.json")}
    assert list(results) == sorted(names) and done.stdout.count("2 steps of batch 2 = 1 x 2 processes") == 2
    assert "trained_by" in results["crf"] and results["aspp"]["global_batch_size"] == 2
    assert results["aspp"]["row"]["departs"] == "2 instead of 10"
    again = train_alone(tmp_path, *arguments, env={"OMP_NUM_THREADS": "1"})
    assert again.stdout.count("is finished: ") >= 3 and len(list(tmp_path.glob("runs/*/*/*/result.json"))) == 3


@pytest.mark.long
@pytest.mark.parametrize("launcher", ["serial", "joblib"])
def test_a_table_of_several_processes(tmp_path, launcher):
    done = train_alone(
        tmp_path, "experiments=table3_aspp_vgg16", *TINY, *TWO, f"launcher={launcher}", env={"OMP_NUM_THREADS": "1"}
    )
    results = {path.parts[-3] for path in tmp_path.glob("runs/*/*/*/result.json")}
    assert results == {"largefov", "aspp_s", "aspp_l"}, done.stdout


def _ends(how):
    if how == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    return how


@pytest.mark.long
def test_a_job_that_a_cluster_kills_is_one_that_failed(tmp_path):
    """Hydra's launcher raised its error and forgot the other jobs of the table."""
    submitit = pytest.importorskip("submitit")
    jobs = submitit.LocalExecutor(tmp_path).map_array(_ends, ["killed", "done"])
    with failures_as_results():
        killed, done = (job.results()[0] for job in jobs)
    assert done == "done"
    with pytest.raises(RuntimeError, match="its job ended without a result"):
        _ = killed.return_value


def test_a_table_or_a_search_as_one_of_several_processes_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    for words, word in ((["train", "experiments=table3_aspp_vgg16"], "experiments=table3"), (["tune"], "tune")):
        done = use(words[0], tmp_path, *words[1:], expect=1)
        assert f"error: {word}" in done.stderr and "it in one process" in done.stderr and not list(tmp_path.iterdir())
