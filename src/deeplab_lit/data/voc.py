"""VOC's layout of a data set: JPEGImages, SegmentationClass, ImageSets/Segmentation/SPLIT.txt."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from deeplab_lit.data.base import Entry, Layout, find_list, inside, read_list, refuse_doubles
from deeplab_lit.data.channel_statistics import Statistics
from deeplab_lit.data.class_list import beside, read_class_list
from deeplab_lit.data.downloads import download_voc, fetch_once
from deeplab_lit.data.image_files import pictures_below
from deeplab_lit.data.labels import LabelSet
from deeplab_lit.data.list_lines import parse_line
from deeplab_lit.data.mask_files import coloured
from deeplab_lit.data.pixel_format import RGB
from deeplab_lit.utils.errors import UserError
from deeplab_lit.utils.homes import cache_folder
from deeplab_lit.utils.progress import Progress

_LOSSLESS = (".png", ".tif", ".tiff", ".npy", ".jpg")  # of images other than RGB bytes, in this order
_DEVKIT = Path("VOCdevkit") / "VOC2012"


class VOC(Layout):
    """A data set in the PASCAL VOC layout.

    Args:
        root: the folder that holds JPEGImages, SegmentationClass and ImageSets/Segmentation, or one that holds
            VOCdevkit/VOC2012; None: the folder that ``download`` fills.
        train: the list to train on: its name without ``.txt``, or a path. Its lines are ids, or pairs of paths below
            root (image, mask) as in the lists of the released nets, with or without image tags.
        val: the list to evaluate on.
        classes: a class list (see :func:`read_class_list`); PASCAL VOC's 21 classes unless given. A file may be
            given by its path below ``root``. With a list, images may have any ending, as in CVAT's exports.
        train_masks: a folder with ID.png for each training image, used instead of SegmentationClass, such as
            pseudo-labels.
        download: fetch VOC 2012 into root if it is not there.
        train_list: a text file with the ids of the training images to use, which need only have an image and a mask;
            None: all that ``train`` names. Its lines are as those of ``train``.
        val_list: such a file with the images to evaluate on; None: all that ``val`` names.
        channels: the channels of each image. Other images than 3 channels of 8 bits are PNGs, TIFFs or .npy files
            (H, W, C), and are read as they are.
        bits: 8, or 16 for files whose 16 bits are kept.
        mean: of each channel, or of each beyond the third, in units of the files' values; or ``"measured"`` over the
            training images. None: the first three have that of the weights, others are measured.
        std: the standard deviation, as ``mean``.

    Attributes:
        labels: the class names and the palette.
        root: the folder that holds JPEGImages.

    Raises:
        UserError: ``root`` is missing, or a given file or folder does not exist.
    """

    def __init__(
        self,
        root: str | Path | None = None,
        train: str = "train",
        val: str = "val",
        classes: str | Path | Sequence[str] | None = None,
        train_masks: str | Path | None = None,
        download: bool = False,
        train_list: str | Path | None = None,
        val_list: str | Path | None = None,
        channels: int = 3,
        bits: int = 8,
        mean: Statistics = None,
        std: Statistics = None,
    ) -> None:
        super().__init__(train_masks, train_list, val_list)
        self.take_channels(channels, bits, mean, std)
        self._given = cache_folder() / "voc2012" if root is None else Path(root).expanduser()
        self._download = download
        if root is None and not download and not (self._given / _DEVKIT).is_dir():
            raise UserError(
                "data.root is missing: type data.root=FOLDER, the one that holds JPEGImages (or roots.voc=FOLDER, for "
                f"all rows of a table), or data.download=true to fetch VOC 2012 (2 GB) into {self._given}."
            )
        self.labels = LabelSet.voc()
        self.coding = coloured(self.labels)
        self._has_own_classes = classes is not None
        if classes is not None:
            self.labels, self.coding = read_class_list(beside(classes, self._given))
        self._lists = {"train": train, "val": val}

    @property
    def root(self) -> Path:  # type: ignore[override]
        inside = self._given / _DEVKIT
        return inside if inside.is_dir() and not (self._given / "JPEGImages").is_dir() else self._given

    def prepare(self, progress: Progress | None = None) -> None:
        """Fetch the data set if ``download`` is set and a file is missing."""
        if self._download:
            fetch_once("VOC 2012", self._given, self._is_whole, download_voc, progress)

    def _is_whole(self) -> bool:
        # the archive holds the masks last, so a broken extraction lacks some of them
        path = self.root / "ImageSets" / "Segmentation" / "trainval.txt"
        if not path.is_file():
            return False
        return all(
            (self.root / "SegmentationClass" / f"{id}.png").is_file()
            and (self.root / "JPEGImages" / f"{id}.jpg").is_file()
            for id in read_list(path)
        )

    def list_file(self, name: str) -> Path:
        """The file that lists ``"train"`` or ``"val"``.

        Raises:
            UserError: ``root`` or the list does not exist.
        """
        if not self.root.is_dir():
            raise UserError(f"data.root={str(self.root)!r} is not a folder: give the one that holds JPEGImages.")
        return find_list(self._lists[name], self.root / "ImageSets" / "Segmentation", f"data.{name}")

    def entries(self, name: str) -> tuple[str | Path, list[Entry]]:
        path = self.list_file(name)
        entries = [self._entry(line, path) for line in read_list(path)]
        refuse_doubles([entry.id for entry in entries], path)
        return path, entries

    def entry_of(self, line: str, where: Path) -> Entry:
        return self._entry(line, where)

    def _entry(self, line: str, where: Path) -> Entry:
        parsed = parse_line(line, where)
        if parsed.paths is not None:
            image, mask = (self.root / inside(path.lstrip("/"), where) for path in parsed.paths)
            return Entry(image.stem, image, mask, parsed.tags)
        is_name = parsed.tags is not None and self._image(line).is_file()  # a file name that ends in numbers
        id = inside(line if is_name else parsed.id, where)
        mask = self.root / "SegmentationClass" / f"{id}.png"
        return Entry(id, self._image(id), mask, None if is_name else parsed.tags)

    def _image(self, id: str) -> Path:
        if self.pixels != RGB:
            files = [self.root / "JPEGImages" / f"{id}{ending}" for ending in _LOSSLESS]
            return next((file for file in files if file.is_file()), files[0])
        image = self.root / "JPEGImages" / f"{id}.jpg"
        return image if id not in self._other_images or image.is_file() else self._other_images[id]

    @cached_property
    def _other_images(self) -> dict[str, Path]:
        """The images that do not end in .jpg, by id; VOC itself has none."""
        folder = self.root / "JPEGImages"
        if not (self._has_own_classes and folder.is_dir()):
            return {}
        found = [file for file in pictures_below(folder) if file.suffix != ".jpg"]
        return {file.relative_to(folder).with_suffix("").as_posix(): file for file in found}
