"""A raw frame freed of dark, bias and flat, with all that is known of its pixels."""

import hashlib
import logging
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from scripts.lightstack.calibration.amplifiers import doubt_of_halves
from scripts.lightstack.calibration.bad_pixels import find_bad_pixels
from scripts.lightstack.calibration.cosmic_rays import find_cosmic_rays
from scripts.lightstack.calibration.division import divide
from scripts.lightstack.calibration.glow import doubt_of_glow
from scripts.lightstack.calibration.masters import open_master, why_unusable
from scripts.lightstack.calibration.pattern import doubt_of_grey
from scripts.lightstack.calibration.reading import Reading
from scripts.lightstack.calibration.subtraction import Region, RowsInMemory, sample_of_rows
from scripts.lightstack.calibration.suspicions import sampling
from scripts.lightstack.calibration.taken_off import Opened, Scaling, TakenOff, take_off
from scripts.lightstack.files.unread import note
from scripts.lightstack.job import JobError
from scripts.lightstack.raw.bayer import PATTERN_DOUBT, bayer_pattern
from scripts.lightstack.raw.colour import LUMA, Weights
from scripts.lightstack.raw.exposure import exposure_of
from scripts.lightstack.raw.image import (
    RawImage,
    UnreadableFileError,
    UnusableFrameError,
    central_region,
    check_usable,
)
from scripts.lightstack.raw.no_data import blank_blocks, blank_garbage, blank_repeats
from scripts.lightstack.raw.overscan import let_follow, without_overscan
from scripts.lightstack.raw.saturation import pile_up
from scripts.lightstack.text import DOUBT, NOTHING_USED, printable

if TYPE_CHECKING:
    from astropy.io import fits

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Calibrated:
    """A raw frame without dark, bias and flat, as it lies in its file.

    Parameters
    ----------
    data : (ny, nx) ndarray of float32
        Pixels [ADU], NaN where there is no data: a mosaic is still one.
    header : astropy.io.fits.Header
        Its cards, and those of what was found.
    saturated : (ny, nx) ndarray of bool
        Saturated pixels.
    level : float
        Level of saturated pixels [ADU].
    step : float
        Smallest difference in the raw file [ADU].
    names : dict of str to str
        What was used, by "dark", "bias" and "flat".
    no_data_share : float
        Share of the pixels without data, bad ones aside.
    pixels_sha256 : str
        Digest of the raw pixels; empty if it was not wanted.
    """

    data: NDArray[np.float32]
    header: "fits.Header"
    saturated: NDArray[np.bool_]
    level: float
    step: float
    names: dict[str, str]
    no_data_share: float
    pixels_sha256: str

    def note(self, sha256: str) -> None:
        """Put into the header what the ledger tells, with the digest of the raw file."""
        # They fill their cards: there is no room for comments.
        self.header["RAWSHA"] = sha256
        if self.pixels_sha256:
            self.header["PIXSHA"] = self.pixels_sha256
        for noun, name in self.names.items():
            self.header[noun.upper()] = printable(name)
        share = self.no_data_share
        self.header["NODATA"] = (share, "share of pixels without data, bad ones aside")


