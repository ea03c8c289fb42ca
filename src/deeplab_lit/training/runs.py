"""Run directories: where everything that belongs to one training lies, and how a resume finds it again."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import yaml
from omegaconf import OmegaConf

from deeplab_lit.config.identity import deciding, differing
from deeplab_lit.utils.errors import UserError
from deeplab_lit.utils.files import new_folder, write_text

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True)
class Run:
    """A run directory.

    Attributes:
        folder: holds config.yaml, checkpoints/, metrics.csv, pictures/, train.log and, at the end, result.json.
        resume_from: the checkpoint to go on from, or None for a new run.
        changes: how the config differs from the one that the run was started with, a line for each key.
        other: for a new run under ``resume=auto``, the newest run of its name; ``changes`` are then to that one.
    """

    folder: Path
    resume_from: Path | None = None
    changes: tuple[str, ...] = ()
    other: Path | None = None

    @property
    def checkpoints(self) -> Path:
        return self.folder / "checkpoints"

    @property
    def best(self) -> Path:
        """The checkpoint with the highest validation mIoU."""
        return self.checkpoints / "best.ckpt"

    @property
    def last(self) -> Path:
        """The newest checkpoint."""
        return self.checkpoints / "last.ckpt"

    @property
    def result(self) -> Path:
        """What a finished run came to."""
        return self.folder / "result.json"


def fingerprint(config: Mapping[str, Any]) -> str:
    """A hash of what decides the weights of a training; see :func:`deeplab_lit.config.identity.deciding`."""
    return hashlib.sha256(json.dumps(deciding(config), sort_keys=True).encode()).hexdigest()[:16]


def open_run(config: Mapping[str, Any], make: bool = True) -> Run:
    """Make the run directory of a resolved config, or find the one that ``config["resume"]`` means.

    ``resume=auto`` takes the newest directory of the same config, and starts a new one where there is none yet. With
    ``make=False``, in all processes of a job but the first, a new directory is not made: its place is not known yet.

    Raises:
        UserError: ``resume`` names nothing to go on from.
    """
    resume, root = config["resume"], Path(config["output"]).expanduser()
    if resume == "auto":
        found = _newest(root, fingerprint(config))
        if found:
            return found
        others = [run for run in _below(root) if run.folder.parent == root / config["name"] and run.last.is_file()]
        if others:
            new = _new(root / config["name"], config) if make else Run(root / config["name"])
            return replace(new, other=others[-1].folder, changes=_changes(read_config(others[-1]), config))
    elif resume:
        return _existing(Path(resume).expanduser(), config)
    return _new(root / config["name"], config) if make else Run(root / config["name"])


def _new(parent: Path, config: Mapping[str, Any]) -> Run:
    run = Run(new_folder(parent))
    record(run, config)
    return run


def record(run: Run, config: Mapping[str, Any]) -> None:
    """Write the config that a run goes by from now on."""
    write_text(run.folder / "config.yaml", OmegaConf.to_yaml(OmegaConf.create(dict(config))))


def _below(root: Path) -> list[Run]:
    """The runs below ``root``, the newest last."""
    # a name may be of two parts, as those of rows are: TABLE/ROW
    files = [*root.glob("*/*/config.yaml"), *root.glob("*/*/*/config.yaml")]
    return [Run(file.parent) for file in sorted(files, key=lambda file: (file.stat().st_mtime, file.parent.name))]


def _of(root: Path, wanted: str) -> list[Run]:
    """The runs below ``root`` with this fingerprint, the newest last."""
    return [run for run in _below(root) if fingerprint(read_config(run)) == wanted]


def _newest(root: Path, wanted: str) -> Run | None:
    found = [run for run in _of(root, wanted) if run.last.is_file()]
    return Run(found[-1].folder, found[-1].last) if found else None


def find_finished(root: Path, wanted: str) -> list[Run]:
    """The trainings below ``root`` with this fingerprint that have come to their end, the newest last."""
    return [run for run in _of(root, wanted) if run.result.is_file() and run.best.is_file()]


def find_result(root: Path, config: Mapping[str, Any]) -> Run | None:
    """The newest run below ``root`` that holds what this config comes to, its CRF included."""
    for run in reversed(_of(root, fingerprint(config))):
        if run.result.is_file() and read_config(run)["crf"] == config["crf"]:
            return run
    return None


def read_config(run: Run) -> dict[str, Any]:
    """The resolved config of a run."""
    with (run.folder / "config.yaml").open(encoding="utf-8") as file:
        return cast(dict[str, Any], yaml.load(file, _LOADER) or {})


def _existing(path: Path, config: Mapping[str, Any]) -> Run:
    if path.is_dir():
        folder, checkpoint = path, Run(path).last
        if not checkpoint.is_file():
            raise UserError(
                f"resume={str(path)!r} has no checkpoints/last.ckpt: give a run directory that has one, a checkpoint "
                "file, or resume=auto."
            )
    elif path.is_file():
        folder = path.resolve().parent.parent if path.resolve().parent.name == "checkpoints" else path.resolve().parent
        checkpoint = path
    else:
        raise UserError(f"resume={str(path)!r} does not exist: give a run directory, a checkpoint, or resume=auto.")
    before = read_config(Run(folder)) if (folder / "config.yaml").is_file() else {}
    return Run(folder, checkpoint, _changes(before, config) if before else ())


def _changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(f"{key}: {old!r} -> {new!r}" for key, (old, new) in differing([before, after], seed=True).items())


def command_line(argv: list[str]) -> str:
    """The command that was typed, as it can be typed again."""
    import shlex

    module = Path(argv[0]).stem
    if Path(argv[0]).parent == Path(__file__).resolve().parent.parent:
        return shlex.join(["python", "-m", f"deeplab_lit.{module}", *argv[1:]])
    return shlex.join([os.fspath(argv[0]), *argv[1:]])
