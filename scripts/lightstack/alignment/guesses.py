"""Guesses of the transform between two star lists, from a few bright stars.

A guess is to be checked: nothing here looks at more stars than it takes to make one.
"""

from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec, module_from_spec
from itertools import combinations
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scripts.lightstack.alignment.polynomials import mapped, similarity_next_to
from scripts.lightstack.alignment.stars import Floats, Indices, Stars
from scripts.lightstack.alignment.transform import Transform, centre_and_extent

LARGEST_SCALE = 1.25
"""Ratio of the pixel scales of two frames that is still looked for, either way."""

N_ASTROALIGN = 30
"""Stars that astroalign looks at; tuned, as what follows, with `benchmarks.alignment_table`."""

N_BRIGHTEST = (25, 50)
"""Stars of which all triangles are compared, fewer first: their number has the third power."""

SMALLEST_TRIANGLE_PX = 30
"""Longest side below which a triangle's shape is that of its centroids' noise [pixels]."""

SHAPE_TOLERANCE = 0.007
"""Difference of like triangles, as a fraction of their longest side."""

AGREEMENT_PX = 8.0
"""Difference of similarities that agree, where they map the frame's centre and edge [pixels]."""

MOST_LIKE_TRIANGLES = 100_000
"""Pairs of like triangles that are looked at; the densest fields of the benchmark have 66,000.

In a grid or a row at equal steps every triangle is like every other, and tells nothing.
"""


def guesses(frame: Stars, reference: Stars) -> Iterator[Transform]:
    """Guess the transform of a frame to the reference, the most likely first.

    Parameters
    ----------
    frame, reference : Stars
        The brightest first.

    Yields
    ------
    Transform
        A similarity, good to a few pixels if it is right.
    """
    yield from _guess_by_astroalign(frame, reference)
    for n_brightest in N_BRIGHTEST:
        yield from _guess_by_triangles(frame[:n_brightest], reference[:n_brightest])
        if max(len(frame), len(reference)) <= n_brightest:
            break


class _SeededNumpy:
    """numpy, except that an unseeded random generator starts from zero."""

    random = SimpleNamespace(default_rng=lambda: np.random.default_rng(0))

    def __getattr__(self, name: str) -> Any:
        """Take everything else from numpy."""
        return getattr(np, name)


@cache
def _seeded_astroalign() -> Any:
    """Load a copy of astroalign for ourselves, in which the same stars give the same guess.

    astroalign shuffles with an unseeded generator and takes the first model that will do. The
    generator is replaced in this copy alone, and so are the loops over triangles, the fits of
    similarities and their use, which take most of its time: no other user of astroalign or numpy
    sees it.
    """
    spec = find_spec("astroalign")
    if spec is None or spec.loader is None:
        raise ImportError("astroalign is not installed: create the environment of envs/")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    vars(module).update(
        _np=_SeededNumpy(),
        _generate_invariants=_invariants,
        _MatchTransform=_OfTriangles,
        matrix_transform=_at_star,
    )
    return module


class _OfTriangles:
    """Similarities of pairs of triangles (n, 3, 2), by their vertices, as astroalign has them."""

    def __init__(self, source: Floats, target: Floats) -> None:
        self._source, self._target = source, target

    def fit(self, pairs: Indices) -> SimpleNamespace:
        """Find the similarity next to all vertices."""
        source, target = pairs.reshape(-1, 2).T
        weight = np.ones(len(source))
        a, b, x, y = similarity_next_to(self._source[source], self._target[target], weight)
        return SimpleNamespace(params=np.array([[a, -b, x], [b, a, y], [0, 0, 1]]))

    def get_error(self, pairs: Indices, similarity: SimpleNamespace) -> Floats:
        """Give the greatest distance (n,) of the vertices of each pair [pixels]."""
        on_target = mapped(self._source, similarity.params)
        offset = on_target[pairs[..., 0]] - self._target[pairs[..., 1]]
        return np.asarray(np.sqrt((offset**2).sum(axis=2)).max(axis=1))


def _at_star(xy: Floats, matrix: Floats) -> Floats:
    """Map the position (2,) of a star."""
    return np.asarray(mapped(xy[np.newaxis], matrix)[0])


