"""The light that frames share, as robust estimates from the values of each pixel."""

from typing import NamedTuple

import numpy as np

from scripts.lightstack.compiling import compiled
from scripts.lightstack.stacking.blocks import WIDTH, Block, Counts, fetch, put
from scripts.lightstack.stacking.sorting import Pairs, sort_columns, sorting_network


class Light(NamedTuple):
    """What the sorted values of each pixel tell; arrays are (k, nx) of float32.

    Attributes
    ----------
    centres : ndarray
        The lower median, which stands nearly half of the values being wrong.
    middles : ndarray
        The mean of the values in the middle, without a quarter of them on either side, which is
        nearer to the light of a star when the seeing differs. Of two values both are the lower.
    lowest, highest : ndarray
        Of all values. Where there are none, all is NaN.
    """

    centres: Block
    middles: Block
    lowest: Block
    highest: Block


def room_for_light(shape: tuple[int, int]) -> Light:
    """Make the arrays of a `Light`, to be filled."""
    return Light(*np.empty((len(Light._fields), *shape), np.float32))


def find_centres(cube: Block) -> tuple[Block, Block]:
    """Find the light that frames share.

    Parameters
    ----------
    cube : (n, k, nx) ndarray of float32, C-contiguous
        As in `combining.combine`.

    Returns
    -------
    centres, middles : (k, nx) ndarray of float32
        As in `Light`.
    """
    n, height, nx = cube.shape
    light = room_for_light((height, nx))
    find_light_of_rows(cube, 0, height, sorting_network(n), light)
    return light.centres, light.middles


@compiled
def find_light_of_rows(cube: Block, start: int, stop: int, network: Pairs, light: Light) -> None:
    """Find the light of some rows; `light` has all of the cube."""
    values = np.empty((cube.shape[0], WIDTH), np.float32)
    ranked = np.empty((cube.shape[0], WIDTH), np.float32)
    for y in range(start, stop):
        for x in range(0, cube.shape[2], WIDTH):
            count = fetch(cube, y, x, values)
            sort_columns(values, network, ranked)
            write_light(ranked, count, x, y, light)


@compiled
def write_light(ranked: Block, count: Counts, x: int, y: int, light: Light) -> None:
    """Write what the sorted values of a block tell."""
    first, last = np.empty(WIDTH, np.int64), np.empty(WIDTH, np.int64)
    total = np.zeros(WIDTH)
    for k in range(WIDTH):
        # A quarter, but at least one of three and two of five; the upper of two.
        first[k] = max((count[k] + 1) // 4, min((count[k] - 1) // 2, 2), 0)
        last[k] = count[k] - first[k] if count[k] != 2 else 1
    for i in range(ranked.shape[0]):
        for k in range(WIDTH):
            total[k] += ranked[i, k] if (i >= first[k]) & (i < last[k]) else 0.0
    for k in range(WIDTH):
        some, number = count[k] > 0, last[k] - first[k]
        total[k] = total[k] / number if some else np.nan
    put(total, x, light.middles[y])
    lowest, highest = np.empty(WIDTH), np.empty(WIDTH)
    for k in range(WIDTH):
        some = count[k] > 0
        total[k] = ranked[(max(count[k], 1) - 1) // 2, k] if some else np.nan
        lowest[k] = ranked[0, k] if some else np.nan
        highest[k] = ranked[max(count[k], 1) - 1, k] if some else np.nan
    put(total, x, light.centres[y])
    put(lowest, x, light.lowest[y])
    put(highest, x, light.highest[y])
