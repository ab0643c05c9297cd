"""Work in forks gives what work in one process gives, whatever becomes of a fork."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from scripts.lightstack.forks import map_in_forks

HERE = os.getpid()


def children() -> list[str]:
    tasks = Path("/proc/self/task").iterdir()
    return [pid for task in tasks for pid in (task / "children").read_text().split()]


@pytest.mark.parametrize("n_items", [0, 1, 2, 3, 7, 100])
@pytest.mark.parametrize("n_processes", [1, 2, 3, 200])
def test_results_have_the_order_of_the_items(n_items: int, n_processes: int) -> None:
    items = [k / 3 for k in range(n_items)]
    before = children()
    assert map_in_forks(lambda x: x * 0.1, items, n_processes) == [x * 0.1 for x in items]
    assert children() == before


def test_the_work_is_shared() -> None:
    used = map_in_forks(lambda _: os.getpid(), range(40), 4)
    assert sorted(used.count(pid) for pid in set(used)) == [9, 10, 10, 11]


def test_results_may_be_longer_than_a_pipe() -> None:
    assert map_in_forks(lambda k: [k] * 100_000, range(6), 3) == [[k] * 100_000 for k in range(6)]


def killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def out_of_memory() -> None:
    raise MemoryError


def ended() -> None:
    os._exit(0)


@pytest.mark.parametrize("fate", [killed, out_of_memory, ended])
def test_what_a_fork_does_not_finish_is_done_here(fate: Callable[[], None]) -> None:
    here = os.getpid()

    def work(item: int) -> int:
        if item == 5 and os.getpid() != here:
            fate()
        return item * item

    assert map_in_forks(work, range(12), 3) == [k * k for k in range(12)]


@pytest.mark.parametrize("bad", [0, 1, 2, 11])
def test_errors_arise_here_with_their_name_and_no_fork_is_left(bad: int) -> None:
    here = os.getpid()

    def work(item: int) -> int:
        if item == bad:
            raise PermissionError(13, "Permission denied", "stars.fits")
        if os.getpid() != here and bad == 0:
            time.sleep(600)
        return item

    before = children()
    with pytest.raises(PermissionError) as error:
        map_in_forks(work, range(12), 3)
    assert error.value.filename == "stars.fits"
    assert children() == before


def test_an_error_here_does_not_wait_for_the_forks() -> None:
    here = os.getpid()

    def work(item: int) -> int:
        if os.getpid() != here:
            time.sleep(600)
        if item:
            raise OSError(5, "Input/output error")
        return item

    before = children()
    with pytest.raises(OSError, match="Input/output"):
        map_in_forks(work, range(12), 3)
    assert children() == before
