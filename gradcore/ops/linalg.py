"""Solving, inverting, determinants and norms of matrices; leading axes are a batch."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from gradcore.convert import plain
from gradcore.errors import ShapeError
from gradcore.op import Array, composed, op
from gradcore.ops._rows import are_arrays
from gradcore.ops.diagonals import tril, triu
from gradcore.ops.index import getitem
from gradcore.ops.products import matmul
from gradcore.spec import Array as Domain
from gradcore.spec import OneOf, OpSpec, case, reals
from gradcore.tensor import FUNCTIONS

_SQUARE = {"sizes": {"n": (1, 4), "b": (0, 2), "k": (0, 3)}}


def turned(x: Array) -> Array:
    """Each matrix transposed."""
    return np.swapaxes(x, -1, -2)


def _invertible(shape: str = "n n") -> Domain:
    return reals(shape, structure="invertible")


_MATRICES = case(_invertible(), **_SQUARE), case(_invertible("b n n"), **_SQUARE)


def _by_elimination(a: Any, b: Any) -> Any:
    """Solve a x = b by Gauss's elimination with the largest pivot, in Python's numbers."""
    rows = [[*row, *rest] for row, rest in zip(a.tolist(), b.tolist(), strict=True)]
    n = len(rows)
    for k in range(n):
        pivot = sorted(range(k, n), key=lambda i: -math.fabs(rows[i][k]))[0]
        rows[k], rows[pivot] = rows[pivot], rows[k]
        for i in range(n):
            if i != k:
                factor = rows[i][k] / rows[k][k]
                rows[i] = [p - factor * q for p, q in zip(rows[i], rows[k], strict=True)]
    return np.array([[v / row[k] for v in row[n:]] for k, row in enumerate(rows)]).reshape(b.shape)


def over_matrices(value: Callable[..., Any]) -> Callable[..., Any]:
    """A function of matrices, called for each of a batch."""

    def reference(*arrays: Any, **params: Any) -> Any:
        lead = np.broadcast_shapes(*[x.shape[:-2] for x in arrays])
        spread = [np.broadcast_to(x, lead + x.shape[-2:]) for x in arrays]
        if 0 in lead:
            found = np.asarray(
                value(*[np.ones(x.shape[-2:]) + np.eye(*x.shape[-2:]) for x in arrays], **params)
            )
            return np.zeros(lead + found.shape)
        found = np.array([value(*[x[i] for x in spread], **params) for i in np.ndindex(*lead)])
        return found.reshape(lead + found.shape[1:])

    return reference


def square(name: str, x: Any) -> None:
    """ShapeError where the last two axes of x differ."""
    shape = np.shape(x)
    if len(shape) < 2 or shape[-1] != shape[-2]:
        raise ShapeError(f"{name} takes square matrices (..., n, n), and got shape {shape}")


def _inv_rule(gy: Array, y: Array, _x: Array) -> Array:
    back = turned(y)
    return -matmul(matmul(back, gy), back)


@op(
    vjp=_inv_rule,
    spec=OpSpec(*_MATRICES, reference=over_matrices(lambda a: _by_elimination(a, np.eye(len(a))))),
    numpy=(np.linalg.inv,),
)
def inv(x: Array, /) -> Array:
    """The inverse of each matrix. Raises ShapeError unless they are square, numpy.linalg.LinAlgError where one has none."""
    square("inv", x)
    return np.linalg.inv(x)


def _det_by_permutations(a: Any) -> float:
    if not len(a):
        return 1.0
    first, rest = a[0].tolist(), a[1:]
    minors = [_det_by_permutations(np.delete(rest, j, 1)) for j in range(len(a))]
    return math.fsum((-1) ** j * v * m for j, (v, m) in enumerate(zip(first, minors, strict=True)))


def _cofactors(x: Any) -> Any:
    """The derivative of det by the singular values, of which one may be 0."""
    u, s, vt = np.linalg.svd(x)
    n = s.shape[-1]
    others = np.where(np.eye(n, dtype=bool), 1.0, s[..., None, :]).prod(-1).astype(x.dtype)
    sign = np.linalg.det(u) * np.linalg.det(vt)
    return sign[..., None, None] * ((u * others[..., None, :]) @ vt)


def _by_minors(x: Array) -> Array:
    """The same by determinants of what is left without a row and a column: slower, and differentiable at any rank."""
    n = np.shape(x)[-1]
    left = np.array([[j for j in range(n) if j != i] for i in range(n)], int).reshape(n, n - 1)
    minors = getitem(x, (..., left[:, None, :, None], left[None, :, None, :]))
    return det(minors) * (-1.0) ** np.add.outer(range(n), range(n)).astype(x.dtype)


def _det_rule(gy: Array, y: Array, x: Array) -> Array:
    gy = np.reshape(gy, (*gy.shape, 1, 1))
    if plain(y).all():
        return gy * np.reshape(y, gy.shape) * turned(inv(x))
    return gy * (_cofactors(x) if are_arrays(x) else _by_minors(x))


@op(
    vjp=_det_rule,
    spec=OpSpec(*_MATRICES, reference=over_matrices(_det_by_permutations)),
    numpy=(np.linalg.det,),
)
def det(x: Array, /) -> Array:
    """The determinant of each matrix. Raises ShapeError unless they are square.

    Its derivatives hold for singular matrices too.
    """
    square("det", x)
    return np.asarray(np.linalg.det(x))


@op(
    vjp=lambda gy, _y, x: np.reshape(gy, (*gy.shape, 1, 1)) * turned(inv(x)),
    spec=OpSpec(*_MATRICES, reference=over_matrices(lambda a: math.log(math.fabs(_det_by_permutations(a))))),
)
def logabsdet(x: Array, /) -> Array:
    """log |det x| of each matrix, free of overflow. Raises ShapeError unless they are square."""
    square("logabsdet", x)
    return np.asarray(np.linalg.slogdet(x)[1])


class SlogdetResult(NamedTuple):
    """The sign of a determinant, which has no gradient, and the logarithm of its size."""

    sign: Any
    logabsdet: Any


def slogdet(x: Array) -> SlogdetResult:
    """Sign and log |det x| of each matrix, as NumPy's: the sign is an array, as it has no gradient."""
    square("slogdet", x)
    return SlogdetResult(np.linalg.slogdet(plain(x))[0], logabsdet(x))


