"""What the header of a stack says, and its table of frames."""

import re
from collections.abc import Sequence
from datetime import timedelta
from importlib.metadata import version
from math import fsum, inf, sqrt
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from scripts.lightstack import VERSION
from scripts.lightstack.colour.planes import MOSAIC
from scripts.lightstack.files.colour_file import COLOURS, colour_card
from scripts.lightstack.raw.bayer import GREY_OF, PATTERN_DOUBT
from scripts.lightstack.raw.exposure import FILTER_KEYS, OBJECT_KEYS, WHEEL_KEYS
from scripts.lightstack.raw.spelling import filter_of, without_spelling
from scripts.lightstack.raw.values import exposure_time, first_number
from scripts.lightstack.sky.noise_map import NOISE_MAP
from scripts.lightstack.stacking.aligned import AlignedFrame
from scripts.lightstack.stacking.modes import AVERAGES, BY_SEEING, OF_THEIR_OWN, clip_mode
from scripts.lightstack.stacking.propagation import Propagation
from scripts.lightstack.stacking.times import exposed, in_header, mjd
from scripts.lightstack.text import printable

if TYPE_CHECKING:
    from astropy.io import fits

READ_NOISE_KEYS = ("RDNOISE", "READNOIS", "RON", "ENOISE")
"""Cards with the read noise [electrons]."""

OF_COLOURS = ("BKGADU", "NOISEADU", NOISE_MAP, "SATURATE")
"""Cards that frames have for each of their colours."""

FRAME_CARDS = frozenset(
    [
        *READ_NOISE_KEYS,
        *("RAWSHA", "PIXSHA", "DARK", "BKGADU", "NOISEADU", NOISE_MAP, "SATURATE", "EGAIN"),
        *("NODATA", "SATFOUND", "BADPIX", "COSMICS", "SKYSTEP", "SKYLIGHT", "OSCANADU"),
        *("DARKNOIS", "NDARKS", "FLATNOIS", "DARKFAC", GREY_OF, PATTERN_DOUBT),
        *(colour_card(card, colour) for card in OF_COLOURS for colour in COLOURS),
        MOSAIC,
        *("DATE-END", "DATE-AVG", "MJD-AVG", "MJD-END", "EXPOSURE", "LIVETIME", "TIME-OBS"),
        *("DATAMAX", "DATAMIN", "SATLEVEL", "MAXLIN", "PEDESTAL", "CBLACK", "CWHITE"),
    ]
)
"""Cards that are true of one frame, or of its raw values, even if all frames have the same."""

SAME_EXPOSURE = 1.001
"""Largest ratio of exposures that are one: shutters are not exact to the last digit."""

NAME_CARDS = frozenset(FILTER_KEYS + WHEEL_KEYS + OBJECT_KEYS)
"""Cards with names, which are the same however they are spelled."""

ELECTRONS = re.compile(r"e-?\s*/\s*(adu|dn|count)|electron", re.IGNORECASE)
"""Unit of a card GAIN that is no setting of the camera, but true of one frame."""

GRID_CARDS = re.compile(
    r"(WCSAXES|WCSNAME|CTYPE[12]|CUNIT[12]|CRVAL[12]|CRPIX[12]|CDELT[12]|CROTA[12]|CNAME[12]"
    r"|CRDER[12]|CSYER[12]|(CD|PC)[12]_[12]|P[VS][12]_\d+|LONPOLE|LATPOLE|RADESYS|EQUINOX)[A-Z]?"
    r"|RADECSYS|EPOCH|[AB]P?_(ORDER|DMAX|\d_\d)"
    r"|ROWORDER|[XY]BINNING|BIN[XY]|[XY]PIXSZ|PIXSIZE[12]|PIXSCALE|SECPIX[12]?"
)
"""Cards of the grid on which a stack lies, which is the reference's."""

VERSIONED = ("numpy", "astropy", "astroalign", "sep", "scipy", "numba")


def common_header(frames: Sequence[AlignedFrame], reference: AlignedFrame) -> "fits.Header":
    """Cards that all stacks of these frames share.

    Parameters
    ----------
    frames : sequence of AlignedFrame
    reference : AlignedFrame
        The one on whose grid the stacks lie; it may be of another group than they.

    Returns
    -------
    astropy.io.fits.Header
        The reference's cards of its grid; those that all frames have with the same value; and
        what counts the frames and tells their times.
    """
    first = next((frame for frame in frames if frame is reference), frames[0])
    header = _shared_cards(frames, first)
    if first is not reference:
        _take_grid(header, reference.header)
    header["BUNIT"] = "adu"
    header["NCOMBINE"] = (len(frames), "frames combined")
    exposures = [time for frame in frames if (time := exposure_time(frame.header)) is not None]
    if len(exposures) == len(frames):
        if max(exposures) <= SAME_EXPOSURE * min(exposures):
            header["EXPTIME"] = (exposure_time(first.header), "[s] exposure of one frame")
        else:
            header.remove("EXPTIME", ignore_missing=True)
        header["TOTEXP"] = (sum(exposures), "[s] exposure of all frames")
    _set_dates(header, frames)
    for line in (f"lightstack {VERSION}", *(f"{name} {version(name)}" for name in VERSIONED)):
        header["HISTORY"] = line
    return header


