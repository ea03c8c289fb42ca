"""Tables and labelled lines at the widths of terminals, files and pipes."""

import pytest

from deeplab_lit.utils.terminal import beside, output_width, paragraph, table

TITLES = ("row", "a number", "kind", "another number", "path")
LINES = [
    ["first", "1.25", "long kind of a row", "3", "/data/a"],
    ["the second", "", "犬", "12345", "/data/of/some/folder"],
]


def test_the_width_is_that_of_columns_and_a_pipe_has_none(monkeypatch, capsys):
    monkeypatch.delenv("COLUMNS", raising=False)
    assert output_width() is None
    monkeypatch.setenv("COLUMNS", "60")
    assert output_width() == 60
    monkeypatch.setenv("COLUMNS", "")
    assert output_width() is None


def test_a_table_in_a_pipe_has_one_line_a_row(monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    assert table(TITLES, LINES, ("kind", "path"), "the title").splitlines() == [
        "the title",
        "row         a number  kind                another number  path",
        "first           1.25  long kind of a row               3  /data/a",
        "the second            犬                           12345  /data/of/some/folder",
    ]


@pytest.mark.parametrize("width", range(32, 80, 4))
def test_columns_that_do_not_fit_follow_in_blocks_and_no_cell_is_cut(monkeypatch, width):
    monkeypatch.setenv("COLUMNS", str(width))
    text = table(TITLES, LINES, ("kind", "path"))
    assert max(map(len, text.splitlines())) <= width
    blocks = text.split("\n\n")
    assert all(
        [line.split("  ")[0] for line in block.splitlines()] == ["row", "first", "the second"] for block in blocks
    )
    for cell in (cell for line in (TITLES, *LINES) for cell in line):
        assert cell in text
    assert text.count("another number") == 1  # no column but the first stands twice


@pytest.mark.parametrize(
    ("width", "together", "heads"),
    [
        (50, (), ["row a number kind", "row another number path"]),
        (50, ("kind", "another number"), ["row a number", "row kind another number", "row path"]),
        (44, ("kind", "another number"), ["row a number", "row kind", "row another number", "row path"]),  # no room
        (90, ("kind", "another number"), ["row a number kind another number path"]),
    ],
)
def test_columns_that_belong_together_stand_in_one_block_that_has_room(monkeypatch, width, together, heads):
    monkeypatch.setenv("COLUMNS", str(width))
    lines = table(TITLES, LINES, (), together=together).splitlines()
    assert [" ".join(line.split()) for line in lines if line.startswith("row")] == heads


def test_a_column_without_title_and_values_is_left_out(monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    assert table(("row", "", "x"), [["a", "", "1"]], ()) == "row  x\na    1"


@pytest.mark.parametrize("width", [20, 37, 60, None])
def test_text_beside_a_label_wraps_at_spaces_under_itself(width):
    text = "some words, a path /data/a-folder/of/a/very-long-name/that/no/line/holds and words"
    lines = beside("label", text, 8, width)
    assert lines[0].startswith("label   some") and all(line[:8] == " " * 8 and line[8] != " " for line in lines[1:])
    assert " ".join(line[8:] for line in lines) == text
    assert (len(lines) == 1) == (width is None)
    assert beside("a long label", "words", 8, width)[:2] == ["a long label", "        words"]


def test_a_paragraph_wraps_at_spaces(monkeypatch):
    monkeypatch.setenv("COLUMNS", "30")
    text = paragraph("several words that are longer than thirty columns in all")
    assert max(map(len, text.splitlines())) <= 30 and len(text.splitlines()) == 2
