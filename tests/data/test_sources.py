"""Data sets beside plain VOC: SBD, COCO, pairs of folders, pseudo-labels, downloads."""

import hashlib
import json
import tarfile
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from PIL import Image

from deeplab_lit.data.coco import COCO, COCO_CLASSES, COCO_IDS
from deeplab_lit.data.coco_masks import draw
from deeplab_lit.data.folder import Folder
from deeplab_lit.data.labels import VOC_CLASSES
from deeplab_lit.data.sbd import VOCAug, trainaug
from deeplab_lit.data.voc import VOC
from deeplab_lit.utils.errors import UserError
from tests.conftest import write_voc


def test_trainaug_is_a_sum_less_val():
    voc_train, voc_val = [f"t{i}" for i in range(6)], [f"v{i}" for i in range(5)]
    # SBD's own split runs across VOC's: its train holds images of VOC's val
    ids = trainaug(["t0", "v0", "s1"], ["s2", "v1", "t1"], voc_train, voc_val)
    assert ids == sorted([*voc_train, "s1", "s2"]) and not set(ids) & set(voc_val)


def write_sbd(root, ids, train, seed=1):
    """SBD's layout with random masks; the first ``train`` ids stand in train.txt."""
    from scipy.io import savemat

    rng = np.random.default_rng(seed)
    (root / "cls").mkdir(parents=True)
    (root / "img").mkdir()
    masks = {}
    for id in ids:
        masks[id] = rng.integers(0, 21, (24, 30)).astype(np.uint8)
        fields = {"Boundaries": np.zeros((20, 1)), "Segmentation": masks[id], "CategoriesPresent": np.zeros((1, 1))}
        savemat(root / "cls" / f"{id}.mat", {"GTcls": fields})
        Image.fromarray(rng.integers(0, 256, (24, 30, 3), np.uint8)).save(root / "img" / f"{id}.jpg")
    (root / "train.txt").write_text("\n".join(ids[:train]) + "\n")
    (root / "val.txt").write_text("\n".join(ids[train:]) + "\n")
    return masks


@pytest.fixture
def voc_and_sbd(tmp_path):
    voc = write_voc(tmp_path / "VOCdevkit" / "VOC2012")
    lists = voc / "ImageSets" / "Segmentation"
    (lists / "train.txt").write_text("picture_0\npicture_1\n")
    (lists / "val.txt").write_text("picture_2\n")
    masks = write_sbd(tmp_path / "sbd", ["extra_0", "picture_2", "picture_1", "extra_1"], train=2)
    return tmp_path, masks


def test_sbd_masks_are_converted_once_and_join_vocs(voc_and_sbd):
    folder, masks = voc_and_sbd
    seen = []
    source = VOCAug(folder, folder / "sbd", folder / "png")
    source.prepare(lambda what, done, total: seen.append((what, done, total)))
    assert seen[-1][1:] == (2, 2) and "SBD" in seen[0][0]
    train, val = source.split("train"), source.split("val")
    assert train.ids == ["extra_0", "extra_1", "picture_0", "picture_1"] and val.ids == ["picture_2"]
    for id in ("extra_0", "extra_1"):
        example = train[train.ids.index(id)]
        np.testing.assert_array_equal(example.mask, masks[id])
        assert example.image.shape == (24, 30, 3)
    # where both have a mask, VOC's is taken: it has the void rim
    own = np.array(Image.open(folder / "VOCdevkit" / "VOC2012" / "SegmentationClass" / "picture_1.png"))
    np.testing.assert_array_equal(train[3].mask, own)
    # a second time, and after a lost file, only what is missing is made
    stamp = (folder / "png" / "extra_0.png").stat().st_mtime_ns
    (folder / "png" / "extra_1.png").unlink()
    seen.clear()
    source.prepare(lambda *about: seen.append(about))
    assert seen[-1][1:] == (1, 1) and (folder / "png" / "extra_0.png").stat().st_mtime_ns == stamp


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"not a mat file", "extra_0.mat cannot be read as a .mat file"),
        ({"Other": np.zeros(3)}, "extra_0.mat has no GTcls with a Segmentation"),
        ({"GTcls": {"Segmentation": np.zeros((3, 4, 2))}}, "extra_0.mat: GTcls.Segmentation is no byte image"),
        (None, "extra_0.mat does not exist"),
    ],
)
def test_mat_files_of_another_structure(voc_and_sbd, content, words):
    from scipy.io import savemat

    folder, _ = voc_and_sbd
    file = folder / "sbd" / "cls" / "extra_0.mat"
    file.unlink()
    if isinstance(content, bytes):
        file.write_bytes(content)
    elif content is not None:
        savemat(file, content)
    with pytest.raises(UserError, match=words):
        VOCAug(folder, folder / "sbd", folder / "png").prepare()


