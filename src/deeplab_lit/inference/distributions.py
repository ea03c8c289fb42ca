"""Distributions over the classes, made of the maps of score files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from deeplab_lit.config.command_schemas import ScoreFilesConfig
from deeplab_lit.data.score_files import ScoreMaps, WrongForm, read_scores
from deeplab_lit.models.resize import resize
from deeplab_lit.utils.arrays import Floats


def read_distribution(
    path: Path, size: tuple[int, int], form: ScoreFilesConfig | None = None, classes: int | None = None
) -> Floats:
    """The probabilities, float32 (C, H, W), that a score file holds, or that follow from its logits.

    Maps of another size are resized, bilinearly and before the softmax. Classes without a map get 0. The result is
    scaled to add up to 1 over the classes, since rounding changes the sum.

    Args:
        path: the file (see :func:`deeplab_lit.data.score_files.read_scores`).
        size: (H, W) of the image.
        form: what the user says about the file; its defaults unless given.
        classes: how many classes there are, C; None: as many as the file has.

    Raises:
        UserError: the file is no such file; the message does not name it. A WrongForm: it has no background or another
            number of classes, or its numbers are not what ``form.values`` says.
    """
    form = form or ScoreFilesConfig()
    scores = read_scores(path, size, form)
    if 0 not in scores.classes:
        raise WrongForm(
            "it has maps of foreground classes without a background: make masks of it with the command pseudo, "
            "background=threshold."
        )
    highest = max(scores.classes) + 1
    count = highest if classes is None else classes
    if highest > count or (highest < count and not scores.indexed):
        raise WrongForm(f"it has {highest} classes instead of the {count} of the class list.")
    maps = _probabilities(scores, size, form)
    if scores.classes == tuple(range(count)):
        return maps
    whole = np.zeros((count, *size), np.float32)
    whole[list(scores.classes)] = maps
    return whole


def add_up_to_one(scores: ScoreMaps) -> bool:
    """Whether the maps of a file, of which there is at least one, are probabilities, but for rounding."""
    slack = max(0.02, 2 * scores.rounding * len(scores.maps))
    return bool(scores.maps.min() >= -1e-4 and np.abs(scores.maps.sum(0) - 1).max() <= slack)


def resized(maps: Floats, size: tuple[int, int], align_corners: bool) -> Floats:
    """Maps (C, h, w) at ``size`` (H, W), bilinearly."""
    result: Floats = resize(torch.from_numpy(maps)[None], size, align_corners)[0].numpy()
    return result


def _probabilities(scores: ScoreMaps, size: tuple[int, int], form: ScoreFilesConfig) -> Floats:
    if scores.rounding and form.values == "logits":
        raise WrongForm("it is uint8, which stands for probabilities from 0 to 1: type values=probabilities.")
    sums, are_probabilities = scores.maps.sum(0), add_up_to_one(scores)
    if are_probabilities != (form.values == "probabilities"):
        found = f"it runs from {scores.maps.min():.3g} to {scores.maps.max():.3g}"
        added = f"adds up to {sums.min():.3g} to {sums.max():.3g}"
        raise WrongForm(
            f"{found} and adds up to 1 over the classes, as probabilities do: type values=probabilities."
            if are_probabilities
            else f"{found} and {added} over the classes instead of 1, so it holds no probabilities: type values=logits "
            "if it holds scores before the softmax; of class activation maps make masks with the command pseudo, "
            "background=threshold."
        )
    maps = resized(scores.maps, size, form.align_corners)
    if form.values == "logits":
        maps = np.exp(maps - maps.max(0))
    maps = np.maximum(maps, 0)
    return np.ascontiguousarray(maps / np.maximum(maps.sum(0), 1e-6))
