"""Tune hyper-parameters: Optuna proposes values, and each trial is a training composed by Hydra."""

from __future__ import annotations

import csv
import json
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
from lightning.pytorch.callbacks import Callback

from deeplab_lit.config.command_schemas import TuneConfig
from deeplab_lit.config.compose import compose, train_command
from deeplab_lit.config.schemas import TrainConfig
from deeplab_lit.training.own_process import launched_outside, takes_several_processes, train_in_own_process
from deeplab_lit.training.plan import settle
from deeplab_lit.training.result import Result
from deeplab_lit.training.runs import Run, find_finished, fingerprint, with_fingerprint
from deeplab_lit.training.train import train
from deeplab_lit.training.trainer import trainer_arguments
from deeplab_lit.utils.errors import Interrupted, UserError
from deeplab_lit.utils.locks import one_at_a_time
from deeplab_lit.utils.terminal import table

_FORMS = "{low: NUMBER, high: NUMBER} with log: true or step: NUMBER if wanted, or {choices: [...]}"
_BEAT = 60  # seconds between heartbeats of a trial


def tune(config: TuneConfig, given: Sequence[str]) -> Any:
    """Run trials until there are ``search.trials``, print the best ones, and return Optuna's study.

    The study is the file ``study.db`` in the folder ``name`` below ``output``. The same command resumes the study, or
    adds trials from another process at the same time. A trial whose process was killed is run again, from its last
    checkpoint.

    Args:
        config: ``search`` holds the space, the number of trials, pruning and seed.
        given: the overrides of every trial.

    Raises:
        UserError: Optuna is not installed, ``search.trials`` is below 1, or the space is empty or malformed.
    """
    search = config.search
    if launched_outside():
        raise UserError(
            "tune starts the processes of its trials itself: run it in one process, with trainer=ddp "
            "trainer.devices=NUMBER, or in several terminals or jobs with one GPU each."
        )
    try:
        import optuna
    except ModuleNotFoundError as error:
        raise UserError("a search needs a package: pip install 'deeplab_lit[optuna]'.") from error
    if search.trials < 1:
        raise UserError(f"search.trials={search.trials}: it is at least 1.")
    propose = _proposals(search.space)
    folder = Path(config.output).expanduser() / config.name
    study = open_study(folder, config.name, search.prune)

    def objective(trial: Any) -> float:
        # seeded by the trial's number, so that other calls and other processes do not propose the same again
        seed = np.random.SeedSequence((search.seed, trial.number)).generate_state(1)[0]
        study.sampler = optuna.samplers.TPESampler(seed=int(seed))
        chosen = propose(trial)
        told = [*given, *chosen, f"output={folder}", f"name=trial-{trial.number}", "resume=auto"]
        print(f"trial {trial.number}: {' '.join(chosen)}")
        trial.set_user_attr("overrides", [*given, *chosen])
        if takes_several_processes(trained := compose(told)):
            return _tried_in_own_process(trial, trained, told)
        return train(trained, train_command(told), [_Reports(trial)]).miou

    ended = (optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED)
    while len(study.get_trials(deepcopy=False, states=ended)) < search.trials:
        study.optimize(objective, n_trials=1)
    _show(study)
    return study


