"""What the README and the pages of docs/ say of the code is what the code is."""

import dataclasses
import functools
import importlib.util
import re
import shlex
import sys

import hydra
import numpy as np
import pytest
import torch
import yaml
from omegaconf import OmegaConf
from PIL import Image

import deeplab_lit
from deeplab_lit.cli import reference
from deeplab_lit.cli.commands import COMMANDS
from deeplab_lit.cli.error_messages import check_words
from deeplab_lit.config.hydra_store import SCHEMAS, register_schemas
from deeplab_lit.config.paths import conf_folder, tables
from deeplab_lit.models.network import build_network
from deeplab_lit.train import main
from deeplab_lit.training.checkpoints import WholeFileCheckpoint
from deeplab_lit.training.result import Result
from deeplab_lit.weights.description import describe
from tests.conftest import ROOT
from tests.end_to_end.running import use_alone
from tests.exports.test_export import LABELS, NORM, SPEC

DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.glob("*.md"))]
HOOKS = importlib.util.module_from_spec(importlib.util.spec_from_file_location("hooks", DOCS / "hooks.py"))
HOOKS.__loader__.exec_module(HOOKS)
every_page = pytest.mark.parametrize("page", PAGES, ids=[page.stem for page in PAGES])


def commands_of(page):
    """The command and the arguments of each line of the shell blocks of a page that calls this library."""
    for block in re.findall(r"^```(?:bash|sh)\n(.*?)^```", page.read_text(), re.M | re.S):
        for line in block.splitlines():
            calls = re.search(r"(?:deeplab-lit|python -m deeplab_lit\.|-m deeplab_lit\.) ?([a-z_]+\b.*)", line)
            if calls and "install=bash" not in line:
                words = shlex.split(re.sub(r"'$", "", calls[1]) if "--wrap" in line else calls[1], comments=True)
                yield words[0], words[1:]


@functools.cache
def composes(command, arguments):
    """Compose the config of a command line; of a sweep, that of its first run."""
    folder = str(conf_folder())
    overrides = []
    for each in arguments:
        key, _, value = each.partition("=")
        plain = key in ("seed", "rows", "data.train_masks") or key.lstrip("+") in reference.groups_of(command)
        overrides.append(f"{key}={value.split(',')[0]}" if plain else each.replace("$SLURM_ARRAY_TASK_ID", "1"))
    register_schemas()
    with hydra.initialize_config_dir(version_base="1.3", config_dir=folder):
        OmegaConf.to_container(hydra.compose(command, overrides=overrides), resolve=False)


@every_page
def test_every_command_is_one_that_hydra_composes(page):
    for command, words in commands_of(page):
        assert command in COMMANDS, (page.name, command)
        flags = {"-m", "--help", "--cfg", "job", "--config-dir", "..."}
        own = [words[place + 1] for place, word in enumerate(words) if word == "--config-dir"]
        arguments = [word for word in words if word not in flags and word not in own]
        if own or page.stem == "extending":  # choices and keys of the user's own
            arguments = [each for each in arguments if not re.match(r"(crf|backbone|model|data|schedule|loss)\b", each)]
        assert all("=" in each for each in arguments), (page.name, words)
        if not own and page.stem != "extending":
            check_words(arguments, command)
        composes(command, tuple(arguments))


def test_the_check_of_commands_finds_what_is_wrong():
    for wrong in (
        ("train", "modle=aspp_l"),
        ("train", "model=aspp"),
        ("train", "max_steps=many"),
        ("predict", "seed=1"),
    ):
        with pytest.raises(Exception, match="override|Could not find|merging"):
            composes(wrong[0], wrong[1:])


@functools.cache
def known_keys():
    """Every key of every command, with any choice of its groups."""
    names = set()
    for command in COMMANDS:
        names |= set(reference.all_keys(command, []))
        for group in reference.groups_of(command):
            for choice in reference.choices(group):
                names |= set(reference.all_keys(command, [f"{group}={choice.name}"]))
    return names | {"experiments", "hydra"}


