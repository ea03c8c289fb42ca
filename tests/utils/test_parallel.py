"""Stages that overlap: order, laziness, errors."""

import subprocess
import sys
import threading
import time

import pytest

from deeplab_lit.utils.parallel import ahead


def test_results_come_in_order_whatever_ends_first():
    def work(i):
        time.sleep(0.02 * (3 - i % 4))
        return i * i

    assert list(ahead(work, range(12), 3)) == [i * i for i in range(12)]


def test_no_more_than_a_few_items_are_in_hand():
    taken, given = [], []

    def items():
        for i in range(50):
            taken.append(i)
            yield i

    for result in ahead(lambda i: i, items(), 2):
        given.append(result)
        assert len(taken) - len(given) <= 2 + 3


def test_the_caller_and_the_threads_work_at_the_same_time():
    """Each item waits for the next one to have been taken, which without overlap never happens."""
    events = [threading.Event() for _ in range(6)]

    def items():
        for i in range(6):
            events[i].set()
            yield i

    def work(i):
        assert i == 5 or events[i + 1].wait(10)
        return i

    assert list(ahead(work, items(), 2)) == list(range(6))


def test_an_error_comes_up_where_its_result_is_due():
    def work(i):
        if i == 3:
            raise ValueError("three")
        return i

    results = ahead(work, range(100), 2)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="three"):
        next(results)


def test_a_script_without_a_main_guard_is_told_what_it_lacks(tmp_path):
    """Python starts it anew in each process, up to the line that would start processes."""
    script = tmp_path / "script.py"
    script.write_text(
        "from deeplab_lit.utils.parallel import spread\nprint(sum(spread(abs, list(range(100)), 'the work')))\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=300)
    assert "was killed in the work" in done.stderr and 'below if __name__ == "__main__":' in done.stderr
