"""A bound on what reading a file may take."""

import resource
import warnings
from pathlib import Path

import pytest

ROOM = 4 << 30  # bytes of address space beyond what the process has


@pytest.fixture
def bounded():
    """No input may take more memory than this."""
    held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (held + ROOM, before[1]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
    resource.setrlimit(resource.RLIMIT_AS, before)
