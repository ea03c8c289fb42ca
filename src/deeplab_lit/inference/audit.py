"""Audit of pseudo-labels: numbers on the screen and in a file, and a page with the worst masks."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig

from deeplab_lit.config.command_schemas import AuditConfig
from deeplab_lit.config.compose import choices, overrides
from deeplab_lit.crf.dense import DenseCRF
from deeplab_lit.crf.presets import build_crf
from deeplab_lit.data.class_list import classes_of
from deeplab_lit.data.image_tags import check_tags, read_tags
from deeplab_lit.data.labels import LabelSet
from deeplab_lit.data.mask_files import MaskCoding
from deeplab_lit.inference.audit_page import audit_page, class_table, facts
from deeplab_lit.inference.inputs import every, workers
from deeplab_lit.inference.mask_audit import Sources, Totals
from deeplab_lit.inference.photographs import images_of
from deeplab_lit.inference.unusable_files import FIRST, Fault, refuse, refuse_all
from deeplab_lit.utils.errors import UserError
from deeplab_lit.utils.files import write_json, write_text
from deeplab_lit.utils.parallel import ahead
from deeplab_lit.utils.progress import preparing
from deeplab_lit.utils.terminal import table

_MOST_PICTURES = 200  # of some 30 KB each


def audit(config: AuditConfig) -> dict[str, Any]:
    """Count what is in pseudo-labels and write audit.json and audit.html.

    Args:
        config: the config of the command.

    Returns:
        The content of audit.json.

    Raises:
        UserError: the config is wrong, or some files could not be used; in the second case the audit of the others is
            written first.
    """
    if not 0 <= config.pictures <= _MOST_PICTURES:
        raise UserError(f"pictures={config.pictures}: 0 to {_MOST_PICTURES}, since all stand on one page.")
    if config.sample is not None and config.sample < 1:
        raise UserError(f"sample={config.sample}: it is at least 1, or null for all masks.")
    labels, coding = classes_of(config.classes)
    sources, totals, faults = _sources(config, labels, coding), Totals(len(labels)), []

    def look(name: str) -> Any:
        try:
            return sources.look(name)
        except UserError as error:
            return Fault(name, str(error))

    with preparing() as progress:
        progress("looking at masks", 0, len(sources.masks))
        for done, found in enumerate(ahead(look, sources.masks, workers(config.workers)), 1):
            if isinstance(found, Fault):
                faults.append(found)
            else:
                totals.add(*found)
            progress("looking at masks", done, len(sources.masks))
            if done == FIRST and not totals.images:
                break
    if not totals.images:
        refuse_all(faults, len(sources.masks))
    result, out = {"of": _of(config), **totals.result(labels)}, Path(config.out).expanduser()
    worst = totals.worst(config.pictures)
    write_text(out / "audit.html", audit_page(result, [(each, sources.views(each.id)) for each in worst], labels))
    write_json(out / "audit.json", result)
    print(table(*class_table(result), ()))
    for name, value in facts(result):
        print(f"{name}: {value}")
    print(f"{len(totals.images)} masks: {out / 'audit.html'}")
    refuse(faults, len(sources.masks), out / "unusable.txt")
    return result


def _of(config: AuditConfig) -> dict[str, str | None]:
    """What was audited with what, and when."""
    return {
        "masks": config.masks,
        "images": config.images,
        "truth": config.truth,
        "tags": config.tags,
        "crf": None if config.crf.name == "none" else _named_crf(),
        "date": time.strftime("%Y-%m-%d %H:%M"),
    }


def _named_crf() -> str:
    """The preset of the CRF and the keys in which it is another, as they were typed."""
    if not HydraConfig.initialized():
        return "dense"
    return " ".join([choices()["crf"], *(each for each in overrides() if each.startswith("crf."))])


def _sources(config: AuditConfig, labels: LabelSet, coding: MaskCoding) -> Sources:
    masks = _pngs(config.masks, "masks")
    names = [list(masks)[place] for place in every(len(masks), config.sample)]
    masks = {name: masks[name] for name in names}
    truth = {} if config.truth is None else _pngs(config.truth, "truth")
    if truth and not truth.keys() & masks.keys():
        raise UserError(f"truth={config.truth} has no true mask of any image: {next(iter(masks))}.png is not in it.")
    tags = None
    if config.tags is not None:
        tags = read_tags(config.tags, config.tags_zero_is, len(labels))
        check_tags(tags, masks, config.tags)
    return Sources(masks, images_of(masks, config.images), truth, tags, _crf(config), len(labels), coding)


def _crf(config: AuditConfig) -> DenseCRF | None:
    crf = build_crf(config.crf, threads=1)
    if crf is not None and crf.certainty is None:
        raise UserError(
            "masks are hard labels, of which the CRF needs to know how certain they are: type crf=irn_labels, or "
            "crf.certainty=0.7 with another one, or crf=none."
        )
    return crf


def _pngs(given: str, key: str) -> dict[str, Path]:
    """The masks below a folder, by their names without ending."""
    folder = Path(given).expanduser()
    files = [file for file in sorted(folder.rglob("*.png")) if not file.name.startswith(".")]
    if (folder / "masks").is_dir() and not any(file.parent == folder for file in files):
        raise UserError(f"{key}={folder} holds masks/: type {key}={folder / 'masks'}.")
    if not files:
        raise UserError(f"{key}={folder} {'holds no NAME.png' if folder.is_dir() else 'is not a folder'}.")
    return {file.relative_to(folder).with_suffix("").as_posix(): file for file in files}
