"""Index masks written as annotation tools export them."""

import base64
import io
import json
from itertools import pairwise

import numpy as np
from PIL import Image

CLASSES = ("background", "crack", "mould")
COLOURS = ((0, 0, 0), (250, 50, 83), (51, 221, 255))


def blocks(seed, height=24, width=32):
    """A mask of the three classes, in blocks of 4x4 pixels, with objects inside each other and at the border."""
    small = np.random.default_rng(seed).integers(0, len(CLASSES), (height // 4, width // 4))
    return small.repeat(4, 0).repeat(4, 1).astype(np.uint8)


def picture(seed, height=24, width=32):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8))


def write_cvat(root, masks, endings=(".jpg",), unannotated=()):
    """CVAT's "Segmentation mask 1.1" with images. Images without shapes are in the list and have no mask."""
    for folder in ("JPEGImages", "SegmentationClass", "SegmentationObject", "ImageSets/Segmentation"):
        (root / folder).mkdir(parents=True)
    for number, id in enumerate([*masks, *unannotated]):
        image = root / "JPEGImages" / f"{id}{endings[number % len(endings)]}"
        image.parent.mkdir(parents=True, exist_ok=True)
        picture(number).save(image)
    for id, mask in masks.items():
        for folder, colours in (("SegmentationClass", COLOURS), ("SegmentationObject", COLOURS[::-1])):
            (root / folder / id).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.array(colours, np.uint8)[mask]).save(root / folder / f"{id}.png")
    lines = [f"{name}:{red},{green},{blue}::" for name, (red, green, blue) in zip(CLASSES, COLOURS, strict=True)]
    (root / "labelmap.txt").write_text("# label:color_rgb:parts:actions\n" + "\n".join(sorted(lines)) + "\n")
    (root / "ImageSets" / "Segmentation" / "default.txt").write_text("\n".join([*masks, *unannotated]) + "\n")
    return root


def runs(inside):
    """(row, first column, column behind the last) of each run of pixels in a boolean mask."""
    for y, row in enumerate(inside):
        edges = np.flatnonzero(np.diff(np.concatenate([[0], row.astype(np.int8), [0]])))
        yield from ((y, int(a), int(b)) for a, b in edges.reshape(-1, 2))


def base64_png(inside, **options):
    file = io.BytesIO()
    Image.fromarray(inside.astype(np.uint8) * 255).save(file, "PNG", **options)
    return base64.b64encode(file.getvalue()).decode()


def labelme_json(shapes, size, image="a.jpg", **more):
    """The content of one of labelme's files; ``size`` is (height, width)."""
    content = {"version": "5.4.1", "flags": {}, "shapes": shapes, "imagePath": image, "imageData": None}
    return json.dumps(content | {"imageHeight": size[0], "imageWidth": size[1]} | more)


def labelme_shape(label, points, kind="polygon", **more):
    shape = {"label": label, "points": points, "group_id": None, "description": "", "shape_type": kind, "flags": {}}
    return shape | more


def labelme_shapes(mask, names=CLASSES):
    """Polygons and rectangles for runs of pixels, a bitmap for the last class, on a rectangle of the first class."""
    height, width = mask.shape
    shapes = [labelme_shape(names[0], [[width, height], [0, 0]], "rectangle")]
    for value in range(1, len(names)):
        inside = mask == value
        if value < len(names) - 1:
            for y, left, right in runs(inside):
                corners = [[left, y], [right, y], [right, y + 1], [left, y + 1]]
                shapes.append(labelme_shape(names[value], corners, group_id=y))
        elif inside.any():
            (top, left), (bottom, right) = np.argwhere(inside).min(0).tolist(), np.argwhere(inside).max(0).tolist()
            png = base64_png(inside[top : bottom + 1, left : right + 1])
            shapes.append(labelme_shape(names[value], [[left, top], [right, bottom]], "mask", mask=png))
    return shapes


def write_labelme(root, masks, ending=".jpg"):
    """Images with labelme's files beside them."""
    for number, (id, mask) in enumerate(masks.items()):
        (root / id).parent.mkdir(parents=True, exist_ok=True)
        picture(number, *mask.shape).save(root / f"{id}{ending}")
        (root / f"{id}.json").write_text(labelme_json(labelme_shapes(mask), mask.shape, f"{id}{ending}"))
    (root / "labels.txt").write_text("__ignore__\n_background_\n" + "".join(f"{name}\n" for name in CLASSES[1:]))
    return root


