"""Artificial stars and a faint disc, as each frame would see them."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from scripts.lightstack.detection.sources import SIGMA_TO_FWHM, detect
from scripts.lightstack.files.frame_file import read_frame
from scripts.lightstack.raw.bayer import GREY_OF
from scripts.lightstack.raw.image import UnusableFrameError
from scripts.lightstack.robust import MAD_TO_SIGMA
from scripts.lightstack.stacking.aligned import AlignedFrame
from scripts.lightstack.stacking.own_psf import REACH, measure_psf

CELL = 40
"""Side of the squares that have a star each [pixels]."""

MOST_STARS = 400

CLEAR = 10.0
"""Distance of an artificial star from what is there already, at least [pixels]."""

FAINTEST, BRIGHTEST, BINS = 2.0, 200.0, 10
"""Signal over noise of the stars in the stack, and in how many steps of brightness they come."""

SCALE = 30.0
"""Scale length of the disc [pixels]; less in small frames."""

SCALES = 4
"""Radius to which it is drawn [scale lengths]."""

BRIGHTNESS = 0.5
"""Of its middle [noise of a frame]."""

APERTURE, AROUND = 12, 18
"""Half of the side of a star's aperture, and of what tells the sky around it [pixels]."""

APART = 8
"""Pixels so far apart share no noise, of a mosaic that was filled in and resampled neither."""

LOST = 0.1
"""Share of a wave that making a mosaic grey leaves, below which it is lost."""

FOUND: dict[str, Any] = {"threshold_sigma": 1.5, "minarea": 3, "smoothing_sigma": 1.0}
"""What counts as seen in a stack, as for `detection.sources.detect`."""

Floats = NDArray[np.float64]


class Truth(NamedTuple):
    """What is put into the frames, of each colour the same, on the grid and scale of the stack.

    Attributes
    ----------
    xy : (n, 2) ndarray of float64
        Of the stars [pixels].
    flux : (n,) ndarray of float64
        [ADU]
    share : float
        What of it `aperture` sees in the mean of the frames.
    step : (n,) ndarray of int64
        Of their brightness, from the faintest on.
    disc : (float, float)
        Middle of the disc, ``(x, y)`` [pixels].
    scale : float
        Its scale length [pixels].
    brightness : float
        Of its middle [ADU].
    """

    xy: Floats
    flux: Floats
    share: float
    step: NDArray[np.int64]
    disc: tuple[float, float]
    scale: float
    brightness: float

    def on_frames(self) -> "Truth":
        """Give the same on the grid of the frames, of whose pixels the stack's have 2 x 2 each."""
        x, y = self.disc
        return self._replace(
            xy=2 * self.xy + 0.5,
            flux=4 * self.flux,
            disc=(2 * x + 0.5, 2 * y + 0.5),
            scale=2 * self.scale,
        )


def noise_of_stack(image: NDArray[np.float32]) -> float:
    """Noise of the pixels of a stack (ny, nx), also where neighbours share it [ADU]."""
    steps = np.abs(image[:, APART:] - image[:, :-APART])
    steps = steps[np.isfinite(steps)]
    return float(MAD_TO_SIGMA * np.median(steps) / math.sqrt(2)) if steps.size else 0.0


def seen(image: NDArray[np.float32], noise: float) -> Floats:
    """Positions (n, 2) of what shows in a stack [pixels]."""
    try:
        return detect(image, noise, **FOUND)[:, :2]
    except UnusableFrameError:
        return np.empty((0, 2))


def aperture(image: NDArray[np.float64], x: float, y: float) -> float:
    """Measure a star over the sky around it, which its own light may have shifted [ADU]."""
    row, column = round(y), round(x)
    stamp = image[row - AROUND : row + AROUND + 1, column - AROUND : column + AROUND + 1]
    width = AROUND - APERTURE
    inner = stamp[width:-width, width:-width]
    around = np.full(stamp.shape, fill_value=True)
    around[width:-width, width:-width] = False
    return float((inner - np.median(stamp[around])).sum())


