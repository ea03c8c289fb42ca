"""Runs: the directory with the files of one training, and the search for runs to resume or reuse."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import yaml
from omegaconf import OmegaConf

from deeplab_lit.config.identity import deciding, differing
from deeplab_lit.config.schemas import TrainConfig
from deeplab_lit.training.result import Result
from deeplab_lit.utils.errors import UserError
from deeplab_lit.utils.fetch import BEST
from deeplab_lit.utils.files import new_folder, write_text

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True)
class Run:
    """A run directory.

    Attributes:
        folder: holds config.yaml, checkpoints/, metrics.csv, pictures/, train.log and, at the end, result.json.
        resume_from: the checkpoint to resume, or None for a new run.
        changes: the differences of the config to the one that the run was started with, a line for each key.
        other: for a new run under ``resume=auto``, the newest run of the same name, or None; ``changes`` are then the
            differences to its config.
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
        """The checkpoint that is scored: of the highest validation mIoU, or the newest with ``keep=last``."""
        return self.folder / BEST

    @property
    def last(self) -> Path:
        """The newest checkpoint."""
        return self.checkpoints / "last.ckpt"

    @property
    def result(self) -> Path:
        """The file with the result of a finished run."""
        return self.folder / "result.json"


def fingerprint(config: Mapping[str, Any]) -> str:
    """A hash of what decides the weights of a training, given its resolved config.

    See :func:`deeplab_lit.config.identity.deciding`.
    """
    return hashlib.sha256(json.dumps(deciding(config), sort_keys=True).encode()).hexdigest()[:16]


def run_to_resume(config: TrainConfig) -> Run | None:
    """The run that ``config.resume`` chooses, or None for a new one.

    ``resume=auto`` takes the newest run of the same training (see :func:`fingerprint`) that has a checkpoint. Of the
    runs below ``output``, a row of a table takes any, since rows share trainings; another training takes those of its
    name.

    Raises:
        UserError: ``resume`` names a path that does not exist, or a run directory without checkpoints/last.ckpt.
    """
    if config.resume == "auto":
        runs = [run for run in _same_training(Path(config.output).expanduser(), config) if run.last.is_file()]
        return _compared(runs[-1], runs[-1].last, config) if runs else None
    return _existing(Path(config.resume).expanduser(), config) if config.resume else None


def new_run(config: TrainConfig) -> Run:
    """Make a run directory with its config.yaml.

    Under ``resume=auto``, ``other`` is the newest run of the same name that has a checkpoint.
    """
    parent = Path(config.output).expanduser() / config.name
    others = [run for run in _in(parent) if run.last.is_file()] if config.resume == "auto" else []
    run = Run(new_folder(parent))
    save_config(run, config)
    return replace(run, other=others[-1].folder, changes=_changes(read_config(others[-1]), config)) if others else run


def is_finished(run: Run, step: int, max_steps: int) -> bool:
    """Whether nothing is left to train or to score of a run that is resumed.

    Args:
        run: from :func:`run_to_resume`.
        step: of the checkpoint that it is resumed from.
        max_steps: the last step that is asked for.

    Raises:
        UserError: nothing is left to train, but the config has other values than the run.
    """
    if step < max_steps:
        return False
    scored = run.result.is_file() and (Result.read(run.result).steps or 0) >= step
    # a CRF decides nothing before the score
    changes = [each for each in run.changes if scored or not each.startswith("crf.")]
    if changes:
        with_crf = f"python -m deeplab_lit.evaluate checkpoint={run.best} crf=... scores it with another CRF, "
        raise UserError(
            f"{_told_finished(run, step, scored)}, so nothing is trained with other values ({_some(changes)}), and "
            f"nothing was written: {with_crf if all(each.startswith('crf.') for each in changes) else ''}"
            f"{_further(run, step)}."
        )
    return scored


def finished_message(run: Run) -> str:
    """What is said instead of training a run for which :func:`is_finished` holds."""
    steps = Result.read(run.result).steps or 0
    return f"{_told_finished(run, steps, True)}; nothing was trained or written: {_further(run, steps)}."


