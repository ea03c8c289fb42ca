"""Help and completion, against Hydra's own idea of the configuration and in a real shell."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from omegaconf import DictConfig

import deeplab_lit
from deeplab_lit.cli.commands import COMMANDS
from deeplab_lit.cli.completion import candidates
from deeplab_lit.cli.help import examples, help_text, program_text, table_text
from deeplab_lit.cli.reference import all_keys, choices, groups_of, keys
from deeplab_lit.config.hydra_store import SCHEMAS
from deeplab_lit.config.paths import conf_folder, tables
from tests.composing import compose


def test_every_command_has_a_file_a_schema_and_an_entry_point():
    files = {file.stem for file in conf_folder().glob("*.yaml")} - {"choices", "follows", "hydra_settings"}
    package = Path(deeplab_lit.__file__).parent
    modules = {file.stem for file in package.glob("*.py") if not file.stem.startswith("_")}
    assert files == modules == set(COMMANDS) and files <= set(SCHEMAS)
    text = program_text()
    assert all(re.search(rf"^  {name} ", text, re.M) for name in COMMANDS)


def test_every_choice_and_key_says_what_it_is():
    for group in {group for command in COMMANDS for group in groups_of(command)}:
        for choice in choices(group):
            has_rows = (conf_folder().parent / "experiments" / choice.name).is_dir()  # a table says it itself
            assert choice.meaning or (group == "experiments" and has_rows), (group, choice.name)
    for command in COMMANDS:
        assert all(key.meaning for key in keys(command))
    known = yaml.safe_load((conf_folder() / "choices.yaml").read_text())
    groups = {folder.name for folder in conf_folder().iterdir() if folder.is_dir()}
    assert set(known) == groups | {"experiments"}
    for group in groups:
        assert set(known[group]) == {file.stem for file in (conf_folder() / group).glob("*.yaml")}, group


def composed_keys(node, prefix=""):
    for key in node:
        yield f"{prefix}{key}"
        child = node._get_node(key)
        if isinstance(child, DictConfig) and not child._is_none() and not child._is_missing():
            yield from composed_keys(child, f"{prefix}{key}.")


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["data=coco91", "optimizer=sgd", "schedule=step", "crf=v2_vgg16"],
        ["init=imagenet", "backbone=vgg16", "scales=msc"],
    ],
)
def test_keys_are_those_that_hydra_composes(arguments):
    found = {key for key in all_keys("train", arguments) if not key.startswith("row.")}
    groups_of_values = {"launcher", "experiments", "budget"}  # they set values elsewhere
    assert found - groups_of_values == set(composed_keys(compose(*arguments)))


@pytest.mark.parametrize("command", COMMANDS)
def test_help_names_every_group_choice_and_key(command):
    text = help_text(command)
    for group, default in groups_of(command).items():
        assert re.search(rf"^{group}$", text, re.M)
        if default:
            assert re.search(rf"^  \* {default}\b", text, re.M), default
    for key in keys(command):
        assert re.search(rf"^  {re.escape(key.name)}\b", text, re.M)
    assert len(examples(command)) == 3 and all(example in text for example in examples(command))


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
        if name != "crf":  # whose published number without the CRF is the row before's
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


def test_words_are_completed():
    assert candidates("train", [], "mod") == ["model=", "model."]
    assert candidates("train", [], "model=asp") == ["model=aspp_l", "model=aspp_s"]
    assert "experiments=table3_aspp_vgg16/aspp_l" in candidates("train", [], "experiments=table3_aspp_vgg16/")
    assert "optimizer.momentum=" in candidates("train", ["optimizer=sgd"], "optimizer.")
    assert "optimizer.momentum=" not in candidates("train", [], "optimizer.")
    assert candidates("evaluate", [], "trim") == ["trimap="]


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("bash"), reason="no bash")
@pytest.mark.parametrize(
    ("line", "reply"),
    [
        ("python -m deeplab_lit.train back", ["backbone=", "backbone."]),
        ("python -m deeplab_lit.train model=aspp_s backbone=resnet1", ["resnet101", "resnet18"]),
        ("python -m deeplab_lit.predict imag", ["images="]),
        ("python -m http.server 80", []),
        ("python somewhere.py mod", []),
    ],
)
def test_bash_completes(line, reply):
    # as readline splits the line, = and : among the breaks
    words = [word for word in re.split(r"\s+|(=)", line) if word]
    quoted = " ".join(f"'{word}'" for word in words)
    script = (
        f'eval "$(python -m deeplab_lit.train -sc install=bash)"\nCOMP_LINE={line!r} COMP_POINT={len(line)}\n'
        f"COMP_WORDS=({quoted}) COMP_CWORD={len(words) - 1}\n"
        'f=$(complete -p python); f=${f##*-F }; ${f%% *}; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    env = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=120, env=env)
    assert [word for word in done.stdout.split("\n") if word] == reply, done.stderr


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["experiments=factorial", "--help"], ["-sc", "query=bash"], ["--cfg", "job"], ["max_stepps=1"]],
)
def test_nothing_heavy_is_imported(arguments):
    code = (
        f"import sys; sys.argv = ['train', *{arguments}]\n"
        "from deeplab_lit.train import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print([m for m in ('torch', 'lightning', 'wandb', 'cv2', 'numpy') if m in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip().splitlines()[-1] == "[]", done.stderr
