"""The log of a training: the screen and the file train.log, without the messages of other libraries."""

from __future__ import annotations

import logging
import sys
import warnings
from pathlib import Path

log = logging.getLogger("deeplab_lit")


def quiet_libraries() -> None:
    """Silence Lightning's info messages, which the summary replaces, and warnings about what is intended here."""
    for name in ("lightning.pytorch", "lightning.fabric", "lightning"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for text in (
        ".*does not have many workers.*",
        ".*dataloader is not resumable.*",
        ".*Checkpoint directory .* exists and is not empty.*",
        ".*tensorboardX.*",
        ".*but have no `val_dataloader`.*",
        ".*`isinstance.treespec, LeafSpec.` is deprecated.*",
        ".*The number of training batches.*",
        # batch normalisation with frozen statistics stays in eval mode; the metric itself sums over processes
        ".*module.s. in eval mode at the start of training.*",
        ".*It is recommended to use .self.log.*sync_dist=True.*",
    ):
        warnings.filterwarnings("ignore", text)


def log_to(path: Path) -> None:
    """Send this library's log to the screen and to a file, which a resumed run continues."""
    log.setLevel(logging.INFO)
    log.propagate = False
    for handler in log.handlers[:]:
        log.removeHandler(handler)
        handler.close()
    screen, file = logging.StreamHandler(sys.stdout), logging.FileHandler(path, encoding="utf-8")
    screen.setFormatter(logging.Formatter("%(message)s"))
    file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    log.addHandler(screen)
    log.addHandler(file)