def brush_code(words, lengths=(3, 4, 8, 16)):
    """thi.ng's rle-pack of bytes, as its page on the format describes it; runs of one word stand alone."""
    bits = f"{len(words):032b}{7:05b}" + "".join(f"{length - 1:04b}" for length in lengths)
    edges = [0, *(np.flatnonzero(np.diff(words)) + 1).tolist(), len(words)]
    for start, end in pairwise(edges):
        while start < end:
            count = min(end - start, 1 << max(lengths))
            kind = next(i for i, length in enumerate(lengths) if count <= 1 << length)
            bits += f"{int(count > 1)}{kind:02b}{count - 1:0{lengths[kind]}b}{int(words[start]):08b}"
            start += count
    bits += "0" * (-len(bits) % 8)
    return [int(bits[i : i + 8], 2) for i in range(0, len(bits), 8)]


def brush_of(inside):
    """The brush code of a stroke: the red, green, blue and alpha of each pixel are 255 inside it."""
    return brush_code(np.repeat(inside.astype(np.uint8).ravel() * 255, 4))


def result(kind, label, size, **value):
    """A result of Label Studio; ``size`` is (height, width)."""
    return {
        "id": "Dx_aB91ISN", "from_name": "tag", "to_name": "image", "type": kind, "origin": "manual",
        "original_width": size[1], "original_height": size[0], "image_rotation": 0, "value": value | {kind: [label]},
    }  # fmt: skip


def task(number, image, results, **more):
    annotation = {"id": number + 100, "completed_by": 1, "result": results, "was_cancelled": False}
    annotation |= {"ground_truth": False, "created_at": f"2025-01-0{number % 9 + 1}T10:00:00.000000Z"}
    data = {"id": number, "annotations": [annotation], "file_upload": image, "predictions": []}
    return data | {"data": {"image": f"/data/upload/1/{image}"}} | more


def label_studio_results(mask, names=CLASSES):
    """A rectangle of the first class, polygons for runs of the next ones, a brush stroke for the last class."""
    height, width = mask.shape
    whole = {"x": 0, "y": 0, "width": 100, "height": 100, "rotation": 0}
    results = [result("rectanglelabels", names[0], mask.shape, **whole)]
    for value in range(1, len(names)):
        inside = mask == value
        if value == len(names) - 1:
            results.append(result("brushlabels", names[value], mask.shape, format="rle", rle=brush_of(inside)))
            continue
        for y, left, right in runs(inside):
            corners = [[left, y], [right, y], [right, y + 1], [left, y + 1]]
            points = [[100 * x / width, 100 * y / height] for x, y in corners]
            results.append(result("polygonlabels", names[value], mask.shape, points=points, closed=True))
    return results


def write_label_studio(root, masks, ending=".jpg"):
    """Images below images/ by their own names, and the export of tasks whose files were uploaded."""
    tasks = []
    for number, (id, mask) in enumerate(masks.items()):
        (root / "images" / id).parent.mkdir(parents=True, exist_ok=True)
        picture(number, *mask.shape).save(root / "images" / f"{id}{ending}")
        tasks.append(task(number, f"{number:08x}-{id}{ending}", label_studio_results(mask)))
    (root / "export.json").write_text(json.dumps(tasks))
    (root / "classes.txt").write_text("".join(f"{name}\n" for name in CLASSES))
    return root


def write_coco_export(root, masks, ending=".jpg"):
    """COCO's JSON for train and val, with one object of several polygons for each class of an image."""
    images, annotations = [], []
    for name in ("train", "val"):
        (root / name).mkdir(parents=True)
    for number, (id, mask) in enumerate(masks.items()):
        images.append({"id": number, "file_name": f"{id}{ending}", "height": mask.shape[0], "width": mask.shape[1]})
        for name in ("train", "val"):
            picture(number, *mask.shape).save(root / name / f"{id}{ending}")
        for value in range(1, len(CLASSES)):
            polygons = [[a, y, b, y, b, y + 1, a, y + 1] for y, a, b in runs(mask == value)]
            about = {"id": len(annotations), "image_id": number, "category_id": value, "iscrowd": 0}
            annotations += [about | {"segmentation": polygons}] if polygons else []
    content = {"images": images, "annotations": annotations}
    content["categories"] = [{"id": value, "name": name} for value, name in enumerate(CLASSES) if value]
    (root / "annotations").mkdir()
    for name in ("train", "val"):
        (root / "annotations" / f"instances_{name}.json").write_text(json.dumps(content))
    return root
