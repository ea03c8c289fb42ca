"""Help, against what Hydra composes."""

import re
import subprocess
import sys

import pytest

from deeplab_lit.cli.commands import COMMANDS
from deeplab_lit.cli.help import examples, help_text, table_text
from deeplab_lit.cli.reference import groups_of, keys
from deeplab_lit.config.paths import conf_folder, tables
from tests.composing import compose


@pytest.mark.parametrize("command", COMMANDS)
def test_help_names_every_group_choice_and_key(command):
    text = help_text(command)
    for group, default in groups_of(command).items():
        assert re.search(rf"^{group}$", text, re.M)
        if default:
            assert re.search(rf"^  \* {default}\b", text, re.M), default
    for key in keys(command):
        assert re.search(rf"^  {re.escape(key.name)}\b", text, re.M)
    to_copy = " ".join(text.replace("\\\n", "").split())
    assert len(examples(command)) == 3 and all(
        " ".join(each.split(" #")[0].split()) in to_copy for each in examples(command)
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_help_fits_a_terminal_of_80_columns(command, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert max(map(len, help_text(command).splitlines())) <= 80
    whole = help_text(command).split()
    monkeypatch.setenv("COLUMNS", "110")
    assert [word for word in help_text(command).split() if word != "\\"] == [word for word in whole if word != "\\"]


def test_help_shows_the_keys_of_the_choice_that_is_typed():
    text = " ".join(help_text("train", ["--help", "data=folder", "optimizer=sgd", "init=checkpoint"]).split())
    for key in ("data.root=???", "data.classes=???", "data.val_share=0.1", "data.train_masks=null"):
        assert key in text
    assert "optimizer.momentum=0.9" in text and "init.path=???" in text and "* folder" in text
    assert "crop_size=321 pixels" in text and "data.domain" not in text
    plain = " ".join(help_text("train").split())
    assert "data.domain=simple" in plain and "data.val_share" not in plain and "crop_size=97 pixels" in plain


@pytest.mark.parametrize("command", COMMANDS)
def test_the_commands_to_copy_compose(command):
    for example in examples(command):
        words = subprocess.run(["bash", "-c", f"printf '%s\\n' {example}"], capture_output=True, text=True, check=True)
        python, flag, module, *overrides = [word for word in words.stdout.split("\n") if word]
        assert (python, flag, module) == ("python", "-m", f"deeplab_lit.{command}")
        # a table's name makes a multirun, which only the command itself composes
        overrides = [
            word
            for word in overrides
            if not word.startswith(("experiments=table4_resnet101", "experiments=table1", "budget="))
        ]
        named = ["name=test"] if "name" in {key.name for key in keys(command)} else []
        compose_of(command, [*named, *overrides])


@pytest.mark.parametrize("table", tables())
def test_a_tables_rows_are_those_that_it_runs_with_their_numbers(table):
    text = table_text(table)
    rows = compose_of("train", [f"experiments={table}"], with_hydra=True).hydra.sweeper.rows
    lines = [line.split() for line in text.split("\n\n")[-1].splitlines() if re.match(r"  \w", line)]
    assert [line[0] for line in lines][: len(rows)] == rows
    for name, *rest in lines:
        row = compose(f"experiments={table}/{name}").row
        own = {
            key: float(value) for key, value in zip(("miou", "crf_miou"), rest[::2], strict=False) if is_number(value)
        }
        if not name.endswith("crf"):  # whose published number without the CRF is the row before's
            assert own == {key: value for key, value in row.published.items() if key in ("miou", "crf_miou")}, name
        assert " ".join(row.notes.split()) in " ".join(text.split())


def is_number(word):
    return re.fullmatch(r"\d+\.\d\d", word) is not None


def test_a_reader_that_closes_early_ends_help_quietly():
    words = [sys.executable, "-m", "deeplab_lit.train", "--help"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as started:
        started.stdout.close()
        assert started.stderr.read() == ""


def compose_of(command, overrides, with_hydra=False):
    import hydra

    from deeplab_lit.config.hydra_store import register_schemas

    register_schemas()
    with hydra.initialize_config_dir(version_base="1.3", config_dir=str(conf_folder())):
        return hydra.compose(command, overrides=overrides, return_hydra_config=with_hydra)
