"""Class activation maps of score files, at the size of their images."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deeplab_lit.config.command_schemas import ScoreFilesConfig
from deeplab_lit.data.image_files import read_image
from deeplab_lit.data.score_files import Contradiction, ScoreMaps, read_scores
from deeplab_lit.inference.distributions import add_up_to_one, resized
from deeplab_lit.utils.arrays import Bytes, Floats
from deeplab_lit.utils.errors import UserError

_SLACK = 2e-3  # half precision near 1, and the interpolation of the code base that saved the maps


@dataclass(frozen=True)
class CAMs:
    """The activation maps of an image.

    Attributes:
        classes: uint8 (K + 1,): 0 for the background, then the class index of each map.
        maps: float32 (K, H, W), from 0 to 1.
        highest: float32 (H, W), the highest activation of each pixel; 0 without a map.
    """

    classes: Bytes
    maps: Floats
    highest: Floats

    @classmethod
    def of(cls, scores: ScoreMaps, size: tuple[int, int] | None = None, align_corners: bool = False) -> CAMs:
        """The maps of a file, resized bilinearly to ``size`` (H, W); None: as they are."""
        maps = scores.maps
        if size is not None:
            maps = resized(maps, size, align_corners) if len(maps) else np.zeros((0, *size), np.float32)
        maps = np.clip(maps, 0, 1)
        return cls(np.array([0, *scores.classes], np.uint8), maps, maps.max(0, initial=0))

    def above(self, threshold: float) -> NDArray[np.intp]:
        """The place in ``classes`` of each pixel's class (H, W): of the highest map above the threshold, or 0."""
        place: NDArray[np.intp] = np.where(self.highest > threshold, self.strongest(), 0)
        return place

    def strongest(self) -> NDArray[np.intp]:
        """The place in ``classes`` of the highest map of each pixel (H, W); 0 without a map."""
        if not len(self.maps):
            return np.zeros(self.highest.shape, np.intp)
        place: NDArray[np.intp] = self.maps.argmax(0) + 1
        return place


def read_cam_scores(
    path: Path, size: tuple[int, int], form: ScoreFilesConfig, classes: int, tags: Collection[int] | None
) -> ScoreMaps:
    """The activation maps of a file, at its resolution.

    Args:
        path: the file (see :func:`deeplab_lit.data.score_files.read_scores`).
        size: (H, W) of the image.
        form: what the user says about the file; ``zero_is`` is not None.
        classes: how many classes there are, with the background.
        tags: the classes to keep; None: all.

    Raises:
        UserError: the file is no such file, or has values outside of 0 to 1; the message does not name the file. A
            Contradiction: it holds probabilities, has a map of the background or of a class that there is not, or none
            of the tags.
    """
    scores = read_scores(path, size, form)
    _check(scores, classes)
    if tags is None:
        return scores
    kept = [place for place, each in enumerate(scores.classes) if each in tags]
    if scores.indexed and scores.classes and tags and not kept:
        raise Contradiction(
            f"it has maps of the classes {sorted(scores.classes)}, and the image's tags are {sorted(tags)}: where one "
            "of them counts otherwise, type zero_is=background or tags_zero_is=background; else correct these tags."
        )
    return ScoreMaps(tuple(scores.classes[place] for place in kept), scores.maps[kept], scores.rounding, scores.indexed)


def _check(scores: ScoreMaps, classes: int) -> None:
    """Raise UserError unless the maps are activation maps of foreground classes below ``classes``."""
    if len(scores.maps) > 1 and add_up_to_one(scores):
        raise Contradiction(
            f"its {len(scores.maps)} maps add up to 1 at each pixel, so it holds a network's probabilities: type "
            "background=given zero_is=background, where class index 0 is the background."
        )
    lowest, highest = scores.maps.min(initial=0), scores.maps.max(initial=0)
    is_beyond = lowest < -_SLACK or highest > 1 + _SLACK
    if 0 in scores.classes:
        mend = "save it without that map"
        if is_beyond:
            mend = "if it holds scores before the softmax, type background=given values=logits"
        raise Contradiction(
            "it has a map of the background, which background=threshold, power and complement compute: "
            f"{mend}; if class index 0 is the first foreground class, type zero_is=foreground."
        )
    if max(scores.classes, default=0) >= classes:
        raise Contradiction(
            f"it has a map of class {max(scores.classes)}, and there are {classes} classes with the background: give "
            "the class list, classes=FILE; if map 0 is the background, type background=given."
        )
    if is_beyond:
        raise UserError(
            f"it runs from {lowest:.3g} to {highest:.3g}: activation maps are from 0 to 1; save each map after taking "
            "its negative values as 0 and dividing it by its maximum."
        )


def refuse_background_first(scores: Sequence[ScoreMaps]) -> None:
    """Raise UserError if class index 0 of some files, taken for the first foreground class, may be the background.

    Code bases that put the background before the classes of an image do so for each image.
    """
    told = [each.classes for each in scores if each.indexed and each.classes]
    if len(told) > 2 and all(1 in classes and len(classes) > 1 for classes in told):
        raise Contradiction(
            f"each of the {len(told)} files that were looked at has a map of the class index 0 beside others: type "
            "zero_is=background if that is the background, or zero_is=foreground if it is the first class beside it."
        )


@dataclass(frozen=True)
class CAMFolder:
    """Images with their activation maps.

    Attributes:
        files: the file of the maps of each image, by its name.
        images: the image of each name.
        form: what the user says about the files; ``zero_is`` is not None.
        classes: how many classes there are, with the background.
        tags: the classes of each image that are kept; None: all.
    """

    files: Mapping[str, Path]
    images: Mapping[str, Path]
    form: ScoreFilesConfig
    classes: int
    tags: Mapping[str, Collection[int]] | None

    def small(self, name: str) -> tuple[Bytes, CAMs]:
        """An image, RGB bytes (H, W, 3), and its maps at their own resolution.

        Raises:
            UserError: as :func:`read_cam_scores`, or the image cannot be read.
        """
        image = read_image(self.images[name])
        return image, CAMs.of(self._scores(name, image))

    def scores(self, name: str) -> ScoreMaps:
        """The maps of an image at their own resolution, as :func:`read_cam_scores` gives them.

        Raises:
            UserError: as :meth:`small`.
        """
        return self._scores(name, read_image(self.images[name]))

    def read(self, name: str, shape: tuple[int, int] | None = None) -> tuple[Bytes, CAMs]:
        """An image and its maps at its size; ``shape`` is that of its mask, as for :func:`read_image`.

        Raises:
            UserError: as :meth:`small`.
        """
        image = read_image(self.images[name], shape)
        return image, CAMs.of(self._scores(name, image), (image.shape[0], image.shape[1]), self.form.align_corners)

    def _scores(self, name: str, image: Bytes) -> ScoreMaps:
        tags = None if self.tags is None else self.tags[name]
        return read_cam_scores(self.files[name], (image.shape[0], image.shape[1]), self.form, self.classes, tags)