def _back(a: Array, gy: Array, b: Array) -> Array:
    """The solution for gy of the transposed matrices, as columns."""
    return solve(turned(a), gy if b.ndim > 1 else gy[..., None])


def _solve_b(gy: Array, _y: Array, a: Array, b: Array) -> Array:
    found = _back(a, gy, b)
    return found if b.ndim > 1 else found[..., 0]


def _solve_a(gy: Array, y: Array, a: Array, b: Array) -> Array:
    return -matmul(_back(a, gy, b), turned(y if b.ndim > 1 else y[..., None]))


@op(
    vjp=(_solve_a, _solve_b),
    spec=OpSpec(
        case(_invertible(), reals("n k"), **_SQUARE),
        case(_invertible("b n n"), reals("b n k"), **_SQUARE),
        case(_invertible("b n n"), reals("n k"), **_SQUARE),
        case(_invertible(), reals("b n k"), **_SQUARE),
        case(_invertible(), reals("n"), **_SQUARE),
        case(_invertible("b n n"), reals("n"), **_SQUARE),
        reference=lambda a, b: (
            over_matrices(_by_elimination)(a, b)
            if b.ndim > 1
            else over_matrices(_by_elimination)(a, b[:, None])[..., 0]
        ),
    ),
    broadcasts=True,
    numpy=(np.linalg.solve,),
)
def solve(a: Array, b: Array, /) -> Array:
    """x with a x = b: a is (..., n, n), b is (n,) or (..., n, k), as in NumPy 2.

    Raises ShapeError where they do not fit, numpy.linalg.LinAlgError where a matrix is singular.
    """
    square("solve", a)
    if b.shape[-2:][:1] != a.shape[-1:]:
        raise ShapeError(
            f"solve got a of shape {a.shape} and b of shape {b.shape}: b has to be ({a.shape[-1]},) or (..., {a.shape[-1]}, k)"
        )
    return np.linalg.solve(a, b)


@composed(
    spec=OpSpec(
        case(reals("n n", structure="lower"), reals("n k"), params={"lower": OneOf(True)}, **_SQUARE),
        case(reals("n n", structure="upper"), reals("n k"), params={"lower": OneOf(False)}, **_SQUARE),
        reference=lambda a, b, lower=True: _by_elimination(np.tril(a) if lower else np.triu(a), b),
    )
)
def solve_triangular(a: Array, b: Array, lower: bool = True) -> Array:
    """x with a x = b, for the lower triangle of a or, with lower=False, the upper one; the other triangle is not read."""
    return solve(tril(a) if lower else triu(a), b)


