"""Which files can be frames, by their names."""

import re

IMAGE_NAME = re.compile(
    r"(?P<stem>.+)\.(?:fits|fit|fts)(?:\.gz|\.fz)?|(?P<picture>.+)\.(?:png|jpe?g|tiff?)",
    re.IGNORECASE | re.DOTALL,
)


def is_hidden(name: str) -> bool:
    """Whether a file or folder is hidden: what other programs leave, such as ``._a.fits``."""
    return name.startswith(".")
