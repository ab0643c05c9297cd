"""What stacking has gained: noise and sharpness of a stack, measured on its pixels."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scripts.lightstack.detection.quality import fwhm_range, stars
from scripts.lightstack.detection.sources import detect, measure
from scripts.lightstack.raw.image import UnusableFrameError
from scripts.lightstack.robust import scatter
from scripts.lightstack.sky.mesh import subtract_mesh

BLOCK = 4
"""Side of the blocks whose means are compared [pixels]: resampled neighbours share noise."""

NEIGHBOURHOOD = 5
"""Side of a neighbourhood [blocks]."""

DARKEST = 30
"""Percent of the neighbourhoods that are taken for empty sky, if the noise bears it out."""

BEST_COVERED, AS_GOOD = 70, 0.95
"""Percentile of the frames behind a block, and the share of it that blocks need to be looked at:
where fewer frames lie, as in the corners of a field that turned, is not what all of them gain."""

LARGEST = 2048
"""Side of the region in the middle that is measured, at most [pixels]."""


def noise_on_empty_sky(
    frame: NDArray[np.float32], stack: NDArray[np.float32], coverage: NDArray[np.number]
) -> tuple[float, float]:
    """Noise of the means of small blocks, where the sky seems empty and most frames lie.

    Parameters
    ----------
    frame, stack : (ny, nx) ndarray of float32
        The same region of a frame and of the stack on its grid; NaN where there is no data.
    coverage : (ny, nx) ndarray
        How many frames have data there.

    Returns
    -------
    (float, float)
        Standard deviation of a pixel of the frame and of the stack, as blocks show it: by the MAD
        of the differences of blocks beside each other, in the darkest neighbourhoods of the stack.
        Not a number if there are none.
    """
    from scipy.ndimage import uniform_filter

    of_frame, of_stack = _blocks(frame), _blocks(stack)
    of_coverage = _blocks(coverage)
    there = np.isfinite(of_stack)
    there &= of_coverage >= AS_GOOD * np.percentile(of_coverage, BEST_COVERED)
    if not there.any():
        return math.nan, math.nan
    around = uniform_filter(np.where(there, of_stack, 0), NEIGHBOURHOOD)
    dark = there & (around <= np.percentile(around[there], DARKEST))
    pairs = dark[:, 1:] & dark[:, :-1]
    return _noise_of_pairs(of_frame, pairs), _noise_of_pairs(of_stack, pairs)


def _blocks(image: NDArray[np.number]) -> NDArray[np.float64]:
    """Means of small blocks, each a pixel of a coarser image."""
    ny, nx = (length // BLOCK for length in image.shape)
    blocks = image[: ny * BLOCK, : nx * BLOCK].reshape(ny, BLOCK, nx, BLOCK)
    return np.asarray(blocks.sum(axis=(1, 3), dtype=np.float64) / BLOCK**2)


def _noise_of_pairs(blocks: NDArray[np.float64], pairs: NDArray[np.bool_]) -> float:
    """Noise of a pixel by the differences of pairs of blocks: a slope of the sky has no part."""
    differences = np.diff(blocks, axis=1)[pairs]
    differences = differences[np.isfinite(differences)]
    if differences.size == 0:
        return math.nan
    return scatter(differences) / math.sqrt(2) * BLOCK


def noise_of_blocks(noise: float, correlation: tuple[float, ...], per_pixel: int = 1) -> float:
    """Noise as `noise_on_empty_sky` shows it, where there is no light at all.

    Parameters
    ----------
    noise : float
        Standard deviation of a pixel of the frame.
    correlation : tuple of float
        Of the noise along an axis, with the pixel itself, the next, and so on.
    per_pixel : int, optional
        Side [pixels of the frame] of those whose blocks are compared.

    Returns
    -------
    float
        In the unit of `noise`; the same, if neighbours share no noise.
    """
    side = BLOCK * per_pixel
    distances = np.arange(len(correlation))
    # Pairs of pixels so far from each other, within a block and from one to the next.
    within = np.dot(np.where(distances, 2, 1) * (side - distances), correlation) / side**2
    across = np.dot(distances, correlation) / side**2
    return float(noise * BLOCK * math.sqrt(within * (within - across)))


def unsmoothed_noise(noise: float, correlation: tuple[float, ...], per_pixel: int = 1) -> float:
    """Noise as `noise_on_empty_sky` would show it of a frame before it was smoothed.

    Parameters
    ----------
    noise, correlation, per_pixel
        As in `noise_of_blocks`.

    Returns
    -------
    float
        In the unit of `noise`: what has the same noise on the largest scales, and shares none.
    """
    return noise * (2 * sum(correlation) - correlation[0]) / per_pixel


def fwhm(image: NDArray[np.float32], noise: float, settings: dict[str, Any]) -> float:
    """Median FWHM of an image's stars [pixels], found as those of the frames are.

    Parameters
    ----------
    image : (ny, nx) ndarray of float32
        Without its sky; NaN where there is no data. Its extended light is subtracted in place.
    noise : float
        Standard deviation of its pixels.
    settings : dict
        Those of `lightstack.detection.sources.detect`, ``background``, ``background_box`` and
        ``outlier_mad_thresh``.

    Returns
    -------
    float
        Not a number without stars, or where detection gives up.
    """
    if not noise > 0:
        return math.nan
    names = ("threshold_sigma", "minarea", "smoothing_sigma")
    if settings["background"] != "mesh":
        subtract_mesh(image, settings["background_box"], 0)
    try:
        guesses = detect(image, noise, **{name: settings[name] for name in names})
    except UnusableFrameError:
        return math.nan
    sources = measure(image, np.zeros(image.shape, bool), guesses, noise)
    chosen = stars(sources, fwhm_range(sources["fwhm"], settings["outlier_mad_thresh"]))
    return float(np.median(chosen["fwhm"])) if len(chosen) else math.nan


def best_gain(noises: list[float], reference: float) -> float:
    """Gain in noise over one frame that the best weights could reach.

    Parameters
    ----------
    noises : list of float
        Of all frames, on the scale of the reference.
    reference : float
        Noise of the frame that the gain refers to.

    Returns
    -------
    float
        With weights by the inverse of the variance, as frames of equal noise give sqrt N.
    """
    return reference * math.sqrt(sum(noise**-2 for noise in noises if noise > 0))
