"""Run directories: where everything that belongs to one training lies, and how a resume finds it again."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from omegaconf import OmegaConf

from deeplab_lit.errors import UserError
from deeplab_lit.files import new_folder, write_text

# they say where a run lies, how it is watched or how fast it goes, not what it computes
_NOT_THE_RUN = (
    "resume",
    "output",
    "name",
    "logger",
    "num_workers",
    "decoded_gb",
    "pictures",
    "roots",
    "row",
    "crf",
    "preview",
)


@dataclass(frozen=True)
class Run:
    """A run directory.

    Attributes:
        folder: holds config.yaml, checkpoints/, metrics.csv, pictures/, train.log and, at the end, result.json.
        resume_from: the checkpoint to go on from, or None for a new run.
        changes: how the config differs from the one that the run was started with, a line for each key.
    """

    folder: Path
    resume_from: Path | None = None
    changes: tuple[str, ...] = ()

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
    """A hash of all that decides what a training computes; a CRF after the network is no part of that."""
    relevant = {key: value for key, value in config.items() if key not in _NOT_THE_RUN}
    if (config.get("crf") or {}).get("trainable"):
        relevant["crf"] = config["crf"]
    if (config.get("row") or {}).get("start_run"):
        relevant["start_run"] = config["row"]["start_run"]
    return hashlib.sha256(json.dumps(relevant, sort_keys=True).encode()).hexdigest()[:16]


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
    write_text(run.folder / ".fingerprint", fingerprint(config))


def _of(root: Path, wanted: str) -> list[Run]:
    """The runs below ``root`` with this fingerprint, the newest last."""
    # a name may be of two parts, as those of rows are: TABLE/ROW
    marks = [*root.glob("*/*/.fingerprint"), *root.glob("*/*/*/.fingerprint")]
    marks = [mark for mark in marks if mark.read_text().strip() == wanted]
    return [Run(mark.parent) for mark in sorted(marks, key=lambda mark: (mark.stat().st_mtime, mark.parent.name))]


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
    found = OmegaConf.to_container(OmegaConf.load(run.folder / "config.yaml"))
    assert isinstance(found, dict)
    return cast(dict[str, Any], found)


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
    before: Any = (
        OmegaConf.to_container(OmegaConf.load(folder / "config.yaml")) if (folder / "config.yaml").is_file() else {}
    )
    changes = tuple(
        f"{key}: {old!r} -> {new!r}" for key, (old, new) in sorted(_differences(before, config).items())
        if key.split(".")[0] not in _NOT_THE_RUN
    )  # fmt: skip
    return Run(folder, checkpoint, changes)


def _differences(before: Mapping[str, Any], after: Mapping[str, Any], prefix: str = "") -> dict[str, tuple[Any, Any]]:
    found: dict[str, tuple[Any, Any]] = {}
    for key in before.keys() | after.keys():
        old, new = before.get(key), after.get(key)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            found |= _differences(old, new, f"{prefix}{key}.")
        elif old != new:
            found[f"{prefix}{key}"] = old, new
    return found


def command_line(argv: list[str]) -> str:
    """The command that was typed, as it can be typed again."""
    import shlex

    module = Path(argv[0]).stem
    if Path(argv[0]).parent == Path(__file__).resolve().parent:
        return shlex.join(["python", "-m", f"deeplab_lit.{module}", *argv[1:]])
    return shlex.join([os.fspath(argv[0]), *argv[1:]])
