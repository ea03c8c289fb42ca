"""The choices of the training loss in a training: from the config to the loss of a step."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from deeplab_lit.config.checks import check_numbers
from deeplab_lit.data.shapes.dataset import Shapes
from deeplab_lit.training.dense_energy import dense_energy
from deeplab_lit.training.hard_pixels import hard_labels
from deeplab_lit.training.segmenter import Segmenter
from deeplab_lit.utils.errors import UserError
from tests.composing import config_of
from tests.training.test_interrupts import curve, run


def settings(*overrides):
    return config_of(*overrides).loss


def test_the_default_loss_is_the_mean_over_pixels_where_parity_says():
    for parity, resolution, msc in (("caffe", "map", "full_map"), ("modern", "full", "own_map")):
        for choice in ("cross_entropy", "balanced", "ohem"):
            found = settings(f"parity={parity}", f"loss={choice}")
            assert (found.resolution, found.msc) == (resolution, msc)
            assert found.balanced == (choice == "balanced") and (found.threshold is not None) == (choice == "ohem")
    assert settings() == settings("loss=cross_entropy")
    mixed = settings("loss=balanced", "loss.class_weights=median_frequency", "loss.resolution=map")
    assert mixed.balanced and mixed.class_weights == "median_frequency" and mixed.resolution == "map"


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("loss.threshold=1.5", "loss.threshold=1.5: it is a probability above 0"),
        ("loss.min_kept=100", "loss.min_kept=100: a number of pixels, beside a threshold: type loss=ohem"),
        ("loss.dense_energy=-1", "loss.dense_energy=-1.0: it is a weight of at least 0"),
        ("loss.energy_rgb_std=0", "loss.energy_rgb_std=0.0: it is a deviation above 0"),
        ("loss.energy_scale=2", "loss.energy_scale=2.0: it is a factor above 0, up to 1"),
        ("schedule.every=0", "schedule.every=0: it is at least 1"),
    ],
)
def test_values_that_cannot_be(override, words):
    with pytest.raises(UserError, match=words):
        check_numbers(config_of(override))


def weigh(folder):
    """A grey picture beside each training picture, black on its left half."""
    source = Shapes(train_images=12, val_images=6)
    source.prepare()
    split = source.split("train")
    folder.mkdir()
    for id, mask in zip(split.ids, split.masks, strict=True):
        width, height = Image.open(mask).size
        grey = np.full((height, width), 51, np.uint8)
        grey[:, : width // 2] = 0
        Image.fromarray(grey).save(folder / f"{id}.png")


def slow_loss(scores, batch, config):
    """The loss of a step of the network's upsampled scores."""
    mask, pixels = batch["mask"].long(), batch.get("weights", torch.ones(batch["mask"].shape))
    if config.threshold is not None:
        mask = hard_labels(scores, batch["mask"], False, config.threshold, config.min_kept).long()
    met = F.interpolate(scores.float(), mask.shape[-2:], mode="bilinear", align_corners=False)
    each = F.cross_entropy(met, mask, ignore_index=255, reduction="none") * pixels
    if config.balanced:
        parts = (mask == 0, (mask != 0) & (mask != 255))
        total = sum(each[part].sum() / pixels[part].sum() / 2 for part in parts if pixels[part].any())
    else:
        total = each.sum() / pixels[mask != 255].sum()
    energy = dense_energy(scores, batch["image"], batch["box"], align_corners=False) if config.dense_energy else 0
    return total + config.dense_energy * energy


@pytest.mark.parametrize(
    "choice",
    [
        ["loss=ohem", "loss.min_kept=100", "loss.threshold=0.2"],
        ["loss=balanced", "loss.dense_energy=1e-5", "loss.pixel_weights=PIXELS"],
        pytest.param(["loss=balanced"], marks=pytest.mark.slow),
        pytest.param(["loss.pixel_weights=PIXELS", "loss.resolution=full"], marks=pytest.mark.slow),
    ],
    ids=lambda choice: "-".join(choice),
)
def test_a_step_has_the_loss_of_its_config(tmp_path, monkeypatch, choice):
    choice = [each.replace("PIXELS", str(tmp_path / "pixels")) for each in choice]
    if any("pixel_weights" in each for each in choice):
        weigh(tmp_path / "pixels")
    expected, step = [], Segmenter.training_step

    def watched(self, batch, index):
        state = torch.get_rng_state()
        with torch.no_grad():
            (scores,) = self._supervised(self._image(batch))
            expected.append(float(slow_loss(scores, batch, self.loss)))
        torch.set_rng_state(state)  # dropout is the same again
        return step(self, batch, index)

    monkeypatch.setattr(Segmenter, "training_step", watched)
    run(tmp_path / "runs", "init=random", "max_steps=3", "val_every=3", *choice)
    found = [float(row["train/loss"]) for row in curve(tmp_path / "runs")]
    assert len(found) == 3
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_a_missing_picture_of_weights_is_told(tmp_path):
    weigh(tmp_path / "pixels")
    gone = sorted((tmp_path / "pixels").iterdir())[3]
    gone.unlink()
    with pytest.raises(UserError, match=rf"{gone} does not exist \(1 of 12 such\): loss.pixel_weights is a folder"):
        run(tmp_path / "runs", f"loss.pixel_weights={tmp_path / 'pixels'}")