def changed_masks(run: Run, config: TrainConfig) -> str:
    """A warning about masks in ``data.train_masks`` that were written after the run began; empty if there are none.

    The path of the folder decides which runs are the same training, not what is in it.
    """
    folder = config.data.get("train_masks")
    if not folder or not (run.folder / "config.yaml").is_file():
        return ""
    begun = (run.folder / "config.yaml").stat().st_mtime
    with suppress(OSError), os.scandir(Path(folder).expanduser()) as files:
        newer = sum(file.name.endswith(".png") and file.stat().st_mtime > begun for file in files)
        if newer:
            return (
                f"warning: {newer} masks in data.train_masks={folder} are newer than {run.folder}, which may have been "
                "trained on others: give new masks a folder of another name, or type resume=null."
            )
    return ""


def _told_finished(run: Run, step: int, scored: bool) -> str:
    if not scored:
        return f"{run.folder} is trained to step {step} already"
    result = Result.read(run.result)
    with_crf = "" if result.crf_miou is None else f", with the CRF {result.crf_miou:.4f}"
    return f"{run.folder} is finished already (step {step}, mIoU {result.miou:.4f}{with_crf} in its {run.result.name})"


def _further(run: Run, step: int) -> str:
    more = f"resume={run.folder} max_steps=MORE"
    return f"the run's command with {more}, above {step}, trains it further, resume=null begins a new run"


def _some(changes: Sequence[str]) -> str:
    more = f" and {len(changes) - 5} more" if len(changes) > 5 else ""
    return ", ".join(changes[:5]) + more


def discard(run: Run, root: Path) -> None:
    """Remove the directory of a run that did not begin, and its parent folders up to ``root`` where they are empty."""
    shutil.rmtree(run.folder)
    for folder in run.folder.parents:
        with suppress(OSError):
            folder.rmdir()
        if folder == root:
            return


def save_config(run: Run, config: TrainConfig) -> None:
    """Write the config.yaml of a run."""
    write_text(run.folder / "config.yaml", OmegaConf.to_yaml(OmegaConf.create(config.as_dict())))


def read_config(run: Run) -> dict[str, Any]:
    """The resolved config of a run, read from its config.yaml."""
    with (run.folder / "config.yaml").open(encoding="utf-8") as file:
        return cast(dict[str, Any], yaml.load(file, _LOADER) or {})


def _in(*parents: Path) -> list[Run]:
    """The runs in some folders, the newest last."""
    files = [file for parent in parents for file in parent.glob("*/config.yaml")]
    return [Run(file.parent) for file in sorted(files, key=lambda file: (file.stat().st_mtime, file.parent.name))]


def with_fingerprint(root: Path, wanted: str) -> list[Run]:
    """The runs below ``root`` with this fingerprint, the newest last."""
    # a run's name may have two parts, as TABLE/ROW has
    return _same(_in(*root.glob("*"), *root.glob("*/*")), wanted)


def _same_training(root: Path, config: TrainConfig) -> list[Run]:
    """The runs of this training, the newest last: of a row under any name, of another training under its own."""
    wanted = fingerprint(config.as_dict())
    return with_fingerprint(root, wanted) if config.row else _same(_in(root / config.name), wanted)


def _same(runs: Sequence[Run], wanted: str) -> list[Run]:
    return [run for run in runs if fingerprint(read_config(run)) == wanted]


def find_finished(root: Path, wanted: str) -> list[Run]:
    """The finished runs below ``root`` with this fingerprint, the newest last."""
    return [run for run in with_fingerprint(root, wanted) if run.result.is_file() and run.best.is_file()]


def find_result(root: Path, config: TrainConfig) -> Run | None:
    """The newest run below ``root`` with a result of this config, its CRF included, or None.

    As for ``resume=auto``, rows of tables share trainings; of other trainings, runs of the same name count.
    """
    crf = config.as_dict()["crf"]
    for run in reversed(_same_training(root, config)):
        if run.result.is_file() and read_config(run)["crf"] == crf:
            return run
    return None


def _existing(path: Path, config: TrainConfig) -> Run:
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
    return _compared(Run(folder), checkpoint, config)


def _compared(run: Run, checkpoint: Path, config: TrainConfig) -> Run:
    """The run, resumed from this checkpoint, with the differences of the config to its own."""
    before = read_config(run) if (run.folder / "config.yaml").is_file() else {}
    return replace(run, resume_from=checkpoint, changes=_changes(before, config) if before else ())


def _changes(before: Mapping[str, Any], after: TrainConfig) -> tuple[str, ...]:
    changed = differing([before, after.as_dict()], seed=True)
    return tuple(f"{name}: {old!r} -> {new!r}" for name, (old, new) in changed.items())