def _invariants(xy: Floats) -> tuple[Floats, Indices]:
    """Shapes and vertices of the triangles of neighbours, as astroalign itself finds them.

    The shape is ``(longest / middle, middle / shortest)``; the vertices lie between the shortest
    side and the middle one, the longest and the shortest, and the middle one and the longest.
    """
    from scipy.spatial import KDTree

    _, neighbours = KDTree(xy).query(xy, min(len(xy), 5))
    triples = np.array(list(combinations(range(neighbours.shape[1]), 3)))
    corners = neighbours[:, triples].reshape(-1, 3)
    offset = xy[corners] - xy[corners[:, [1, 2, 0]]]
    opposite = np.sqrt(offset[..., 0] ** 2 + offset[..., 1] ** 2)[:, [1, 2, 0]]
    order = np.argsort(opposite, axis=1, kind="stable")
    shortest, middle, longest = np.take_along_axis(opposite, order, 1).T
    shapes = np.stack([longest / middle, middle / shortest], axis=1)
    # Stars that are each other's neighbours have made a triangle more than once.
    _, from_the_end = np.unique(shapes[::-1], axis=0, return_index=True)
    last = np.sort(len(shapes) - 1 - from_the_end)
    return shapes[last], np.take_along_axis(corners, order[:, [2, 0, 1]], 1)[last]


def _guess_by_astroalign(frame: Stars, reference: Stars) -> Iterator[Transform]:
    """At most one guess, from triangles of neighbours (Beroiz et al. 2020, A&C 32, 100384)."""
    try:
        found, _ = _seeded_astroalign().find_transform(
            frame.xy, reference.xy, max_control_points=N_ASTROALIGN
        )
        matrix = np.asarray(found.params, np.float64)
    except (RuntimeError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
        return  # it has no guess, and says so in many ways
    if np.isfinite(matrix).all():
        yield Transform(matrix, frame.shape, reference.shape)


def _guess_by_triangles(frame: Stars, reference: Stars) -> Iterator[Transform]:
    """Similarities on which many pairs of like triangles agree, the most voted first.

    All triangles of the brightest stars are compared by shape, as Groth (1986, AJ 91, 1244) did;
    the votes are counted among the similarities that they imply, not star by star.
    """
    from scipy.spatial import KDTree

    size_weight = SHAPE_TOLERANCE / np.log(LARGEST_SCALE)
    vertex, base, third = _triangles(frame.xy)
    other_vertex, other_base, other_third = _triangles(reference.xy)
    if not (len(base) and len(other_base)):
        return
    features, other_features = (
        np.stack([t.real, t.imag, size_weight * np.log(np.abs(b))], axis=1)
        for t, b in ((third, base), (other_third, other_base))
    )
    tree, other_tree = KDTree(features), KDTree(other_features)
    n_like = tree.count_neighbors(other_tree, SHAPE_TOLERANCE, p=np.inf)
    if not 0 < n_like <= MOST_LIKE_TRIANGLES:
        return
    like = tree.sparse_distance_matrix(
        other_tree, SHAPE_TOLERANCE, p=np.inf, output_type="ndarray"
    )
    centre, extent = centre_and_extent(frame.shape)
    turn = other_base[like["j"]] / base[like["i"]]
    centre_at = other_vertex[like["j"]] + turn * (complex(*centre) - vertex[like["i"]])
    votes = np.stack([extent * turn.real, extent * turn.imag, centre_at.real, centre_at.imag], 1)
    tree = KDTree(votes)
    count = tree.query_ball_point(votes, AGREEMENT_PX, return_length=True)
    for _ in range(10):
        best = int(np.argmax(count))
        if count[best] == 0:
            return
        agreeing = tree.query_ball_point(votes[best], AGREEMENT_PX)
        a, b, x, y = votes[agreeing].mean(axis=0)
        yield _similarity(complex(a, b) / extent, complex(x, y), frame.shape, reference.shape)
        count[agreeing] = 0


def _triangles(
    xy: Floats,
) -> tuple[NDArray[np.complex128], NDArray[np.complex128], NDArray[np.complex128]]:
    """Vertex, longest side and shape of all triangles, in the complex plane ``x + iy``.

    The shape is where the third vertex lies if the longest side is laid from 0 to 1, with the
    end next to the third vertex at 0: it is the same for any shift, turn and size of the
    triangle, and another one for its mirror image.
    """
    corners = np.array(list(combinations(range(len(xy)), 3)), np.intp).reshape(-1, 3)
    z = (xy[:, 0] + 1j * xy[:, 1])[corners]
    opposite = np.abs(z[:, [1, 2, 0]] - z[:, [2, 0, 1]])
    end, start, third = np.take_along_axis(z, np.argsort(opposite, axis=1, kind="stable"), 1).T
    large = opposite.max(axis=1) > SMALLEST_TRIANGLE_PX
    start, side, third = start[large], (end - start)[large], third[large]
    return start, side, (third - start) / side


def _similarity(
    turn: complex, centre_at: complex, shape: tuple[int, int], reference_shape: tuple[int, int]
) -> Transform:
    """Multiply by a complex number about the frame's centre, which falls on `centre_at`."""
    shift = centre_at - turn * complex(*centre_and_extent(shape)[0])
    a, b = turn.real, turn.imag
    matrix = np.array([[a, -b, shift.real], [b, a, shift.imag], [0, 0, 1]])
    return Transform(matrix, shape, reference_shape)
