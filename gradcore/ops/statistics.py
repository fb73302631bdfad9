"""Statistics over axes: variance, quantiles, norms."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from gradcore.errors import DomainError, ShapeError
from gradcore.op import Array, composed, op
from gradcore.ops.arithmetic import pow
from gradcore.ops.elementwise import sqrt
from gradcore.ops.index import getitem
from gradcore.ops.reduce import count_over, kept_and_reduced, kept_shape, max, mean, min, sum
from gradcore.ops.reference import along
from gradcore.ops.select import sort
from gradcore.ops.shape import as_floats, broadcast_to, reshape, transpose
from gradcore.spec import Axis, Env, OneOf, OpSpec, case, flags, positives, reals
from gradcore.tensor import FUNCTIONS

if TYPE_CHECKING:
    from gradcore.attached import Axes

_SPREAD = {"axis": Axis(many=True, none=True), "ddof": OneOf(0, 1), "keepdims": flags()}


def _some_left(e: Env) -> bool:
    return bool(count_over(e.shapes[0], e["axis"]) > e["ddof"])


def _variance_by_pairs(v: list[float], ddof: float) -> float:
    """The mean square of all differences, halved: no mean is taken."""
    n = len(v)
    return math.fsum((a - b) ** 2 for a in v for b in v) / (2 * n * (n - ddof))


@composed(
    spec=OpSpec(
        case(reals(), params=_SPREAD, where=_some_left),
        reference=lambda x, axis=None, ddof=0, keepdims=False: along(lambda v: _variance_by_pairs(v, ddof))(
            x, axis, keepdims
        ),
    ),
    numpy=(np.var,),
    methods=("var",),
)
def var(
    x: Array, axis: Axes = None, ddof: float = 0, keepdims: bool = False, *, correction: float | None = None
) -> Array:
    """The variance over `axis`: sum (x - mean)^2 / (n - ddof), with ddof = 0 as NumPy has it, where PyTorch has 1.

    correction: ddof by its name in the array API and in PyTorch.
    Raises DomainError where n - ddof is not above 0.
    """
    if correction is not None:
        ddof = correction
    left = count_over(np.shape(x), axis) - ddof
    if left <= 0:
        raise DomainError(
            f"the variance over axis={axis} of shape {np.shape(x)} divides by {left}, with ddof={ddof}: it needs more entries"
        )
    apart = x - mean(x, axis, True)
    return sum(apart * apart, axis, keepdims) / left


@composed(
    spec=OpSpec(
        case(
            reals(),
            params=_SPREAD,
            where=_some_left,
            values_where=lambda x, axis=None, ddof=0, keepdims=False: bool(
                np.all(np.var(x, axis) > 1e-3 * np.mean(x * x, axis))
            ),
        ),
        reference=lambda x, axis=None, ddof=0, keepdims=False: along(
            lambda v: math.sqrt(_variance_by_pairs(v, ddof))
        )(x, axis, keepdims),
    ),
    numpy=(np.std,),
    methods=("std",),
)
def std(
    x: Array, axis: Axes = None, ddof: float = 0, keepdims: bool = False, *, correction: float | None = None
) -> Array:
    """The standard deviation over `axis`, the square root of `var`; where all entries are equal it has no derivative."""
    return sqrt(var(x, axis, ddof, keepdims, correction=correction))


def _last(x: Array, axis: Axes) -> Array:
    """With the axes of `axis` last, as one."""
    shape = np.shape(x)
    kept, axes = kept_and_reduced(axis, len(shape))
    return reshape(
        transpose(x, (*kept, *axes)),
        (*[shape[i] for i in kept], count_over(shape, axis)),
    )


def _check_quantile(q: Any) -> None:
    if not (q.ndim < 2 and ((q >= 0) & (q <= 1)).all()):
        raise DomainError(f"quantile got q={q.tolist()}: a number from 0 to 1, or a list of such")


def _quantile_by_sorting(x: Any, q: Any, axis: Any = None, keepdims: bool = False) -> Any:
    def at(level: float) -> Any:
        def value(v: list[float]) -> float:
            v = sorted(v)
            place = level * (len(v) - 1)
            below = int(place)
            above = v[below + 1] if below + 1 < len(v) else v[below]
            return v[below] + (above - v[below]) * (place - below)

        return along(value)(x, axis, keepdims)

    return at(q) if np.ndim(q) == 0 else np.array([at(level) for level in q])


_OVER = {"axis": Axis(many=True, none=True), "keepdims": flags()}


def _not_empty(e: Env) -> bool:
    return count_over(e.shapes[0], e["axis"]) > 0


@composed(
    spec=OpSpec(
        case(
            reals(distinct=True),
            params={"q": OneOf(0.5, 0.0, 1.0, 0.3, (0.25, 0.75)), **_OVER},
            where=_not_empty,
        ),
        reference=_quantile_by_sorting,
    ),
    numpy=(np.quantile,),
)
def quantile(x: Array, q: Any, axis: Axes = None, keepdims: bool = False) -> Array:
    """The value below which a share q of the entries over `axis` lies, by straight lines between entries.

    q: from 0 to 1; a list of them gives a leading axis. Raises DomainError for another q.
    """
    level = np.asarray(q, np.float64)
    _check_quantile(level)
    shape = np.shape(x)
    rows = sort(_last(as_floats(x), axis))
    if rows.shape[-1] == 0:
        raise ShapeError(f"quantile over axis={axis} of shape {shape}: there are no entries")
    places = level * (rows.shape[-1] - 1)
    below = places.astype(int)
    above = np.minimum(below + 1, rows.shape[-1] - 1)
    low, high = getitem(rows, (..., below)), getitem(rows, (..., above))
    y = low + (high - low) * (places - below).astype(rows.dtype)
    if level.ndim:
        y = transpose(y, (len(y.shape) - 1, *range(len(y.shape) - 1)))
    return reshape(y, (*level.shape, *kept_shape(shape, axis))) if keepdims else y


@composed(
    spec=OpSpec(
        case(reals(distinct=True), params=_OVER, where=_not_empty),
        reference=lambda x, axis=None, keepdims=False: _quantile_by_sorting(x, 0.5, axis, keepdims),
    ),
    numpy=(np.median,),
    methods=("median",),
)
def median(x: Array, axis: Axes = None, keepdims: bool = False) -> Array:
    """The middle entry over `axis`, or the mean of the middle two, as NumPy has it; PyTorch takes the lower of the two."""
    return quantile(x, 0.5, axis, keepdims)


def _weighted_by_loop(x: Any, weights: Any, axis: Any = None) -> Any:
    weights = (
        weights
        if axis is None or weights.ndim == x.ndim
        else weights.reshape([-1 if i == axis % x.ndim else 1 for i in range(x.ndim)])
    )
    total = along(math.fsum)(np.broadcast_to(weights, x.shape), axis)
    return along(math.fsum)(x * weights, axis) / total


@composed(
    spec=OpSpec(
        case(
            reals("n m"),
            positives("n m", low=0.1, high=10.0),
            params={"axis": OneOf(0, 1, None)},
            where=_not_empty,
        ),
        case(
            reals("n m"), positives("m", low=0.1, high=10.0), params={"axis": OneOf(1, -1)}, where=_not_empty
        ),
        reference=_weighted_by_loop,
    )
)
def weighted_average(x: Array, weights: Array, axis: int | None = None) -> Array:
    """sum w x / sum w over `axis`; weights: of x's shape, or one for each entry along the axis."""
    shape = np.shape(x)
    if len(np.shape(weights)) < len(shape) and axis is not None:
        weights = reshape(weights, tuple([n if i == axis % len(shape) else 1 for i, n in enumerate(shape)]))
    return sum(x * weights, axis) / sum(broadcast_to(weights, shape), axis)


