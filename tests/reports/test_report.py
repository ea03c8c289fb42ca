"""Reports of tables on runs that were written by hand."""

import csv
import io
import json
import os
import re
import statistics
from dataclasses import asdict

import pytest
from omegaconf import OmegaConf

from deeplab_lit.config.paths import sweeper_of
from deeplab_lit.reports.collect import rows_of
from deeplab_lit.reports.report_rows import Report, Row
from deeplab_lit.reports.tables import lines
from tests.composing import config_of
from tests.end_to_end.running import use

TABLE = "table4_resnet101"


def write_run(folder, row, budget, seed, miou, crf=None, steps=20000, name="2026-01-01_00-00-00", lacks=None):
    run = folder / "runs" / TABLE / row / f"{name}-{budget}-{seed}"
    run.mkdir(parents=True)
    data = {"_target_": "deeplab_lit.data.shapes.dataset.Shapes"}
    if budget != "mini":
        data = {"_target_": "deeplab_lit.data.sbd.VOCAug", "root": f"/data/{'VOC2012' if budget == 'full' else 'part'}"}
    called = "scale" if seed == 1 else "budget"  # as earlier versions called it
    OmegaConf.save({"row": {called: budget, "lacks": lacks}, "seed": seed, "data": data}, run / "config.yaml")
    ious = {"sky": miou / 100, "road": None}
    result = {
        "miou": miou / 100,
        "pixel_accuracy": 0.9,
        "mean_accuracy": 0.8,
        "steps": steps,
        "seconds": 3600.0,
        "params": 44_050_000,
        "images_per_second": 2.5,
    }
    result |= {"images": {"train": 10582 if budget == "full" else 663, "validation": 201}}
    result |= {"per_class_iou": ious, "command": f"python -m deeplab_lit.train experiments={TABLE}/{row}"}
    if crf is not None:
        result["crf"] = {"miou": crf / 100, "per_class_iou": ious}
    (run / "result.json").write_text(json.dumps(result))


def cells(folder):
    rows = csv.DictReader(io.StringIO((folder / "runs" / TABLE / "report.csv").read_text()))
    return {(row["row"], row["measure"], row["budget"]): row for row in rows}


def test_the_rows_of_a_table_are_those_that_hydra_composes():
    for table in ("table4_resnet101", "table9_cityscapes"):
        rows = rows_of(table)
        assert [row["name"] for row in rows] == list(sweeper_of(table)["rows"])
        for row in rows[-3:]:  # each stands on the one before
            assert row == asdict(config_of(f"experiments={table}/{row['name']}").row)


def test_every_cell_stands_beside_the_published_one(tmp_path):
    for seed, miou in enumerate((71.0, 72.5, 70.5)):
        write_run(tmp_path, "msc", "full", seed, miou)
    write_run(tmp_path, "baseline", "full", 0, 68.0)
    write_run(tmp_path, "crf", "full", 0, 76.0, crf=77.0)
    write_run(tmp_path, "aspp", "full", 0, 76.0)
    write_run(tmp_path, "msc", "mini", 0, 55.55, steps=800)
    done = use("report", tmp_path, f"sweep=runs/{TABLE}")
    found = cells(tmp_path)
    msc = found["msc", "mIoU", "full"]
    assert (msc["published"], msc["ours"], msc["status"], msc["seeds"]) == ("71.27", "71.33", "done", "0 1 2")
    assert msc["spread"] == f"{statistics.stdev((71.0, 72.5, 70.5)):.2f}" and msc["difference"] == "+0.06"
    assert (msc["gain_published"], msc["gain_ours"]) == ("+2.55", "+3.00")  # 71.27 - 68.72, 71.00 - 68.00 of seed 0
    assert (msc["iterations"], msc["data"]) == ("20000", "VOCAug VOC2012 (10582)")
    crf = found["crf", "mIoU with CRF", "full"]
    assert (crf["published"], crf["ours"], crf["difference"]) == ("77.69", "77.00", "-0.69")
    assert found["aug", "mIoU", "full"]["status"] == "not run" and found["aug", "mIoU", "full"]["ours"] == ""
    lines = {line.split()[0]: line for line in done.stdout.split(f"{TABLE}, mini")[0].splitlines() if line.split()}
    assert "71.33 ± 1.04" in lines["msc"] and "not run" in lines["aug"] and "76.00 / 77.00" in lines["crf"]
    assert "+1.34" in lines["crf"] and "+1.00 ~" in lines["crf"]  # what the CRF brought
    assert (crf["gain_published"], crf["gain_ours"], crf["within_noise"]) == ("+1.34", "+1.00", "yes")


