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


SYSTEM_FOLDERS = frozenset(
    (
        *("@eadir", "#recycle", "@recycle", "$recycle.bin", "system volume information"),
        *("__macosx", "lost+found"),
    )
)
"""Folders of thumbnails, deleted files and the like that Synology's and QNAP's storage, Windows,
macOS and Linux lay among people's own, in small letters."""


def is_hidden(name: str) -> bool:
    """Whether a file or folder is what other programs leave, as ``._a.fits`` or ``@eaDir``."""
    return name.startswith(".") or name.lower() in SYSTEM_FOLDERS
