"""Pixels that are no data though the file has numbers there."""

from collections import Counter
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from scripts.lightstack.raw.image import RawImage

SENTINELS = (-999.0, -9999.0, -99999.0, -32767.0, -32768.0, -(2.0**31))
"""Numbers that programs write where they have none."""

NO_LIGHT = 1e20
"""Floats that are as large, of either sign, stand for none: no camera counts so far."""

NEARLY = 1e-6
"""Relative error of a float32, ten times its rounding."""

SHORTEST_RUN = 16
"""Equal pixels along a border from which on a block is looked for."""

MOST_VALUES = 4
"""Different values that blocks of one image are looked for."""

SMALLEST_BLOCK = 128
"""Pixels: in a sky that is half zeros chance makes smaller ones."""

COMMON = 0.001
"""Share of the pixels outside of blocks from which on a value is common there, too. This and what
follows: no pixel is lost in the 190 skies of docs/methods.md, "No data"."""

COMMON_BLOCK = 0.01
"""Share of an image that a block of a common value has: a JPEG has smaller ones."""

AROUND = 4
"""Width of the surroundings that a block is compared with [pixels]."""

MOST_ALIKE = 0.4
"""Share of equal neighbours in the surroundings: where more are equal, as in a sky that is cut off
at zero, a picture of 8 bits or a JPEG, a block of one value proves nothing."""

UNWRITTEN_RUN = 128
"""Zeros of a file in a row, at least: a sector of a disk has 256 of 16 bits."""

COMPARED = 16
"""Pixels of each line by which those are found that may be the same."""

FEWEST_VALUES = 16
"""Different values in a line that proves something: black sky of a picture repeats itself."""

MOST_REPEATED = 0.4
"""Share of the lines: enlarged pictures have each line twice, or more often."""

GARBAGE_RUN, EACH, APART = 128, 8, 2
"""Pixels of a file that are judged together, less than half a sector of a disk; of so many one is
looked at, beside the next of its colour."""

JUMP, MOST_JUMPS = 4096, 9
"""More than so many of the sixteen jumps by more than so much [ADU]: of random 16 bits 14 do, and
of 290,000 runs in 82 real frames none has more than 4."""

MOST_GARBAGE = 0.4
"""Share of the runs: where more jump, it is the noise of numbers on another scale."""

BLURRED_EDGE = 2
"""Pixels about a block that interpolation has mixed with it."""


def blank_sentinels(image: RawImage) -> None:
    """Put NaN where an image has a number that stands for none, in place.

    Parameters
    ----------
    image : RawImage
        The file's own numbers. The lowest of them counts as a sentinel if it is one of `SENTINELS`
        and all others are far above, and floats beyond `NO_LIGHT` are in any case.
    """
    if image.step == 0:
        is_far = np.abs(image.data) >= NO_LIGHT
        image.data[is_far] = image.peak[is_far] = np.nan
    for _ in SENTINELS:
        low = float(np.fmin.reduce(image.data, axis=None))
        # Of three colours made grey it has lost its last digits.
        if not any(abs(low - sentinel) <= NEARLY * -sentinel for sentinel in SENTINELS):
            return
        is_low = image.data <= low * (1 - 2 * NEARLY)
        others = image.data[~is_low]
        if others.size == 0 or np.fmin.reduce(others) < low / 2:
            return
        image.data[is_low] = image.peak[is_low] = np.nan


def blank_unwritten(raw: NDArray[np.integer], pixels: NDArray[np.float32]) -> None:
    """Put NaN where a file was never written, as where a copy broke off, in place.

    Parameters
    ----------
    raw : (ny, nx) ndarray of int
        Whole rows of the file's own numbers, in which zero stands for another one: then only a
        part of the file without content has many zeros in a row.
    pixels : (ny, nx) ndarray of float32
        What they stand for [ADU].
    """
    numbers, half = raw.ravel(), UNWRITTEN_RUN // 2
    # A run of so many has two of these numbers in it.
    is_zero = numbers[::half] == 0
    if not np.any(is_zero[1:] & is_zero[:-1]):
        return
    edges = np.flatnonzero(np.diff(np.concatenate([[False], numbers == 0, [False]])))
    values = pixels.reshape(-1)
    for first, last in edges.reshape(-1, 2).tolist():
        if last - first >= UNWRITTEN_RUN:
            values[first:last] = np.nan


