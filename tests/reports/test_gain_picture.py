"""The picture of a report: where its marks lie is read off its own ticks."""

import re
from xml.etree import ElementTree

import pytest

from deeplab_lit.reports.gain_picture import as_svg, gains_chart
from deeplab_lit.reports.report_rows import Report, Row
from tests.end_to_end.running import use
from tests.reports.test_report import TABLE, change, write_run, write_seeds

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Row msc gains 1, 2 and 3 (interval 2 ± 2.484), coco 1.0, 1.1 and 0.9 (1 ± 0.248), aug 3 with one seed."""
    folder = tmp_path_factory.mktemp("sweep")
    write_seeds(folder, baseline=(60.0, 65.0, 70.0), msc=(61.0, 67.0, 73.0), coco=(62.0, 68.1, 73.9), aug=(65.0,))
    use("report", folder)
    return folder / "runs" / TABLE


@pytest.fixture(scope="module")
def picture(folder):
    return ElementTree.parse(folder / "report.svg").getroot()


def texts(picture):
    return {each.text: each for each in picture.iter(f"{SVG}text")}


def values(picture, places):
    """What lies at these places, by the ticks 0 and the last."""
    ticks = {name: float(each.get("x")) for name, each in texts(picture).items()
             if each.get("text-anchor") == "middle"}  # fmt: skip
    last = max(ticks, key=float)
    scale = (ticks[last] - ticks["0"]) / float(last)
    return [(place - ticks["0"]) / scale for place in places]


def test_points_lie_at_the_means_and_are_hollow_within_noise(picture):
    points = [each for each in picture.iter(f"{SVG}circle") if each.get("class") == "ours"]
    assert values(picture, [float(each.get("cx")) for each in points]) == pytest.approx([2, 1, 3], abs=0.02)
    assert [each.get("fill") == "none" for each in points] == [True, False, True]


def test_lines_end_at_the_interval(picture):
    caps = [re.fullmatch(r"M([\d.]+) [\d.]+v8", each.get("d")) for each in picture.iter(f"{SVG}path")]
    found = values(picture, [float(cap[1]) for cap in caps if cap])
    assert found == pytest.approx([-0.484, 4.484, 0.752, 1.248], abs=0.02)


def test_diamonds_lie_at_the_published_gains(picture):
    tips = [each.get("d") for each in picture.iter(f"{SVG}path") if each.get("class") == "published"]
    found = values(picture, [float(re.match(r"M([\d.]+)", tip)[1]) for tip in tips])
    published = [68.72, 71.27, 73.28, 74.87, 75.54, 76.35, 77.69]
    expected = [71.27 - 68.72, 73.28 - 71.27, 74.87 - 73.28, 75.54 - 74.87, 76.35 - 74.87, 77.69 - 76.35]
    assert found == pytest.approx(expected, abs=0.02) and {f"{each:.2f}" for each in published} <= set(texts(picture))


def test_it_stands_by_itself_on_a_ground_of_its_own(picture, folder):
    paper = next(iter(picture))
    assert (picture.get("width"), picture.get("color")) == ("900", "#1f2328")
    assert paper.tag == f"{SVG}rect" and paper.get("fill") == "#ffffff" and float(paper.get("width")) >= 899
    assert not re.search(r"href|url\(|<style|<script|<image", (folder / "report.svg").read_text())
    assert {"67.00 ± 6.00", "+2.00 ± 1.00 ~", "+1.00 ± 0.10", "+3.00 ~"} <= set(texts(picture))
    told = " ".join(texts(picture))
    assert "95 % interval" in told and "One training of coco_pretraining serves all seeds" in told


def test_the_page_has_the_same_marks_in_its_own_colours(picture, folder):
    page = (folder / "report.html").read_text()
    (chart,) = re.findall(r'<svg [^>]*aria-label="Gains at full".*?</svg>', page, re.S)
    chart = ElementTree.fromstring(chart)
    fills = {each.get("fill") for each in chart.iter()} - {None}
    assert fills <= {"currentColor", "none", "#2a6fdb"} and chart.get("color") is None
    points = [float(each.get("cx")) for each in chart.iter(f"{SVG}circle") if each.get("class") == "ours"]
    assert values(chart, points) == pytest.approx([2, 1, 3], abs=0.02)


def test_cells_of_a_line_do_not_overlap(picture):
    """With a font as wide as DejaVu Sans, whose letters and digits take 0.6 of its size on average."""
    lines = {}
    for each in picture.iter(f"{SVG}text"):
        if each.get("font-size") == "12":
            width, x = 0.6 * 12 * len(each.text) * 0.95, float(each.get("x"))
            begin = {"start": x, "end": x - width, "middle": x - width / 2}[each.get("text-anchor")]
            lines.setdefault(each.get("y"), []).append((begin, begin + width))
    assert len(lines) == 2 + 7
    for cells in lines.values():
        ends = [place for cell in sorted(cells) for place in cell]
        assert ends == sorted(ends) and ends[-1] < 880


def test_a_table_without_runs_shows_the_published_numbers():
    rows = [Row("a<b", "", [], {"miou": 60.0}), Row("c", "", [], {"miou": 61.5})]
    picture = ElementTree.fromstring(as_svg(Report("any", rows)))
    assert {"a<b", "60.00", "+1.50"} <= set(texts(picture)) and "gain ours" not in texts(picture)
    assert gains_chart(Report("any", rows), "full") == ""


def test_a_table_whose_rows_were_all_shortened_says_that_none_is_shown(tmp_path):
    write_run(tmp_path, "msc", "mini", 0, 55.0)
    change(tmp_path, "msc", max_steps=2)
    use("report", tmp_path)
    (said,) = [each for each in texts(ElementTree.parse(tmp_path / "runs" / TABLE / "report.svg").getroot())
               if "own values" in (each or "")]  # fmt: skip
    assert said == "No row has a finished run at its own values."


def test_gains_of_nothing_have_an_axis():
    rows = [Row(name, "", [], {"miou": 60.0}) for name in "ab"]
    picture = ElementTree.fromstring(as_svg(Report("any", rows)))
    (tip,) = [each.get("d") for each in picture.iter(f"{SVG}path") if each.get("class") == "published"]
    assert values(picture, [float(re.match(r"M([\d.]+)", tip)[1])]) == pytest.approx([0], abs=1e-6)


@pytest.mark.parametrize("parts", [5, 12])
def test_marks_give_way_to_what_is_drawn(parts):
    marks = [f"Part{number:03}" for number in range(parts)]
    rows = [Row("before", "", marks[:1], {"miou": 60.0}), Row("a_row_of_parts", "", marks, {"miou": 61.0})]
    picture = ElementTree.fromstring(as_svg(Report("any", rows)))
    axis = min(float(each.get("x1")) for each in picture.iter(f"{SVG}line"))
    assert ("with" in texts(picture)) == (parts == 5) and "a_row_of_parts" in texts(picture) and axis < 900 - 160


def test_an_interval_that_leaves_the_picture_ends_in_an_arrow(tmp_path):
    """Gains of 0 and 2: with two seeds the interval is 1 ± 12.7."""
    write_seeds(tmp_path, baseline=(60.0, 60.0), msc=(60.0, 62.0))
    use("report", tmp_path)
    picture = ElementTree.parse(tmp_path / "runs" / TABLE / "report.svg").getroot()
    paths = [each.get("d") for each in picture.iter(f"{SVG}path")]
    assert len([each for each in paths if re.fullmatch(r"M[\d.]+ [\d.]+l-?5 5l-?5 5", each)]) == 2
    assert not [each for each in paths if each.endswith("v8")]
    places = [float(place) for each in paths for place in re.findall(r"[MH]([\d.]+)", each)]
    assert min(places) >= 0 and max(places) <= 900