def place(
    stack: NDArray[np.float32],
    noise: float,
    of_frames: float,
    psfs: Sequence[Floats],
    rng: Generator,
) -> Truth:
    """Choose places where nothing is, and brightnesses.

    Parameters
    ----------
    stack : (ny, nx) ndarray of float32
        Without artificial light, the mean of its colours [ADU].
    noise, of_frames : float
        Of the stack, and of a typical frame on its scale [ADU].
    psfs : sequence of (41, 41) ndarray of float64
        Of the frames, on the pixels of the stack.
    rng : numpy.random.Generator

    Returns
    -------
    Truth
    """
    ny, nx = stack.shape
    scale = min(SCALE, min(ny, nx) / 16)
    middle = (0.3 * nx, 0.5 * ny)
    x, y = np.meshgrid(np.arange(CELL / 2, nx, CELL), np.arange(CELL / 2, ny, CELL))
    xy = np.column_stack([x.ravel(), y.ravel()]) + rng.uniform(-8, 8, (x.size, 2))
    others = seen(stack, noise)
    inside = ((xy > REACH) & (xy < np.array([nx, ny]) - REACH)).all(axis=1)
    away = np.hypot(*(xy - middle).T) > SCALES * scale + REACH
    free = np.array([(np.hypot(*(others - at).T) > CLEAR).all() for at in xy])
    columns, rows = np.clip(np.rint(xy).astype(int), 0, [nx - 1, ny - 1]).T
    xy = rng.permutation(xy[inside & away & free & np.isfinite(stack[rows, columns])])[:MOST_STARS]
    step = np.arange(len(xy)) % BINS
    signals = np.geomspace(FAINTEST, BRIGHTEST, BINS)
    area = float(np.median([1 / (psf**2).sum() for psf in psfs]))
    share = float(np.mean([aperture(psf, REACH, REACH) for psf in psfs]))
    flux = signals[step] * noise * np.sqrt(area)
    return Truth(xy, flux, share, step, middle, scale, BRIGHTNESS * of_frames)


def psf_of(cleaned: Path, fwhm: float) -> Floats:
    """Point-spread function (41, 41) of a frame: of its own stars, else a Gaussian of its FWHM.

    That of the light on the sensor: what making a mosaic grey does to stars is undone.
    """
    frame = read_frame(cleaned)
    noise, saturation = float(frame.header["NOISEADU"]), float(frame.header["SATURATE"])
    measured = measure_psf(frame.data, noise, saturation)
    if measured.n_stars:
        psf = measured.image.astype(float)
        return _before_grey(psf) if GREY_OF in frame.header else psf
    y, x = np.mgrid[-REACH : REACH + 1, -REACH : REACH + 1]
    profile = np.exp(-0.5 * (x**2 + y**2) / (fwhm / SIGMA_TO_FWHM) ** 2)
    return np.asarray(profile / profile.sum())


def _before_grey(psf: Floats) -> Floats:
    """Undo the weights 1, 2, 1 along both axes, as far as noise allows (Wiener's filter)."""
    size = psf.shape[0]
    along, across = (
        (1 + np.cos(2 * np.pi * frequency)) / 2
        for frequency in (np.fft.fftfreq(size)[:, np.newaxis], np.fft.rfftfreq(size))
    )
    passed = along * across
    sharp = np.fft.irfft2(np.fft.rfft2(psf) * passed / (passed**2 + LOST**2), psf.shape)
    return np.asarray(sharp / sharp.sum())


def of_four(psf: Floats) -> Floats:
    """Give a point-spread function (41, 41) on pixels that are 2 x 2 of its own."""
    wide = np.pad(psf, (REACH, REACH + 1))
    size = wide.shape[0] // 2
    return np.asarray(wide.reshape(size, 2, size, 2).sum(axis=(1, 3)))


def light_in(frame: AlignedFrame, truth: Truth, psf: Floats) -> Floats:
    """Draw the artificial light (ny, nx) as a frame sees it through its own sky [ADU]."""
    (ny, nx), size = frame.transform.frame_shape, 2 * REACH + 1
    # With a margin, for stars that reach beyond the frame.
    wide = np.zeros((ny + 2 * size, nx + 2 * size))
    dimmed = _flux_scale(frame, truth.xy)
    along, across = np.fft.fftfreq(size)[:, np.newaxis], np.fft.rfftfreq(size)
    transform = np.fft.rfft2(psf)
    places = frame.transform.backward(truth.xy)
    for (x, y), flux in zip(places, truth.flux / dimmed, strict=True):
        column, row = round(x), round(y)
        if not (-REACH <= column < nx + REACH and -REACH <= row < ny + REACH):
            continue
        turned = np.exp(-2j * np.pi * (along * (y - row) + across * (x - column)))
        stamp = np.fft.irfft2(transform * turned, psf.shape)
        top, left = row - REACH + size, column - REACH + size
        wide[top : top + size, left : left + size] += flux * stamp
    light = wide[size:-size, size:-size]
    rows, columns = np.mgrid[:ny, :nx]
    at = frame.transform.forward(np.column_stack([columns.ravel(), rows.ravel()]).astype(float))
    radius = np.hypot(*(at - truth.disc).T).reshape(ny, nx) / truth.scale
    # On the reference's scale: a pixel of the frame has the light of its area there.
    per_pixel = truth.brightness / frame.brightening
    light += np.where(radius < SCALES, per_pixel * np.exp(-radius), 0)
    return light


def _flux_scale(frame: AlignedFrame, xy: Floats) -> Floats:
    """Tell what brings the fluxes of stars at these places of the reference to its own."""
    ny, _ = frame.transform.reference_shape
    if not any(frame.lean):
        return np.full(len(xy), frame.flux_scale)
    columns, rows = np.rint(xy).astype(int).T
    return np.asarray(frame.flux_scale * frame.evened((0, ny))[rows, columns], float)