class Plane(NamedTuple):
    """The frames of a stack, or one of their colours.

    Attributes
    ----------
    frames : sequence of AlignedFrame
    weights : (n,) ndarray of float64
        Of the frames in averages.
    propagation : Propagation
        What becomes of their noise.
    """

    frames: Sequence[AlignedFrame]
    weights: NDArray[np.float64]
    propagation: Propagation

    @property
    def colour(self) -> str:
        """R, G or B; empty for grey frames."""
        return self.frames[0].colour


def mode_header(
    common: "fits.Header",
    mode: str,
    planes: Sequence[Plane],
    *,
    weighted_by: str,
    sigma_clip: float,
    seeing: bool = False,
) -> "fits.Header":
    """Add the cards of one mode.

    Parameters
    ----------
    common : astropy.io.fits.Header
        From `common_header`.
    mode : str
        One of `modes.MODES`.
    planes : sequence of Plane
        The frames once, or each of their colours.
    weighted_by : str
        The setting that made them.
    sigma_clip : float
        Limit of the mode of that name [standard deviations].
    seeing : bool
        Whether there were stars to measure the frames' seeing.

    Returns
    -------
    astropy.io.fits.Header
        A new one. What is known of the noise and the gain of an average is said of averages alone:
        see *Cards for photometry* in `docs/methods.md`.
    """
    header = common.copy()
    header["STACKMOD"] = (mode, "how pixels were combined")
    if mode == "sigma_clip":
        header["CLIPSIG"] = (sigma_clip, "[std] values further from the mean are dropped")
    if mode in OF_THEIR_OWN:
        header["CLIPSIG"] = (clip_mode(mode).LIMIT, clip_mode(mode).LIMIT_MEANING)
    if mode in BY_SEEING:
        header["PSFMATCH"] = (seeing, "seeing of the frames is known from their stars")
    if mode != "std":
        levels = [min(frame.saturation for frame in plane.frames) for plane in planes]
        header["SATURATE"] = (min(levels), "[ADU] a frame may be saturated above")
        for plane, level in zip(planes, levels, strict=True):
            if plane.colour:
                header[colour_card("SATURATE", plane.colour)] = (level, "[ADU] of one colour")
    for plane in planes:
        factor = round(plane.propagation.factor_of(mode, len(plane.frames)), 4)
        of = {"": "", "R": ", red", "G": ", green", "B": ", blue"}[plane.colour]
        card = colour_card("NOISCORR", plane.colour)
        header[card] = (factor, "noise on large scales over that of pixels" + of)
    if mode in AVERAGES:
        header["WEIGHTS"] = (weighted_by, "weights of the frames")
        for plane in planes:
            _set_noise(header, plane)
    return header


TEXTS = ("NAME", "SHA256", "DATE_OBS")
"""Columns of the table of frames that are no numbers."""


def table_of_frames(planes: Sequence[Plane], *, weighted: bool) -> NDArray[Any]:
    """List the frames of a stack.

    Parameters
    ----------
    planes : sequence of Plane
        The frames once, or each of their colours.
    weighted : bool
        Whether they have weights.

    Returns
    -------
    (n,) structured ndarray, big-endian
        ``NAME``, ``SHA256`` of the raw file, ``DATE_OBS``, ``EXPTIME`` [s], ``FLUXSCAL`` (what
        brings its fluxes to the reference's), ``SKYNOISE`` [ADU of the stack] and, with weights,
        ``WEIGHT`` (the sum of all is one); of colours, the last three have a value for each. What
        a header does not tell is empty or NaN.
    """
    frames = planes[0].frames
    begins = [exposed(frame.header) for frame in frames]
    columns: dict[str, Any] = {
        "NAME": np.array([printable(frame.name) for frame in frames], "S"),
        "SHA256": np.array([str(frame.header.get("RAWSHA", "")) for frame in frames], "S"),
        "DATE_OBS": np.array([in_header(at.begin) if at else "" for at in begins], "S23"),
        "EXPTIME": [exposure_time(frame.header) for frame in frames],
        "FLUXSCAL": _of_planes([[frame.flux_scale for frame in plane.frames] for plane in planes]),
        "SKYNOISE": _of_planes([[frame.noise for frame in plane.frames] for plane in planes]),
    }
    if weighted:
        columns["WEIGHT"] = _of_planes([plane.weights / plane.weights.sum() for plane in planes])
    arrays = {
        name: np.asarray(column, None if name in TEXTS else ">f8")
        for name, column in columns.items()
    }
    fields = [(name, array.dtype, array.shape[1:]) for name, array in arrays.items()]
    table = np.empty(len(frames), fields)
    for name, array in arrays.items():
        table[name] = array
    return table