def test_sbd_without_its_lists_or_voc(voc_and_sbd):
    folder, _ = voc_and_sbd
    with pytest.raises(UserError, match="data.root='.*nowhere' is not a folder"):
        VOCAug(folder / "nowhere", folder / "sbd", folder / "png").prepare()
    (folder / "sbd" / "val.txt").unlink()
    with pytest.raises(UserError, match=r"val\.txt does not exist: give data\.sbd=FOLDER.*data\.download=true"):
        VOCAug(folder, folder / "sbd", folder / "png").prepare()


def test_pseudo_labels_and_released_lists(tmp_path):
    root = write_voc(tmp_path / "voc")
    pseudo = tmp_path / "pseudo"
    pseudo.mkdir()
    for i, shape in enumerate([(40, 56), (48, 33)]):
        Image.fromarray(np.full(shape, i + 3, np.uint8)).save(pseudo / f"picture_{i}.png")
    (tmp_path / "mine.txt").write_text("picture_0\npicture_1\n")
    source = VOC(root, train=str(tmp_path / "mine.txt"), train_masks=pseudo)
    train = source.split("train")
    assert len(train) == 2 and (train[0].mask == 3).all() and (train[1].mask == 4).all()
    assert len(source.split("val")) == 3 and source.split("val")[0].mask.max() == 255
    # the lists of the released nets name both files
    lines = [f"/JPEGImages/picture_{i}.jpg /SegmentationClass/picture_{i}.png" for i in (2, 0)]
    (tmp_path / "released.txt").write_text("\n".join(lines))
    assert VOC(root, train=str(tmp_path / "released.txt")).split("train").ids == ["picture_2", "picture_0"]
    (pseudo / "picture_1.png").unlink()
    with pytest.raises(UserError, match=r"lists 'picture_1', but .*pseudo/picture_1\.png does not exist"):
        source.split("train")
    with pytest.raises(UserError, match="data.train_masks='nowhere' is not a folder"):
        VOC(root, train_masks="nowhere")


def test_every_data_set_may_train_on_masks_from_elsewhere(tmp_path, voc_and_sbd):
    pseudo = tmp_path / "pseudo"
    pseudo.mkdir()
    folder, _ = voc_and_sbd
    for i, id in enumerate(("extra_0", "extra_1", "picture_0", "picture_1")):
        Image.fromarray(np.full((24, 30), i, np.uint8)).save(pseudo / f"{id}.png")
    for file in (folder / "sbd" / "cls").iterdir():
        file.unlink()  # SBD's own masks are not needed then
    aug = VOCAug(folder, folder / "sbd", folder / "png", train_masks=pseudo)
    aug.prepare()
    assert [path.parent for path in aug.split("train").masks] == [pseudo] * 4
    (tmp_path / "some.txt").write_text("picture_1\nextra_0\n")
    some = VOCAug(folder, folder / "sbd", folder / "png", train_masks=pseudo, train_list=tmp_path / "some.txt")
    assert some.split("train").ids == ["picture_1", "extra_0"] and some.split("val").ids == ["picture_2"]
    (tmp_path / "some.txt").write_text("picture_2\n")  # of val
    with pytest.raises(UserError, match=r"some\.txt names 'picture_2', which is none of the 4 training images"):
        some.split("train")
    with pytest.raises(UserError, match="data.train_list=nowhere.txt does not exist"):
        VOC(folder, train_list="nowhere.txt")
    coco = write_coco(tmp_path / "coco", [annotation(1, [SQUARE])], ((1, 40, 50), (2, 40, 50)))
    Image.fromarray(np.full((40, 50), 7, np.uint8)).save(pseudo / "000000000002.png")
    (tmp_path / "list.txt").write_text("000000000002\n")
    source = COCO(coco, converted=tmp_path / "png", train_masks=pseudo, train_list=tmp_path / "list.txt")
    source.prepare()
    assert len(source.split("train")) == 1 and (source.split("train")[0].mask == 7).all()
    assert set(np.unique(source.split("val")[0].mask)) == {0, COCO_CLASSES.index("dog")}
    pairs = write_pairs(tmp_path / "pairs", ["train/a", "val/b"])
    (pairs / "masks" / "train" / "a.png").unlink()
    (pseudo / "train").mkdir()
    Image.fromarray(np.ones((20, 30), np.uint8)).save(pseudo / "train" / "a.png")
    source = Folder(pairs, pairs / "classes.txt", train_masks=pseudo)
    assert (source.split("train")[0].mask == 1).all() and source.split("val").ids == ["val/b"]