@every_page
def test_every_key_and_choice_in_running_text_exists(page):
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.M | re.S)
    groups = {folder.name for folder in conf_folder().iterdir() if folder.is_dir()}
    for code in re.findall(r"`([^`\n]+)`", text):
        for key, value in re.findall(r"(?<![\w./+-])([a-z]\w*(?:\.[a-z]\w*)*)=([\w./]+)", code):
            any_value = value.isupper() or value == "..." or value in OWN
            if key in groups:
                assert any_value or value in {each.name for each in reference.choices(key)}, (page.name, code)
            elif key == "experiments" and "TABLE" not in value:
                table, _, row = value.partition("/")
                rows = [each.name for each in reference.rows_of_table(table)] if table in tables() else []
                known = {each.name for each in reference.choices("experiments")}
                assert (row in rows) if row and row != "ROW" else table in known, code
            elif not key.startswith("hydra."):
                assert key in known_keys() or key in PYTHON, (page.name, code)


PYTHON = {"threads", "normalization", "device", "engine", "allow", "allowed", "parallel", "output", "num_classes"}
"""Arguments of functions, which look like keys."""
OWN = {"searched", "tiny", "pooled", "beside", "cosine"}
"""Choices that pages add."""


def test_the_page_on_results_is_the_schema():
    rows = re.findall(r"^\| `(\w+)` \| (.+) \|$", (DOCS / "result.md").read_text(), re.M)
    assert rows == [(each.name, each.metadata["meaning"]) for each in dataclasses.fields(Result)]


@every_page
def test_pages_name_files_and_pages_that_exist(page):
    text = page.read_text()
    for link in re.findall(r"\]\((?!https?:)([^)\s]+)\)", text):
        target, _, anchor = link.partition("#")
        file = page.parent / target if target else page
        assert file.exists(), (page.name, link)
        if anchor:
            heads = re.findall(r"^#+ (.+)$", file.read_text(), re.M)
            slugs = {re.sub(r"[\s]+", "-", re.sub(r"[^\w\s-]", "", head).strip().lower()) for head in heads}
            assert anchor in slugs, (page.name, link)
    for path in re.findall(r"`((?:src|tests|conf|experiments|benchmarks|examples|docs)/[a-z_0-9/.]+)`", text):
        assert (ROOT / path).exists(), (page.name, path)


def answers():
    blocks = re.findall(r"^```console\n\$ (.+)\n(.+)\n```", (DOCS / "errors.md").read_text(), re.M)
    assert len(blocks) >= 5
    return blocks


@pytest.mark.parametrize(("command", "said"), answers())
def test_the_page_on_errors_says_what_is_said(tmp_path, monkeypatch, capsys, command, said):
    program, *words = shlex.split(command)
    assert (program, words[0]) == ("deeplab-lit", "train")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1 and capsys.readouterr().err.strip() == said


def test_the_site_shows_every_page_and_each_only_once():
    def leaves(node):
        for each in node.values() if isinstance(node, dict) else node:
            yield from [each] if isinstance(each, str) else leaves(each)

    listed = list(leaves(yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]))
    pages = {page.name for page in DOCS.glob("*.md")} | {
        name for name in HOOKS.OUTSIDE.values() if name.endswith(".md")
    }
    assert sorted(listed) == sorted(pages)


def test_the_tables_of_the_site_hold_every_group_choice_key_and_row():
    text = "\n".join(HOOKS.filled(page.read_text()) for page in DOCS.glob("*.md"))
    assert "<!--" not in text
    for group in {**reference.groups_of("train"), **reference.groups_of("tune")}:
        assert f"### `{group}`" in text
        for choice in reference.choices(group):
            assert re.search(rf"^\| (\*\*)?`{choice.name}`(\*\*)? \| {re.escape(choice.meaning)} \|$", text, re.M)
    for each in reference.keys("train"):
        assert re.search(rf"^\| `{re.escape(each.name)}` \| .*\| {re.escape(each.meaning)} \|$", text, re.M), each
    for command in COMMANDS:
        assert f"| `{command}` |" in text
    assert re.search(r"^\| `aspp` \| 76.35 \| ", text, re.M) and re.search(r"^\| `crf` \|  \| 77.69 \| ", text, re.M)


