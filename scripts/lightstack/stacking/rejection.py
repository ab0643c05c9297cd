"""What a clip mode can see at all."""

from math import floor


def smallest_stack(sigma: float) -> int:
    """Tell how many frames "sigma_clip" needs before it can reject anything.

    Of n values, none is further from their mean than ``sqrt(n - 1)`` times their population
    standard deviation, however wild it is (Samuelson 1968, J. Am. Stat. Assoc. 63, 1522): with
    fewer frames the mode is a mean.

    Parameters
    ----------
    sigma : float
        The limit [standard deviations].

    Returns
    -------
    int
        Smallest number of frames in which one outlier can be rejected.
    """
    return floor(sigma**2) + 2


def blindness(sigma: float, *n_frames: int) -> str:
    """Say that "sigma_clip" cannot reject anything in one or more stacks, if that is so.

    Parameters
    ----------
    sigma : float
        The limit [standard deviations].
    *n_frames : int
        Frames in each stack.

    Returns
    -------
    str
        A sentence, or an empty string.
    """
    needed, (fewest, most) = smallest_stack(sigma), (min(n_frames), max(n_frames))
    if most >= needed:
        return ""
    few = f"{fewest}" if fewest == most else f"{fewest} to {most}"
    return (
        f"sigma_clip is blind with {few} frames: no value can be further than {sigma:g} "
        f"standard deviations from the mean of fewer than {needed}, so nothing was rejected. "
        "The modes winsorized and noise_clip work with fewer frames."
    )
