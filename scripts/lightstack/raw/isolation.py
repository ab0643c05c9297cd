"""Decoders that cannot be trusted, in a process of their own."""

import errno
import faulthandler
import math
import mmap
import os
import resource
import signal
import warnings
from collections.abc import Callable
from pathlib import Path

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


def computed_apart(
    compute: Callable[[NDArray[np.float32]], None], shape: tuple[int, ...], n_bytes: int
) -> NDArray[np.float32]:
    """Let a process of its own fill an array.

    The decoders of compressed FITS images trust what they decode: damaged tiles make them write
    beyond their memory, run for ever or expand without bounds.
    """
    n_pixels = math.prod(shape)
    memory = mmap.mmap(-1, 4 * n_pixels + 1000)
    data = np.frombuffer(memory, np.float32, n_pixels).reshape(shape)
    with warnings.catch_warnings(action="ignore"):
        # Python warns of forks beside threads; this child takes no lock that they could hold.
        child = os.fork()
    if child == 0:
        status = 1
        try:
            _limit_this_process(10 + n_pixels // 1_000_000, 24 * n_pixels + 4 * n_bytes)
            compute(data)
            status = 0
        except BaseException as error:  # noqa: BLE001 - nothing may leave a forked process
            memory[4 * n_pixels :] = damage(error).encode()[:1000].ljust(1000, b"\0")
        finally:
            os._exit(status)
    _, ended = os.waitpid(child, 0)
    if os.WIFSIGNALED(ended) and os.WTERMSIG(ended) in SENT_BY_OTHERS:
        sent = signal.strsignal(os.WTERMSIG(ended))
        raise OSError(errno.EINTR, f"its decoder was ended from outside ({sent})")
    if os.WIFSIGNALED(ended) and os.WTERMSIG(ended) == signal.SIGXCPU:
        raise UnusableFrameError(
            "cannot be read: the compressed image is damaged (it has no end)."
        )
    if os.WIFSIGNALED(ended):
        raise UnusableFrameError(
            f"cannot be read: the compressed image is damaged ({signal.strsignal(ended & 127)})."
        )
    if ended:
        raise UnusableFrameError(memory[4 * n_pixels :].rstrip(b"\0").decode(errors="ignore"))
    return data


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
