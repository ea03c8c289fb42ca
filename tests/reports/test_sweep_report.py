"""Reports of sweeps, on runs that were written by hand, beside SciPy's paired test."""

import statistics

import pytest
from scipy.stats import ttest_rel

from deeplab_lit.reports.gain_picture import as_svg
from deeplab_lit.reports.page import as_html
from deeplab_lit.reports.report_rows import FinishedRun
from deeplab_lit.reports.sweep_report import SWEEP, sweep_report
from deeplab_lit.reports.tables import as_csv, as_markdown, as_tables
from deeplab_lit.training.result import Result
from deeplab_lit.training.runs import Run

SCORES = {"irn": (66.1, 66.9, 66.4), "seam": (64.0, 65.2, 64.1), "truth": (71.0, 70.2, 71.1)}


def finished(tmp_path, miou, seed, crf=None):
    folder = tmp_path / f"{miou}-{seed}"
    folder.mkdir(parents=True)
    result = Result(
        miou=miou / 100, per_class_iou={"sky": miou / 100}, pixel_accuracy=0.9, mean_accuracy=0.8, steps=5,
        crf=None if crf is None else {"miou": crf / 100, "per_class_iou": {"sky": crf / 100}},
    )  # fmt: skip
    return FinishedRun(Run(folder), {"seed": seed, "row": None, "data": {"_target_": "x.VOC"}}, result)


def three(tmp_path, crf=0.0):
    runs = []
    for name, scores in SCORES.items():
        for seed, miou in enumerate(scores):
            values = {"data.train_masks": f"/labels/{name}/masks", "seed": str(seed)}
            runs.append((values, finished(tmp_path, miou, seed, miou + crf * seed if crf else None)))
    return runs


def test_means_deviations_and_each_pair(tmp_path):
    report = sweep_report("wsss_compare", three(tmp_path))
    assert [row.name for row in report.rows] == ["train_masks=irn", "train_masks=seam", "train_masks=truth"]
    text = "\n".join(as_tables(report))
    for scores in SCORES.values():
        assert f"{statistics.fmean(scores):.2f} ± {statistics.stdev(scores):.2f}" in text
    lines = {(line[0], line[1]): line for line in report.differences()}
    assert len(lines) == 3
    for (row, before), line in lines.items():
        now, then = (SCORES[each.removeprefix("train_masks=")] for each in (row, before))
        compared = ttest_rel(now, then)  # the paired test of another library
        low, high = compared.confidence_interval(0.95)
        assert line[3] == f"{low:+.2f} to {high:+.2f}"
        assert ("~" in line[2]) == (compared.pvalue > 0.05)
        assert line[4:] == ["0 1 2"]
    for whole in (text, as_markdown(report), as_html(report)):
        assert all(cell in whole for line in report.differences() for cell in line)
    assert "published" not in text + as_markdown(report) + as_csv(report).split("\n", 1)[1]
    assert "the first row" in as_svg(report) and "other data" not in as_svg(report)


def test_the_differences_with_the_crf_are_those_of_the_scores_with_it(tmp_path):
    report = sweep_report("wsss_compare", three(tmp_path, crf=2.0))
    irn, seam = ([miou + 2.0 * seed for seed, miou in enumerate(SCORES[name])] for name in ("irn", "seam"))
    low, high = ttest_rel(seam, irn).confidence_interval(0.95)
    assert report.differences()[0][6] == f"{low:+.2f} to {high:+.2f}"


def test_a_failed_training_is_in_the_report(tmp_path):
    runs = three(tmp_path)
    runs[3:6] = [(values, "no space left") for values, _ in runs[3:6]]
    report = sweep_report("wsss_compare", runs)
    assert [row.status(SWEEP) for row in report.rows] == ["done", "failed", "done"]
    assert len(report.differences()) == 1
    assert "train_masks=seam failed: seed 0: no space left" in "\n".join(as_tables(report))
    runs[4] = three(tmp_path / "again")[4]  # one seed of it has a result, and the others' reasons stay
    report = sweep_report("wsss_compare", runs)
    assert report.rows[1].status(SWEEP) == "done" and [line[4] for line in report.differences()] == ["1", "0 1 2", "1"]
    assert "seed 0: no space left; seed 2: no space left" in " ".join("\n".join(as_tables(report)).split())


def test_one_seed_is_within_noise_and_a_pair_without_a_common_seed_is_left_out(tmp_path):
    runs = [run for run in three(tmp_path) if run[0]["seed"] == "0"]
    assert all("~" in line[2] and line[3] == "one seed" for line in sweep_report("x", runs).differences())
    apart = [run for place, run in enumerate(three(tmp_path.joinpath("again"))) if place in (0, 4)]
    assert sweep_report("x", apart).differences() == []


@pytest.mark.parametrize(
    ("told", "names"),
    [
        ([{"model": "aspp_l"}, {"model": "largefov"}], ["model=aspp_l", "model=largefov"]),
        ([{"optimizer.lr": "1", "schedule.lr": "2"}], ["optimizer.lr=1 schedule.lr=2"]),
        ([{"data.a": "x/1/m", "crf": "none"}, {"data.a": "x/2/m", "crf": "none"}], ["a=1 crf=none", "a=2 crf=none"]),
        ([{"data.a": "null"}, {"data.a": "a/b"}, {"data.a": "c/b"}], ["a=null", "a=a", "a=c"]),
        ([{"data.a": "a/x/m"}, {"data.a": "a/y/n"}, {"data.a": "a/y/m"}], ["a=x/m", "a=y/n", "a=y/m"]),
        ([{"data.a": "a/m"}, {"data.a": "b/m"}, {"data.a": "a"}], ["a=a/m", "a=b/m", "a=a"]),
        ([{"data.a": "a"}, {"data.a": "a/b"}, {"data.a": "a/b/c"}], ["a=a", "a=a/b", "a=a/b/c"]),
        ([{"seed": "0"}, {"seed": "1"}], ["name"]),
    ],
)
def test_rows_are_named_by_what_differs(tmp_path, told, names):
    runs = [(each, finished(tmp_path, 50.0, seed)) for seed, each in enumerate(told)]
    assert [row.name for row in sweep_report("name", runs).rows] == names


def test_seeds_are_in_their_order_and_one_that_came_twice_counts_once(tmp_path):
    (row,) = sweep_report("name", [({"seed": str(n)}, finished(tmp_path, 50.0 + n, n)) for n in (2, 0, 1)]).rows
    assert [run.seed for run in row.results[SWEEP]] == [0, 1, 2]
    run = finished(tmp_path, 60.0, 0)
    (row,) = sweep_report("name", [({"lr": "1"}, run), ({"lr": "1"}, run)]).rows
    assert row.results[SWEEP] == [run]


def test_many_rows_are_compared_with_the_first_alone(tmp_path):
    runs = [({"lr": str(n)}, finished(tmp_path, 50.0 + n, n)) for n in range(13)]
    for _, run in runs:
        run.config["seed"] = 0
    assert {line[1] for line in sweep_report("name", runs).differences()} == {"lr=0"}
    assert len(sweep_report("name", runs[:12]).differences()) == 66
