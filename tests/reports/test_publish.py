"""What W&B gets of a report, read back from the files of an offline run, and the text of a dashboard."""

import json

import pytest

from tests.end_to_end.running import use, use_alone
from tests.end_to_end.test_wandb import read_records
from tests.reports.test_report import TABLE, write_seeds


@pytest.fixture
def folder(tmp_path):
    """Seeds 60, 65 and 70 gain 1, 2 and 3, an interval of 2 ± 2.484."""
    write_seeds(tmp_path, baseline=(60.0, 65.0, 70.0), msc=(61.0, 67.0, 73.0))
    return tmp_path


def test_the_report_is_a_page_a_table_of_numbers_and_its_files(folder):
    use_alone("report", folder, "wandb=mine")  # wandb writes the rest when its process ends
    (file,) = folder.glob(f"runs/{TABLE}/wandb/offline-run-*/run-*.wandb")
    records = read_records(file)
    artifacts = [record.artifact for record in records if record.WhichOneof("record_type") == "artifact"]
    (files,) = [each for each in artifacts if each.type == "report"]
    names = {entry.path for entry in files.manifest.contents}
    assert names == {"report.html", "report.svg", "report.md", "report.csv"}
    (page,) = file.parent.glob("files/media/html/report*.html")
    assert TABLE in page.read_text()
    (table,) = file.parent.glob("files/media/table/rows*.json")
    content = json.loads(table.read_text())
    (msc,) = [line for line in (dict(zip(content["columns"], data, strict=True)) for data in content["data"])
              if line["row"] == "msc" and line["measure"] == "mIoU"]  # fmt: skip
    assert (msc["ours"], msc["spread"], msc["published"]) == (67.0, 6.0, 71.27)
    assert (msc["gain_ours"], msc["gain_deviation"], msc["gain_low"], msc["gain_high"]) == (2.0, 1.0, -0.48, 4.48)
    assert (msc["gain_seeds"], msc["within_noise"]) == ("0 1 2", "yes")


def test_the_dashboard_has_deviations_and_intervals(folder):
    use("dashboard", folder, f"group={TABLE}-full")
    text = (folder / "runs" / TABLE / "dashboard-full.json").read_text()
    assert "67.00 \\u00b1 6.00" in text or "67.00 ± 6.00" in text
    assert "-0.48 to +4.48" in text and "~ within noise" in text
