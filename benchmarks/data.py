"""From files to a training crop: this library's input beside those that a user would write.

Each variant reads the same JPEG and palette PNG, scales by the same kind of random factor (0.5 to 1.5), pads, takes a
random crop of 321, and mirrors half of them. Ours gives bytes, which the network's device normalises; that is done here
on the CPU too, so that each variant gives a float32 tensor and an int64 mask. One thread; the
variants take turns on each image, and the first image warms them up. Then whole batches of ten through PyTorch's
loader: a GPU that trains N images a second is kept busy by N over that many worker processes.
"""

from __future__ import annotations

import os
import random
import tempfile
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
import albumentations as A
import cv2
import numpy as np
import torch
import torchvision
from albumentations.pytorch import ToTensorV2
from common import command, parser, photographs, table, timed
from PIL import Image
from torch.utils.data import DataLoader
from torchvision import tv_tensors
from torchvision.transforms import v2

from deeplab_lit.data.datamodule import TrainSet, stacked
from deeplab_lit.data.decoded_cache import DecodedCache
from deeplab_lit.data.normalization import Normalization, NormalizeBytes
from deeplab_lit.data.sampling import TrainSampler
from deeplab_lit.data.split import Split
from deeplab_lit.data.transforms import TrainTransform

SIDE, NORM = 321, Normalization()
MEAN, STD = [each / 255 for each in NORM.mean], [each / 255 for each in NORM.std]
Pair = tuple[Path, Path]


def pillow(pair: Pair) -> tuple[torch.Tensor, torch.Tensor]:
    image, mask = Image.open(pair[0]).convert("RGB"), Image.open(pair[1])
    factor = random.uniform(0.5, 1.5)
    width, height = round(image.width * factor), round(image.height * factor)
    image = image.resize((width, height), Image.Resampling.BILINEAR)
    mask = mask.resize((width, height), Image.Resampling.NEAREST)
    room = (max(SIDE, width), max(SIDE, height))
    canvas, canvas_mask = Image.new("RGB", room, NORM.fill), Image.new("L", room, 255)
    canvas.paste(image)
    canvas_mask.paste(Image.fromarray(np.array(mask)))
    left, top = random.randint(0, room[0] - SIDE), random.randint(0, room[1] - SIDE)
    box = (left, top, left + SIDE, top + SIDE)
    canvas, canvas_mask = canvas.crop(box), canvas_mask.crop(box)
    if random.random() < 0.5:
        canvas = canvas.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        canvas_mask = canvas_mask.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    x = (np.asarray(canvas, np.float32) - np.array(NORM.mean, np.float32)) / np.array(NORM.std, np.float32)
    return torch.from_numpy(x.transpose(2, 0, 1).copy()), torch.from_numpy(np.asarray(canvas_mask).astype(np.int64))


_ROOM = v2.RandomCrop(SIDE, pad_if_needed=True, fill={tv_tensors.Image: NORM.fill, tv_tensors.Mask: 255})
_REST = v2.Compose([
    _ROOM,
    v2.RandomHorizontalFlip(),
    v2.ToDtype({tv_tensors.Image: torch.float32, tv_tensors.Mask: torch.int64, "others": None}, scale=True),
    v2.Normalize(MEAN, STD),
])  # fmt: skip


def torchvision_v2(pair: Pair) -> tuple[torch.Tensor, torch.Tensor]:
    image = tv_tensors.Image(torchvision.io.decode_jpeg(torchvision.io.read_file(str(pair[0])), mode="RGB"))
    mask = tv_tensors.Mask(torch.from_numpy(np.array(Image.open(pair[1])))[None])
    factor = random.uniform(0.5, 1.5)
    size = [round(side * factor) for side in image.shape[-2:]]
    image, mask = v2.functional.resize(image, size, antialias=False), v2.functional.resize(mask, size)
    image, mask = _REST(image, mask)
    return image, mask[0]