def _cholesky_by_loop(a: Any) -> Any:
    """Column by column, from the lower triangle (Golub and Van Loan 2013, section 4.2)."""
    n = len(a)
    y = [[0.0] * n for _ in range(n)]
    for j in range(n):
        y[j][j] = math.sqrt(a[j, j] - math.fsum(v * v for v in y[j][:j]))
        for i in range(j + 1, n):
            y[i][j] = (a[i, j] - math.fsum(p * q for p, q in zip(y[i][:j], y[j][:j], strict=True))) / y[j][j]
    return np.array(y).reshape(n, n)


def lower_part(g: Array) -> Array:
    """The cotangent of the entries of a symmetric matrix that are read, its lower triangle, from that of all entries."""
    return tril(g + turned(g)) - g * np.eye(g.shape[-1], dtype=g.dtype)


def _cholesky_rule(gy: Array, y: Array, _x: Array) -> Array:
    half = np.tril(np.ones(y.shape[-2:], y.dtype), -1) + np.eye(y.shape[-1], dtype=y.dtype) / 2
    inner = matmul(turned(y), gy) * half
    back = inv(y)
    return lower_part(matmul(matmul(turned(back), inner), back))


@op(
    vjp=_cholesky_rule,
    spec=OpSpec(
        case(reals("n n", structure="spd"), **_SQUARE),
        case(reals("b n n", structure="spd"), **_SQUARE),
        reference=over_matrices(_cholesky_by_loop),
    ),
    numpy=(np.linalg.cholesky,),
)
def cholesky(x: Array, /) -> Array:
    """The lower triangle y with y y' = x, for positive definite matrices, of which the lower triangle alone is read.

    Murray 2016, "Differentiation of the Cholesky decomposition". Raises ShapeError unless the matrices are square,
    numpy.linalg.LinAlgError where one is not positive definite.
    """
    square("cholesky", x)
    return np.linalg.cholesky(x)


def _power_by_products(a: Any, n: int) -> Any:
    y = np.eye(len(a))
    for _ in range(n if n >= 0 else -n):
        y = y @ (a if n >= 0 else _by_elimination(a, np.eye(len(a))))
    return y


@composed(
    spec=OpSpec(
        case(_invertible("m m"), params={"n": OneOf(1, 0, 2, 3, 5, -1, -2)}, sizes={"m": (1, 3)}),
        reference=_power_by_products,
    ),
    numpy=(np.linalg.matrix_power,),
)
def matrix_power(x: Array, n: int) -> Array:
    """The product of n of the same matrices; of their inverses for a negative n."""
    square("matrix_power", x)
    if n < 0:
        return matrix_power(inv(x), -n)
    y = x * 0 + np.eye(np.shape(x)[-1], dtype=x.dtype)
    factor = x
    while n:
        if n % 2:
            y = matmul(y, factor)
        n //= 2
        if n:
            factor = matmul(factor, factor)
    return y


def _pinv_rule(gy: Array, y: Array, x: Array) -> Array:
    back = turned(y)
    left = np.eye(x.shape[-2], dtype=x.dtype) - matmul(x, y)
    right = np.eye(x.shape[-1], dtype=x.dtype) - matmul(y, x)
    return (
        matmul(matmul(left, turned(gy)), matmul(y, back))
        + matmul(matmul(back, y), matmul(turned(gy), right))
        - matmul(matmul(back, gy), back)
    )


def _full_rank(x: Any, **_: Any) -> bool:
    s = np.linalg.svd(x, compute_uv=False)
    return bool((s[..., -1] > 0.2 * s[..., 0]).all() and (s[..., -1] > 1e-2).all())


@op(
    vjp=_pinv_rule,
    spec=OpSpec(
        case(reals("n m"), sizes={"n": (1, 4), "m": (1, 3)}, values_where=_full_rank),
        case(reals("b n m"), sizes={"b": (1, 2), "n": (1, 3), "m": (1, 3)}, values_where=_full_rank),
        # By the normal equations, which a matrix of full rank has.
        reference=over_matrices(
            lambda a: (
                _by_elimination(a.T @ a, a.T) if a.shape[0] >= a.shape[1] else _by_elimination(a @ a.T, a).T
            )
        ),
    ),
    numpy=(np.linalg.pinv,),
)
def pinv(x: Array, /) -> Array:
    """The pseudoinverse of each matrix; its derivative is there where the rank does not change.

    Golub and Pereyra 1973.
    """
    return np.linalg.pinv(x)


FUNCTIONS[np.linalg.slogdet] = slogdet
