"""How the raw files of a run are read."""

from dataclasses import dataclass
from pathlib import Path

from scripts.lightstack.files.unread import NOTES
from scripts.lightstack.raw.colour import LUMA, Weights
from scripts.lightstack.raw.image import FIRST, RawImage
from scripts.lightstack.raw.images import read_image
from scripts.lightstack.raw.sections import HEADER, Asked


@dataclass(frozen=True)
class Reading:
    """What the settings say of the reading of raw files.

    Parameters
    ----------
    fits_extension : str or int, optional
        Which image of a FITS file to read: see `lightstack.raw.fits_reader.read_fits`.
    overscan_section, trim_section : str, optional
        What was not exposed and what was: see `lightstack.raw.sections.Asked`.
    unread : Path, optional
        Folder for notes of files that cannot be read.
    """

    fits_extension: str | int = FIRST
    overscan_section: str = HEADER
    trim_section: str = HEADER
    unread: Path = NOTES

    def read(self, path: Path, weights: Weights = LUMA) -> RawImage:
        """Read an image as `lightstack.raw.images.read_image` does."""
        sections = Asked(self.overscan_section, self.trim_section)
        return read_image(path, self.fits_extension, sections, weights)
