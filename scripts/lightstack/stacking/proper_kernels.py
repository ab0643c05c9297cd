"""Kernels of the coadd that loses nothing where frames differ in seeing, light and noise.

The statistic is that of Zackay & Ofek (2017, ApJ 836, 188, equation 7): with the transform P of
each frame's point-spread function, its light F and its noise s, and M that of the frame,

    sum(F / s**2 conj(P) M) / sqrt(sum(F**2 / s**2 abs(P)**2)).

Frames are scaled to one light, and what their point-spread functions have in common cancels: of P,
only the kernel is needed that makes a frame's seeing of the common one (`psf_matching`). Divided
by the root of ``sum(F**2 / s**2)``, the coadd has the light of the frames, and white noise.
"""

import numpy as np
from numpy.typing import NDArray

from scripts.lightstack.stacking import psf_matching

REACH = 8
"""How far a kernel extends [pixels]; tuned: with a seeing from 2 to 7 pixels, 99.98 % of the
depth that kernels without bounds reach (`benchmarks/proper_table.py`)."""

SIZE = 64
"""Side of the transforms [pixels]: kernels have long vanished at half of it."""

LEAST_POWER = 1e-3
"""Of all frames at a frequency, over that without seeing: less tells of no star, and to divide by
it would make kernels long."""

NEGLIGIBLE = 1e-5
"""A value of a kernel that is not worth the time [sum of the kernel]."""

DIGITS = 12
"""The last digits of a transform are others on other processors."""

Floats = NDArray[np.float64]


def kernels_of(seeing: Floats, weights: Floats) -> Floats:
    """Find what to convolve each frame with, so that their sum is the coadd.

    Parameters
    ----------
    seeing : (n, 12) ndarray of float64
        Coefficients of `psf_matching.TERMS` that make each frame's seeing of the common one.
    weights : (n,) ndarray of float64
        Inverse variances of the frames.

    Returns
    -------
    (n, 17, 17) ndarray of float64
        By place. The sum of a kernel is the share of its frame's weight, so that all sum to one.
    """
    shares = weights / weights.sum()
    power = np.zeros((SIZE, SIZE // 2 + 1))
    for coefficients, share in zip(seeing, shares, strict=True):
        power += share * np.abs(_transform(coefficients)) ** 2
    root = np.sqrt(np.maximum(power, LEAST_POWER))
    kernels = np.empty((len(seeing), 2 * REACH + 1, 2 * REACH + 1))
    for kernel, coefficients, share in zip(kernels, seeing, shares, strict=True):
        places = np.fft.irfft2(np.conj(_transform(coefficients)) / root, (SIZE, SIZE))
        cut = np.round(np.roll(places, (REACH, REACH), axis=(0, 1)), DIGITS)
        near = cut[: 2 * REACH + 1, : 2 * REACH + 1]
        worth = np.where(np.abs(near) < NEGLIGIBLE, 0, near)
        kernel[:] = worth * share / worth.sum()
    return kernels


def _transform(coefficients: Floats) -> NDArray[np.complex128]:
    """Transform a kernel of the seeing, with the light that it leaves in its place."""
    reach = psf_matching.REACH
    places = np.zeros((SIZE, SIZE))
    values = (coefficients * psf_matching.TERMS).sum(axis=1)
    places[: 2 * reach + 1, : 2 * reach + 1] = values.reshape(2 * reach + 1, -1)
    return np.asarray(1 + np.fft.rfft2(np.roll(places, (-reach, -reach), axis=(0, 1))))
