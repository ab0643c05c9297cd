"""What is to be known of an alignment and of stacks beside their numbers."""

from itertools import product
from typing import Any

from scripts.lightstack.raw.values import Cards
from scripts.lightstack.report.reasons import sentence
from scripts.lightstack.stacking import dark_limit, odd_colours, odd_skies
from scripts.lightstack.text import on_one_line

CARDS = (*dark_limit.CARDS, *odd_skies.CARDS, *odd_colours.CARDS)
"""What `notes_of_stack` looks at in a stack's header."""


PLACES = 10
"""Along either side of a frame, where it is looked up whether the reference is there."""


def notes(alignment: dict[str, Any]) -> list[str]:
    """Say what is odd: the reference, frames that were turned over, stretched pictures.

    Parameters
    ----------
    alignment : dict
        What `align_frames` wrote.

    Returns
    -------
    list of str
        A sentence each.
    """
    lines = []
    if passed_over := alignment.get("passed_over"):
        lines.append(
            f"Reference: {on_one_line(alignment['reference'])}. The first accepted frame, "
            f"{on_one_line(passed_over['frame'])}, is passed over: "
            f"{sentence(passed_over['reason'])} (a name as reference would choose it)."
        )
    mirrored = [name for name, entry in alignment["frames"].items() if _is_mirrored(entry)]
    if mirrored:
        lines.append(
            f"Mirror images of the reference, which are turned over: {len(mirrored)} of "
            f"{len(alignment['frames'])} frames, such as {on_one_line(mirrored[0])}."
        )
    beyond = [name for name, entry in alignment["frames"].items() if _is_beyond(entry, alignment)]
    if beyond:
        count = f"{len(beyond)} of {len(alignment['frames'])} frames"
        lines.append(
            f"More than half beyond the edges of the reference: {count}, such as "
            f"{on_one_line(beyond[0])}. Stacks show the field of the reference alone. Part other "
            "fields, as panels of a mosaic, by group_by: by OBJECT, or by folder."
        )
    if ratio := alignment.get("wider_when_bright"):
        lines.append(
            f"Bright stars are {ratio - 1:.0%} wider than faint ones, as in stretched pictures "
            "(or where saturation_limit is too high): the stacks' values are not in proportion to "
            "the light. Stack the unstretched frames if you have them."
        )
    return lines


def notes_of_stack(header: Cards) -> list[str]:
    """Say where the darks of a stack are too few, and which frames' skies or colours are odd.

    Parameters
    ----------
    header : Cards
        Of a stack of averages; `CARDS` are enough.

    Returns
    -------
    list of str
        A sentence each.
    """
    told = (
        dark_limit.limited_by_darks(header),
        odd_skies.told_of_odd_skies(header),
        odd_colours.told_of_odd_colours(header),
    )
    return list(filter(None, told))


def _is_beyond(entry: dict[str, Any], alignment: dict[str, Any]) -> bool:
    """Whether more than half of a frame is not in the field of its reference."""
    (left, low), _, (right, high), _ = alignment["frames"][alignment["reference"]]["corners_px"]
    first, second, third, fourth = entry["corners_px"]
    inside = 0
    for i, j in product(range(PLACES), repeat=2):
        u, v = (i + 0.5) / PLACES, (j + 0.5) / PLACES
        x, y = (
            (1 - v) * ((1 - u) * first[k] + u * second[k])
            + v * ((1 - u) * fourth[k] + u * third[k])
            for k in range(2)
        )
        inside += left <= x <= right and low <= y <= high
    return 2 * inside < PLACES**2


def _is_mirrored(entry: dict[str, Any]) -> bool:
    (a, b, _), (c, d, _) = entry["matrix"][:2]
    return bool(a * d < b * c)