def _of_planes(values: Sequence[Any]) -> NDArray[np.float64]:
    """Give the values (n,) of one plane, or (n, 3) of three."""
    return np.stack(values, axis=1) if len(values) > 1 else np.asarray(values[0], np.float64)


def _shared_cards(frames: Sequence[AlignedFrame], first: AlignedFrame) -> "fits.Header":
    """Keep the first frame's cards of the grid, and the cards that are the same in all frames."""
    header = first.header.copy(strip=True)
    others = [frame.header for frame in frames if frame is not first]
    for keyword in list(header):
        if GRID_CARDS.fullmatch(keyword):
            continue
        value = header[keyword]
        same = all(keyword in other and _alike(keyword, other[keyword], value) for other in others)
        of_frame = keyword == "GAIN" and ELECTRONS.search(header.comments[keyword])
        if keyword in FRAME_CARDS or of_frame or not same:
            header.remove(keyword, ignore_missing=True, remove_all=True)
    return header


def _take_grid(header: "fits.Header", reference: "fits.Header") -> None:
    """Replace the cards of the grid by those of a frame of another group."""
    for keyword in {key for key in header if GRID_CARDS.fullmatch(key)}:
        header.remove(keyword, remove_all=True)
    header.extend(
        (card for card in reference.cards if GRID_CARDS.fullmatch(card.keyword)), end=True
    )


def _alike(keyword: str, one: object, other: object) -> bool:
    if keyword in NAME_CARDS and isinstance(one, str) and isinstance(other, str):
        essence = without_spelling if keyword in OBJECT_KEYS else filter_of
        return essence(one) == essence(other)
    return type(one) is type(other) and one == other


def _set_dates(header: "fits.Header", frames: Sequence[AlignedFrame]) -> None:
    """Tell the begin of the first frame, the end of the last, and the time of the light."""
    times = [exposed(frame.header) for frame in frames]
    known = [at for at in times if at is not None]
    if not known:
        return
    header["DATE-OBS"] = (in_header(min(at.begin for at in known)), "begin of the first frame")
    header["DATE-END"] = (in_header(max(at.end for at in known)), "end of the last frame")
    exposures = [time for frame in frames if (time := exposure_time(frame.header))]
    if not len(known) == len(exposures) == len(frames):
        return
    first = min(at.middle for at in known)
    since = [(at.middle - first).total_seconds() for at in known]
    mean = first + timedelta(seconds=_mean(since, exposures))
    header["DATE-AVG"] = (in_header(mean), "middle of the exposures, weighted")
    header["MJD-AVG"] = (round(mjd(mean), 8), "[d] the same as MJD")


def _set_noise(header: "fits.Header", plane: Plane) -> None:
    """Tell the sky noise, gain and read noise that an average has.

    Of a colour, they are those of the light of a star: what its pixels that were not measured
    have of the noise is that of their neighbours.
    """
    frames, weights, propagation = plane
    colour, spread = plane.colour, 1 / sqrt(min(frames[0].share, 1.0))
    shares = (weights / weights.sum()).tolist()
    gains = [frame.gain for frame in frames]
    noise = _root_of_squares(shares, [frame.noise for frame in frames])
    noise = spread * sqrt(noise**2 + propagation.shared_variance)
    header[colour_card("NOISEADU", colour)] = (noise, "[ADU] expected noise of the sky")
    if propagation.n_darks:
        of_darks = spread * sqrt(propagation.dark_variance)
        header[colour_card("DARKADU", colour)] = (of_darks, "[ADU] of it from the darks")
        header["NDARKS"] = (propagation.n_darks, "darks in the master")
        header["DITHERPX"] = (round(propagation.dither_px, 3), "[px] dither of the frames")
    if inf in gains:
        return
    gain = 1 / fsum(share**2 / gain for share, gain in zip(shares, gains, strict=True))
    header[colour_card("EGAIN", colour)] = (gain / spread**2, "[e-/ADU] of the average")
    read_noise = [first_number(frame.header, READ_NOISE_KEYS) for frame in frames]
    in_adu = [noise / gain for noise, gain in zip(read_noise, gains, strict=True) if noise]
    if len(in_adu) == len(frames):
        electrons = gain / spread * _root_of_squares(shares, in_adu)
        header[colour_card("RDNOISE", colour)] = (electrons, "[e-] of the average")


def _mean(values: Sequence[float], weights: Sequence[float]) -> float:
    return fsum(v * w for v, w in zip(values, weights, strict=True)) / fsum(weights)


def _root_of_squares(shares: Sequence[float], values: Sequence[float]) -> float:
    return sqrt(fsum((share * value) ** 2 for share, value in zip(shares, values, strict=True)))
