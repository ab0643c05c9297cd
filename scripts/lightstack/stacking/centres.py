"""The light that frames share, as robust estimates from the values of each pixel."""

import numpy as np

from scripts.lightstack.compiling import compiled
from scripts.lightstack.stacking.blocks import WIDTH, Block, Counts, fetch, put
from scripts.lightstack.stacking.sorting import Pairs, sort_columns, sorting_network


def find_centres(cube: Block) -> tuple[Block, Block]:
    """Find the light that frames share.

    Parameters
    ----------
    cube : (n, k, nx) ndarray of float32, C-contiguous
        As in `combining.combine`.

    Returns
    -------
    centres, middles : (k, nx) ndarray of float32
        The lower median, which stands nearly half of the values being wrong; and the mean of the
        values in the middle, without a quarter of them on either side, which is nearer to the
        light of a star when the seeing differs. Of two values both are the lower.
    """
    n, height, nx = cube.shape
    centres, middles = np.empty((2, height, nx), np.float32)
    find_centres_of_rows(cube, 0, height, sorting_network(n), centres, middles)
    return centres, middles


@compiled
def find_centres_of_rows(
    cube: Block, start: int, stop: int, network: Pairs, centres: Block, middles: Block
) -> None:
    """Do what `find_centres` does for some rows; `centres` and `middles` have all of the cube."""
    values = np.empty((cube.shape[0], WIDTH), np.float32)
    ranked = np.empty((cube.shape[0], WIDTH), np.float32)
    for y in range(start, stop):
        for x in range(0, cube.shape[2], WIDTH):
            count = fetch(cube, y, x, values)
            sort_columns(values, network, ranked)
            _write_centres(ranked, count, x, centres[y], middles[y])


@compiled
def _write_centres(ranked: Block, count: Counts, x: int, centres: Block, middles: Block) -> None:
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
    put(total, x, middles)
    for k in range(WIDTH):
        total[k] = ranked[(max(count[k], 1) - 1) // 2, k] if count[k] > 0 else np.nan
    put(total, x, centres)
