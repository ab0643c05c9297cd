"""Work shared among forks of a job's process.

Alignment is Python, SciPy and astroalign, which hold the GIL: threads would take turns. A fork
starts in a millisecond with all that is imported and read, and hands its results back as JSON
through a pipe. Forking is safe as no job starts threads of Python before it does so; those of
OpenBLAS are stopped by OpenBLAS itself.
"""

import json
import os
import signal
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple, TypeVar

Item = TypeVar("Item")


class _Child(NamedTuple):
    pid: int
    results: int  # file descriptor


def map_in_forks(
    function: Callable[[Item], Any], items: Sequence[Item], n_processes: int
) -> list[Any]:
    """Call a function on each item, in as many processes.

    Parameters
    ----------
    function : callable
        Its result is what JSON can hold. What else it does stays in the fork.
    items : sequence
        The first is done before the forks, which then have what it imported.
    n_processes : int
        This one is among them.

    Returns
    -------
    list
        The results in the order of the items, the same for any number of processes.

    Raises
    ------
    Exception
        What the function raises: what a fork could not do, for an exception or as it was killed,
        is done again by this process.
    """
    first, rest = [function(item) for item in items[:1]], items[1:]
    n_shares = max(1, min(n_processes, len(rest)))
    own, *others = (rest[k::n_shares] for k in range(n_shares))
    results: list[Any] = [None] * len(rest)
    with _forks(function, others) as children:
        results[::n_shares] = [function(item) for item in own]
        for k, (child, share) in enumerate(zip(children, others, strict=True), start=1):
            found = _results_of(child)
            if found is None:
                found = [function(item) for item in share]
            results[k::n_shares] = found
    return first + results


@contextmanager
def _forks(
    function: Callable[[Item], Any], shares: list[Sequence[Item]]
) -> Iterator[list[_Child]]:
    """Fork for each share; whatever happens, none is left behind."""
    children: list[_Child] = []
    try:
        children.extend(_fork(function, share) for share in shares)
        yield children
    finally:
        for child in children:
            os.close(child.results)
            with suppress(ProcessLookupError):
                os.kill(child.pid, signal.SIGKILL)
            os.waitpid(child.pid, 0)


def _fork(function: Callable[[Item], Any], share: Sequence[Item]) -> _Child:
    receiver, sender = os.pipe()
    parent = os.getpid()
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        pid = os.fork()  # newer Python warns of any thread, OpenBLAS's too
    if pid:
        os.close(sender)
        return _Child(pid, receiver)
    # The parent's clean-up and messages are not the child's.
    with suppress(BaseException):
        os.close(receiver)
        found = []
        for item in share:
            if os.getppid() != parent:
                os._exit(1)
            found.append(function(item))
        with os.fdopen(sender, "w", encoding="utf-8") as pipe:
            json.dump(found, pipe)
    os._exit(0)


def _results_of(child: _Child) -> list[Any] | None:
    """Read what a child found; None if it did not come to its end."""
    with os.fdopen(child.results, encoding="utf-8", closefd=False) as pipe:
        text = pipe.read()
    try:
        found: list[Any] = json.loads(text)
    except ValueError:
        return None
    return found
