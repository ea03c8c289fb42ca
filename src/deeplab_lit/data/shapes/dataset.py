"""Data set of drawn shapes, embedded in this library: written once as a folder in VOC's layout."""

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
from deeplab_lit.data.mask_files import coloured
from deeplab_lit.data.shapes.objects import SIMPLE_THINGS, SOURCE_THINGS, TARGET_THINGS
from deeplab_lit.data.shapes.scene import Domain, render
from deeplab_lit.data.voc import VOC
from deeplab_lit.utils.errors import UserError, closest
from deeplab_lit.utils.homes import cache_folder
from deeplab_lit.utils.parallel import spread
from deeplab_lit.utils.progress import Progress

DOMAINS = {
    "simple": Domain(SIMPLE_THINGS),
    "target": Domain(TARGET_THINGS, long=256, objects=(3, 7)),
    # light, camera, density and classes differ from the target's, as COCO's differ from VOC's
    "source": Domain(
        SOURCE_THINGS,
        long=256,
        tint=(1.06, 0.98, 0.9),
        contrast=0.85,
        camera_noise=(4.0, 11.0),
        clutter=(7, 18),
        objects=(4, 9),
    ),
}
"""``simple`` for a first training; ``target`` and ``source``, on which texture says little, for the tables in small."""

# part of the cache key: raise it whenever the same seed gives other pictures
_VERSION = 1


class Shapes(VOC):
    """Textured objects over clutter, drawn by this library: a miniature of VOC that needs no download.

    Args:
        domain: ``"simple"``: 12 classes, most of them known by their texture, in pictures of 144 pixels. ``"target"``:
            15 classes, most of them known by their outline, a part or the ground, in pictures of 256 pixels.
            ``"source"``: those and four more in pictures of other statistics, for pretraining.
        train_images: the number of pictures to train on.
        val_images: the number of pictures to evaluate on.
        seed: the seed of all pictures.
        cache: the folder that the data set is written into once; None: ``$DEEPLAB_LIT_CACHE``, else
            ``$XDG_CACHE_HOME/deeplab_lit`` or ``~/.cache/deeplab_lit``.
        train_masks: a folder with ID.png for each training picture, used instead of the true masks.
        train_list: a text file with the ids of the training pictures to use; None: all.
        val_list: a text file with the ids of the pictures to evaluate on; None: all.

    Raises:
        UserError: an unknown domain, or fewer than one picture in a split.
    """

    def __init__(
        self,
        domain: str = "simple",
        train_images: int = 1200,
        val_images: int = 120,
        seed: int = 0,
        cache: str | Path | None = None,
        train_masks: str | Path | None = None,
        train_list: str | Path | None = None,
        val_list: str | Path | None = None,
    ) -> None:
        if domain not in DOMAINS:
            raise UserError(f"data.domain={domain!r}: choose one of {', '.join(DOMAINS)}.{closest(domain, DOMAINS)}")
        if train_images < 1 or val_images < 1:
            raise UserError(f"data.train_images={train_images}, data.val_images={val_images}: each is at least 1.")
        self._domain, self._counts, self._seed = domain, {"train": train_images, "val": val_images}, seed
        recipe = json.dumps([_VERSION, domain, self._counts, seed])
        name = f"shapes-{domain}-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}"
        folder = cache_folder(cache) / name
        super().__init__(folder, train_masks=train_masks, train_list=train_list, val_list=val_list)
        self.labels = LabelSet(("background", *DOMAINS[domain].things))
        self.coding = coloured(self.labels)

    def prepare(self, progress: Progress | None = None) -> None:
        """Write the folder unless it exists. It is whole or absent, even if several processes write it at once."""
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
    long = DOMAINS[domain].long
    short = int(rng.integers(long * 3 // 4, long + 1))
    height, width = (short, long) if rng.random() < 0.7 else (long, short)
    image, mask = render(rng, DOMAINS[domain], height, width)
    save_image(Image.fromarray(image), folder / "JPEGImages" / f"{id}.jpg", format="JPEG", quality=95)
    write_mask(mask, labels.colours, folder / "SegmentationClass" / f"{id}.png")