_COMPOSED = A.Compose([
    A.RandomScale((-0.5, 0.5), interpolation=cv2.INTER_LINEAR, mask_interpolation=cv2.INTER_NEAREST, p=1.0),
    A.PadIfNeeded(SIDE, SIDE, position="top_left", fill=NORM.fill, fill_mask=255, border_mode=cv2.BORDER_CONSTANT),
    A.RandomCrop(SIDE, SIDE),
    A.HorizontalFlip(),
    A.Normalize(MEAN, STD),
    ToTensorV2(),
])  # fmt: skip


def opencv_albumentations(pair: Pair) -> tuple[torch.Tensor, torch.Tensor]:
    image = cv2.cvtColor(cv2.imread(str(pair[0]), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    done = _COMPOSED(image=image, mask=np.array(Image.open(pair[1])))
    return done["image"], done["mask"].long()


def decoded(split: Split, folder: str) -> Split:
    copy = Split(split.ids, split.images, split.masks, split.num_classes)
    pairs = list(zip(split.images, split.masks, strict=True))
    copy.decoded = DecodedCache(Path(folder), 10**10, pairs, split.num_classes)
    for index in range(len(copy)):
        copy[index]
    return copy


def one_at_a_time(split: Split, kept: Split, rounds: int) -> None:
    transform, normalize = TrainTransform(SIDE, NORM), NormalizeBytes(NORM)

    def ours(split: Split, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        sample = transform(split[index], random.randrange(2**32))
        return normalize(sample["image"][None])[0], sample["mask"].long()

    pairs = list(zip(split.images, split.masks, strict=True))
    variants: dict[str, Callable[[int], object]] = {
        "Pillow": lambda i: pillow(pairs[i]),
        "torchvision v2": lambda i: torchvision_v2(pairs[i]),
        "OpenCV and albumentations": lambda i: opencv_albumentations(pairs[i]),
        "ours": lambda i: ours(split, i),
        "ours, `decoded_gb=10`": lambda i: ours(kept, i),
    }
    for work in variants.values():
        work(0)
    seconds = dict.fromkeys(variants, 0.0)
    for _ in range(rounds):
        for index in range(len(split)):
            for name, work in variants.items():
                seconds[name] += timed(lambda work=work, index=index: work(index))  # type: ignore[misc]
    images = rounds * len(split)
    rows = [
        [name, 1e3 * each / images, each / seconds["ours"], each / seconds["ours, `decoded_gb=10`"]]
        for name, each in seconds.items()
    ]
    table([f"{len(split)} images, {rounds} times", "ms an image", "over ours", "over ours decoded"], rows)


def batches(splits: dict[str, Split], count: int, workers: tuple[int, ...]) -> None:
    rows = []
    for name, split in splits.items():
        row: list[object] = [name]
        for number in workers:
            data = TrainSet(split, TrainTransform(SIDE, NORM))
            sampler = TrainSampler(len(split), 10 * (count + 4), 0)
            loader = iter(DataLoader(data, 10, sampler=sampler, num_workers=number, collate_fn=stacked))  # type: ignore[arg-type]
            for _ in range(4):
                next(loader)
            row.append(10 * count / timed(lambda loader=loader: [next(loader) for _ in range(count)]))  # type: ignore[misc]
        rows.append(row)
    table(["images a second", *(f"{number} worker{'s' * (number > 1)}" for number in workers)], rows)


def main(arguments: list[str] | None = None) -> None:
    options = parser(__doc__, photographs=True)
    options.add_argument("--images", type=int, default=100)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--batches", type=int, default=100)
    given = options.parse_args(arguments)
    if given.quick:
        given.images, given.rounds, given.batches = 3, 1, 2
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    with photographs(given.root, given.images, "train") as split, tempfile.TemporaryDirectory() as folder:
        kept = decoded(split, folder)
        one_at_a_time(split, kept, given.rounds)
        batches({"decoded at each use": split, "`decoded_gb=10`": kept}, given.batches, (1,) if given.quick else (1, 2))


if __name__ == "__main__":
    command(main)
