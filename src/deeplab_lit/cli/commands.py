"""The commands of this package, each with a one-line description and three examples."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Command:
    """A command, typed ``python -m deeplab_lit.NAME`` or ``deeplab-lit NAME``.

    Attributes:
        about: what it does, in one line.
        examples: the arguments of each example, which ``--help`` prints.
    """

    about: str
    examples: tuple[str, ...]


COMMANDS = {
    "train": Command(
        "trains, then scores the best checkpoint",
        (
            " # the embedded data set, on any machine",
            "model=aspp_l backbone=resnet101 data=voc_aug roots.voc=VOC2012 roots.sbd=SBD init=imagenet",
            "experiments=table4_resnet101 budget=mini # a table of the papers",
        ),
    ),
    "evaluate": Command(
        "scores before and after the CRF",
        (
            "checkpoint=RUN_DIRECTORY                        # its best checkpoint",
            "checkpoint=best.ckpt crf=v2_resnet101 scales=msc flip=true",
            "checkpoint=best.ckpt data=voc data.root=VOC2012",
        ),
    ),
    "predict": Command(
        "labels for images",
        (
            "checkpoint=best.ckpt images=photos out=labels",
            "checkpoint=best.ckpt images='a/*.jpg' out=labels crf=v2_resnet101",
            "checkpoint=hf://USER/NAME images=photo.jpg out=labels",
        ),
    ),
    "refine": Command(
        "the CRF over saved probabilities",
        (
            "images=JPEGImages probabilities=scores out=labels",
            "images=JPEGImages probabilities=scores out=labels crf=v1_largefov",
            "images=JPEGImages probabilities=scores out=labels workers=8",
        ),
    ),
    "pseudo": Command(
        "masks of class activation maps, to train on",
        (
            "cams=cams images=JPEGImages out=pseudo tags=train_tags.txt",
            "cams=cams images=JPEGImages out=pseudo background=two_thresholds crf=irn_labels # IRN's",
            "cams=cams images=JPEGImages out=pseudo threshold=auto masks=SegmentationClass",
        ),
    ),
    "audit": Command(
        "what is wrong with pseudo-labels, as a page with the worst of them",
        (
            "masks=pseudo/masks images=JPEGImages out=audit tags=train_tags.txt",
            "masks=pseudo/masks images=JPEGImages out=audit truth=SegmentationClass",
            "masks=pseudo/masks images=JPEGImages out=audit crf=none",
        ),
    ),
    "crf_search": Command(
        "the papers' search for the CRF's parameters (V1, section 5; V2, section 4.1.1)",
        (
            "checkpoint=best.ckpt",
            "checkpoint=best.ckpt images=100 held_out=1349 preset=mine",
            "checkpoint=best.ckpt 'bilateral_xy_std=[30,100,10]'",
        ),
    ),
    "check_data": Command(
        "reads a whole data set and says what is wrong with it",
        (
            "data=voc data.root=VOC2012",
            "data=folder data.root=mine data.classes=classes.txt",
            "data=voc data.root=VOC2012 against=elsewhere/JPEGImages",
        ),
    ),
    "summary": Command(
        "what a training would build; takes every key of train",
        (
            "",
            "model=largefov backbone=vgg16 data=voc data.root=. parity=caffe",
            "experiments=table1_fov json=true",
        ),
    ),
    "tune": Command(
        "a search for hyper-parameters with Optuna; takes every key of train",
        (
            "max_steps=300 search.trials=20",
            "model=largefov space=optimizer",
            "+search.space.batch_size='{choices: [8, 16]}'",
        ),
    ),
    "report": Command(
        "the papers' tables beside what has been run",
        ("", "sweep=runs/table4_resnet101", "watch=true"),
    ),
    "dashboard": Command(
        "a table's runs in W&B beside the paper, as a W&B report",
        (
            "group=table4_resnet101-full",
            "group=table4_resnet101-full entity=TEAM",
            "group=table3_aspp_vgg16-mini project=mine",
        ),
    ),
    "convert": Command(
        "other code bases' weights as a checkpoint of this library",
        (
            "source=train2_iter_20000.caffemodel out=v2.safetensors",
            "source=train2_iter_20000.caffemodel out=v2.ckpt rgb=true",
            "source=other.pth out=mine.ckpt",
        ),
    ),
    "export": Command(
        "a trained network for other programs",
        (
            "checkpoint=best.ckpt format=onnx",
            "checkpoint=best.ckpt format=torch_export scales=msc",
            "checkpoint=best.ckpt format=safetensors out=net.safetensors",
        ),
    ),
    "push": Command(
        "a trained network to the Hugging Face Hub",
        (
            "checkpoint=best.ckpt repo=USER/NAME",
            "checkpoint=best.ckpt repo=USER/NAME private=true license=apache-2.0",
            "checkpoint=best.ckpt repo=USER/NAME folder=look # writes the files, pushes nothing",
        ),
    ),
}
