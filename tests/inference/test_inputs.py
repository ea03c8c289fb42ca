"""Inputs of the commands that use a trained network."""

import pytest
from PIL import Image

import deeplab_lit
from deeplab_lit.config.command_schemas import EvaluateConfig, PredictConfig
from deeplab_lit.config.schemas import CRFConfig, ScalesConfig
from deeplab_lit.data.labels import LabelSet
from deeplab_lit.data.normalization import Normalization
from deeplab_lit.inference import inputs
from deeplab_lit.inference.inputs import open_split, run_name, workers
from deeplab_lit.models.fused_scales import FusedScales
from deeplab_lit.models.multiscale import MultiScaleInput
from deeplab_lit.utils.errors import UserError
from deeplab_lit.utils.fetch import weights_file
from deeplab_lit.weights.description import describe
from deeplab_lit.weights.read import read
from tests.inference.test_trained import SPEC, save


def test_a_run_directory_means_its_best_checkpoint(tmp_path):
    run = tmp_path / "table" / "row_1.5"
    (run / "checkpoints").mkdir(parents=True)
    save(run / "checkpoints" / "best.ckpt", global_step=11)
    save(run / "checkpoints" / "last.ckpt", global_step=12)
    assert deeplab_lit.load(run).step == deeplab_lit.load(f"{run}/").step == read(run)["global_step"] == 11
    assert run_name(str(run)) == run_name(str(run / "checkpoints" / "best.ckpt")) == "table-row_1.5"
    (run / "checkpoints" / "best.ckpt").unlink()
    with pytest.raises(UserError, match=r"row_1.5' is a folder without checkpoints/best.ckpt .* type .*/last.ckpt\.$"):
        weights_file(run)
    with pytest.raises(UserError, match=r"is a folder without checkpoints/best.ckpt .*: give a run directory"):
        weights_file(tmp_path)


def opened(folder, names, **about):
    """The label set of an evaluation on a data set of the classes cat and dog, of a network that scores ``names``."""
    description = describe(SPEC, LabelSet(names), Normalization())
    save(folder / "net.ckpt", deeplab_lit={**description, **about})
    data = {"_target_": "deeplab_lit.data.folder.Folder", "root": str(folder), "classes": str(folder / "classes.txt")}
    config = EvaluateConfig(checkpoint=str(folder / "net.ckpt"), data=data, crf=CRFConfig())
    return open_split(deeplab_lit.load(folder / "net.ckpt"), config)[0]


def test_the_classes_of_a_data_set_are_the_networks_in_the_same_order(tmp_path, monkeypatch):
    (tmp_path / "classes.txt").write_text("cat\ndog\n")
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
        for number in range(20):
            Image.new("P" if name == "masks" else "RGB", (8, 8)).save(tmp_path / name / f"{number}.png")
    foreign = {"source": "a net of Caffe", "notes": []}
    assert opened(tmp_path, ("cat", "dog")).names == ("cat", "dog")
    words = r"net.ckpt scores 'dog' as class 0, which is 'cat' in the data set: .* deeplab_lit.convert .*classes=FILE"
    for about in ({}, foreign):  # names that somebody has written into the file count, wherever its weights are from
        with pytest.raises(UserError, match=words):
            opened(tmp_path, ("dog", "cat"), **about)
        with pytest.raises(UserError, match="scores 'hund' as class 1, which is 'dog'"):
            opened(tmp_path, ("cat", "hund"), **about)
    # a file without names is not refused for the names that reading gave it
    assert opened(tmp_path, ("class 0", "class 1"), **foreign).names == ("cat", "dog")
    # unless the data set has them in another order
    monkeypatch.setattr(inputs, "names_for", lambda _: LabelSet(("dog", "cat")))
    with pytest.raises(UserError, match=words):
        opened(tmp_path, ("dog", "cat"), **foreign)


def test_processes_of_a_machine_share_its_cores(monkeypatch):
    monkeypatch.setattr(inputs, "cores", lambda: 12)
    for processes, expected in ((1, 12), (4, 3), (16, 1)):
        monkeypatch.setenv("LOCAL_WORLD_SIZE", str(processes))
        assert workers(None) == expected and workers(5) == 5


def test_the_network_is_tested_at_the_scales_and_with_the_fusion_of_the_config(tmp_path):
    save(tmp_path / "net.ckpt")

    def tested(**keys):
        config = PredictConfig(
            checkpoint=str(tmp_path / "net.ckpt"), crf=CRFConfig(), images="", out="", device="cpu", **keys
        )
        return inputs.open_network(config)[1].network

    trained = tested()
    assert isinstance(trained, MultiScaleInput)
    found = tested(scales=ScalesConfig([0.5, 1.75]), fusion="mean_scores", flip_scales=True, max_side=600)
    assert isinstance(found, FusedScales) and found.scales == (1.75, 0.5) and found.mirrored
    assert (found.fusion, found.max_side) == ("mean_scores", 600)
    assert tested(fusion="mean_probabilities").scales == trained.scales
    assert tested(flip_scales="sum").mirrored == "sum"
    with pytest.raises(UserError, match="flip=true and flip_scales=true mirror the image twice"):
        tested(flip=True, flip_scales=True)
    with pytest.raises(UserError, match="fusion='mean' is not known"):
        tested(fusion="mean")
