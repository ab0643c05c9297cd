"""Decoders that cannot be trusted, in a process of their own."""

import errno
import faulthandler
import json
import math
import mmap
import os
import resource
import signal
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scripts.lightstack.raw.image import UnusableFrameError, damage

SENT_BY_OTHERS = (
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGTERM,
    signal.SIGKILL,
)
"""Signals that a process does not bring upon itself; the last is the kernel's when memory ends."""

MOST_TOLD = 65536
"""Bytes of what is told of a file."""


def computed_apart(
    compute: Callable[[NDArray[np.float32]], None], shape: tuple[int, ...], n_bytes: int
) -> NDArray[np.float32]:
    """Let a process of its own fill an array.

    The decoders of compressed FITS images and of camera raws trust what they decode: damaged files
    make them write beyond their memory, run for ever or expand without bounds.

    Parameters
    ----------
    compute : callable
        Fills the array that it is given.
    shape : tuple of int
        Of the array.
    n_bytes : int
        Size of the file.

    Returns
    -------
    ndarray of float32

    Raises
    ------
    UnusableFrameError
        If the decoder gives up, dies or does not end.
    OSError
        If its process is ended from outside.
    """
    n_pixels = math.prod(shape)
    memory = mmap.mmap(-1, max(4 * n_pixels, 1))
    data = np.frombuffer(memory, np.float32, n_pixels).reshape(shape)
    _run_apart(lambda: compute(data), 10 + n_pixels // 1_000_000, 24 * n_pixels + 4 * n_bytes)
    return data


def told_apart(look: Callable[[], dict[str, Any]], n_bytes: int) -> dict[str, Any]:
    """Let a process of its own look into a file, and tell in JSON what it finds.

    Parameters
    ----------
    look : callable
        Its result is what JSON can hold, in fewer than 64 kB.
    n_bytes : int
        Size of the file.

    Returns
    -------
    dict

    Raises
    ------
    UnusableFrameError, OSError
        As in `computed_apart`.
    """
    memory = mmap.mmap(-1, MOST_TOLD)

    def write() -> None:
        told = json.dumps(look()).encode()
        memory[: len(told)] = told

    _run_apart(write, 10, 4 * n_bytes)
    found: dict[str, Any] = json.loads(memory[:].rstrip(b"\0"))
    return found


def _run_apart(work: Callable[[], None], seconds: int, n_bytes: int) -> None:
    """Run something in a process with so much time [s] and further memory [bytes]."""
    last_words = mmap.mmap(-1, 1000)
    with warnings.catch_warnings(action="ignore"):
        # Python warns of forks beside threads; this child takes no lock that they could hold.
        child = os.fork()
    if child == 0:
        status = 1
        try:
            _limit_this_process(seconds, n_bytes)
            work()
            status = 0
        except UnusableFrameError as error:
            last_words[:] = str(error).encode()[:1000].ljust(1000, b"\0")
        except BaseException as error:  # noqa: BLE001 - nothing may leave a forked process
            last_words[:] = damage(error).encode()[:1000].ljust(1000, b"\0")
        finally:
            os._exit(status)
    _, ended = os.waitpid(child, 0)
    if os.WIFSIGNALED(ended) and os.WTERMSIG(ended) in SENT_BY_OTHERS:
        sent = signal.strsignal(os.WTERMSIG(ended))
        raise OSError(errno.EINTR, f"its decoder was ended from outside ({sent})")
    if os.WIFSIGNALED(ended) and os.WTERMSIG(ended) == signal.SIGXCPU:
        raise UnusableFrameError("cannot be read: the image is damaged (it has no end).")
    if os.WIFSIGNALED(ended):
        raise UnusableFrameError(
            f"cannot be read: the image is damaged ({signal.strsignal(ended & 127)})."
        )
    if ended:
        raise UnusableFrameError(last_words[:].rstrip(b"\0").decode(errors="ignore"))


def _limit_this_process(seconds: int, n_bytes: int) -> None:
    """Bound a forked process' time and further memory, and keep its last words to itself."""
    faulthandler.disable()
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 5))
    used = Path("/proc/self/statm")
    if used.is_file():
        now = int(used.read_text().split()[0]) * resource.getpagesize()
        limit = now + n_bytes + 200_000_000
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
