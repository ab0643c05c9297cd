"""Where things are kept that can be made again: beside the code, or else in the home."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path


def places() -> Iterator[Path]:
    """Name the folders: the user's wish, the checkout's, the home's."""
    if wished := os.environ.get("NUMBA_CACHE_DIR"):
        yield Path(wished)
    yield Path(__file__).parent / "__pycache__"
    with suppress(RuntimeError):  # nobody's home
        yield Path.home() / ".cache" / "lightstack"
