"""COCO's instance annotations as class masks, in COCO's classes, in VOC's, or in those of the user's own file."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from deeplab_lit.data.annotation_files import whose
from deeplab_lit.data.base import Entry, Layout, inside
from deeplab_lit.data.coco_masks import draw
from deeplab_lit.data.image_files import write_mask
from deeplab_lit.data.labels import UNUSED, VOC_CLASSES, VOID, LabelSet
from deeplab_lit.data.mask_conversion import one_converter
from deeplab_lit.data.mask_files import read_mask
from deeplab_lit.utils.errors import UserError, closest
from deeplab_lit.utils.files import replacing, write_json
from deeplab_lit.utils.homes import cache_folder
from deeplab_lit.utils.parallel import spread
from deeplab_lit.utils.progress import Progress

# the names of COCO's category ids, from 0 for the background; "-" is an id that COCO never used
COCO_IDS = (
    "background", "person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat",
    "traffic light", "fire hydrant", "-", "stop sign", "parking meter", "bench", "bird", "cat", "dog", "horse",
    "sheep", "cow", "elephant", "bear", "zebra", "giraffe", "-", "backpack", "umbrella", "-", "-", "handbag", "tie",
    "suitcase", "frisbee", "skis", "snowboard", "sports ball", "kite", "baseball bat", "baseball glove", "skateboard",
    "surfboard", "tennis racket", "bottle", "-", "wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana",
    "apple", "sandwich", "orange", "broccoli", "carrot", "hot dog", "pizza", "donut", "cake", "chair", "couch",
    "potted plant", "bed", "-", "dining table", "-", "-", "toilet", "-", "tv", "laptop", "mouse", "remote", "keyboard",
    "cell phone", "microwave", "oven", "toaster", "sink", "refrigerator", "-", "book", "clock", "vase", "scissors",
    "teddy bear", "hair drier", "toothbrush",
)  # fmt: skip
COCO_CLASSES = tuple(name for name in COCO_IDS if name != "-")

_VOC_NAMES = {
    "airplane": "aeroplane", "motorcycle": "motorbike", "dining table": "diningtable", "potted plant": "pottedplant",
    "couch": "sofa", "tv": "tvmonitor",
}  # fmt: skip
# the keys that are read from each entry, with their types
_ID = (int, str)
_PARTS: dict[str, dict[str, tuple[type, ...]]] = {
    "images": {"id": _ID, "file_name": (str,), "height": (int, float), "width": (int, float)},
    "annotations": {"id": _ID, "image_id": _ID, "category_id": _ID},
    "categories": {"id": _ID, "name": (str,)},
}
_KINDS: dict[type, str] = {int: "a whole number", float: "a number", str: "a text"}
_SETS = ("coco", "coco91", "voc", "file")
_CROWDS = ("void", "class")
# part of the cache key: raise it whenever the same annotations give other masks
_VERSION = 1


class COCO(Layout):
    """A data set in COCO's layout, of 2017 or 2014: ROOT/train2017/*.jpg, ROOT/annotations/instances_train2017.json.

    The annotations are drawn once into index PNGs. Crowd regions are drawn first. Objects follow from the
    largest to the smallest, so that the smaller of two overlapping objects is seen. Categories outside the chosen
    classes are not drawn. All other pixels are background.

    Args:
        root: the folder that holds the image folders and ``annotations``; required.
        train, val: names of the splits.
        classes: ``"coco"`` (80 and background), ``"coco91"`` (COCO's own ids up to 90, for networks with 91 outputs),
            ``"voc"`` (VOC's 21), or ``"file"`` (background and the categories of the training annotations).
        min_pixels: training images with fewer labelled pixels (neither background nor void) are left out.
        converted: the folder for the masks; None: the cache folder.
        clip: cut polygons at the border of their image instead of refusing those that leave it.
        train_list: a text file with the ids of the training images to use, such as ``000000000009``, or
            ``COCO_train2014_000000000009`` as the files of 2014 are named; None: all.
        val_list: such a file with the images to evaluate on; None: all.
        train_masks: a folder with ID.png for each training image, used instead of the annotations, such as
            pseudo-labels.
        crowds: ``"void"`` or ``"class"``: what crowd regions are drawn as.

    Raises:
        UserError: ``root`` is missing, ``classes`` or ``crowds`` is unknown, or the annotations do not exist.
    """

    def __init__(
        self,
        root: str | Path | None = None,
        train: str = "train2017",
        val: str = "val2017",
        classes: str = "coco",
        min_pixels: int = 0,
        converted: str | Path | None = None,
        clip: bool = False,
        train_list: str | Path | None = None,
        train_masks: str | Path | None = None,
        val_list: str | Path | None = None,
        crowds: str = "void",
    ) -> None:
        super().__init__(train_masks, train_list, val_list)
        if classes not in _SETS:
            raise UserError(f"data.classes={classes!r}: choose one of {', '.join(_SETS)}.{closest(classes, _SETS)}")
        if crowds not in _CROWDS:
            raise UserError(f"data.crowds={crowds!r}: choose {' or '.join(_CROWDS)}.{closest(str(crowds), _CROWDS)}")
        if root is None:
            raise UserError(
                "data.root is missing: type data.root=FOLDER, the one that holds annotations (or roots.coco=FOLDER, "
                "for all rows of a table)."
            )
        self.root = Path(root).expanduser()
        self._names = {"train": train, "val": val}
        self._min_pixels, self._clip, self._crowds_are_void = min_pixels, clip, crowds == "void"
        self._cache = cache_folder(converted)
        for name in self._names:
            if not self._json(name).is_file():
                there = sorted(file.name for file in (self.root / "annotations").glob("instances_*.json"))
                raise UserError(
                    f"{self._json(name)} does not exist: data.root is the folder that holds annotations/, and data."
                    f"{name} the split's name{', such as ' + there[0][10:-5] if there else ''}."
                )
        self._set = classes
        self._folders: dict[str, Path] = {}  # the results of _folder, which reads whole annotation files
        self.labels = _label_set(classes, self._json("train"))

    def _json(self, name: str) -> Path:
        return self.root / "annotations" / f"instances_{self._names[name]}.json"

    def _folder(self, name: str) -> Path:
        """The folder of a split's masks, named after a digest of the annotations and the drawing settings."""
        if name in self._folders:
            return self._folders[name]
        with self._json(name).open("rb") as file:
            digest = hashlib.file_digest(file, "sha256")
        settings = [_VERSION, self._set, self._clip, self.labels.names]
        settings += [] if self._crowds_are_void else ["crowds"]  # so that masks drawn before the key existed stay
        digest.update(json.dumps(settings).encode())
        self._folders[name] = self._cache / f"{self._json(name).stem}-{self._set}-{digest.hexdigest()[:12]}"
        return self._folders[name]

    def prepare(self, progress: Progress | None = None) -> None:
        """Draw the missing masks, on all cores.

        Raises:
            UserError: an annotation names an unknown category or image, or leaves its image.
        """
        for name in self._names:
            if name == "train" and self.train_masks:
                continue
            folder = self._folder(name)
            if (folder / "index.json").is_file():  # nothing is written, so the folder may be one that cannot be
                continue
            with one_converter(folder, "masks"):
                if not (folder / "index.json").is_file():
                    self._draw(self._json(name), folder, progress)

    def _draw(self, path: Path, folder: Path, progress: Progress | None) -> None:
        content = _read_json(path)
        numbers = _numbers(content, path, self.labels)
        jobs = _jobs(content, path, numbers, self._crowds_are_void)
        work = partial(_draw_one, path, folder, self.labels, self._clip)
        counts = list(spread(work, jobs, f"drawing the masks of {path.name} once into {folder}", progress))
        images = [[file, count] for (file, *_), count in zip(jobs, counts, strict=True)]
        write_json(folder / "index.json", images)

    def entries(self, name: str) -> tuple[str | Path, list[Entry]]:
        folder, images = self._folder(name), self.root / self._names[name]
        if name == "train" and self.train_masks:
            files = [(image["file_name"], self._min_pixels) for image in _read_json(self._json(name))["images"]]
        else:
            files = json.loads((folder / "index.json").read_text())
        least = self._min_pixels if name == "train" else 0
        ids = [(_id(file), file) for file, pixels in files if pixels >= least]
        chosen = [Entry(id, images / file, folder / f"{id}.png") for id, file in ids]
        if not chosen:
            raise UserError(f"no image of {self._json(name)} has data.min_pixels={least} labelled pixels: lower it.")
        return self._json(name), chosen


def _id(file_name: str) -> str:
    return str(Path(file_name).with_suffix(""))


def coco91() -> LabelSet:
    """The label set of networks with 91 outputs: the background and COCO's ids 1 to 90, unused ids included."""
    return LabelSet(tuple(f"{UNUSED}{i}" if name == "-" else name for i, name in enumerate(COCO_IDS)))


def _label_set(classes: str, path: Path) -> LabelSet:
    if classes == "voc":
        return LabelSet.voc()
    if classes == "coco":
        return LabelSet(COCO_CLASSES)
    if classes == "coco91":
        return coco91()
    categories = sorted(_read_json(path).get("categories", []), key=lambda each: (type(each["id"]) is str, each["id"]))
    if not categories:
        raise UserError(f"{path} has no categories: a segmentation needs at least one class beside the background.")
    return LabelSet(("background", *(str(category["name"]) for category in categories)))


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, OSError, RecursionError) as error:
        raise UserError(f"{path} cannot be read as JSON ({error}): fetch it again.") from error
    for part, keys in _PARTS.items():
        entries = content.get(part) if isinstance(content, dict) else None
        if not isinstance(entries, list):
            raise UserError(
                f"{path} has no list {part!r}: COCO's instance annotations have images, annotations and categories; "
                f"{whose(content)}."
            )
        for entry in entries:
            for key, kinds in keys.items():
                if not isinstance(entry, dict) or type(entry.get(key)) not in kinds:
                    wanted = " or ".join(_KINDS[kind] for kind in kinds)
                    raise UserError(f"{path}: {part} holds {str(entry)[:80]}, which needs {key!r}, {wanted}.")
    return content


def _numbers(content: Mapping[str, Any], path: Path, labels: LabelSet) -> dict[int, int | None]:
    """The class index of each category id; None for a category that is not drawn."""
    numbers: dict[int, int | None] = {}
    own = labels.names == VOC_CLASSES
    for category in content["categories"]:
        name = str(category["name"])
        name = _VOC_NAMES.get(name, name) if own else name
        if name in labels.names[1:]:
            numbers[category["id"]] = labels.names.index(name)
        elif own and str(category["name"]) in COCO_CLASSES:
            numbers[category["id"]] = None
        else:
            raise UserError(
                f"{path} has the category {category['name']!r} (id {category['id']}), which is none of COCO's: for "
                "classes of your own type data.classes=file."
            )
    return numbers


def _jobs(
    content: Mapping[str, Any], path: Path, numbers: Mapping[int, int | None], crowds_are_void: bool
) -> list[tuple[str, int, int, list[tuple[int, Any]]]]:
    """For each image: file name, height, width, and the (class index or void, annotation) pairs to draw."""
    of_image: dict[int, list[tuple[int, Any]]] = defaultdict(list)
    images = {image["id"]: image for image in content["images"]}
    if not images:
        raise UserError(f"{path} lists no image.")
    for annotation in content["annotations"]:
        where = f"{path}: annotation {annotation['id']}"
        if annotation["image_id"] not in images:
            raise UserError(f"{where} belongs to image {annotation['image_id']}, which the file does not list.")
        if annotation["category_id"] not in numbers:
            known = ", ".join(sorted(map(str, numbers)))
            raise UserError(
                f"{where} has the category id {annotation['category_id']}, which the file's categories do not: they "
                f"are {known if len(known) < 120 else known[:117] + '...'}."
            )
        number = numbers[annotation["category_id"]]
        if number is not None:
            is_void = crowds_are_void and annotation.get("iscrowd")
            of_image[annotation["image_id"]].append((VOID if is_void else number, annotation))
    return [
        (inside(image["file_name"], path), _side(image["height"], path), _side(image["width"], path), of_image[id])
        for id, image in images.items()
    ]


def _side(pixels: float, path: Path) -> int:
    if pixels != pixels or pixels % 1:
        raise UserError(f"{path}: an image has a side of {pixels} pixels, which is no whole number.")
    return int(pixels)


def _draw_one(path: Path, folder: Path, labels: LabelSet, clip: bool, job: tuple[str, int, int, Any]) -> int:
    """Write the mask of one image unless it exists, and return the number of its labelled pixels."""
    file, height, width, objects = job
    target = folder / f"{_id(file)}.png"
    try:
        mask = read_mask(target)
    except UserError:  # not there, or cut short by a crash of the machine
        mask = draw(objects, height, width, f"{path}, {file}", clip)
        with replacing(target, sync=False) as temporary:
            write_mask(mask, labels.colours, temporary)
    return int(((mask > 0) & (mask != VOID)).sum())