def blank_blocks(data: NDArray[np.float32], saturation: float) -> None:
    """Put NaN where a block at the border, or whole rows or columns, have one value, in place.

    So look frames that other programs have registered, that a broken transfer has cut short, or
    whose sensor has dead lines.

    Parameters
    ----------
    data : (ny, nx) ndarray of float32
        Pixels [ADU], NaN where there is no data.
    saturation : float
        Blocks of this value or above are light [ADU].
    """
    lines = _constant_lines(data)
    values = Counter(dict(_runs(data)))
    for selection in lines:
        values[float(data[selection].flat[0])] += SHORTEST_RUN
    no_data = np.zeros(data.shape, bool)
    for value, _ in values.most_common(MOST_VALUES):
        if value < saturation:
            of_value = [at for at in lines if data[at].flat[0] == value]
            no_data |= _blocks(data, value, of_value)
    data[no_data] = np.nan


def blank_repeats(data: NDArray[np.float32]) -> None:
    """Put NaN where rows or columns are others of the image once more, in place.

    So look frames of a readout that got stuck, or that sent a part of its memory twice. Noise does
    not repeat itself.

    Parameters
    ----------
    data : (ny, nx) ndarray of float32
        Pixels [ADU], NaN where there is no data.
    """
    for lines in (data, data.T):
        repeated = _repeated(lines)
        if np.mean(repeated) < MOST_REPEATED:
            lines[repeated] = np.nan


def blank_garbage(data: NDArray[np.float32]) -> None:
    """Put NaN where a part of the file is not the camera's, in place.

    So are sectors of a disk that was about to fail, and blocks of other files after a broken copy:
    from pixel to pixel their values jump all over what 16 bits can hold.

    Parameters
    ----------
    data : (ny, nx) ndarray of float32
        Pixels [ADU] in the order of the file, NaN where there is no data.
    """
    ny, nx = data.shape
    whole = nx - nx % GARBAGE_RUN
    runs = data[:, :whole].reshape(ny, -1, GARBAGE_RUN)
    jumps = np.abs(runs[:, :, APART::EACH] - runs[:, :, ::EACH]) > JUMP
    garbage = np.count_nonzero(jumps, axis=2) > MOST_JUMPS
    if garbage.any() and garbage.mean() < MOST_GARBAGE:
        # It begins and ends within a run.
        beside = np.pad(garbage.ravel(), 1)
        lost = garbage | (beside[2:] | beside[:-2]).reshape(garbage.shape)
        runs[lost] = np.nan
        data[lost[:, -1], whole:] = np.nan


