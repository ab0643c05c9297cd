"""Which files can be frames, by their names."""

import re

CAMERA_RAWS = ("cr2", "cr3", "nef", "nrw", "arw", "dng", "raf", "orf", "rw2", "pef", "srw")
"""Extensions of the raw files of Canon, Nikon, Sony, Adobe, Fujifilm, Olympus, Panasonic, Pentax
and Samsung, the colour cameras of which LibRaw reads."""

IMAGE_NAME = re.compile(
    r"(?P<stem>.+)\.(?:fits|fit|fts)(?:\.gz|\.fz)?"
    rf"|(?P<picture>.+)\.(?:png|jpe?g|tiff?|{'|'.join(CAMERA_RAWS)})",
    re.IGNORECASE | re.DOTALL,
)


def is_hidden(name: str) -> bool:
    """Whether a file or folder is hidden: what other programs leave, such as ``._a.fits``."""
    return name.startswith(".")