def write_seeds(folder, budget="full", **rows):
    """Runs of rows, of the mIoU of seeds 0, 1, ...; None for a seed without a run."""
    for row, values in rows.items():
        for seed, miou in enumerate(values):
            if miou is not None:
                write_run(folder, row, budget, seed, miou)


def test_gains_are_paired_by_seed_with_an_interval(tmp_path):
    """Seeds 60, 65 and 70 gain 1, 2 and 3: interval 2 ± 2.484; then 1.0, 1.1 and 0.9: 1 ± 0.248."""
    write_seeds(tmp_path, baseline=(60.0, 65.0, 70.0), msc=(61.0, 67.0, 73.0), coco=(62.0, 68.1, 73.9))
    text = use("report", tmp_path).stdout
    found = cells(tmp_path)
    names = ("gain_ours", "gain_deviation", "gain_low", "gain_high", "gain_seeds", "within_noise")
    noise, gained = (
        ("+2.00", "1.00", "-0.48", "+4.48", "0 1 2", "yes"),
        ("+1.00", "0.10", "+0.75", "+1.25", "0 1 2", "no"),
    )
    assert tuple(found["msc", "mIoU", "full"][name] for name in names) == noise
    assert tuple(found["coco", "mIoU", "full"][name] for name in names) == gained
    assert not any(found["baseline", "mIoU", "full"][name] for name in names)
    page, markdown = ((tmp_path / "runs" / TABLE / f"report.{end}").read_text() for end in ("html", "md"))
    for gain, interval in (("+2.00 ± 1.00 ~", "-0.48 to +4.48"), ("+1.00 ± 0.10", "+0.75 to +1.25")):
        assert f"{gain} {interval}" in " ".join(text.split())
        assert f"| {gain} | {interval} |" in markdown
        assert f">{gain}</td>" in page and f">{interval}</td>" in page
    for shown in (text, markdown, page):
        shown = " ".join(shown.split())
        assert "~ within noise: the interval contains 0" in shown
        assert "one training of coco_pretraining serves all seeds" in shown


def test_one_seed_has_no_interval_and_is_marked(tmp_path):
    write_seeds(tmp_path, baseline=(60.0,), msc=(64.0,))
    text = use("report", tmp_path).stdout
    msc = cells(tmp_path)["msc", "mIoU", "full"]
    assert (msc["gain_ours"], msc["gain_deviation"], msc["gain_low"], msc["gain_high"]) == ("+4.00", "", "", "")
    assert (msc["gain_seeds"], msc["within_noise"]) == ("0", "yes")
    (line,) = [line for line in text.splitlines() if line.startswith("msc ")]
    assert "+4.00 ~ one seed" in " ".join(line.split()) and "±" not in line and "serves all seeds" not in text


def test_a_seed_that_one_row_lacks_is_left_out_of_the_gain_and_told(tmp_path):
    write_seeds(tmp_path, baseline=(60.0, 61.0, None, None), msc=(61.0, None, 99.0, 98.0), coco=(None, 70.0))
    text = " ".join(use("report", tmp_path).stdout.split())
    found = cells(tmp_path)
    assert (found["msc", "mIoU", "full"]["gain_ours"], found["msc", "mIoU", "full"]["gain_seeds"]) == ("+1.00", "0")
    assert found["coco", "mIoU", "full"]["gain_ours"] == ""  # no seed has both
    assert "the gain of msc leaves out seeds 2, 3, which msc alone has" in text
    assert "the gain of msc leaves out seed 1, which baseline alone has" in text


