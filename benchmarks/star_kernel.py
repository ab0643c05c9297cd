"""Fit the kernel of `scripts/lightstack/resampling/kernel.py` to stars.

Run it from the checkout (a second)::

    python -m benchmarks.star_kernel

The kernel is a quartic of ``t`` from 0 to 1 in each of its lobes, at the distances ``t``,
``1 + t`` and ``2 + t``. It is 1 at the distance 0 and 0 at 1, 2 and 3, has a continuous slope, and
its six weights reproduce a constant and a slope. Of all such kernels, the one that is printed has
the least squared error on stars: Gaussians of FWHM 2 to 4 pixels, averaged over each pixel's area
and with a peak of one, at any place between the pixels; each place on a star counts by its
brightness there, as otherwise the many dark pixels around a star outvote its core.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.special import erf

Floats = NDArray[np.float64]

WIDTHS = np.arange(2, 4.01, 0.25)
POWERS = np.arange(5)
TAPS = np.arange(-2, 4)


def star(distance: Floats, fwhm: float) -> Floats:
    """Gaussian of peak 1, averaged over pixels at these distances from its centre [pixels]."""
    scale = np.sqrt(4 * np.log(2)) / fwhm
    profile = erf(scale * (distance + 0.5)) - erf(scale * (distance - 0.5))
    return np.asarray(profile / (2 * erf(scale / 2)), np.float64)


def terms(distance: Floats) -> Floats:
    """(..., 15) factors of the lobes' coefficients in the kernel at a distance [pixels]."""
    lobe, t = np.divmod(np.abs(distance)[..., np.newaxis], 1)
    return np.concatenate([np.where(lobe == n, t**POWERS, 0) for n in range(3)], axis=-1)


def conditions() -> tuple[Floats, Floats]:
    """Linear conditions ``left @ coefficients = right`` that the kernel has to meet."""
    end, slope = np.ones(5), POWERS.astype(float)
    start, start_slope = np.eye(5)[:2]
    nothing = np.zeros(5)
    joints = [
        ((start, nothing, nothing), 1),
        ((start_slope, nothing, nothing), 0),
        ((end, nothing, nothing), 0),
        ((nothing, start, nothing), 0),
        ((nothing, end, nothing), 0),
        ((nothing, nothing, start), 0),
        ((nothing, nothing, end), 0),
        ((slope, -start_slope, nothing), 0),
        ((nothing, slope, -start_slope), 0),
        ((nothing, nothing, slope), 0),
    ]
    left = [np.concatenate(lobes) for lobes, _ in joints]
    right: list[float] = [value for _, value in joints]
    for place in np.linspace(0.1, 0.9, 6):
        taps = terms(TAPS - place)
        left += [taps.sum(axis=0), (TAPS - place) @ taps]
        right += [1, 0]
    return np.array(left), np.array(right, float)


def fit() -> Floats:
    """(3, 5) coefficients of the lobes."""
    normal, values = np.zeros((15, 15)), np.zeros(15)
    offset = np.arange(-10, 10.01, 0.125)
    for place in (np.arange(64) + 0.5) / 64:
        taps = terms(TAPS - place)
        for fwhm in WIDTHS:
            truth = star(offset, fwhm)
            found = star(TAPS - place + offset[:, np.newaxis], fwhm) @ taps
            normal += (truth * found.T) @ found
            values += (truth * found.T) @ truth
    left, right = conditions()
    _, size, axes = np.linalg.svd(left)
    free = axes[np.sum(size > 1e-9) :].T
    met = np.linalg.lstsq(left, right, rcond=1e-9)[0]
    best = np.linalg.solve(free.T @ normal @ free, free.T @ (values - normal @ met))
    return np.asarray((met + free @ best).reshape(3, 5), np.float64)


if __name__ == "__main__":
    for number, lobe in enumerate(fit()):
        print(f"{number} + t: " + " ".join(f"{value:+.4f} t^{n}" for n, value in enumerate(lobe)))