def test_the_tables_of_values_hold_what_the_files_hold():
    parity = HOOKS.values("parity")
    assert "| `parity.align_corners` | `true` | `false` | resizing puts corner pixels on each other |" in parity
    assert (
        "| `parity.normalization` | `bgr_bytes, or init.normalization` | `imagenet, or init.normalization` |" in parity
    )
    assert "| `v1_largefov` | `4` | `121` | `5` | `3` | `3` | `10` |" in HOOKS.values("crf")
    assert "| `crf.bilateral_xy_std` |  | sigma_alpha, pixels |" in HOOKS.values("crf")
    assert "| `optimizer.new_lr` | `1.0` | `10.0` |" in HOOKS.values("optimizer")
    fields = {each.name for each in dataclasses.fields(SCHEMAS["dense_crf"])} - {"name"}
    assert set(re.findall(r"`crf\.(\w+)`", HOOKS.values("crf"))) == fields
    with pytest.raises(KeyError):
        HOOKS.filled("<!-- nothing -->")


def test_links_lead_to_the_pages_of_the_site():
    assert HOOKS.with_links("[a](docs/crf.md) [b](docs/use.md#x)", "README.md") == "[a](crf.md) [b](use.md#x)"
    assert HOOKS.with_links("[a](../benchmarks/README.md)", "docs/crf.md") == "[a](benchmarks.md)"
    assert HOOKS.with_links("[a](../README.md#install) [b](#c)", "docs/crf.md") == "[a](index.md#install) [b](#c)"
    assert HOOKS.with_links("[a](https://arxiv.org/abs/1412.7062)", "README.md").endswith("1412.7062)")


def test_the_citation_is_complete_and_of_this_version():
    about = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert about["version"] == deeplab_lit.__version__ and about["license"] == "Apache-2.0"
    assert [each["url"].rpartition("/")[2] for each in about["references"]] == ["1412.7062", "1606.00915"]
    assert all(len(each["authors"]) == 5 for each in about["references"])


def test_the_workflows_run_what_the_makefile_has():
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.M))
    steps = []
    for file in sorted((ROOT / ".github" / "workflows").glob("*.yml")):
        for job in yaml.safe_load(file.read_text())["jobs"].values():
            steps += [step["run"] for step in job["steps"] if "run" in step]
    made = {target for step in steps for target in re.findall(r"make ([\w-]+)", step)}
    assert {"lint", "test", "docs"} <= made <= targets


def python_of(page):
    """The first Python block of a page."""
    return re.search(r"^```python\n(.*?)^```", (DOCS / page).read_text(), re.M | re.S)[1]


@pytest.mark.long
def test_the_page_on_the_crf_computes_what_it_says():
    names = {}
    exec(python_of("crf.md"), names)
    assert names["labels"].shape == (60, 80) and names["marginals"].shape == (21, 60, 80)


def test_the_page_on_losses_filters_its_images():
    names = {}
    exec(python_of("losses.md"), names)
    # a pixel alone has 1/21 of itself, a constant of the lattice besides; others add to it
    assert names["out"].shape == (2, 21, 40, 50) and names["out"].min() > 0.3 / 21
    np.testing.assert_allclose(names["out"][:, 1:], names["out"][:, :-1], rtol=1e-5)


@pytest.mark.slow
def test_the_page_on_export_runs_the_graph_as_predict_does(tmp_path, monkeypatch):
    torch.manual_seed(0)
    content = {
        "state_dict": {f"network.{key}": value for key, value in build_network(SPEC, len(LABELS)).state_dict().items()},
        "global_step": 7,
        "deeplab_lit": describe(SPEC, LABELS, NORM, eval_size=97),
    }
    WholeFileCheckpoint().save_checkpoint(content, tmp_path / "best.ckpt")
    picture = np.random.default_rng(0).integers(0, 256, (7, 7, 3), np.uint8)
    Image.fromarray(picture).resize((97, 97), Image.Resampling.BICUBIC).save(tmp_path / "photo.jpg")
    use_alone("export", tmp_path, "checkpoint=best.ckpt format=onnx out=best.onnx images=photo.jpg")
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(python_of("export.md"), names)
    predicted = deeplab_lit.load("best.ckpt").predict("photo.jpg")
    assert len(np.unique(predicted)) > 1 and (names["labels"] == predicted).mean() > 0.99
