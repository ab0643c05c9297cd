"""How the noise of frames goes on in their stack: from pixel to pixel, and from frame to frame.

Interpolation mixes the noise of neighbouring pixels, which lowers it from pixel to pixel and not
on large scales. The noise of a master is the same in all frames that it calibrated, and averages
down only as far as they are dithered. Both follow from where the frames' pixels fall on the grid
of the stack, which is looked at in some places of it; see *Noise* in `docs/methods.md`.
"""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from scripts.lightstack.alignment.transform import inside
from scripts.lightstack.colour.demosaicing import covariance_of_noise
from scripts.lightstack.files.colour_file import COLOURS, colour_card
from scripts.lightstack.raw.bayer import GREY_NOISE
from scripts.lightstack.raw.values import first_number
from scripts.lightstack.resampling.kernel import (
    PHASE_BITS,
    PHASES,
    RADIUS,
    TAPS,
    WEIGHTS,
    correlated_with,
)
from scripts.lightstack.stacking.aligned import AlignedFrame
from scripts.lightstack.text import DOUBT

PLACES = 256
"""Of the grid that are looked at: they leave an error of half a percent in turned frames."""

PLACES_OF_MASTERS = 32
"""As many are enough to see how far frames are dithered."""

PLASTIC = 1.32471795724474602596
"""Powers of its inverse fill a square evenly (Roberts 2018, "The unreasonable effectiveness of
quasirandom sequences")."""

