"""Guarded logger: another logger whose errors end its logging and not the run."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from typing import Any

from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import Logger

from deeplab_lit.training.log import log
from deeplab_lit.utils.errors import Interrupted, one_line


class GuardedLogger(Logger):
    """Passes each call on to another logger, until one of them raises: it warns once, and no further call is passed on.

    Args:
        inner: the other logger.
        title: the name of the other logger in the warning, such as ``"W&B"``.
    """

    def __init__(self, inner: Logger, title: str) -> None:
        super().__init__()
        self.inner, self.title, self.failed = inner, title, False

    def attempt(self, action: Callable[..., Any], *arguments: Any, **options: Any) -> None:
        """Call ``action`` with the arguments unless a call has failed before.

        Raises:
            Interrupted: a signal came during the call.
        """
        if self.failed:
            return
        try:
            action(*arguments, **options)
        except Interrupted:
            raise
        except Exception as error:
            self.failed = True
            warn_without(self.title, error)

    @property
    def name(self) -> str | None:
        return self.inner.name

    @property
    def version(self) -> int | str | None:
        return self.inner.version

    @property
    def save_dir(self) -> str | None:
        return self.inner.save_dir

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        self.attempt(self.inner.log_metrics, metrics, step)

    def log_hyperparams(self, params: dict[str, Any] | Namespace, *arguments: Any, **options: Any) -> None:
        self.attempt(self.inner.log_hyperparams, params, *arguments, **options)

    def log_graph(self, *arguments: Any, **options: Any) -> None:
        self.attempt(self.inner.log_graph, *arguments, **options)

    def save(self) -> None:
        self.attempt(self.inner.save)

    def after_save_checkpoint(self, checkpoint_callback: ModelCheckpoint) -> None:
        self.attempt(self.inner.after_save_checkpoint, checkpoint_callback)

    def finalize(self, status: str) -> None:
        self.attempt(self.inner.finalize, status)


def warn_without(title: str, error: Exception) -> None:
    """Log a warning that a logger has failed and that the run goes on without it."""
    log.warning("%s failed (%s): the run goes on without it", title, one_line(error))
