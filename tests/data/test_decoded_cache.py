"""Decoded examples: the same as without, one copy, within the bound, never torn."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from deeplab_lit.data.decoded_cache import DecodedCache
from deeplab_lit.data.mask_files import MaskCoding
from deeplab_lit.data.pixel_format import PixelFormat
from deeplab_lit.data.split import Split
from deeplab_lit.utils.errors import UserError

COUNT, SIZE = 12, 24 * 31 * 4 + 16


@pytest.fixture
def split(tmp_path):
    rng = np.random.default_rng(0)
    images, masks = [tmp_path / f"{i}.png" for i in range(COUNT)], [tmp_path / f"m{i}.png" for i in range(COUNT)]
    for image, mask in zip(images, masks, strict=True):
        Image.fromarray(rng.integers(0, 256, (24, 31, 3), np.uint8)).save(image)
        Image.fromarray(rng.integers(0, 5, (24, 31), np.uint8)).save(mask)
    return Split([str(i) for i in range(COUNT)], images, masks, 5)


def keep(split, folder, bound=10**9):
    pairs = dict.fromkeys(zip(split.images, split.masks, strict=True), split.coding)
    split.decoded = DecodedCache(folder, bound, pairs, split.num_classes)
    return split


def read(split):
    return [split[i] for i in range(len(split))]


def on_disk(folder):
    # what a killed process was writing has a dot before its name
    return sum(file.stat().st_size for file in folder.glob("*.raw") if not file.name.startswith("."))


def same(a, b):
    for x, y in zip(a, b, strict=True):
        np.testing.assert_array_equal(x.image, y.image)
        np.testing.assert_array_equal(x.mask, y.mask)
        assert x.id == y.id


def test_the_second_reading_decodes_nothing_and_gives_the_same(split, tmp_path, monkeypatch):
    plain = read(split)
    keep(split, tmp_path / "kept")
    same(read(split), plain)
    monkeypatch.setattr("deeplab_lit.data.split.read_pixels", None)
    again = read(split)
    same(again, plain)
    again[0].image[:] = 0  # who writes into it has a copy
    same(read(split), plain)


@pytest.mark.parametrize("pixels", [PixelFormat(5, 16), PixelFormat(1, 8)])
def test_images_of_other_channels_are_kept_as_they_are(tmp_path, monkeypatch, pixels):
    image = np.random.default_rng(0).integers(0, pixels.largest + 1, (9, 11, pixels.channels)).astype(pixels.dtype)
    np.save(tmp_path / "a.npy", image)
    Image.fromarray(np.eye(9, 11, dtype=np.uint8)).save(tmp_path / "a.png")
    split = Split(["a"], [tmp_path / "a.npy"], [tmp_path / "a.png"], 2, pixels=pixels)
    pair = (split.images[0], split.masks[0])
    split.decoded = DecodedCache(tmp_path / "kept", 10**9, {pair: split.coding}, 2, pixels)
    split[0]
    monkeypatch.setattr("deeplab_lit.data.split.read_pixels", None)
    assert split[0].image.dtype == image.dtype
    np.testing.assert_array_equal(split[0].image, image)
    np.testing.assert_array_equal(split[0].mask, np.eye(9, 11))


def test_a_changed_file_is_read_anew(split, tmp_path):
    read(keep(split, tmp_path / "kept"))
    Image.fromarray(np.full((24, 31, 3), 7, np.uint8)).save(split.images[3])
    os.utime(split.images[3], ns=(1, 1))
    assert (read(keep(split, tmp_path / "kept"))[3].image == 7).all()


def test_a_mask_that_was_fine_for_more_classes_is_still_refused_for_fewer(split, tmp_path):
    read(keep(split, tmp_path / "kept"))
    split.num_classes = 4
    with pytest.raises(UserError, match="has the value 4, but there are 4 classes"):
        read(keep(split, tmp_path / "kept"))


def test_the_bound_holds_and_what_finds_no_room_is_decoded(split, tmp_path):
    plain, folder = read(split), tmp_path / "kept"
    same(read(keep(split, folder, 5 * SIZE + 1)), plain)
    assert on_disk(folder) == 5 * SIZE
    keep(split, folder, 2 * SIZE)  # a smaller bound later on
    assert on_disk(folder) == 2 * SIZE
    same(read(split), plain)


def test_other_data_sets_make_room(split, tmp_path):
    first, second = (Split(split.ids, split.images, split.masks, classes) for classes in (5, 6))
    folder = tmp_path / "kept"
    read(keep(first, folder, COUNT * SIZE))
    plain = read(split)
    same(read(keep(second, folder, COUNT * SIZE)), plain)
    assert on_disk(folder) == COUNT * SIZE
    same(read(first), plain)  # and one that is at work goes on


def test_masks_that_are_read_in_another_way_are_decoded_again(split, tmp_path):
    for file in split.masks:
        Image.fromarray(np.full((24, 31), 255, np.uint8)).save(file)
    assert (read(keep(split, tmp_path / "kept"))[0].mask == 255).all()
    split.coding = MaskCoding(binary=True)
    assert (read(keep(split, tmp_path / "kept"))[0].mask == 1).all()


def test_files_cut_short_by_the_machine_are_not_believed(split, tmp_path):
    plain, folder = read(split), tmp_path / "kept"
    read(keep(split, folder))
    for number, file in enumerate(sorted(folder.glob("*.raw"))):
        content = file.read_bytes()
        file.write_bytes([b"", content[:10], content[:-1], bytes(len(content))][number % 4])
    same(read(split), plain)


def test_a_full_disk_ends_the_keeping_not_the_reading(split, tmp_path, monkeypatch):
    plain = read(split)
    keep(split, tmp_path / "kept")

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("deeplab_lit.data.decoded_cache.replacing", full)
    with pytest.warns(UserWarning, match="no more decoded images are kept in .*No space left"):
        same(read(split), plain)


def _read_all(split, folder, bound):
    keep(split, folder, bound)
    for _ in range(3):
        read(split)


@pytest.mark.parametrize("bound", [10**9, 7 * SIZE])
def test_processes_that_fill_it_at_once(split, tmp_path, bound):
    plain, folder = read(split), tmp_path / "kept"
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_read_all, args=(split, folder, bound)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    assert on_disk(folder) == min(bound, COUNT * SIZE)
    same(read(keep(split, folder, bound)), plain)


FILLER = """
import sys, pickle
from pathlib import Path
from tests.data.test_decoded_cache import keep, read
split = pickle.loads(bytes.fromhex(sys.stdin.read()))
print("ready", flush=True)
while True:
    for file in Path(sys.argv[1]).glob("*.raw"):
        file.unlink()
    read(keep(split, Path(sys.argv[1])))
"""


def test_a_process_killed_while_it_fills_leaves_nothing_torn(split, tmp_path):
    import pickle

    plain, folder = read(split), tmp_path / "kept"
    for moment in range(5):
        filler = subprocess.Popen(
            [sys.executable, "-c", FILLER, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        filler.stdin.write(pickle.dumps(split).hex())
        filler.stdin.close()
        assert filler.stdout.readline() == "ready\n"
        time.sleep(0.02 + 0.013 * moment)
        filler.send_signal(signal.SIGKILL)
        filler.wait()
        same(read(keep(split, folder)), plain)
        filler.stdout.close()
    assert on_disk(folder) == COUNT * SIZE