SQUARE = [10, 5, 30, 5, 30, 25, 10, 25]


def annotation(number, polygon_or_code, image=1, category=18, crowd=0):
    return {
        "id": number, "image_id": image, "category_id": category, "iscrowd": crowd, "segmentation": polygon_or_code,
        "area": 1, "bbox": [0, 0, 1, 1],
    }  # fmt: skip


def write_coco(root, annotations, images=((1, 40, 50),), categories=None):
    rng = np.random.default_rng(0)
    (root / "annotations").mkdir(parents=True)
    content = {
        "images": [{"id": i, "file_name": f"{i:012}.jpg", "height": h, "width": w} for i, h, w in images],
        "annotations": annotations,
        "categories": categories or [{"id": i, "name": name} for i, name in enumerate(COCO_IDS) if name != "-" and i],
    }
    for name in ("train2017", "val2017"):
        (root / name).mkdir()
        for i, height, width in images:
            picture = Image.fromarray(rng.integers(0, 256, (height, width, 3), np.uint8))
            picture.save(root / name / f"{i:012}.jpg")
        (root / "annotations" / f"instances_{name}.json").write_text(json.dumps(content))
    return root


def coco_masks(root, tmp_path, **arguments):
    source = COCO(root, converted=tmp_path / "png", **arguments)
    source.prepare()
    return source, [example.mask for example in source.split("train")]


def test_the_80_classes_and_the_91_ids():
    assert len(COCO_CLASSES) == 81 and len(COCO_IDS) == 91
    # https://cocodataset.org: person is 1, stop sign 13, toothbrush 90, and 80 categories in all
    assert [COCO_IDS[i] for i in (1, 13, 44, 62, 67, 72, 90)] == [
        "person", "stop sign", "bottle", "chair", "dining table", "tv", "toothbrush",
    ]  # fmt: skip


def test_polygons_codes_crowds_and_overlaps(tmp_path):
    from pycocotools import mask as coco_mask

    crowd = np.zeros((40, 50), np.uint8)
    crowd[:, :20] = 1
    # COCO's own uncompressed code counts down the columns
    counts, value, run = [], 0, 0
    for pixel in crowd.T.ravel().tolist():
        if pixel != value:
            counts.append(run)
            value, run = pixel, 0
        run += 1
    counts.append(run)
    small = [15, 10, 20, 10, 20, 15, 15, 15]
    root = write_coco(
        tmp_path / "coco",
        [
            annotation(1, [small], category=1),  # a small person in front of
            annotation(2, [SQUARE], category=18),  # a dog
            annotation(3, {"size": [40, 50], "counts": counts}, category=1, crowd=1),
        ],
    )
    source, (mask,) = coco_masks(root, tmp_path)
    assert mask[12, 17] == 1 and mask[20, 25] == source.labels.names.index("dog") and mask[35, 40] == 0
    assert mask[35, 5] == 255 and mask[20, 12] == source.labels.names.index("dog")
    # the areas of pycocotools, drawn apart
    code = coco_mask.merge(coco_mask.frPyObjects([SQUARE], 40, 50))
    assert ((mask == 1) | (mask == source.labels.names.index("dog"))).sum() == coco_mask.area(code)
    _, (by_id,) = coco_masks(root, tmp_path, classes="coco91")
    assert set(np.unique(by_id)) == {0, 1, 18, 255}
    voc, (mapped,) = coco_masks(root, tmp_path, classes="voc")
    assert voc.labels.names == VOC_CLASSES
    assert set(np.unique(mapped)) == {0, VOC_CLASSES.index("person"), VOC_CLASSES.index("dog"), 255}


