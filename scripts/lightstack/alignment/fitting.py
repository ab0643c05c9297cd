"""Fit of a transform to matched stars, and the choice of its model.

All models are polynomials of a position on the frame, at most cubic. A lens displaces stars along
the radius from the image's middle, by the third power of it; both images have the frame's optics
or ones of their own, so that two coefficients describe what takes twenty of a free cubic.
"""

import math
from dataclasses import replace
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from scripts.lightstack.alignment.polynomials import cubed, evaluated, similarity_next_to
from scripts.lightstack.alignment.transform import (
    POWERS,
    Transform,
    centre_and_extent,
    cubic_terms,
    identity,
    inside,
)
from scripts.lightstack.linear import least_squares

Floats = NDArray[np.float64]


class Model(NamedTuple):
    """Kind of transform.

    Attributes
    ----------
    terms : {0, 3, 6, 10}
        Polynomial terms, up to first, second and third order; with none it is a similarity.
    radial : {0, 1, 2}
        Coefficients of radial distortion: one for both images, or one for each.
    """

    terms: Literal[0, 3, 6, 10]
    radial: Literal[0, 1, 2] = 0

    @property
    def n_more(self) -> int:
        """How many coefficients it has more than a similarity."""
        return max(2 * self.terms - 4, 0) + self.radial


SIMILARITY = Model(0)

BENT = Model(0, radial=1)
"""A similarity, and the distortion that both images share."""

RICHER_MODELS = (
    BENT,
    Model(0, radial=2),
    Model(3),
    Model(3, radial=1),
    Model(3, radial=2),
    Model(6),
    Model(10),
)
"""What may replace a similarity, in this order."""

N_ERRORS = 2
"""By how many standard errors a richer model has to be better.

CART's rule asks for one. A model too many is paid for in corners without stars, so here it is two.
"""

LEAST_GAIN = 1e-3
"""Gain [variances of a pair] below which two models are the same but for rounding."""

LARGEST_MISFIT = 5.0**2
"""Misfit [variances of a pair] of a wrong pair: how wrong it is says nothing of a model."""

PAIRS_PER_TERM = 4
"""Fewest pairs for each coefficient of an axis: of five folds, four still have three for each."""


class Bend(NamedTuple):
    """A fit of `BENT`, linear in its coefficient of distortion.

    Attributes
    ----------
    straight, bent : (2, 10) ndarray of float64
        The similarity without distortion, and what each pixel of the coefficient adds.
    pull : float
        What the pairs' errors have in common with what the distortion does to them, weighted.
    stiffness : float
        Inverse variance of the coefficient [1 / pixels^2].
    squares : (float, float, float)
        Sum of the squared distances of the pairs [pixels^2], by powers of the coefficient.
    own_gain : float
        How much less misfit the frame's own model leaves than a similarity [variances of a pair].
    n_more : int
        How many coefficients that has more than a similarity.
    """

    straight: Floats
    bent: Floats
    pull: float
    stiffness: float
    squares: tuple[float, float, float]
    own_gain: float
    n_more: int

    def residual(self, amount: float, n_pairs: int) -> float:
        """RMS distance of the pairs with this coefficient [pixels]."""
        constant, linear, square = self.squares
        return math.sqrt(max(constant + amount * (linear + amount * square), 0.0) / n_pairs)

    def transform(self, amount: float, shape: tuple[int, int]) -> Transform:
        """Give the transform with this coefficient, for images of this shape."""
        like = identity(shape)
        return with_backward(_transform(BENT, like, self.straight + amount * self.bent))

    def to_json(self) -> dict[str, Any]:
        """Plain values from which `from_json` makes the same."""
        values = self._asdict()
        return values | {"straight": self.straight.tolist(), "bent": self.bent.tolist()}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "Bend":
        """Read what `to_json` made."""
        arrays = {name: np.array(values[name]) for name in ("straight", "bent")}
        return cls(**{**values, **arrays})


def bend(model: Model, own: Transform, xy: Floats, target: Floats, weight: Floats) -> Bend:
    """Find how the fit of a similarity changes with the distortion.

    Parameters
    ----------
    model : Model
        The one that was chosen for the frame.
    own : Transform
        Its fit.
    xy, target, weight
        As in `fit`.

    Returns
    -------
    Bend
    """
    terms = cubic_terms(xy, own.frame_shape)
    straight = _fit_terms(0, terms, target, weight)
    (field,) = _radial_fields(BENT, straight, own)
    values = evaluated(field, terms)
    bent = field - _fit_terms(0, terms, values, weight)
    missing, moved = target - evaluated(straight, terms), evaluated(bent, terms)
    by_weight, left = weight[:, np.newaxis], target - own.forward(xy)
    return Bend(
        straight,
        bent,
        pull=float(np.sum(by_weight * missing * moved)),
        stiffness=float(np.sum(by_weight * moved * moved)),
        squares=(
            float(np.sum(missing * missing)),
            float(-2 * np.sum(missing * moved)),
            float(np.sum(moved * moved)),
        ),
        own_gain=float(np.sum(by_weight * (missing * missing - left * left))),
        n_more=model.n_more,
    )


