"""Commands as Hydra programs, and what a user's mistake looks like. With registry.py and sweeps/ all that knows Hydra.

Nothing heavy is imported here, so that a mistyped key is answered at once.
"""

from __future__ import annotations

import functools
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any, cast

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from deeplab_lit.cli.completion import complete
from deeplab_lit.cli.help import help_text, table_text
from deeplab_lit.cli.reference import all_keys
from deeplab_lit.config.hydra_store import compose_once, conf_folder, experiments_folder, register_schemas, tables
from deeplab_lit.utils.errors import UserError, closest
from deeplab_lit.utils.fetch import found, is_url
from deeplab_lit.utils.files import NO_ROOM

_LAUNCHERS = ("joblib", "submitit")  # the extras that bring them

_MISTAKES = (UserError, HydraException, OmegaConfBaseException)


def entry_point(config_name: str) -> Callable[[Callable[[DictConfig], None]], Callable[[], None]]:
    """Turn a job (a function of the composed config) into a command line program.

    A :class:`UserError`, or a mistake that Hydra finds in the overrides, ends with one paragraph and exit status 1;
    ``HYDRA_FULL_ERROR=1`` brings the stack trace back.
    """

    def decorate(job: Callable[[DictConfig], None]) -> Callable[[], None]:
        register_schemas()
        caught: list[Exception] = []
        ours = False

        @functools.wraps(job)
        def guarded(cfg: DictConfig) -> None:
            # children of the job must not inherit what only keeps Hydra from printing traces itself
            full = os.environ.pop("HYDRA_FULL_ERROR", None) if ours else None
            try:
                _check_weights(cfg)
                job(cfg)
            except (*_MISTAKES, OSError) as error:
                # Hydra would announce it with lines of its own; a sweep must know which job failed
                if not ours or _is_of_sweep() or not _is_mistake(error):
                    raise
                caught.append(error)
            finally:
                if full is not None:
                    os.environ["HYDRA_FULL_ERROR"] = full

        program = hydra.main(version_base="1.3", config_path=str(conf_folder()), config_name=config_name)(guarded)

        @functools.wraps(job)
        def main() -> None:
            if {"-h", "--help"} & set(sys.argv[1:]):
                _end_with_the_reader()
                table = _table_of(sys.argv[1:])
                print(table_text(table) if table else help_text(config_name))
                return
            if sys.argv[1:2] == ["-sc"]:
                try:
                    print(complete(config_name, " ".join(sys.argv[2:])))
                except UserError as error:
                    sys.exit(f"error: {error}")
                return
            if "HYDRA_FULL_ERROR" in os.environ:
                program()
                return
            nonlocal ours
            caught.clear()
            # Hydra then raises errors instead of printing them
            ours, os.environ["HYDRA_FULL_ERROR"] = True, "1"
            try:
                _check_words(sys.argv[1:], config_name)
                with compose_once() if _asks_for_info(sys.argv[1:]) else nullcontext():
                    program()
            except (*_MISTAKES, OSError) as error:
                if not _is_mistake(error):
                    raise
                caught.append(error)
            except KeyboardInterrupt:
                print("interrupted: what is finished is kept, the same command does the rest.", file=sys.stderr)
                sys.exit(130)
            finally:
                del os.environ["HYDRA_FULL_ERROR"]
            if caught:
                print(f"error: {explain(caught[0], config_name)}", file=sys.stderr)
                sys.exit(1)

        return main

    return decorate


def _end_with_the_reader() -> None:
    """Let a pipe that closes early, as ``| head`` does, end the process as it ends other programs."""
    if hasattr(signal, "SIGPIPE"):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)


def _table_of(arguments: list[str]) -> str | None:
    chosen = [each.split("=", 1)[1].split("/")[0] for each in arguments if each.startswith("experiments=")]
    return chosen[-1] if chosen and chosen[-1] in tables() else None