def calibrate(
    raw: Path,
    masters: Mapping[str, Path],
    *,
    mirrored: Collection[str],
    unstated: Mapping[str, str],
    dark_factor: float | None,
    finds_sharp_pixels: bool,
    saturation_limit: float,
    dark_scaling: str,
    doubtful_darks: str,
    cosmic_rays: str,
    debug_region: int,
    weights: Weights = LUMA,
    identified: bool = True,
    **reading: Any,
) -> Calibrated:
    """Free a raw frame of dark, bias and flat.

    Parameters
    ----------
    raw : Path
        The raw frame.
    masters : dict of str to Path
        What to use: "own", the dark of the frame's name, the masters "dark", "bias" and "flat",
        and the map "bad_pixels"; those that are not there are left out. What does harm is not
        used, but the next of "own", "dark" and "bias".
    mirrored : collection of str
        For which of "own", "dark", "bias", "flat" and "bad_pixels" the rows run the other way
        than the raw frame's.
    unstated : dict of str to str
        What the headers of the frame and one of these leave open, for the ledger.
    dark_factor : float or None
        Exposure of the frame over that of its dark; None if that is not to be scaled. What it
        was scaled by stands in ``DARKFAC`` then.
    finds_sharp_pixels : bool
        Whether bad pixels are looked for in the frame itself if its dark would do harm.
    saturation_limit : float
        Raw value from which a pixel is saturated [ADU, as `lightstack.raw.scale` has them], unless
        the frame's own pixels pile up below.
    dark_scaling : str
        "optimize" looks for the factor that leaves the least noise.
    doubtful_darks : str
        "skip" leaves out a dark that makes the frame worse; "use" takes it nonetheless.
    cosmic_rays : str
        "lacosmic" finds cosmic rays, which have no data then; "none" does not. ``COSMICS`` counts
        their pixels.
    debug_region : int
        Side of the central square to keep [pixels]; 0 keeps all.
    weights : (float, float, float), optional
        Of red, green and blue where pixels have all three.
    identified : bool, optional
        Whether to tell the digest of the raw pixels, which takes as long as reading them.
    **reading
        How raw files are read: see `lightstack.calibration.reading.Reading`.

    Returns
    -------
    Calibrated

    Raises
    ------
    UnusableFrameError
        If there is no usable image in the file; the sentence names it and the cause.
    """
    how = Reading(**reading)
    with _telling_of(raw, how.unread):
        image, level, overscan, pixels_sha256 = _read(
            raw, how, weights, saturation_limit, identified=identified
        )
        header = image.header
        region = central_region(image.data.shape, debug_region)
        data = image.data[region]
        check_usable(data)
        saturated = image.peak[region] >= level
        if image.peak is not image.data:
            saturated &= ~np.isnan(data)
        opened = _opened(masters, mirrored, how, weights)
        if any(each.pixels.shape != image.data.shape for each in opened.values()):
            raise JobError(f"{raw}: it had another shape when the run began: run again.")
        is_mosaic = bayer_pattern(header) is not None
        saturation = level - overscan
        optimize = dark_scaling == "optimize"
        taken = take_off(
            data,
            region,
            opened,
            unstated,
            None if dark_factor is None else Scaling(dark_factor, optimize, saturation),
            period=2 if is_mosaic else 1,
            at_any_price=doubtful_darks == "use",
        )
        _tell_of_colours(image, data)
        period = 2 if is_mosaic or PATTERN_DOUBT in header else 1
        of_flat = _divide(data, region, opened, masters, unstated, period)
        names = {**taken.names, **of_flat}
        if doubt := doubt_of_halves(data):
            names["flat"] = DOUBT.join([names.get("flat", NOTHING_USED), doubt])
        if "dark" in masters and "dark" not in opened and not taken.is_dark:
            names["dark"] = DOUBT.join([names["dark"], why_unusable(masters["dark"])])
        if taken.used and taken.is_dark and "flat" in opened:
            doubt = _doubt_of_dark(data, region, taken.used, opened["flat"], is_mosaic=is_mosaic)
            names["dark"] = DOUBT.join(filter(None, [names["dark"], doubt]))
        no_data_share = np.count_nonzero(np.isnan(data)) / data.size
        # A map that is made of the dark tells of another sensor's pixels.
        looks_itself = finds_sharp_pixels and not taken.is_dark
        marks = None if looks_itself else opened.get("bad_pixels")
        if looks_itself or marks is not None:
            _blank_bad_pixels(data, saturated, header, marks, region)
        if cosmic_rays == "lacosmic":
            _blank_cosmic_rays(data, saturated, header)
        _tell_of_masters(header, taken, opened.get("flat"))
        if opened:
            check_usable(data)
        if not {"own", "dark"} & set(opened):
            log.warning("There is no dark for %s: it goes on without.", raw)
    let_follow(header, region[1].start or 0, region[0].start or 0)
    return Calibrated(
        data,
        header,
        saturated,
        saturation - taken.level,
        image.step,
        names,
        no_data_share,
        pixels_sha256,
    )


@contextmanager
def _telling_of(raw: Path, unread: Path) -> Iterator[None]:
    """Let the sentence of an error name the frame; note a file that cannot be read."""
    try:
        yield
    except UnusableFrameError as error:
        if isinstance(error, UnreadableFileError):
            note(unread, raw, error)
        told = str(error).removeprefix(f"{raw.name}: ")
        raise UnusableFrameError(f"{raw.name}: {told}") from error


def _read(
    raw: Path,
    reading: Reading,
    weights: Weights,
    saturation_limit: float,
    *,
    identified: bool,
) -> tuple[RawImage, float, float, str]:
    """Read a frame's data; tell its saturation and overscan [ADU], and the pixels' digest."""
    image = reading.read(raw, weights)
    pixels_sha256 = ""
    if identified:
        pixels_sha256 = hashlib.sha256(np.ascontiguousarray(image.data).data).hexdigest()
    saturation = _saturation(image, saturation_limit)
    blank_blocks(image.data, saturation)
    blank_garbage(image.data)
    blank_repeats(image.data)
    image, level = without_overscan(image)
    if level:
        image.header["OSCANADU"] = (level, "[ADU] level of the overscan")
    return image, saturation, level, pixels_sha256


