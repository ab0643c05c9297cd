"""Combine the darks of each kind into a master: their median, pixel by pixel."""

import logging
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from scripts.lightstack.darks import Exposure, exposure_of, kinds
from scripts.lightstack.fits import append_image, atomic_write, printable
from scripts.lightstack.images import UnusableFrameError, read_image
from scripts.lightstack.job import job_log

if TYPE_CHECKING:
    from astropy.io import fits
    from snakemake.iocontainers import snakemake

BAND_BYTES = 30_000_000

log = logging.getLogger(__name__)


def run(darks: list[Path], masters: Path, *, dark_temperature_tolerance: float) -> None:
    """Write one file with a master dark per kind.

    Parameters
    ----------
    darks : list of Path
        Raw darks of any kinds; one that cannot be read is left out with a warning.
    masters : Path
        FITS file to write: per kind one image [ADU] with the header of its first dark,
        ``NCOMBINE`` and ``DARKNAME``.
    dark_temperature_tolerance : float
        Largest difference of temperature within a kind [degrees Celsius].
    """
    from astropy.io import fits

    with atomic_write(masters) as file, tempfile.TemporaryFile(dir=masters.parent) as scratch:
        fits.PrimaryHDU().writeto(file)
        stored = _store(darks, scratch)
        exposures = {name: dark.exposure for name, dark in stored.items()}
        for exposure, names in kinds(exposures, dark_temperature_tolerance):
            header = stored[names[0]].header
            header["NCOMBINE"] = (len(names), "darks combined")
            header["DARKNAME"] = printable(_describe(exposure, len(names)))
            log.info("%s: %s", header["DARKNAME"], ", ".join(names))
            master = _median([stored[name].pixels for name in names])
            append_image(file, fits.ImageHDU(master, header))


@dataclass(frozen=True)
class _Dark:
    """A dark whose pixels lie on disk: darks need not fit into memory together."""

    exposure: Exposure
    header: "fits.Header"
    pixels: NDArray[np.float32]


def _store(darks: list[Path], scratch: IO[bytes]) -> dict[str, _Dark]:
    """Decode each readable dark once, into one file."""
    stored = {}
    for path in darks:
        try:
            image = read_image(path)
        except UnusableFrameError as error:
            log.warning("This dark is left out: %s", error)
            continue
        offset = scratch.tell()
        scratch.write(np.ascontiguousarray(image.data).data)
        scratch.flush()
        shape = image.data.shape
        pixels = np.memmap(scratch, np.float32, "r", offset, shape)
        stored[str(path)] = _Dark(exposure_of(image.header, shape), image.header, pixels)
    return stored


def _describe(exposure: Exposure, count: int) -> str:
    ny, nx = exposure.shape
    values: list[tuple[str, Any]] = [
        ("{:g} s", exposure.exptime),
        ("{:.1f} degC", exposure.temperature),
        ("gain {:g}", exposure.gain),
    ]
    known = [text.format(value) for text, value in values if value is not None]
    return " ".join([f"master of {count}:", *known, f"{nx} x {ny}"])


def _median(darks: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Median of images, a band of rows at a time."""
    from scripts.lightstack.combining import combine

    ny, nx = darks[0].shape
    rows = max(1, BAND_BYTES // (len(darks) * nx * 4))
    master = np.empty((ny, nx), np.float32)
    for start in range(0, ny, rows):
        band = np.stack([dark[start : start + rows] for dark in darks])
        master[start : start + rows] = combine(band, ("median",)).images["median"]
    return master


if "snakemake" in globals():
    with job_log(snakemake):
        run(
            [Path(dark) for dark in snakemake.input.darks],
            Path(snakemake.output.masters),
            **snakemake.params.settings,
        )