def test_coco_in_vocs_classes_leaves_out_images_with_few_labelled_pixels(tmp_path):
    images = ((1, 40, 50), (2, 40, 50), (3, 40, 50))
    annotations = [
        annotation(1, [SQUARE], image=1, category=72),  # tv
        annotation(2, [[1, 1, 4, 1, 4, 4]], image=2, category=67),  # dining table
        annotation(3, [SQUARE], image=3, category=25),  # giraffe, which VOC does not have
    ]
    root = write_coco(tmp_path / "coco", annotations, images)
    source = COCO(root, classes="voc", min_pixels=100, converted=tmp_path / "png")
    source.prepare()
    assert source.split("train").ids == ["000000000001"] and len(source.split("val")) == 3
    assert source.split("train")[0].mask.max() == VOC_CLASSES.index("tvmonitor")
    assert set(np.unique(source.split("val")[2].mask)) == {0}
    with pytest.raises(UserError, match="has data.min_pixels=100000 labelled pixels: lower it"):
        COCO(root, classes="voc", min_pixels=100000, converted=tmp_path / "png").split("train")


def test_classes_of_the_users_own_annotation_file_and_a_list(tmp_path):
    categories = [{"id": 7, "name": "weed"}, {"id": 3, "name": "crop"}]
    images = ((1, 40, 50), (2, 40, 50))
    annotations = [annotation(1, [SQUARE], category=7), annotation(2, [SQUARE], image=2, category=3)]
    root = write_coco(tmp_path / "mine", annotations, images, categories)
    source, masks = coco_masks(root, tmp_path, classes="file")
    assert source.labels.names == ("background", "crop", "weed")
    assert [mask.max() for mask in masks] == [2, 1]
    (tmp_path / "list.txt").write_text("000000000002\n")
    source, masks = coco_masks(root, tmp_path, classes="file", train_list=tmp_path / "list.txt")
    assert source.split("train").ids == ["000000000002"]
    (tmp_path / "list.txt").write_text("000000000003\n")
    with pytest.raises(UserError, match=r"list\.txt names '000000000003'.*Did you mean '000000000002'"):
        source.split("train")


def test_a_changed_annotation_file_is_drawn_anew_and_a_cut_mask_again(tmp_path):
    root = write_coco(tmp_path / "coco", [annotation(1, [SQUARE])])
    source, _ = coco_masks(root, tmp_path)
    (file,) = source.split("train").masks
    index = file.parent / "index.json"
    whole = file.read_bytes()
    # as a crash of the machine leaves it: the index not written yet, a mask cut short
    index.unlink()
    file.write_bytes(whole[: len(whole) // 2])
    COCO(root, converted=tmp_path / "png").prepare()
    assert file.read_bytes() == whole and index.is_file()
    for name in ("train2017", "val2017"):
        path = root / "annotations" / f"instances_{name}.json"
        path.write_text(path.read_text().replace('"category_id": 18', '"category_id": 17'))
    _, (mask,) = coco_masks(root, tmp_path)
    assert mask.max() == COCO_CLASSES.index("cat")


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (annotation(5, [SQUARE], category=12), r"annotation 5 has the category id 12, which the file's categories"),
        (annotation(5, [SQUARE], image=9), "annotation 5 belongs to image 9, which the file does not list"),
        (
            annotation(5, [[10, 5, 70, 5, 70, 25]]),
            r"000000000001\.jpg: annotation 5 has a polygon that leaves its image",
        ),
        (annotation(5, [[10, 5, 30, 5]]), "annotation 5 has a polygon without three points"),
        (annotation(5, []), "annotation 5 has no segmentation"),
        (annotation(5, {"size": [50, 40], "counts": [2000]}), r"of size \[50, 40\], its image \[40, 50\]"),
        (annotation(5, {"size": [40, 50], "counts": [7]}), "does not fill its image"),
        (annotation(5, [[10, 5, float("nan"), 5, 30, 25]]), "coordinates that are no numbers"),
    ],
)
def test_bad_annotations_are_named(tmp_path, broken, words):
    root = write_coco(tmp_path / "coco", [annotation(1, [SQUARE]), broken])
    with pytest.raises(UserError, match=words) as caught:
        COCO(root, converted=tmp_path / "png").prepare()
    assert "instances_train2017.json" in str(caught.value) and "\n" not in str(caught.value)