def test_gains_stand_beside_their_published_ones_and_intervals(tmp_path, monkeypatch):
    write_seeds(tmp_path, budget="mini", baseline=(60.0, 65.0), msc=(61.0, 67.0), aspp=(62.0, 69.5))
    monkeypatch.setenv("COLUMNS", "80")
    heads = [line for line in use("report", tmp_path).stdout.splitlines() if line.startswith("row ")]
    (head,) = [" ".join(line.split()) for line in heads if "gain" in line]
    assert head.startswith("row gain: published gain: mini 95 % interval")


def test_a_value_of_a_smaller_budget_never_stands_as_a_full_one(tmp_path):
    write_run(tmp_path, "msc", "mini", 0, 55.55, steps=800)
    write_run(tmp_path, "msc", "subset", 0, 44.44, steps=1000)
    done = use("report", tmp_path)
    assert f"{TABLE}, full (the papers' data, crops and iterations): not run" in done.stdout
    for row in cells(tmp_path).values():
        assert row["ours"] == {"mini": "55.55", "subset": "44.44"}.get(row["budget"], "") * (row["row"] == "msc")
        assert row["difference"] == ""
    full, subset, mini = (tmp_path / "runs" / TABLE / "report.md").read_text().split("\n### ")[1:]
    assert "VOCAug part (663)" in subset and "Shapes" in mini
    assert "55.55" not in full + subset and "44.44" not in full + mini and "55.55" in mini and "44.44" in subset


def test_the_page_of_all_tables_counts_rows_seeds_and_runs_with_other_values(tmp_path):
    for seed in (0, 1):
        write_run(tmp_path, "msc", "full", seed, 70)
    write_run(tmp_path, "baseline", "full", 0, 68)
    write_run(tmp_path, "aspp", "mini", 0, 55)
    use("report", tmp_path)
    page = (tmp_path / "runs" / "paper.html").read_text()
    line = next(each for each in page.splitlines() if f'href="#{TABLE}"' in each)
    cells = re.findall(r"<td[^>]*>(.*?)</td>", line)
    assert cells[2:] == ["7", "2, 1 to 2 seeds", "not run", "1, 1 seed"]
    run = next((tmp_path / "runs" / TABLE / "aspp").iterdir())
    config = OmegaConf.load(run / "config.yaml")
    OmegaConf.save({**OmegaConf.to_container(config), "max_steps": 2}, run / "config.yaml")
    use("report", tmp_path)
    page = (tmp_path / "runs" / "paper.html").read_text()
    assert '<td class="text">1 with other values than theirs</td>' in page


def test_the_newest_run_of_a_seed_counts_and_a_failure_is_told(tmp_path):
    write_run(tmp_path, "msc", "mini", 0, 11.0, name="2026-01-01_00-00-00")
    write_run(tmp_path, "msc", "mini", 0, 22.0, name="2026-01-02_00-00-00")
    ends = [{"row": "aug", "seed": 0, "budget": "mini", "state": "failed", "reason": "out of memory", "folder": None}]
    (tmp_path / "runs" / TABLE / "sweep-mini.json").write_text(json.dumps(ends))
    done = use("report", tmp_path)
    found = cells(tmp_path)
    assert found["msc", "mIoU", "mini"]["ours"] == "22.00"
    assert found["aug", "mIoU", "mini"]["status"] == "failed"
    assert "aug failed: out of memory" in done.stdout


def test_a_run_that_failed_with_its_sweep_is_not_begun_until_it_is_trained_again(tmp_path):
    write_run(tmp_path, "aug", "mini", 0, 1.0)
    (run,) = (tmp_path / "runs" / TABLE / "aug").iterdir()
    (run / "result.json").unlink()
    OmegaConf.save({**OmegaConf.load(run / "config.yaml"), "max_steps": 2000}, run / "config.yaml")
    (run / "metrics.csv").write_text("step,train/loss\n0,2.5\n")
    ends = [{"row": "aug", "seed": 0, "budget": "mini", "state": "failed", "reason": "out of memory", "folder": None}]
    (tmp_path / "runs" / TABLE / "sweep-mini.json").write_text(json.dumps(ends))
    os.utime(run / "metrics.csv", (1_000, 1_000))
    use("report", tmp_path)
    assert cells(tmp_path)["aug", "mIoU", "mini"]["status"] == "failed"
    later = (tmp_path / "runs" / TABLE / "sweep-mini.json").stat().st_mtime + 10
    os.utime(run / "metrics.csv", (later, later))
    use("report", tmp_path)
    assert cells(tmp_path)["aug", "mIoU", "mini"]["status"].startswith("begun 1/")