def _saturation(image: RawImage, limit: float) -> float:
    """Tell from where on pixels are saturated [ADU]; what was found goes into the header."""
    level = min(limit, image.ceiling, float(np.finfo(np.float32).max))
    top = pile_up(image.peak, image.step)
    if top is None or top >= level:
        return level
    image.header["SATFOUND"] = (top, "[ADU] where raw pixels pile up")
    return top


def _opened(
    masters: Mapping[str, Path],
    mirrored: Collection[str],
    reading: Reading,
    weights: Weights,
) -> dict[str, Opened]:
    """Open what is there and can be read."""
    found = {}
    for noun in ("dark", "bias", "flat", "bad_pixels"):
        if noun in masters and (master := open_master(masters[noun], weights)):
            found[noun] = Opened(*master)
    if "own" in masters:
        own = masters["own"]
        try:
            image, _ = without_overscan(reading.read(own, weights))
            found["own"] = Opened(own.name, RowsInMemory(image.data))
        except UnusableFrameError as error:
            note(reading.unread, own, error)
    return {noun: replace(each, is_turned=noun in mirrored) for noun, each in found.items()}


def _divide(
    data: NDArray[np.float32],
    region: Region,
    opened: Mapping[str, Opened],
    masters: Mapping[str, Path],
    unstated: Mapping[str, str],
    period: int,
) -> dict[str, str]:
    """Divide by the flat, in place; give what the ledger tells of it, if there is one."""
    if "flat" not in masters:
        return {}
    if "flat" not in opened:
        return {"flat": DOUBT.join([NOTHING_USED, why_unusable(masters["flat"])])}
    flat = opened["flat"]
    doubt = divide(data, flat.pixels, region, is_turned=flat.is_turned, period=period)
    return {"flat": DOUBT.join(filter(None, [flat.name, unstated.get("flat", ""), doubt]))}


def _doubt_of_dark(
    data: NDArray[np.float32], region: Region, dark: Opened, flat: Opened, *, is_mosaic: bool
) -> str:
    """Tell what the sky says of a dark, once the flat has made it even."""
    step = sampling((data.shape[0], data.shape[1]), 2 if is_mosaic else 1)
    of_dark, of_flat = (
        sample_of_rows(each.pixels, region, step, is_turned=each.is_turned)
        for each in (dark, flat)
    )
    return doubt_of_glow(data[::step, ::step], of_dark, of_flat)


def _tell_of_colours(image: RawImage, data: NDArray[np.float32]) -> None:
    """Tell of colours in a frame that should have none, before a flat hides them."""
    is_grey = bayer_pattern(image.header) is None and image.peak is image.data
    if is_grey and (doubt := doubt_of_grey(data)):
        image.header[PATTERN_DOUBT] = doubt


def _tell_of_masters(header: "fits.Header", taken: TakenOff, flat: Opened | None) -> None:
    """Tell the factor of the dark, and the noise of masters: all that they calibrate share it."""
    if taken.factor is not None:
        header["DARKFAC"] = (taken.factor, "factor of the dark beyond its bias")
    if taken.used and taken.used.noise > 0:
        header["DARKNOIS"] = (taken.used.noise, "[ADU] noise of the master dark or bias")
        header["NDARKS"] = (taken.used.n_combined, "darks or bias frames in that master")
    if flat and flat.noise > 0:
        header["FLATNOIS"] = (flat.noise, "noise of the master flat, share of the light")


def _blank_bad_pixels(
    data: NDArray[np.float32],
    saturated: NDArray[np.bool_],
    header: "fits.Header",
    marks: Opened | None,
    region: Region,
) -> None:
    """Put NaN, in place, where a map has bad pixels or, without one, the frame itself."""
    if marks is None:
        is_mosaic = bayer_pattern(header) is not None
        bad = find_bad_pixels(data, is_mosaic=is_mosaic, shows_sky=True)
    else:
        rows = marks.in_order
        bad = (rows.read_rows(0, rows.shape[0]) > 0)[region]
    data[bad], saturated[bad] = np.nan, False
    header["BADPIX"] = (int(np.count_nonzero(bad)), "pixels that are known to be bad")


def _blank_cosmic_rays(
    data: NDArray[np.float32], saturated: NDArray[np.bool_], header: "fits.Header"
) -> None:
    """Put NaN where cosmic rays have hit, in place, and their number into the header."""
    ny, nx = data.shape
    egain = exposure_of(header, (ny, nx)).egain
    is_mosaic = bayer_pattern(header) is not None
    rays = find_cosmic_rays(data, saturated, egain, is_mosaic=is_mosaic)
    data[rays] = np.nan
    header["COSMICS"] = (int(np.count_nonzero(rays)), "pixels hit by cosmic rays")