def fit(model: Model, like: Transform, xy: Floats, target: Floats, weight: Floats) -> Transform:
    """Find the transform with the least weighted sum of squared distances.

    Parameters
    ----------
    model : Model
        Kind of transform to fit.
    like : Transform
        One between the same images.
    xy, target : (n, 2) ndarray of float64
        Positions on the frame and on the reference [pixels].
    weight : (n,) ndarray of float64
        Inverse variance of each pair [1 / pixels^2].

    Returns
    -------
    Transform
        Without `backward_cubic`.
    """
    terms = cubic_terms(xy, like.frame_shape)
    coefficients = _fit_terms(model.terms, terms, target, weight)
    if model.radial:
        fields = _radial_fields(model, coefficients, like)
        values = [evaluated(field, terms) for field in fields]
        rest = [
            at - evaluated(_fit_terms(model.terms, terms, at, weight), terms)
            for at in (target, *values)
        ]
        bent = sum(
            amount * field
            for amount, field in zip(_amounts(rest[0], rest[1:], weight), fields, strict=True)
        )
        straight = target - evaluated(bent, terms)
        coefficients = bent + _fit_terms(model.terms, terms, straight, weight)
    return _transform(model, like, coefficients)


def predicts_better(
    richer: Model, poorer: Model, like: Transform, xy: Floats, target: Floats, weight: Floats
) -> bool:
    """Whether a richer model comes nearer to stars that it was not fitted to.

    Five folds, and a number of standard errors (Breiman et al. 1984, CART, section 3.4.3).
    Parameters as in `fit`.
    """
    if len(xy) < PAIRS_PER_TERM * (max(richer.terms, 2) + richer.radial):
        return False

    def misfit(model: Model, used: NDArray[np.bool_], held: NDArray[np.bool_]) -> Floats:
        fitted = fit(model, like, xy[used], target[used], weight[used])
        squared = np.sum((fitted.forward(xy[held]) - target[held]) ** 2, axis=1)
        return np.asarray(np.minimum(weight[held] * squared, LARGEST_MISFIT), np.float64)

    def gain(used: NDArray[np.bool_], held: NDArray[np.bool_]) -> Floats:
        return misfit(poorer, used, held) - misfit(richer, used, held)

    everything = np.ones(len(xy), bool)
    if not stands_out(gain(everything, everything)):
        return False  # what does not even fit better need not be tried on stars left out
    fold = np.arange(len(xy)) % 5
    return stands_out(np.concatenate([gain(fold != k, fold == k) for k in range(5)]))


def stands_out(gain: Floats, n_errors: float = N_ERRORS) -> bool:
    """Whether stars (n,) gain more by a richer model than chance gives them [squared errors]."""
    error = gain.std() / np.sqrt(len(gain))
    return bool(gain.mean() > max(LEAST_GAIN, n_errors * error))


def with_backward(transform: Transform) -> Transform:
    """Add the cubic that undoes the forward one where the images overlap."""
    if transform.forward_cubic is None:
        return transform
    ny, nx = transform.frame_shape
    x, y = np.meshgrid(np.linspace(0, nx - 1, 20), np.linspace(0, ny - 1, 20))
    xy = np.stack([x.ravel(), y.ravel()], axis=1)
    mapped = transform.forward(xy)
    common = inside(mapped, transform.reference_shape)
    terms = cubic_terms(mapped[common], transform.reference_shape)
    missing = xy[common] - transform.backward(mapped[common])
    backward = least_squares(terms, missing, np.ones(len(terms))).T
    return replace(transform, backward_cubic=backward)


def _fit_terms(n_terms: int, terms: Floats, values: Floats, weight: Floats) -> Floats:
    """(2, 10) coefficients of the polynomial next to (n, 2) values; a similarity without terms."""
    coefficients = np.zeros((2, len(POWERS)))
    if n_terms:
        coefficients[:, :n_terms] = least_squares(terms[:, :n_terms], values, weight).T
        return coefficients
    a, b, x, y = similarity_next_to(terms[:, 1:3], values, weight)
    coefficients[0, :3] = x, a, -b
    coefficients[1, :3] = y, b, a
    return coefficients


def _radial_fields(model: Model, coefficients: Floats, like: Transform) -> list[Floats]:
    """(2, 10) coefficients of what the frame's and the reference's distortion do to positions.

    Each is ``|p|**2 p`` of the position p from the middle of its image, turned as the reference.
    Where both images share the distortion, it is the difference: undone on the one, done on the
    other.
    """
    centre, extent = centre_and_extent(like.reference_shape)
    on_reference = coefficients[:, :3].copy()
    on_reference[:, 0] -= centre
    on_reference /= extent
    x, y = cubed(np.eye(3)[1:])
    turned = [row[1] * x + row[2] * y for row in on_reference]
    fields = [np.array(turned), cubed(on_reference)]
    return fields if model.radial == 2 else [fields[1] - fields[0]]


def _amounts(target: Floats, fields: list[Floats], weight: Floats) -> Floats:
    """How much of each (n, 2) field makes up a (n, 2) target."""
    columns = np.stack([field.ravel() for field in fields], axis=1)
    values = target.reshape(-1, 1)
    amounts: Floats = least_squares(columns, values, np.repeat(weight, 2))[:, 0]
    return amounts


def _transform(model: Model, like: Transform, coefficients: Floats) -> Transform:
    centre, extent = centre_and_extent(like.frame_shape)
    matrix = np.eye(3)
    matrix[:2, :2] = coefficients[:, 1:3] / extent
    matrix[:2, 2] = coefficients[:, 0] - (matrix[:2, :2] * centre).sum(axis=1)
    shapes = like.frame_shape, like.reference_shape
    if model == SIMILARITY:
        return Transform(matrix, *shapes)
    if model == Model(3):
        return Transform(matrix, *shapes, "affine")
    cubic = coefficients.copy()
    cubic[:, :3] = 0
    return Transform(matrix, *shapes, "polynomial", forward_cubic=cubic)