def test_watching_ends_with_the_sweep(tmp_path, monkeypatch):
    """A row that is being trained shows its steps; between two looks it ends, and so do the others."""
    names = ["baseline", "msc", "coco", "aug", "largefov", "aspp", "crf"]
    for name in names[1:]:
        write_run(tmp_path, name, "mini", 0, 50.0)
    write_run(tmp_path, "baseline", "mini", 0, 40.0)
    (run,) = (tmp_path / "runs" / TABLE / "baseline").iterdir()
    (run / "result.json").rename(run / "later.json")
    config = OmegaConf.load(run / "config.yaml")
    OmegaConf.save({**config, "max_steps": 2000}, run / "config.yaml")
    (run / "metrics.csv").write_text("step,train/loss\n0,2.5\n411,1.5\n")
    looks = []

    def sleep(seconds):
        looks.append(seconds)
        (run / "later.json").rename(run / "result.json")

    monkeypatch.setattr("deeplab_lit.reports.report.time.sleep", sleep)
    done = use("report", tmp_path, "watch=true")
    assert len(looks) == 1 and "40.00" in done.stdout


def test_in_a_table_without_marks_a_row_adds_to_the_one_before():
    rows = [Row(name, "", [], {"miou": value}) for name, value in (("a", 62.25), ("b", 63.42), ("c", 64.90))]
    report = Report("table2_policy", rows)
    gains = [report.published_gain(row, "miou") for row in rows]
    assert gains == [None, pytest.approx(1.17), pytest.approx(1.48)]


def change(folder, row, **values):
    """Write other values into the config of the only run of a row."""
    (file,) = (folder / "runs" / TABLE / row).glob("*/config.yaml")
    OmegaConf.save({**OmegaConf.load(file), **values}, file)


def test_a_shortened_row_stands_apart_without_gains(tmp_path):
    for row, miou in (("baseline", 40.0), ("msc", 30.0), ("coco", 50.0)):
        write_run(tmp_path, row, "mini", 0, miou, steps=2000)
        change(tmp_path, row, max_steps=2000, crop_size=193)
    change(tmp_path, "msc", max_steps=2, tf32=False)  # the hardware's key makes no other row of it
    done = use("report", tmp_path)
    found = cells(tmp_path)
    assert found["msc", "mIoU", "mini"]["status"] == "not run" and found["msc", "mIoU", "mini"]["ours"] == ""
    apart = found["msc", "mIoU", "mini-changed"]
    assert (apart["status"], apart["ours"], apart["gain_ours"]) == ("done", "30.00", "")
    assert apart["departs"] == "max_steps=2 instead of 2000"
    assert found["coco", "mIoU", "mini"]["gain_ours"] == ""  # what it adds to was not run
    assert found["baseline", "mIoU", "mini"]["departs"] == ""
    own, other = done.stdout.split(f"{TABLE}, mini-changed: ")
    assert "30.00" not in own and "gain" not in other and "68.72" not in other
    assert "msc departs from the row: max_steps=2 instead of 2000" in " ".join(other.split())
    assert [line.split()[0] for line in other.splitlines() if "done" in line and "status" not in line] == ["msc"]