def _asks_for_info(arguments: list[str]) -> bool:
    return any(argument.partition("=")[0] in ("-i", "--info") for argument in arguments)


def _check_words(arguments: list[str], config_name: str) -> None:
    """Refuse at once what the files of the command show to be wrong, before anything is composed."""
    if any(argument.startswith(("-c", "--config")) and argument not in ("-c", "--cfg") for argument in arguments):
        return  # configs of the user's own may have other keys
    groups = {folder.name for folder in conf_folder().iterdir() if folder.is_dir()} | {"experiments"}
    # an experiment chooses too
    chooses = any(argument.startswith(("experiments=", "scale=")) for argument in arguments)
    known = {*all_keys(config_name, arguments), *groups, "hydra"}
    parents = {name.rpartition(".")[0] for name in known}
    for argument in arguments:
        key, is_override, value = argument.partition("=")
        # Hydra itself stumbles over a list where a group's choice is due
        if key in groups and value.startswith("["):
            options = ", ".join(sorted(file.stem for file in (conf_folder() / key).glob("*.yaml")))
            raise UserError(
                f"{argument}: {key} takes one of {options}; values inside it are set one by one, as {key}.KEY=VALUE."
            )
        if not is_override or not re.fullmatch(r"[a-z]\w*(\.[a-z]\w*)*", key) or key in known:
            continue
        parent = key.rpartition(".")[0]
        if not parent or (parent in parents and not chooses):
            raise UserError(_unknown_key(key, config_name))


def _check_weights(cfg: DictConfig) -> None:
    """Refuse a checkpoint that is not there, before torch is imported."""
    path = OmegaConf.select(cfg, "checkpoint")
    if isinstance(path, str) and not is_url(path):
        found(path)


def _is_mistake(error: Exception) -> bool:
    """Whether one paragraph tells the user all: of what the system refuses, a full disk alone."""
    return isinstance(error, _MISTAKES) or (isinstance(error, OSError) and error.errno in NO_ROOM)


def _no_room(error: OSError) -> str:
    return (
        f"{error.filename or 'a file'} could not be written: {error.strerror}. What was there before is whole. Make "
        "room and give the same command again; with resume=auto a training goes on from its last checkpoint."
    )


_KINDS = {"Integer": "a whole number", "Float": "a number", "bool": "true or false"}


def explain(error: Exception, config_name: str) -> str:
    """One paragraph for a mistake: what was given, what is possible, what to type."""
    if isinstance(error, OSError) and not isinstance(error, _MISTAKES):  # some of Hydra's are both
        return _no_room(error)
    text = str(error)
    if isinstance(error, UserError):
        # a loader process wraps the message into its stack trace
        return text.rsplit("UserError: ", 1)[-1].strip()
    if isinstance(error, MissingMandatoryValue):
        return f"{error.full_key} is required and has no default: type {error.full_key}=VALUE."
    if found := re.search(r"Could not override '([^']+)'", text):
        return _unknown_key(found[1], config_name)
    if found := re.search(r"Could not find '([^']+)'", text):
        return _unknown_choice(found[1], text)
    # Hydra names the override, OmegaConf's error behind it says what is wrong with the value
    kind = re.search(r"could not be converted to (Integer|Float)|is not a valid (bool)", f"{text} {error.__cause__}")
    if kind and (given := re.search(r"Error merging override (\S+)", text)):
        return f"{given[1]}: it takes {_KINDS[kind[1] or kind[2]]}."
    lines = [line.strip() for each in (error, error.__cause__) if each for line in str(each).splitlines()]
    told = [line for line in lines if line and not re.match(r"(full_key|object_type|reference_type):", line)]
    return "; ".join(dict.fromkeys(told)) + "."


