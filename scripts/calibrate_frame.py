"""Read one raw frame and take its dark off."""

import hashlib
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from scripts.lightstack.calibration.suspicions import sample_of, suspicions
from scripts.lightstack.files.frame_file import (
    FAILURE,
    Frame,
    PixelFile,
    read_header,
    write_failure,
    write_frame,
)
from scripts.lightstack.files.unread import NOTES, note
from scripts.lightstack.job import JobError, job_log
from scripts.lightstack.raw.image import (
    UnreadableFileError,
    UnusableFrameError,
    central_region,
    check_usable,
)
from scripts.lightstack.raw.images import read_image
from scripts.lightstack.raw.orientation import turn_header
from scripts.lightstack.text import DOUBT, printable

if TYPE_CHECKING:
    from astropy.io import fits
    from snakemake.iocontainers import snakemake

BAND_ROWS = 64
"""Rows of a dark that are in memory at a time; a multiple of `SAMPLING`."""

SAMPLING = 8
"""A dark's typical value is the median of every eighth pixel along both axes."""

log = logging.getLogger(__name__)


def run(
    raw: Path,
    frame: Path,
    *,
    sha256: str,
    dark: Path | None,
    master: Path | None,
    turned: bool = False,
    dark_turned: bool = False,
    unstated: str = "",
    saturation_limit: float,
    debug_region: int,
    unread: Path = NOTES,
) -> None:
    """Write a raw frame without its dark, or a file that says why the frame is unusable.

    Parameters
    ----------
    raw : Path
        The raw frame.
    frame : Path
        FITS file to write: pixels [ADU], the saturated ones among them, their level in
        ``SATURATE``, the raw file's step in ``ADUSTEP`` [ADU], and the SHA-256 of the raw pixels
        in ``PIXSHA``: a file that was saved anew has other bytes, and the same pixels.
    sha256 : str
        Digest of the raw frame, for the ledger.
    dark : Path or None
        The dark of the same name.
    master : Path or None
        What `combine_darks` wrote, for a frame without a dark of its own.
    turned : bool
        Whether the frame's rows are to be put into the other order.
    dark_turned : bool
        Whether the dark's rows run the other way than the raw frame's.
    unstated : str
        What the headers of frame and dark leave open, for the ledger.
    saturation_limit : float
        Raw value from which a pixel is saturated [ADU, as `lightstack.raw.scale` has them].
    debug_region : int
        Side of the central square to keep [pixels]; 0 keeps all.
    unread : Path, optional
        Folder for notes of files that cannot be read.
    """
    try:
        image = read_image(raw)
        pixels_sha256 = hashlib.sha256(np.ascontiguousarray(image.data).data).hexdigest()
        name, pixels = _open_dark(dark, master, unread)
        if pixels is not None and pixels.shape != image.data.shape:
            raise JobError(f"{raw}: it had another shape when the run began: run again.")
        region = central_region(image.data.shape, debug_region)
        data, peak = image.data[region], image.peak[region]
        check_usable(data)
        level = min(saturation_limit, image.ceiling, float(np.finfo(np.float32).max))
        saturated = peak >= level
        if pixels is not None:
            before = sample_of(data)
            if dark_turned:
                level -= _subtract(data[::-1], pixels, _mirrored(region, image.data.shape[0]))
            else:
                level -= _subtract(data, pixels, region)
            check_usable(data)
            name = DOUBT.join(filter(None, [name, unstated, *suspicions(before, sample_of(data))]))
    except UnusableFrameError as error:
        if isinstance(error, UnreadableFileError):
            note(unread, raw, error)
        told = str(error).removeprefix(f"{raw.name}: ")
        named = UnusableFrameError(f"{raw.name}: {told}")
        log.warning("Unusable: %s", named)
        write_failure(frame, named, {"RAWSHA": sha256})
        return
    if pixels is None:
        log.warning("There is no dark for %s: it goes on without.", raw)
    header = image.header
    _shift_wcs(header, region)
    if turned:
        data, saturated = data[::-1], saturated[::-1]
        turn_header(header, len(data))
    # They fill their cards: there is no room for comments.
    header["RAWSHA"] = sha256
    header["PIXSHA"] = pixels_sha256
    header["DARK"] = printable(name)
    header["SATURATE"] = (level, "[ADU] level of saturated pixels")
    header["ADUSTEP"] = (image.step, "[ADU] smallest difference in the raw file")
    write_frame(frame, Frame(np.ascontiguousarray(data), header, saturated))


class DarkInMemory:
    """A frame's own dark, read as a master is."""

    def __init__(self, pixels: NDArray[np.float32]) -> None:
        self.shape, self._pixels = pixels.shape, pixels

    def read_rows(self, first: int, last: int) -> NDArray[np.float32]:
        """Give rows `first` to `last`, the latter not included."""
        return self._pixels[first:last]


def _open_dark(
    dark: Path | None, master: Path | None, unread: Path
) -> tuple[str, DarkInMemory | PixelFile | None]:
    """Name and pixels of the dark to subtract; "none" and None if there is none to be read."""
    if dark is not None:
        try:
            return dark.name, DarkInMemory(read_image(dark).data)
        except UnusableFrameError as error:
            note(unread, dark, error)
    if master is not None:
        header = read_header(master)
        if FAILURE not in header:
            return header["DARKNAME"], PixelFile(master)
    return "none", None


def _subtract(
    data: NDArray[np.float32], dark: DarkInMemory | PixelFile, region: tuple[slice, slice]
) -> float:
    """Subtract a region of a dark, some rows at a time; return the dark's typical value [ADU]."""
    rows, columns = region
    top = rows.start
    some = []
    for first in range(0, dark.shape[0], BAND_ROWS):
        last = min(first + BAND_ROWS, dark.shape[0])
        band = dark.read_rows(first, last)
        some.append(band[::SAMPLING, ::SAMPLING])
        start, stop = max(first, top), min(last, top + len(data))
        if start < stop:
            data[start - top : stop - top] -= band[start - first : stop - first, columns]
    values = np.concatenate(some)
    values = values[np.isfinite(values)]
    return float(np.median(values)) if values.size else 0.0


def _mirrored(region: tuple[slice, slice], n_rows: int) -> tuple[slice, slice]:
    """Give a region of an image as one of the same image with its rows in the other order."""
    first, last, _ = region[0].indices(n_rows)
    return slice(n_rows - last, n_rows - first), region[1]


def _shift_wcs(header: "fits.Header", region: tuple[slice, slice]) -> None:
    """Let the world coordinates follow when rows and columns are cut off."""
    rows, columns = region
    for key, cut in (("CRPIX1", columns.start), ("CRPIX2", rows.start)):
        value: Any = header.get(key)
        if cut and isinstance(value, int | float):
            header[key] = value - cut


if "snakemake" in globals():
    with job_log(snakemake):
        run(
            Path(snakemake.input.raw),
            Path(snakemake.output.frame),
            sha256=snakemake.params.sha256,
            dark=Path(snakemake.input.dark) if snakemake.input.dark else None,
            master=Path(snakemake.input.master) if snakemake.input.master else None,
            **snakemake.params.facts,
            **snakemake.params.settings,
        )
