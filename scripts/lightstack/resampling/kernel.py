"""The kernel that frames are interpolated with."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from scripts.lightstack.compiling import inlined
from scripts.lightstack.raw.bayer import GREY_CORRELATION

RADIUS = 3
"""Reach of the kernel [pixels]: taps are -2 … 3 from the pixel left of or below a position."""

PHASE_BITS = 10

PHASES = 1 << PHASE_BITS
"""Steps in which a position between two pixels is known to the kernel (tuned: a star of FWHM 2 px
is wrong by under a thousandth of its peak)."""

F32 = np.float32

STEP = F32(1 / PHASES)

TAPS = 2 * RADIUS

Index = int | np.uint64


def kernel_weights() -> NDArray[np.float32]:
    """Weights of the taps for positions ``0, 1 / PHASES, …`` between two pixels.

    The kernel has three smooth lobes, quartics of the distance. Interpolating a pixel's centre, a
    constant and a slope are exact, which leaves three coefficients free: they are those with the
    least squared error on Gaussian stars of FWHM 2 to 4 pixels, each place on a star counted by
    its brightness, rounded to 0.01 (least-squares design of local interpolators: Schaum 1993,
    CVGIP: Graph. Models Image Process. 55, 464). `benchmarks/star_kernel.py` makes the fit.

    Returns
    -------
    (PHASES, 6) ndarray of float32
        For the pixels -2 … 3 from the position's lower neighbour. Their sum is one, and their
        centre of mass is the position: without that, the flux of a star depends on where it falls
        between the pixels of a grid of another scale.
    """
    place = np.arange(PHASES, dtype=np.float32) * STEP
    rest = np.float32(1) - place
    return np.stack([*_lobes(place, rest), *reversed(_lobes(rest, place))], axis=1)


def _lobes(t: Any, u: Any) -> tuple[Any, Any, Any]:
    """Kernel at the distances ``2 + t``, ``1 + t`` and ``t``, for t from 0 to 1 and u = 1 - t.

    It is computed as single-precision numbers, alike here and in compiled code; each lobe has the
    factor u, so that it ends in nothing but zero.
    """
    return (
        t * u * u * (F32(0.13) + F32(0.37) * t),
        -t * u * (F32(0.76) + t * (F32(0.15) - F32(0.78) * t)),
        u * (F32(1) + t * (F32(1) - t * (F32(0.83) + F32(0.41) * t))),
    )


lobes = inlined(_lobes)

WEIGHTS = kernel_weights()


def correlated_with(weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """Correlate weights (n, 6) with those of neighbours, as noise of a grey mosaic is."""
    mixed = np.zeros_like(weights)
    for lag, share in enumerate(GREY_CORRELATION):
        mixed[:, lag:] += np.float32(share) * weights[:, : TAPS - lag]
        if lag:
            mixed[:, :-lag] += np.float32(share) * weights[:, lag:]
    return mixed
