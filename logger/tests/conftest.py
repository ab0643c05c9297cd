"""What all tests share."""

import signal
from importlib.util import find_spec
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src/snakemake_logger_plugin_brief"

# A shell's background jobs, and so all that these start, ignore Ctrl-C, which tests send.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_sessionstart() -> None:
    """Refuse to test another plugin than the one beside the tests."""
    found = find_spec(SOURCE.name)
    installed = Path(found.origin).parent if found is not None and found.origin else None
    if installed is None or any(
        path.read_bytes() != (installed / path.name).read_bytes() for path in SOURCE.glob("*.py")
    ):
        message = "The plugin is not installed as it stands here: pip install --no-deps ./logger"
        raise pytest.UsageError(message)