def _unknown_choice(name: str, text: str) -> str:
    group, _, choice = name.rpartition("/")
    if group == "hydra/launcher" and choice.split("_")[0] in _LAUNCHERS:
        return f"this launcher needs a package: pip install 'deeplab_lit[{choice.split('_')[0]}]'."
    first, *rest = group.split("/")
    if first == "experiments" and rest:  # a row of a table
        known = sorted(file.stem for file in (experiments_folder() / "/".join(rest)).glob("*.yaml"))
        typed = f"{first}={'/'.join(rest)}/{choice}"
        return f"{typed} does not exist: choose one of {', '.join(known) or 'no rows'}.{closest(choice, known)}"
    listed = text.split("Available options in", 1)[-1].split("Config search path", 1)[0].splitlines()[1:]
    options = [line.strip() for line in listed if line.strip()]
    return f"{group}={choice} does not exist: choose one of {', '.join(options)}.{closest(choice, options)}"


def _unknown_key(key: str, config_name: str) -> str:
    known = sorted(all_keys(config_name, sys.argv[1:]))
    leaf = [name for name in known if name.split(".")[-1] == key.split(".")[-1]]
    mend = f" Did you mean {leaf[0]!r}?" if leaf else closest(key, known)
    return f"{key} is not a key of this configuration.{mend} All keys: --help. To add a new one: +{key}=VALUE."


def plain(cfg: DictConfig) -> dict[str, Any]:
    """The config with every reference resolved, as builtins.

    Raises:
        OmegaConfBaseException: a required key has no value, or a reference leads nowhere.
    """
    return cast(dict[str, Any], OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True))


def typed(node: DictConfig) -> Any:
    """The dataclass instance that a closed group describes."""
    return OmegaConf.to_object(node)


def choices() -> dict[str, str]:
    """The chosen option of each config group, such as ``{"model": "aspp_l"}``."""
    from hydra.core.hydra_config import HydraConfig

    return dict(HydraConfig.get().runtime.choices)


def overrides() -> list[str]:
    """What this job's config was composed of."""
    from hydra.core.hydra_config import HydraConfig

    return list(HydraConfig.get().overrides.task)


def _is_of_sweep() -> bool:
    from hydra.core.hydra_config import HydraConfig

    return HydraConfig.initialized() and not OmegaConf.is_missing(HydraConfig.get().job, "num")


def check_pair(cfg: DictConfig) -> None:
    """Refuse a model on a backbone that lacks what it is built on.

    A model's ``recipe.needs`` names one thing of the backbone's ``recipe.offers``, or null.

    Raises:
        UserError: naming the models for this backbone and the backbones for this model.
    """
    if _goes_with(cfg.model, cfg.backbone):
        return
    chosen = choices()
    model, backbone = chosen["model"], chosen["backbone"]
    models = [name for name, other in _options("model") if _goes_with(other, cfg.backbone)]
    backbones = [name for name, other in _options("backbone") if _goes_with(cfg.model, other)]
    raise UserError(
        f"model={model} does not go with backbone={backbone}: it needs {cfg.model.recipe.needs!r}, which that trunk "
        f"does not offer. With backbone={backbone} go model={', '.join(models)}; with model={model} goes "
        f"backbone={', '.join(backbones) or 'none'}."
    )


def check_no_table() -> None:
    """Refuse a whole table where one training is due: a table is run by its own sweeper.

    Raises:
        UserError: naming what to type instead.
    """
    chosen = choices().get("experiments")
    if chosen in tables():
        raise UserError(
            f"experiments={chosen} is a table: one at a time is run, as experiments={chosen} without -m; "
            f"one row of it is experiments={chosen}/ROW."
        )


def _goes_with(model: Any, backbone: Any) -> bool:
    needs = OmegaConf.select(model, "recipe.needs")
    return needs is None or needs in (OmegaConf.select(backbone, "recipe.offers") or ["direct"])


def _options(group: str) -> Iterator[tuple[str, DictConfig]]:
    loader = GlobalHydra.instance().config_loader()
    for name in loader.get_group_options(group):
        found = loader.repository.load_config(f"{group}/{name}")
        if found is not None:
            yield name, found.config
