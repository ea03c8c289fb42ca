"""Memory that a program frees and asks for again."""

import os
import platform
import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys
import numpy as np
from deeplab_lit.utils.freed_memory import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        np.ones(2**23)  # 64 MiB, 16384 pages
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

faults()
as_it_was = faults()
keep_freed_memory()
faults()
print(as_it_was, faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="of glibc alone")
def test_pages_are_not_zeroed_again_unless_the_user_has_set_malloc():
    def run(**settings):
        # numpy asks for huge pages, of which there are fewer
        environment = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
        environment |= {"NUMPY_MADVISE_HUGEPAGE": "0", **settings}
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True
        )
        return map(int, done.stdout.split())

    before, after = run()
    assert before > 10 * 2**14 * 0.9 and after < 2**14 / 10
    before, after = run(MALLOC_ARENA_MAX="4")
    assert after > 10 * 2**14 * 0.9