def test_polygons_may_be_cut_at_the_border(tmp_path):
    mask = draw([(3, annotation(1, [[30, 10, 90, 10, 90, 30, 30, 30]]))], 40, 50, clip=True)
    assert mask[20, 49] == 3 and mask[20, 20] == 0 and (mask == 3).sum() == 20 * 20


def test_other_bad_coco_folders(tmp_path):
    root = write_coco(tmp_path / "coco", [annotation(1, [SQUARE])])
    with pytest.raises(UserError, match=r"instances_train2014\.json does not exist.*such as train2017"):
        COCO(root, train="train2014")
    with pytest.raises(UserError, match="data.classes='voc12': choose one of coco, coco91, voc, file"):
        COCO(root, classes="voc12")
    (root / "train2017" / "000000000001.jpg").unlink()
    source = COCO(root, converted=tmp_path / "png")
    source.prepare()
    with pytest.raises(UserError, match=r"000000000001\.jpg does not exist"):
        source.split("train")
    path = root / "annotations" / "instances_train2017.json"
    path.write_text(path.read_text()[:50])
    with pytest.raises(UserError, match="cannot be read as JSON"):
        COCO(root, converted=tmp_path / "png2").prepare()
    path.write_text("[]")
    with pytest.raises(UserError, match="has no list 'images'"):
        COCO(root, converted=tmp_path / "png2").prepare()


def write_pairs(root, names, suffix=".jpg"):
    rng = np.random.default_rng(0)
    for name in names:
        for folder, end in (("images", suffix), ("masks", ".png")):
            (root / folder / f"{name}{end}").parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (20, 30, 3), np.uint8)).save(root / "images" / f"{name}{suffix}")
        Image.fromarray(rng.integers(0, 2, (20, 30), np.uint8)).save(root / "masks" / f"{name}.png")
    (root / "classes.txt").write_text("ground\ncrack\n")
    return root


def test_a_pair_of_folders_in_its_three_ways(tmp_path):
    names = [f"shot {i}" for i in range(40)]
    root = write_pairs(tmp_path / "flat", names, ".bmp")
    source = Folder(root, root / "classes.txt", val_share=0.25)
    train, val = source.split("train"), source.split("val")
    assert sorted(train.ids + val.ids) == sorted(names) and 4 <= len(val) <= 16
    assert train[0].image.shape == (20, 30, 3) and source.labels.names == ("ground", "crack")
    # more images leave the others where they were
    write_pairs(root, ["another", "one more"], ".bmp")
    assert set(val.ids) <= set(Folder(root, root / "classes.txt", val_share=0.25).split("val").ids)
    (root / "a.txt").write_text("shot 3\nshot 1\n")
    (root / "b.txt").write_text("shot 2\n")
    assert Folder(root, root / "classes.txt", train="a", val="b").split("train").ids == [
        "shot 3",
        "shot 1",
    ]
    split = write_pairs(tmp_path / "split", ["train/x", "train/y", "val/x"])
    source = Folder(split, split / "classes.txt")
    assert source.split("train").ids == ["train/x", "train/y"] and source.split("val").ids == ["val/x"]