def open_study(folder: Path, name: str, prune: bool) -> Any:
    """The study in ``folder / "study.db"``, made if there is none.

    One process at a time opens it: two that make the tables of one database at once end in an error.

    Args:
        folder: the folder of the study.
        name: the name of the study.
        prune: whether trials below the median are stopped.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    file = folder / "study.db"
    with one_at_a_time(file), warnings.catch_warnings():
        # Optuna warns that heartbeats are experimental, which does not concern the user
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        storage = optuna.storages.RDBStorage(
            f"sqlite:///{file}", heartbeat_interval=_BEAT, heartbeat_stale_trial_callback=_again
        )
        return optuna.create_study(
            study_name=name,
            direction="maximize",
            storage=storage,
            pruner=optuna.pruners.MedianPruner(n_startup_trials=4) if prune else optuna.pruners.NopPruner(),
            load_if_exists=True,
        )


def _again(study: Any, trial: Any) -> None:
    """Enqueue the values of a trial whose process died, so that they are tried again."""
    study.enqueue_trial(trial.params)


class _Reports(Callback):
    """Reports the mIoU of each validation to Optuna, and stops a trial that Optuna prunes."""

    def __init__(self, trial: Any) -> None:
        self.trial = trial

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        import optuna

        if trainer.state.fn != "fit":
            return
        self.trial.report(float(trainer.callback_metrics["val/miou"]), trainer.global_step)
        if trainer.global_step < trainer.max_steps and self.trial.should_prune():
            raise optuna.TrialPruned


def _tried_in_own_process(trial: Any, config: TrainConfig, overrides: Sequence[str]) -> float:
    """Train a trial in processes of its own; its validations are read from its metrics.csv."""
    import optuna

    root = Path(config.output).expanduser()
    mark = fingerprint(settle(config, trainer_arguments(config)).as_dict())
    reported, pruned, run = -1, False, None

    def look() -> bool:
        nonlocal reported, pruned, run
        # the search reads the config of every trial, so it ends with the first run that is found
        run = run or next(reversed(with_fingerprint(root, mark)), None)
        for step, score in validations(run) if run else ():
            if step > reported:
                reported = step
                trial.report(score, step)
                pruned = step < config.max_steps and trial.should_prune()
        return pruned

    try:
        train_in_own_process(overrides, look)
    except Interrupted:
        if not pruned:
            raise
    if pruned:
        raise optuna.TrialPruned
    look()
    return Result.read(find_finished(root, mark)[-1].result).miou


def validations(run: Run) -> list[tuple[int, float]]:
    """The steps and mIoUs of the validations of a run, as far as its metrics.csv has them."""
    file = run.folder / "metrics.csv"
    if not file.is_file():
        return []
    with file.open(newline="") as lines:
        rows = [row for row in csv.DictReader(lines) if row.get("val/miou")]
    return [(int(row["step"]), float(row["val/miou"])) for row in rows]


def _proposals(space: Mapping[str, Any]) -> Callable[[Any], list[str]]:
    """A function from a trial to the overrides that Optuna proposes for it."""
    flat = dict(_flat(space))
    if not flat:
        raise UserError(f"space is empty: type +search.space.KEY=VALUE, each VALUE {_FORMS}.")

    def propose(trial: Any) -> list[str]:
        found = []
        for key, each in flat.items():
            if "choices" in each:
                # as JSON text, since Optuna stores only text and numbers, and Hydra parses text
                value = trial.suggest_categorical(key, [json.dumps(choice) for choice in each["choices"]])
            elif all(isinstance(bound, int) for bound in (each["low"], each["high"], each.get("step", 1))):
                value = trial.suggest_int(key, **each)
            else:
                value = f"{trial.suggest_float(key, **each):.12g}"
            found.append(f"{key}={value}")
        return found

    return propose


def _flat(space: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    for name, each in space.items():
        key = f"{prefix}{name}"
        if not isinstance(each, Mapping):
            raise UserError(f"search.space.{key}={each} is no space: it is {_FORMS}.")
        if {"low", "high"} <= set(each) <= {"low", "high", "log", "step"} or set(each) == {"choices"}:
            yield key, each
        else:
            yield from _flat(each, f"{key}.")


def _show(study: Any) -> None:
    trials = sorted(study.trials, key=lambda trial: -(trial.value if trial.value is not None else -1.0))[:10]
    keys = list(study.best_trial.params)
    lines = []
    for trial in trials:
        value = "" if trial.value is None else f"{100 * trial.value:.2f}"
        shown = [_short(trial.params.get(key)) for key in keys]
        lines.append([str(trial.number), value, *shown, trial.state.name.lower()])
    print(table(("trial", "mIoU", *keys, "state"), lines, (*keys, "state"), f"{study.study_name}: the best trials"))
    print(f"best: {train_command(study.best_trial.user_attrs['overrides'])}")


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
