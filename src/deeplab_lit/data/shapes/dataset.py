"""The embedded data set: written once as a VOC-layout folder, then read as any other."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from deeplab_lit.data.image_files import save_image, write_mask
from deeplab_lit.data.labels import LabelSet
from deeplab_lit.data.shapes.objects import MORE_THINGS, THINGS
from deeplab_lit.data.shapes.scene import Domain, render
from deeplab_lit.data.voc import VOC
from deeplab_lit.utils.errors import UserError, closest
from deeplab_lit.utils.files import cache_folder
from deeplab_lit.utils.parallel import spread
from deeplab_lit.utils.progress import Progress

DOMAINS = {
    "target": Domain(THINGS),
    # other light, other camera, denser scenes and more classes: what COCO is to VOC
    "source": Domain(
        {**THINGS, **MORE_THINGS},
        tint=(1.06, 0.98, 0.9),
        contrast=0.85,
        camera_noise=(4.0, 11.0),
        clutter=(7, 18),
        objects=(3, 9),
    ),
}
"""The two picture statistics: ``target`` to learn and evaluate, ``source`` to pretrain on."""

# raised whenever the pictures of a seed change, so that no stale cache is read
_VERSION = 1


class Shapes(VOC):
    """Textured objects over clutter, drawn by this library: a miniature of VOC that needs no download.

    Args:
        domain: ``"target"`` (12 classes) or ``"source"`` (18 classes, other statistics, for pretraining).
        train_images: pictures to train on.
        val_images: pictures to evaluate on.
        seed: every picture follows from it.
        cache: where the folder is written once; ``$DEEPLAB_LIT_CACHE``, else ``$XDG_CACHE_HOME/deeplab_lit`` or
            ``~/.cache/deeplab_lit``, unless given.
        train_masks: a folder with ID.png for each training picture instead of the true masks.
        train_list: a text file with the ids of the training pictures to use; None: all.

    Raises:
        UserError: an unknown domain, or fewer than one picture in a split.
    """

    def __init__(
        self,
        domain: str = "target",
        train_images: int = 1200,
        val_images: int = 120,
        seed: int = 0,
        cache: str | Path | None = None,
        train_masks: str | Path | None = None,
        train_list: str | Path | None = None,
    ) -> None:
        if domain not in DOMAINS:
            raise UserError(f"data.domain={domain!r}: choose one of {', '.join(DOMAINS)}.{closest(domain, DOMAINS)}")
        if train_images < 1 or val_images < 1:
            raise UserError(f"data.train_images={train_images}, data.val_images={val_images}: each is at least 1.")
        self._domain, self._counts, self._seed = domain, {"train": train_images, "val": val_images}, seed
        recipe = json.dumps([_VERSION, domain, self._counts, seed])
        name = f"shapes-{domain}-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}"
        super().__init__(cache_folder(cache) / name, train_masks=train_masks, train_list=train_list)
        self.labels = LabelSet(("background", *DOMAINS[domain].things))

    def prepare(self, progress: Progress | None = None) -> None:
        """Write the folder unless it is there; complete or not at all, also when several processes do it at once."""
        if self.root.is_dir():
            return
        self.root.parent.mkdir(parents=True, exist_ok=True)
        building = Path(tempfile.mkdtemp(prefix=f".{self.root.name}-", dir=self.root.parent))
        try:
            self._write(building, progress)
            try:
                building.rename(self.root)
            except OSError:
                if not self.root.is_dir():  # otherwise another process was faster, with the same pictures
                    raise
        finally:
            shutil.rmtree(building, ignore_errors=True)

    def _write(self, folder: Path, progress: Progress | None) -> None:
        for name in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
            (folder / name).mkdir(parents=True)
        jobs = []
        for number, (split, count) in enumerate(self._counts.items()):
            ids = [f"{split}_{i:05d}" for i in range(count)]
            (folder / "ImageSets" / "Segmentation" / f"{split}.txt").write_text("\n".join(ids) + "\n")
            jobs += [(id, (self._seed, number, i)) for i, id in enumerate(ids)]
        write = partial(_write_picture, folder, self._domain, self.labels)
        for _ in spread(write, jobs, f"drawing the data set once into {self.root}", progress):
            pass


def _write_picture(folder: Path, domain: str, labels: LabelSet, job: tuple[str, tuple[int, ...]]) -> None:
    id, seed = job
    rng = np.random.default_rng(seed)
    long, short = 144, int(rng.integers(108, 145))
    height, width = (short, long) if rng.random() < 0.7 else (long, short)
    image, mask = render(rng, DOMAINS[domain], height, width)
    save_image(Image.fromarray(image), folder / "JPEGImages" / f"{id}.jpg", format="JPEG", quality=95)
    write_mask(mask, labels.colours, folder / "SegmentationClass" / f"{id}.png")
