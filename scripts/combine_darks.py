"""Combine the darks of each kind into a master: their median, pixel by pixel."""

import logging
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from scripts.lightstack.darks import Exposure, exposure_of, kinds
from scripts.lightstack.fits import append_image, atomic_write, printable
from scripts.lightstack.images import UnusableFrameError, read_image
from scripts.lightstack.job import job_log

if TYPE_CHECKING:
    from astropy.io import fits
    from snakemake.iocontainers import snakemake

BAND_BYTES = 100_000_000

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

    exposures, headers = _exposures(darks)
    with atomic_write(masters) as file:
        fits.PrimaryHDU().writeto(file)
        for exposure, names in kinds(exposures, dark_temperature_tolerance):
            header = headers[names[0]]
            header["NCOMBINE"] = (len(names), "darks combined")
            header["DARKNAME"] = printable(_describe(exposure, len(names)))
            log.info("%s: %s", header["DARKNAME"], ", ".join(names))
            master = _median([Path(name) for name in names], exposure.shape, masters.parent)
            append_image(file, fits.ImageHDU(master, header))


def _exposures(darks: list[Path]) -> tuple[dict[str, Exposure], dict[str, "fits.Header"]]:
    """How each readable dark was taken, and its header."""
    exposures, headers = {}, {}
    for path in darks:
        try:
            image = read_image(path)
        except UnusableFrameError as error:
            log.warning("This dark is left out: %s", error)
            continue
        exposures[str(path)] = exposure_of(image.header, image.data.shape)
        headers[str(path)] = image.header
    return exposures, headers


def _describe(exposure: Exposure, count: int) -> str:
    ny, nx = exposure.shape
    values: list[tuple[str, Any]] = [
        ("{:g} s", exposure.exptime),
        ("{:.1f} degC", exposure.temperature),
        ("gain {:g}", exposure.gain),
    ]
    known = [text.format(value) for text, value in values if value is not None]
    return " ".join([f"master of {count}:", *known, f"{nx} x {ny}"])


def _median(paths: list[Path], shape: tuple[int, int], folder: Path) -> NDArray[np.float32]:
    """Median of images that need not fit into memory together."""
    from scripts.lightstack.combining import combine

    ny, nx = shape
    rows = max(1, BAND_BYTES // (len(paths) * nx * 4))
    master = np.empty(shape, np.float32)
    with tempfile.TemporaryFile(dir=folder) as scratch:
        for path in paths:
            read_image(path).data.tofile(scratch)
        scratch.flush()
        cube = np.memmap(scratch, np.float32, "r", shape=(len(paths), ny, nx))
        for start in range(0, ny, rows):
            band = np.ascontiguousarray(cube[:, start : start + rows])
            master[start : start + rows] = combine(band, ("median",)).images["median"]
    return master


if "snakemake" in globals():
    with job_log(snakemake):
        run(
            [Path(dark) for dark in snakemake.input.darks],
            Path(snakemake.output.masters),
            **snakemake.params.settings,
        )
