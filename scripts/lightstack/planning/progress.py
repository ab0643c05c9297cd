"""How far the reading of new files has come: told, and kept, from time to time."""

import time
from collections.abc import Callable

QUIET_S = 2.0
"""Reading that takes no longer is not told of."""

TOLD_EVERY_S = 1.0

KEPT_EVERY_S = 5.0


class Progress:
    """What is called after each file.

    Parameters
    ----------
    say : function of str
        Is told how far the reading has come.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._kept_at = time.monotonic()
        self._told_at = self._kept_at + QUIET_S - TOLD_EVERY_S

    def step(self, line: str) -> bool:
        """Tell a line if it is time to, and return whether it is time to keep what was read."""
        now = time.monotonic()
        if now - self._told_at >= TOLD_EVERY_S:
            self._told_at = now
            self._say(line)
        is_time = now - self._kept_at >= KEPT_EVERY_S
        self._kept_at = now if is_time else self._kept_at
        return is_time