QUADRATIC = 0.37
"""Share of the variance of an extreme that is quadratic in the values, of 3 to 20 of them
(simulated)."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Propagation:
    """What becomes of the frames' noise in a weighted mean.

    Parameters
    ----------
    factor : float
        Noise on large scales over that of a pixel, for a weighted mean.
    plain_factor : float
        The same where all frames weigh alike.
    factor_of_squares : float
        The same for squares of what differs from the mean.
    shared_variance : float
        What the masters' noise adds because frames share it [ADU of the stack, squared].
    dark_variance : float
        All that darks, or bias frames in their place, add [ADU of the stack, squared].
    n_darks : int
        In the master that adds most; 0 where none is known to add any.
    dither_px : float
        Median distance of the frames' middles from their middle [pixels].
    """

    factor: float
    plain_factor: float
    factor_of_squares: float
    shared_variance: float
    dark_variance: float
    n_darks: int
    dither_px: float

    def factor_of(self, mode: str, n: int) -> float:
        """Tell the noise on large scales over that of a pixel in the stack of a mode.

        Parameters
        ----------
        mode : str
            One of `modes.MODES`.
        n : int
            Number of frames.

        Returns
        -------
        float

        Notes
        -----
        What is no sum follows only in part what neighbouring values share: the part of its
        variance that is linear in the values, and for extremes what is quadratic.
        """
        of_sums, of_squares = self.plain_factor**2 - 1, self.factor_of_squares**2 - 1
        match mode:
            case "median":
                return math.sqrt(1 + of_sums / (n * variance_of_median(n)))
            case "std":
                return self.factor_of_squares
            case "max" | "min":
                linear = 1 / (n * _variance_of_highest(n))
                quadratic = min(1 - linear, QUADRATIC)
                return math.sqrt(1 + linear * of_sums + quadratic * of_squares)
        return self.factor


def variance_of_median(n: int) -> float:
    """Tell the variance of the median of n normal values of variance one.

    Within 2 % of it: from pi / 2n, where there are many, with a term that makes it right for
    few (odd and even ones apart, as of the latter two are averaged).
    """
    return 1 / n if n <= 2 else math.pi / 2 / (n + (0.47 if n % 2 else 1.36))


def _variance_of_highest(n: int) -> float:
    """Tell the variance of the highest of n normal values of variance one."""
    from scipy.special import log_ndtr

    x = np.linspace(-8, 8, 4001)
    density = n * np.exp((n - 1) * log_ndtr(x) - x**2 / 2) / math.sqrt(2 * math.pi)
    density /= density.sum()
    return float((density * (x - (density * x).sum()) ** 2).sum())


def propagate(frames: Sequence[AlignedFrame], weights: Floats) -> Propagation:
    """Follow the frames' noise into their stack.

    Parameters
    ----------
    frames : sequence of AlignedFrame
    weights : (n,) ndarray of float64
        Of the frames in averages.

    Returns
    -------
    Propagation
    """
    places = _places(frames[0].transform.reference_shape)
    seen = [_Seen.of(frame, places) for frame in frames]
    most = np.sum([each.is_inside for each in seen], axis=0)
    # Where most frames reach: all of them, if they overlap at all.
    chosen = most == most.max()
    seen = [each.at(chosen) for each in seen]
    noise = np.array([max(frame.noise, 1e-30) for frame in frames])
    covariances = _covariances(frames)
    # Of the noise on large scales, over that of a pixel of the frame.
    large = np.array(
        [
            (GREY_NOISE**-2 if frame.is_grey_of_mosaic else 1) * frame.transform.scale**2
            if covariance is None
            else covariance.sum() * frame.transform.scale**2
            for frame, covariance in zip(frames, covariances, strict=True)
        ]
    )
    pixel = np.array(
        [
            each.variance_of(of_grey=frame.is_grey_of_mosaic).mean()
            if covariance is None
            else each.variance_with(covariance).mean()
            for each, frame, covariance in zip(seen, frames, covariances, strict=True)
        ]
    )
    squares = np.array(
        [
            (each.squares if covariance is None else each.squares_with(covariance)).mean()
            for each, covariance in zip(seen, covariances, strict=True)
        ]
    )
    factor, plain_factor = (
        math.sqrt((part * large).sum() / (part * pixel).sum())
        for part in ((weights * noise) ** 2, noise**2)
    )
    of_squares = math.sqrt((noise**4 * squares).sum() / (noise**4 * pixel**2).sum())
    shares = weights / weights.sum()
    added = {master: _added(seen, shares, amounts) for master, amounts in _masters(frames).items()}
    of_darks = [(sum(each), of.n_combined) for of, each in added.items() if of.is_dark]
    return Propagation(
        factor,
        plain_factor,
        of_squares,
        sum(excess for _, excess in added.values()),
        sum(variance for variance, _ in of_darks),
        max(of_darks)[1] if of_darks else 0,
        _dither(frames),
    )


def _places(shape: tuple[int, int]) -> Floats:
    """Choose places (n, 2) of a grid of this ``(ny, nx)``."""
    steps = np.arange(1, PLACES + 1)[:, np.newaxis] / np.array([PLASTIC, PLASTIC**2])
    return np.asarray(np.floor(steps % 1 * np.array([shape[1], shape[0]])))


class _Seen(NamedTuple):
    """What a frame shows at m places.

    Attributes
    ----------
    is_inside : (m,) ndarray of bool
    corners : (m, 2) ndarray of int64
        First pixel (x, y) of which a place is interpolated.
    weights : (m, 2, 6) ndarray of float64
        Of the pixels along x and y.
    """

    is_inside: NDArray[np.bool_]
    corners: NDArray[np.int64]
    weights: Floats

    @classmethod
    def of(cls, frame: AlignedFrame, places: Floats) -> "_Seen":
        xy = frame.transform.backward(places)
        steps = np.floor(xy * PHASES + 0.5).astype(np.int64)
        corners = (steps >> PHASE_BITS) - RADIUS + 1
        weights = WEIGHTS[steps & (PHASES - 1)].astype(np.float64)
        return cls(inside(xy, frame.transform.frame_shape), corners, weights)

    def at(self, chosen: NDArray[np.bool_]) -> "_Seen":
        """Give some of the places."""
        return _Seen(self.is_inside[chosen], self.corners[chosen], self.weights[chosen])

    def variance_of(self, *, of_grey: bool) -> Floats:
        """(m,) variance of interpolated noise of variance one, be it of a grey mosaic."""
        weights = self.weights.astype(np.float32).reshape(-1, TAPS)
        others = correlated_with(weights) if of_grey else weights
        variance = (weights.astype(np.float64) * others).sum(axis=1)
        return np.asarray(variance.reshape(self.weights.shape[:2]).prod(axis=1), np.float64)

    @property
    def squares(self) -> Floats:
        """(m,) sum of the squared covariances with all neighbours."""
        total = np.zeros(self.weights.shape[:2])
        for lag in range(TAPS):
            near, far = self.weights[..., : TAPS - lag], self.weights[..., lag:]
            total += (2 if lag else 1) * (near * far).sum(axis=2) ** 2
        return np.asarray(total.prod(axis=1), np.float64)

    def variance_with(self, covariance: Floats) -> Floats:
        """(m,) variance of interpolated noise of this covariance (2 k + 1, 2 k + 1) of pixels."""
        y, x = (self._shared(axis, len(covariance) // 2) for axis in (1, 0))
        return np.asarray(np.einsum("mi,ij,mj->m", y, covariance, x), np.float64)

    def squares_with(self, covariance: Floats) -> Floats:
        """(m,) sum of its squared covariances with all neighbours."""
        reach = len(covariance) // 2
        far = TAPS - 1 + reach
        lags = np.arange(-far, far + 1)[:, np.newaxis] - np.arange(-reach, reach + 1)
        y, x = (self._shared(axis, far + reach)[:, lags + far + reach] for axis in (1, 0))
        return np.asarray(((y @ covariance @ x.swapaxes(1, 2)) ** 2).sum(axis=(1, 2)), np.float64)

    def _shared(self, axis: int, reach: int) -> Floats:
        """(m, 2 reach + 1) what two places share of the weights, by how far they are apart."""
        weights = self.weights[:, axis]
        shared = np.zeros((len(weights), 2 * reach + 1))
        for lag in range(-min(reach, TAPS - 1), min(reach, TAPS - 1) + 1):
            near, far = weights[:, max(-lag, 0) : TAPS - max(lag, 0)], weights[:, max(lag, 0) :]
            shared[:, reach + lag] = (near * far[:, : near.shape[1]]).sum(axis=1)
        return shared


def _covariances(frames: Sequence[AlignedFrame]) -> list[Floats | None]:
    """Tell the covariance of the noise of a frame's pixels, where it was made of a mosaic's.

    Its unit is the variance of the pixels that were measured; None where each pixel was.
    """
    if frames[0].share >= 1:
        return [None] * len(frames)
    by_colours, found = covariance_of_noise(), []
    for frame in frames:
        noise = [float(frame.header[colour_card("NOISEADU", colour)]) for colour in COLOURS]
        own = COLOURS.index(frame.colour)
        shares = np.square(noise) / noise[own] ** 2 if noise[own] > 0 else np.ones(len(COLOURS))
        found.append(np.tensordot(shares, by_colours[own], axes=1))
    return list(found)


class _Master(NamedTuple):
    """What tells masters apart."""

    is_dark: bool
    name: str
    n_combined: int


def _masters(frames: Sequence[AlignedFrame]) -> dict[_Master, Floats]:
    """Tell how much noise of each master each frame has (n,) [ADU of the stack]."""
    found: dict[_Master, Floats] = defaultdict(lambda: np.zeros(len(frames)))
    for number, frame in enumerate(frames):
        header = frame.header
        lowered = GREY_NOISE if frame.is_grey_of_mosaic else 1.0
        dark, share = (first_number(header, (key,)) for key in ("DARKNOIS", "FLATNOIS"))
        if dark:
            names = (str(header.get(key, "")).partition(DOUBT)[0] for key in ("DARK", "BIAS"))
            key = _Master(True, " ".join(names), int(first_number(header, ("NDARKS",)) or 1))
            found[key][number] = dark * frame.brightening * lowered
        sky = first_number(header, (colour_card("BKGADU", frame.colour),))
        if share and sky:
            key = _Master(False, str(header.get("FLAT", "")).partition(DOUBT)[0], 0)
            found[key][number] = share * abs(sky) * frame.brightening * lowered
    return found


def _added(seen: Sequence[_Seen], shares: Floats, amounts: Floats) -> tuple[float, float]:
    """Variance of a master's noise in the stack: as if each frame had its own, and the rest."""
    own, all_together = float(((shares * amounts) ** 2).sum()), []
    users = [(each, share) for each, share in zip(seen, shares * amounts, strict=True) if share]
    for place in range(min(PLACES_OF_MASTERS, len(seen[0].is_inside))):
        corners = np.stack([each.corners[place] for each, _ in users])
        weights = np.stack([each.weights[place] for each, _ in users])
        taps = np.arange(TAPS)
        x, y = (corners[:, axis, np.newaxis] + taps for axis in range(2))
        pixels = y[:, :, np.newaxis] * 2**32 + x[:, np.newaxis, :]
        parts = weights[:, 1, :, np.newaxis] * weights[:, 0, np.newaxis, :]
        parts *= np.array([share for _, share in users])[:, np.newaxis, np.newaxis]
        _, index = np.unique(pixels.ravel(), return_inverse=True)
        together = (np.bincount(index, parts.ravel()) ** 2).sum()
        all_together.append(together - (parts**2).sum())
    return own, max(float(np.mean(all_together)), 0.0)


def _dither(frames: Sequence[AlignedFrame]) -> float:
    """Tell how far the frames' middles lie apart [pixels]."""
    ny, nx = frames[0].transform.reference_shape
    middle = np.array([[(nx - 1) / 2, (ny - 1) / 2]])
    found = np.concatenate([frame.transform.backward(middle) for frame in frames])
    return float(np.median(np.hypot(*(found - np.median(found, axis=0)).T)))