def average(x: Array, axis: Axes = None, weights: Any = None, keepdims: bool = False) -> Array:
    """The mean over `axis`, weighted where there are weights: of x's shape, or one for each entry along the axis."""
    if weights is None:
        return mean(x, axis, keepdims)
    y = weighted_average(x, weights, axis)  # type: ignore[arg-type]
    return reshape(y, kept_shape(np.shape(x), axis)) if keepdims else y


@composed(
    spec=OpSpec(
        case(reals(distinct=True), params=_OVER, where=_not_empty),
        reference=along(lambda v: sorted(v)[-1] - sorted(v)[0]),
    ),
    numpy=(np.ptp,),
)
def ptp(x: Array, axis: Axes = None, keepdims: bool = False) -> Array:
    """The largest entry over `axis` minus the smallest."""
    return max(x, axis, keepdims) - min(x, axis, keepdims)


def _length_rule(gy: Array, y: Array, x: Array, axis: Axes = None, keepdims: bool = False) -> Array:
    shape = kept_shape(x.shape, axis)
    y = np.reshape(y, shape)
    return np.reshape(gy, shape) * (x / np.where(y == 0, np.ones((), y.dtype), y))


@op(
    vjp=_length_rule,
    spec=OpSpec(
        case(
            reals(),
            params=_OVER,
            values_where=lambda x, axis=None, **_: bool((np.abs(x).sum(axis) > 0.01).all()),
        ),
        reference=along(lambda v: math.hypot(*v)),
    ),
)
def length(x: Array, /, axis: Axes = None, keepdims: bool = False) -> Array:
    """sqrt(sum x^2) over `axis`; the derivative at 0 is taken as 0."""
    return np.sqrt(np.add.reduce(x * x, axis=axis, keepdims=keepdims))  # type: ignore[call-overload]


