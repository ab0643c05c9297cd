"""The modes by which a stack can be made, and where the code of each is.

The modes that are off by default are modules of their own, which are imported, compiled and part
of a stack's recipe only where the mode is asked for. Hence they are named here and imported by
their names.
"""

from collections.abc import Callable, Collection, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, cast

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from scripts.lightstack.stacking.centres import Light

MODES = ("mean", "median", "max", "min", "std", "sigma_clip", "winsorized", "noise_clip", "proper")

CLIP_MODES = ("sigma_clip", "winsorized", "noise_clip", "proper")

AVERAGES = ("mean", *CLIP_MODES)
"""Modes whose result is a mean of values, with the weights of the frames."""

WITH_ERROR = ("mean", "sigma_clip", "winsorized", "noise_clip", "median")
"""Modes whose standard error is known."""

BY_NOISE = ("proper",)
"""Modes that weight frames by their noise, whatever the settings say."""

WITH_PSF = ("proper",)
"""Modes whose file tells what the stack makes of a star."""

OF_THEIR_OWN = ("winsorized", "noise_clip", "proper")
"""Clip modes whose code is the module of that name beside this one."""

MEASURING = "noise_clip"
"""The one of them that has to measure something on all frames first."""

BY_SEEING = (MEASURING, "proper")
"""Modes that need what it measures."""

InParts = Callable[[Callable[[int, int], None], int, int], None]
"""Calls a function with the first row of each part of a range of rows, and the one after the last:
in threads."""


class ClipInputs(NamedTuple):
    """What a clip mode is given beside the pixels; arrays have one row for each frame.

    Attributes
    ----------
    limit : float
        Values further off than this are left out; the mode tells in what unit.
    weights : (n,) ndarray of float64
        Of the frames in averages.
    noise : (n,) ndarray of float64
        Standard deviation of the sky [units of the stack].
    gain : (n,) ndarray of float64
        Electrons per unit of the stack; infinite where it is unknown.
    seeing : Seeing or None
        What is known of it.
    variances : (n, k, nx) ndarray of float32
        Of the pixels; empty where no standard error is wanted.
    shared_variance : float
        What frames have in common [units of the stack, squared].
    uneven : (k, nx) ndarray of float32
        What the variance of the sky's noise is multiplied by in each pixel.
    light : centres.Light
        That of the cube, for `BY_SEEING`; else empty.
    mean : (h, nx) ndarray of float32
        The weighted mean of all values, for `BY_SEEING`.
    mean_error : (h, nx) ndarray of float32
        Its standard error, where standard errors are wanted.
    """

    limit: float
    weights: "NDArray[np.float64]"
    noise: "NDArray[np.float64]"
    gain: "NDArray[np.float64]"
    seeing: Any
    variances: "NDArray[np.float32]"
    shared_variance: float
    uneven: "NDArray[np.float32]"
    light: "Light"
    mean: "NDArray[np.float32]"
    mean_error: "NDArray[np.float32]"


class Measured(NamedTuple):
    """What a stack has to know of the whole frames of a plane before it combines some rows.

    Attributes
    ----------
    gain : (n,) ndarray of float64, optional
        Electrons per unit of the stack, stated or measured; infinite where it is unknown.
    seeing : Seeing, optional
        If a mode needs it and it could be measured.
    noise : FrameNoise, optional
        Where standard errors are wanted.
    """

    gain: Any = None
    seeing: Any = None
    noise: Any = None


class ClipMode(Protocol):
    """What the module of a clip mode has.

    Attributes
    ----------
    LIMIT : float
    LIMIT_MEANING : str
        The limit's unit and sense, for a FITS card.
    MARGIN : int
        Rows on either side of a pixel on which its result depends [pixels].
    """

    LIMIT: float
    LIMIT_MEANING: str
    MARGIN: int

    def clip_rows(
        self,
        cube: "NDArray[np.float32]",
        rows: tuple[int, int],
        inputs: ClipInputs,
        image: "NDArray[np.float32]",
        rejected: "NDArray[np.integer]",
        error: "NDArray[np.float32]",
        in_parts: InParts,
    ) -> None:
        """Combine rows of a cube to `image`, and count in `rejected` what was left out.

        `error` gets the standard error, unless it is empty.
        """


class MeasuringMode(ClipMode, Protocol):
    """What the module of `MEASURING` has beside that."""

    def measure(self, frames: Any, threads: int) -> Measured:
        """Measure the seeing of frames, and gains that are not stated."""

    def write_measured(self, path: Path, planes: Sequence[Measured]) -> None:
        """Write what was measured to a FITS file, for each plane of an image."""

    def read_measured(self, path: Path, n_planes: int) -> list[Measured]:
        """Read it again."""


def clip_mode(mode: str) -> ClipMode:
    """Import the module of one of `OF_THEIR_OWN`."""
    return cast("ClipMode", import_module(f"{__package__}.{mode}"))


def measuring_mode() -> MeasuringMode:
    """Import the module of `MEASURING`."""
    return cast("MeasuringMode", clip_mode(MEASURING))


def own_psf() -> Any:
    """Import the module that measures what `WITH_PSF` make of stars."""
    return import_module(f"{__package__}.own_psf")


def needs_measuring(modes: Collection[str], *, uncertainty: bool) -> bool:
    """Tell whether something has to be measured on all frames before they are combined.

    Standard errors need the noise all over each frame, and gains that are not stated.
    """
    return uncertainty or any(mode in modes for mode in BY_SEEING)


def files_of(modes: Any, *, uncertainty: bool) -> list[str]:
    """Name the modules that these modes import, by their paths below the checkout."""
    folder = __package__.replace(".", "/")
    used = {*modes, *([MEASURING] if needs_measuring(modes, uncertainty=uncertainty) else [])}
    files = [mode for mode in OF_THEIR_OWN if mode in used]
    files += ["own_psf"] if any(mode in used for mode in WITH_PSF) else []
    return [f"{folder}/{file}.py" for file in files]
