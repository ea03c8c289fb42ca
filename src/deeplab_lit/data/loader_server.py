"""Preparation of the server process that loader processes are forked from; no other process imports this module.

The server imports what all loaders need, once. Signals to all processes of a training do not end it.
"""

import signal

import deeplab_lit.data.datamodule  # noqa: F401

for _name in ("SIGTERM", "SIGUSR1", "SIGUSR2"):
    if hasattr(signal, _name):
        signal.signal(getattr(signal, _name), signal.SIG_IGN)