@pytest.mark.parametrize("width", [60, 80, 120])
def test_no_cell_and_no_word_is_cut_at_any_width(tmp_path, monkeypatch, width):
    for row, miou in (("baseline", 40.0), ("msc", 40.001), ("coco", 39.999), ("crf", 50.0)):
        write_run(tmp_path, row, "mini", 0, miou, crf=60.0 if row == "crf" else None)
    monkeypatch.setenv("COLUMNS", str(width))
    narrow = use("report", tmp_path).stdout
    monkeypatch.delenv("COLUMNS")
    wide = use("report", tmp_path).stdout
    assert max(len(line) for line in wide.splitlines()) > 120
    written = [line for line in narrow.splitlines() if not line.startswith("written: ")]
    assert max(map(len, written)) <= width and "…" not in narrow
    assert set(narrow.split()) == set(wide.split())
    assert "-0.00" not in wide and "+0.00" in wide


def test_a_column_without_values_is_left_out_and_what_a_row_starts_from_is_told(tmp_path):
    write_run(tmp_path, "coco", "mini", 0, 50.0)
    text = use("report", tmp_path).stdout
    heads = [line for line in text.splitlines() if line.startswith("row ")]
    assert len(heads) == 1 and "starts from" in heads[0] and "with" in heads[0] and "coco_pretraining" in text
    rows = [Row(name, "", [], {"miou": 60.0}, results={}, failures={"mini": "?"}) for name in "ab"]
    assert "with" not in lines(Report("table2_policy", rows), "mini")[0]


def test_the_status_is_a_word_that_the_legend_explains(tmp_path):
    write_run(tmp_path, "baseline", "mini", 0, 40.0)
    text = " ".join(use("report", tmp_path).stdout.split())
    assert "done: has a result" in text and "not run: has no run at this budget" in text and "failed:" not in text


@pytest.mark.parametrize("argument", ["", "sweep=runs/nothing"])
def test_without_runs_it_says_how_to_make_some(tmp_path, argument):
    (tmp_path / "runs" / "table1_fov").mkdir(parents=True)  # as a refused run leaves it, with its lock
    (tmp_path / "runs" / "table1_fov" / ".0123.lock").touch()
    done = use("report", tmp_path, *([argument] if argument else []), expect=1)
    assert "runs/table4_resnet101" in done.stderr or "experiments=table4_resnet101" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_row_that_was_run_with_coco_has_data_whatever_the_rows_before_it_were_run_with(tmp_path):
    for row, miou, lacks in (
        ("baseline", 40.0, ["COCO"]),
        ("msc", 42.0, ["COCO"]),
        ("coco", 50.0, None),
        ("aug", 53.0, None),
    ):
        write_run(tmp_path, row, "subset", 0, miou, steps=800, lacks=lacks)
    use("report", tmp_path, f"sweep=runs/{TABLE}")
    found = cells(tmp_path)
    assert (found["coco", "mIoU", "subset"]["status"], found["coco", "mIoU", "subset"]["gain_ours"]) == (
        "done",
        "+8.00",
    )
    assert (found["aug", "mIoU", "subset"]["marks"], found["aug", "mIoU", "subset"]["gain_ours"]) == (
        "MSC COCO Aug",
        "+3.00",
    )


def test_a_budget_without_coco_has_no_row_of_it_and_the_next_row_extends_the_one_before(tmp_path):
    for seed in (0, 1):
        for row, miou in (("baseline", 40.0), ("msc", 42.0 + seed), ("coco", 42.0 + seed), ("aug", 45.0 + 3 * seed)):
            write_run(tmp_path, row, "subset", seed, miou, steps=800, lacks=["COCO"])
    done = use("report", tmp_path, f"sweep=runs/{TABLE}")
    found = cells(tmp_path)
    coco, aug = found["coco", "mIoU", "subset"], found["aug", "mIoU", "subset"]
    assert (coco["status"], coco["ours"], coco["gain_ours"]) == ("no data", "", "")
    assert (aug["marks"], aug["starts_from"]) == ("MSC Aug", "")
    assert aug["gain_ours"] == "+4.00"  # over msc: 3 and 5
    assert found["aug", "mIoU", "full"]["marks"] == "MSC COCO Aug"
    assert "no data: there is no data at this budget" in " ".join(done.stdout.split())
    assert "one training of" not in done.stdout