def _norm_by_loop(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    def of(v: list[float]) -> float:
        sizes = sorted(math.fabs(a) for a in v)
        if ord in (None, 2, "fro"):
            return math.hypot(*v)
        if ord in (math.inf, -math.inf):
            return sizes[-1] if ord > 0 else sizes[0]
        return float(math.fsum(a**ord for a in sizes) ** (1 / ord))

    return along(of)(x, axis, keepdims)


@composed(
    spec=OpSpec(
        case(
            reals("n m", kinks=(0.0,)),
            params={"ord": OneOf(None, 2, 1, 3, 1.5), "axis": OneOf(0, 1, -1), "keepdims": flags()},
            values_where=lambda x, axis=None, **_: bool((np.abs(x).sum(axis) > 0.01).all()),
        ),
        case(
            positives("n m", distinct=True),
            params={"ord": OneOf(math.inf, -math.inf), "axis": OneOf(0, 1, (0, 1))},
            where=_not_empty,
        ),
        reference=_norm_by_loop,
    ),
)
def vector_norm(x: Array, ord: Any = None, axis: Axes = None, keepdims: bool = False) -> Array:
    """The norm of vectors over `axis`: (sum |x|^ord)^(1 / ord), 2 by default; inf for the largest |x|, -inf for the smallest.

    Raises DomainError for an ord of 0, the count of entries that are not 0, and for one that is no number.
    """
    if ord in (None, 2):
        return length(x, axis, keepdims)
    if not isinstance(ord, int | float | np.number) or not ord:
        raise DomainError(
            f"the norm of a vector got ord={ord!r}: it is a number other than 0, or inf or -inf; (x != 0).sum() counts the entries "
            "that are not 0"
        )
    size = np.absolute(x)
    if ord == 1:
        return sum(size, axis, keepdims)
    if ord == math.inf:
        return max(size, axis, keepdims)
    if ord == -math.inf:
        return min(size, axis, keepdims)
    return pow(sum(pow(size, ord), axis, keepdims), 1 / ord)


FUNCTIONS[np.average] = average