def _repeated(lines: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Find the lines that are earlier ones once more, and lie side by side."""
    some = np.linspace(0, lines.shape[1] - 1, COMPARED).astype(int)
    seen: dict[bytes, int] = {}
    first = [seen.setdefault(key.tobytes(), at) for at, key in enumerate(lines[:, some])]
    repeated = np.array(first) < np.arange(len(lines))
    for at in np.flatnonzero(repeated).tolist():
        line = lines[at]
        is_same = np.array_equal(line, lines[first[at]], equal_nan=True)
        repeated[at] = is_same and np.unique(line).size >= FEWEST_VALUES
    beside = np.pad(repeated, 1)
    return repeated & (beside[2:] | beside[:-2])


def _constant_lines(data: NDArray[np.float32]) -> list[tuple[slice, slice]]:
    """Rows and columns that have one value all along."""
    ny, nx = data.shape
    whole = slice(None)
    middle_x, middle_y = data[:, nx // 2], data[ny // 2]
    rows = np.flatnonzero((data[:, 0] == middle_x) & (middle_x == data[:, -1]))
    columns = np.flatnonzero((data[0] == middle_y) & (middle_y == data[-1]))
    lines = [(slice(row, row + 1), whole) for row in rows.tolist()]
    lines += [(whole, slice(column, column + 1)) for column in columns.tolist()]
    return [line for line in lines if np.ptp(data[line]) == 0]


def _runs(data: NDArray[np.float32]) -> Iterator[tuple[float, int]]:
    """Values that stand many times in a row along the border, and how often."""
    for line in (data[0], data[-1], data[:, 0], data[:, -1]):
        starts = np.concatenate([[0], np.flatnonzero(line[1:] != line[:-1]) + 1, [line.size]])
        lengths = np.diff(starts)
        for k in np.flatnonzero(lengths >= SHORTEST_RUN).tolist():
            yield float(line[starts[k]]), int(lengths[k])


def _blocks(
    data: NDArray[np.float32], value: float, lines: list[tuple[slice, slice]]
) -> NDArray[np.bool_]:
    """Find the blocks of a value at the border, and lines of it, that are no data."""
    from scipy import ndimage

    equal = data == value
    # Beyond the border all belongs to a block: one of a single column has no other neighbours.
    core = ndimage.minimum_filter(np.pad(equal, 2, constant_values=True), 3)
    solid = ndimage.maximum_filter(core, 3)[2:-2, 2:-2] & equal
    found = solid.copy()
    for line in lines:
        found[line] = True
    labels, _ = ndimage.label(found, np.ones((3, 3), bool))
    sizes = np.bincount(labels.ravel())
    parts = ndimage.find_objects(labels)
    is_common = np.count_nonzero(equal & ~found) > COMMON * data.size
    with_lines = {int(labels[line].flat[0]) for line in lines}
    borders = (labels[0], labels[-1], labels[:, 0], labels[:, -1])
    no_data = np.zeros(data.shape, bool)
    for number in np.unique(np.concatenate(borders)).tolist():
        smallest = min(SMALLEST_BLOCK, *data.shape)
        if is_common and number not in with_lines:
            smallest = max(smallest, COMMON_BLOCK * data.size)
        if number == 0 or sizes[number] < smallest:
            continue
        near = _widened(parts[number - 1], data.shape)
        block = labels[near] == number
        ring = ndimage.maximum_filter(block, 2 * AROUND + 1) & ~block
        if not _is_of_one_value(data[near], ring):
            blurred = ndimage.maximum_filter(block & solid[near], 2 * BLURRED_EDGE + 1)
            no_data[near] |= block | blurred
    if not no_data.any():
        return no_data
    # What is left of an image is one piece: a sky of one value with stars in it is no block.
    pieces, _ = ndimage.label(~no_data, np.ones((3, 3), bool))
    left = np.bincount(pieces.ravel())[1:]
    return no_data if 2 * left.max(initial=0) > left.sum() else np.zeros_like(no_data)


def _widened(part: tuple[slice, slice], shape: tuple[int, ...]) -> tuple[slice, slice]:
    rows, columns = (
        slice(max(0, along.start - AROUND), min(length, along.stop + AROUND))
        for along, length in zip(part, shape, strict=True)
    )
    return rows, columns


def _is_of_one_value(data: NDArray[np.float32], ring: NDArray[np.bool_]) -> bool:
    """Whether the surroundings of a block are as much of one value as the block itself is."""
    ring = ring & ~np.isnan(data)
    pairs = ring[:, 1:] & ring[:, :-1]
    alike = pairs & (data[:, 1:] == data[:, :-1])
    return not pairs.any() or bool(np.mean(alike[pairs]) > MOST_ALIKE)
