"""The entry point of a command: a Hydra program that reports user errors in one sentence.

This module does not import torch, so that a mistyped key is reported at once.
"""

from __future__ import annotations

import functools
import logging
import os
import re
import select
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import hydra
from omegaconf import DictConfig, OmegaConf

from deeplab_lit.cli.completion import complete
from deeplab_lit.cli.error_messages import MISTAKES, check_words, explain, is_mistake, output_key
from deeplab_lit.cli.help import help_text, table_text
from deeplab_lit.cli.options import options_last
from deeplab_lit.config.compose import is_of_sweep
from deeplab_lit.config.hydra_store import SCHEMAS, register_schemas
from deeplab_lit.config.paths import PAPER, conf_folder, tables
from deeplab_lit.utils.errors import UserError
from deeplab_lit.utils.fetch import is_url, weights_file
from deeplab_lit.utils.homes import existing, is_writable, lend_folders


def entry_point(command: str) -> Callable[[Callable[[DictConfig], None]], Callable[[], None]]:
    """A decorator that turns a job (a function of the composed config) into a command line program.

    For errors that :func:`is_mistake` accepts, the program prints a message without a traceback and exits with
    status 1. ``HYDRA_FULL_ERROR=1`` prints the traceback instead. Ctrl-C exits with status 130.

    Args:
        command: the name of the command and of its config.
    """

    def decorate(job: Callable[[DictConfig], None]) -> Callable[[], None]:
        register_schemas()
        caught: list[Exception] = []
        raises = False  # whether Hydra is told to raise errors instead of printing them

        @functools.wraps(job)
        def guarded(cfg: DictConfig) -> None:
            # child processes must not inherit the variable, which only makes Hydra raise errors in this process
            full = os.environ.pop("HYDRA_FULL_ERROR", None) if raises else None
            try:
                _check_schema(cfg, command)
                _check_weights(cfg)
                _check_output(cfg, command)
                lend_folders()
                logging.raiseExceptions = False  # on a full disk, each line of a log would print a traceback
                job(cfg)
            except BrokenPipeError as error:
                _end_without_reader(error)
            except (*MISTAKES, OSError) as error:
                # a sweep has to see the error of its job; elsewhere Hydra would print lines of its own for it
                if not raises or is_of_sweep() or not is_mistake(error):
                    raise
                caught.append(error)
            finally:
                if full is not None:
                    os.environ["HYDRA_FULL_ERROR"] = full

        program = hydra.main(version_base="1.3", config_path=str(conf_folder()), config_name=command)(guarded)

        @functools.wraps(job)
        def main() -> None:
            if _informs(command, sys.argv[1:]):
                return
            if any(re.match(r"(-c|--cfg)($|=)", each) for each in sys.argv) and "--resolve" not in sys.argv:
                sys.argv.append("--resolve")  # prints the values that references stand for
            if "HYDRA_FULL_ERROR" in os.environ:
                sys.argv[1:] = options_last(sys.argv[1:])
                program()
                return
            nonlocal raises
            caught.clear()
            raises, os.environ["HYDRA_FULL_ERROR"] = True, "1"
            try:
                sys.argv[1:] = options_last(sys.argv[1:])
                check_words(sys.argv[1:], command)
                program()
                sys.stdout.flush()
            except BrokenPipeError as error:
                _end_without_reader(error)
            except (*MISTAKES, OSError) as error:
                if not is_mistake(error):
                    raise
                caught.append(error)
            except AssertionError as error:
                if not str(error).startswith("Unexpected type"):  # OmegaConf's, for a key inside another that is null
                    raise
                caught.append(
                    UserError(
                        "a key is set inside another one that is null: choose its group first, such as data=voc, or "
                        "give the whole value, as in '+KEY={NAME: VALUE}'."
                    )
                )
            except KeyboardInterrupt:
                print("interrupted: what is finished is kept, the same command does the rest.", file=sys.stderr)
                sys.exit(130)
            finally:
                del os.environ["HYDRA_FULL_ERROR"]
            if caught:
                print(f"error: {explain(caught[0], command)}", file=sys.stderr)
                sys.exit(1)

        return main

    return decorate


def _informs(command: str, arguments: list[str]) -> bool:
    """Print help or completions if the arguments ask for them. Returns whether they do."""
    if {"-h", "--help"} & set(arguments):
        end_with_the_reader()
        table = _table_of(arguments)
        print(table_text(table) if table else help_text(command, arguments))
        return True
    if arguments[:1] == ["-sc"]:
        try:
            print(complete(command, " ".join(arguments[1:])))
        except UserError as error:
            sys.exit(f"error: {error}")
        return True
    return False


def end_with_the_reader() -> None:
    """Restore the default action of SIGPIPE, so that ``| head`` ends the process without a traceback."""
    if hasattr(signal, "SIGPIPE"):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)


def _end_without_reader(error: BrokenPipeError) -> NoReturn:
    """End the process quietly if nothing reads its standard output any more, as after ``| head``.

    Raises:
        BrokenPipeError: ``error``, which another pipe has caused.
    """
    if not hasattr(select, "poll"):
        raise error
    output = select.poll()
    output.register(sys.stdout.fileno(), 0)
    if not any(event & select.POLLERR for _, event in output.poll(0)):
        raise error
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python itself writes what is left there
    sys.exit(128 + signal.SIGPIPE)


def _table_of(arguments: list[str]) -> str | None:
    chosen = [each.split("=", 1)[1].split("/")[0] for each in arguments if each.startswith("experiments=")]
    return chosen[-1] if chosen and chosen[-1] in (*tables(), PAPER) else None


def _check_schema(cfg: DictConfig, command: str) -> None:
    """Raise UserError for a config of another kind, which --config-name can name."""
    if OmegaConf.get_type(cfg) is not SCHEMAS[command]:
        raise UserError(
            f"the config that --config-name names is none of {command}: such a file begins with defaults: [{command}, "
            "_self_]. The config.yaml of a run is not given again: resume=RUN goes on with that run, and its "
            "result.json holds the command that made it."
        )


def _check_weights(cfg: DictConfig) -> None:
    """Raise UserError for a checkpoint that is not given or does not exist, before torch is imported."""
    if "checkpoint" not in cfg or cfg.get("validate"):
        return
    path = OmegaConf.select(cfg, "checkpoint")
    if path is None:
        raise UserError("checkpoint is required: type checkpoint=RUN_DIRECTORY, or a file such as best.ckpt.")
    if not is_url(path):
        weights_file(path)


def _check_output(cfg: DictConfig, command: str) -> None:
    """Raise UserError if results cannot be written, before they are computed."""
    key = output_key(command)
    given = OmegaConf.select(cfg, key) if key else None
    # a run directory that is resumed by its path lies where it lies
    if given is None or OmegaConf.select(cfg, "preview") or OmegaConf.select(cfg, "resume") not in (None, "auto"):
        return
    path = Path(given).expanduser().absolute()
    folder = path.parent if path.is_file() else path
    if not is_writable(folder):
        raise UserError(
            f"{key}={given}: {existing(folder)} cannot be written to: type {key}=PATH with a place that you may write "
            "to."
        )