def test_folders_that_do_not_match(tmp_path):
    names = [f"{i}" for i in range(30)]
    root = write_pairs(tmp_path / "flat", names)

    def make(**more):
        return Folder(root, root / "classes.txt", **more)

    (root / "masks" / "5.png").rename(root / "masks" / "five.png")
    with pytest.raises(UserError, match=r"five\.png is a mask without an image|lists '5', but .*masks/5\.png does not"):
        [make().split(name) for name in ("train", "val")]
    (root / "masks" / "five.png").unlink()
    with pytest.raises(UserError, match=r"lists '5', but .*masks/5\.png does not exist"):
        [make().split(name) for name in ("train", "val")]
    (root / "images" / "5.jpg").unlink()
    [make().split(name) for name in ("train", "val")]
    (root / "images" / "7.png").write_bytes((root / "images" / "7.jpg").read_bytes())
    with pytest.raises(UserError, match=r"7\.jpg and .*7\.png share the name '7'"):
        make().split("train")
    with pytest.raises(UserError, match="give both lists or neither"):
        make(train="a")
    with pytest.raises(UserError, match="photos is not a folder"):
        make(images="photos")
    (root / "classes.txt").write_text("# nothing yet\n")
    with pytest.raises(UserError, match=r"classes\.txt.*0 classes"):
        make()


@pytest.fixture
def archives(tmp_path, monkeypatch):
    """VOC's and SBD's archives in miniature, on a server of this machine where torchvision looks for them."""
    import torchvision.datasets as sets
    import torchvision.datasets.voc as voc_module

    server, work = tmp_path / "server", tmp_path / "work"
    server.mkdir()
    voc = write_voc(work / "VOCdevkit" / "VOC2012", lists=("train", "trainval"))
    (voc / "ImageSets" / "Segmentation" / "val.txt").write_text("picture_2\n")
    (voc / "ImageSets" / "Segmentation" / "train.txt").write_text("picture_0\npicture_1\n")
    write_sbd(work / "benchmark_RELEASE" / "dataset", ["picture_1", "extra", "picture_2"], train=1)
    about = dict(voc_module.DATASET_YEAR_DICT["2012"])
    for name, folder, mode in (
        (about["filename"], "VOCdevkit", "w"),
        (sets.SBDataset.filename, "benchmark_RELEASE", "w:gz"),
    ):
        with tarfile.open(server / name, mode) as tar:
            tar.add(work / folder, folder)
    sums = {file.name: hashlib.md5(file.read_bytes()).hexdigest() for file in server.iterdir()}

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    web = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=server))
    threading.Thread(target=web.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{web.server_port}"
    about |= {"url": f"{url}/{about['filename']}", "md5": sums[about["filename"]]}
    monkeypatch.setitem(voc_module.DATASET_YEAR_DICT, "2012", about)
    monkeypatch.setattr(sets.SBDataset, "url", f"{url}/{sets.SBDataset.filename}")
    monkeypatch.setattr(sets.SBDataset, "md5", sums[sets.SBDataset.filename])
    yield server
    web.shutdown()
    web.server_close()


def test_downloads_are_fetched_extracted_and_not_fetched_again(archives, tmp_path):
    source = VOCAug(tmp_path / "data", tmp_path / "sbd", tmp_path / "png", download=True)
    source.prepare()
    assert source.split("train").ids == ["extra", "picture_0", "picture_1"] and source.split("val").ids == ["picture_2"]
    for file in [*tmp_path.rglob("*.tar"), *tmp_path.rglob("*.tgz")]:
        file.unlink()
    VOCAug(tmp_path / "data", tmp_path / "sbd", tmp_path / "png", download=True).prepare()


@pytest.mark.parametrize("name", ["VOCtrainval_11-May-2012.tar", "benchmark.tgz"])
def test_a_server_that_is_down_says_what_to_put_where(archives, tmp_path, name):
    (archives / name).unlink()
    with pytest.raises(UserError, match=rf"{name} could not be fetched from .*put it into {tmp_path}.*MD5 is \w{{32}}"):
        VOCAug(tmp_path / "data", tmp_path / "sbd", tmp_path / "png", download=True).prepare()


def test_an_archive_put_by_hand_is_taken_and_a_wrong_one_named(archives, tmp_path):
    name = "VOCtrainval_11-May-2012.tar"
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / name).write_bytes(b"something else")
    with pytest.raises(UserError, match=r"is not the official archive: its MD5 is not \w{32}"):
        VOC(tmp_path / "data", download=True).prepare()
    (archives / name).rename(tmp_path / "data" / name)
    source = VOC(tmp_path / "data", download=True)
    source.prepare()
    assert len(source.split("train")) == 2
