"""Eigenvectors, singular values, QR: several arrays from one op, which holds them side by side."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from gradcore.errors import DomainError, ShapeError
from gradcore.op import Array, composed, op
from gradcore.ops.axes import swapaxes
from gradcore.ops.diagonals import tril
from gradcore.ops.elementwise import abs
from gradcore.ops.index import getitem
from gradcore.ops.linalg import inv, lower_part, over_matrices, square, turned
from gradcore.ops.products import matmul
from gradcore.ops.reduce import max, min, sum
from gradcore.ops.statistics import length, vector_norm
from gradcore.spec import OneOf, OpSpec, case, flags, reals
from gradcore.tensor import FUNCTIONS


class EighResult(NamedTuple):
    """Eigenvalues (..., n) from the smallest up, and eigenvectors (..., n, n) as columns."""

    eigenvalues: Any
    eigenvectors: Any


class SVDResult(NamedTuple):
    """x = U diag(S) Vh: U (..., m, k), S (..., k) from the largest down, Vh (..., k, n), with k the smaller of m and n."""

    U: Any
    S: Any
    Vh: Any


class QRResult(NamedTuple):
    """x = Q R: Q (..., m, n) with orthonormal columns, R (..., n, n) an upper triangle."""

    Q: Any
    R: Any


def _gaps(values: Array) -> Array:
    """1 / (v_j - v_i) for i != j, and 0 on the diagonal."""
    eye = np.eye(values.shape[-1], dtype=values.dtype)
    return (1 - eye) / (values[..., None, :] - values[..., :, None] + eye)


def _diagonal(values: Array) -> Array:
    return values[..., :, None] * np.eye(values.shape[-1], dtype=values.dtype)


def _eigh_rule(gy: Array, y: Array, _x: Array) -> Array:
    values, vectors = y[..., 0, :], y[..., 1:, :]
    inner = _diagonal(gy[..., 0, :]) + _gaps(values) * matmul(turned(vectors), gy[..., 1:, :])
    return lower_part(matmul(matmul(vectors, inner), turned(vectors)))


def _eigh_by_eig(a: Any) -> Any:
    """By the solver for matrices that are not symmetric; the signs, which are free, are those of NumPy's eigh."""
    whole = np.tril(a) + np.tril(a, -1).T
    values, vectors = np.linalg.eig(whole)
    order = np.argsort(values.real)
    vectors = vectors.real[:, order]
    signs = np.sign((vectors * np.linalg.eigh(a)[1]).sum(0))
    return np.concatenate([values.real[None, order], vectors * signs])


def _far_apart(values: Any) -> bool:
    steps = np.abs(np.diff(np.sort(values, -1), axis=-1))
    return bool((steps > 0.2).all()) if values.size else True


_SYMMETRIC = {
    "sizes": {"n": (1, 4), "b": (1, 2)},
    "values_where": lambda x: _far_apart(np.linalg.eigvalsh(x)),
}


@op(
    vjp=_eigh_rule,
    spec=OpSpec(
        case(reals("n n", structure="symmetric", scale=(1.0, 1.0)), **_SYMMETRIC),
        case(reals("b n n", structure="symmetric", scale=(1.0, 1.0)), **_SYMMETRIC),
        reference=over_matrices(_eigh_by_eig),
    ),
)
def eigh_packed(x: Array, /) -> Array:
    """`eigh` as one array (..., n + 1, n): the eigenvalues in row 0, the eigenvectors below."""
    square("eigh", x)
    values, vectors = np.linalg.eigh(x)
    return np.concatenate([values[..., None, :], vectors], -2)


def eigh(x: Array, UPLO: str = "L") -> EighResult:
    """Eigenvalues and eigenvectors of symmetric matrices, of which one triangle alone is read: "L", the lower, or "U".

    The derivative is there where no two eigenvalues are equal; eigenvectors have a free sign. Giles 2008, section 3.1.
    Raises ShapeError unless the matrices are square, DomainError for another triangle.
    """
    if UPLO.upper() not in ("L", "U"):
        raise DomainError(f"eigh got UPLO={UPLO!r}: expected 'L' or 'U', the triangle that is read")
    square("eigh", x)
    y = eigh_packed(x if UPLO.upper() == "L" else swapaxes(x, -1, -2))
    return EighResult(getitem(y, (..., 0, slice(None))), getitem(y, (..., slice(1, None), slice(None))))


def eigvalsh(x: Array, UPLO: str = "L") -> Array:
    """The eigenvalues of symmetric matrices, from the smallest up; all else as in `eigh`."""
    return eigh(x, UPLO).eigenvalues


def _svd_rule(gy: Array, y: Array, x: Array) -> Array:
    m = x.shape[-2]
    u, s, vt = turned(y[..., :m]), y[..., m], y[..., m + 1 :]
    gu, gs, gv = turned(gy[..., :m]), gy[..., m], turned(gy[..., m + 1 :])
    v = turned(vt)
    gaps = _gaps(s * s)
    left, right = gaps * matmul(turned(u), gu), gaps * matmul(vt, gv)
    inner = (
        (left + turned(left)) * s[..., None, :] + s[..., :, None] * (right + turned(right)) + _diagonal(gs)
    )
    gx = matmul(matmul(u, inner), vt)
    if x.shape[-2] > x.shape[-1]:
        rest = gu / s[..., None, :]
        gx = gx + matmul(rest - matmul(u, matmul(turned(u), rest)), vt)
    if x.shape[-2] < x.shape[-1]:
        rest = turned(gv / s[..., None, :])
        gx = gx + matmul(u, rest - matmul(matmul(rest, v), vt))
    return gx


def _svd_by_eig(a: Any) -> Any:
    """From the eigenvectors (u, v) of [[0, a], [a', 0]], whose eigenvalues are the singular values and their negatives."""
    m, n = a.shape
    k = m if m < n else n
    values, vectors = np.linalg.eig(np.block([[np.zeros((m, m)), a], [a.T, np.zeros((n, n))]]))
    order = np.argsort(-values.real)[:k]
    u, v = (part / np.sqrt((part**2).sum(0)) for part in np.split(vectors.real[:, order], [m]))
    signs = np.sign((u * np.linalg.svd(a, full_matrices=False)[0]).sum(0))
    return np.concatenate([(u * signs).T, values.real[order, None], (v * signs).T], 1)


def _different(x: Any) -> bool:
    s = np.linalg.svd(x, compute_uv=False)
    return _far_apart(s * s) and bool((s > 0.2).all())


_ANY_SHAPE = {"sizes": {"m": (1, 4), "n": (1, 4), "b": (1, 2)}, "values_where": _different}


@op(
    vjp=_svd_rule,
    spec=OpSpec(
        case(reals("m n", scale=(1.0, 1.0)), **_ANY_SHAPE),
        case(
            reals("b m n", scale=(1.0, 1.0)),
            **{**_ANY_SHAPE, "sizes": {"m": (1, 3), "n": (1, 2), "b": (1, 2)}},
        ),
        reference=over_matrices(_svd_by_eig),
    ),
)
def svd_packed(x: Array, /) -> Array:
    """`svd` as one array (..., k, m + 1 + n): in each row a left singular vector, the value, a right one."""
    if x.ndim < 2:
        raise ShapeError(f"svd takes matrices (..., m, n), and got shape {x.shape}")
    u, s, vt = np.linalg.svd(x, full_matrices=False)
    return np.concatenate([np.swapaxes(u, -1, -2), s[..., None], vt], -1)


def svd(x: Array, full_matrices: bool = False, compute_uv: bool = True) -> Any:
    """Singular values and vectors of each matrix: x = U diag(S) Vh; with compute_uv=False the values alone.

    The derivative is there where no two singular values are equal and none is 0; pairs of vectors have a free sign. Giles 2008,
    section 3.2; Townsend 2016. Raises DomainError for full_matrices=True, whose further vectors are any basis, so that they
    have no derivative.
    """
    if full_matrices and compute_uv:
        raise DomainError(
            "svd got full_matrices=True: the vectors beyond the singular values are any basis and have no derivative; "
            "pass full_matrices=False"
        )
    y = svd_packed(x)
    m = np.shape(x)[-2]
    values = getitem(y, (..., m))
    if not compute_uv:
        return values
    left = turned(getitem(y, (..., slice(None, m))))
    return SVDResult(left, values, getitem(y, (..., slice(m + 1, None))))


def svdvals(x: Array) -> Array:
    """The singular values of each matrix, from the largest down."""
    return svd(x, compute_uv=False)


def _qr_rule(gy: Array, y: Array, x: Array) -> Array:
    m = x.shape[-2]
    q, r = turned(y[..., :m]), y[..., m:]
    gq, gr = turned(gy[..., :m]), gy[..., m:]
    inner = matmul(r, turned(gr)) - matmul(turned(gq), q)
    whole = tril(inner) + turned(tril(inner, -1))
    return matmul(gq + matmul(q, whole), turned(inv(r)))


def _qr_by_projections(a: Any) -> Any:
    """Gram and Schmidt's way, each column twice; the signs, which are free, are those of NumPy's qr."""
    m, n = a.shape
    q, r = np.zeros((m, n)), np.zeros((n, n))
    for j in range(n):
        v = a[:, j].copy()
        for _ in range(2):
            for i in range(j):
                part = math.fsum((q[:, i] * v).tolist())
                r[i, j] += part
                v = v - part * q[:, i]
        r[j, j] = math.hypot(*v.tolist())
        q[:, j] = v / r[j, j]
    signs = np.sign(np.diag(np.linalg.qr(a)[1]))
    return np.concatenate([(q * signs).T, signs[:, None] * r], 1)


def _independent(x: Any) -> bool:
    s = np.linalg.svd(x, compute_uv=False)
    return bool((s[..., -1] > 0.2 * s[..., 0]).all() and (s[..., -1] > 0.05).all())


@op(
    vjp=_qr_rule,
    spec=OpSpec(
        case(
            reals("m n", scale=(1.0, 1.0)),
            sizes={"m": (1, 4), "n": (1, 4)},
            where=lambda e: e["m"] >= e["n"],
            values_where=_independent,
        ),
        case(
            reals("b m n", scale=(1.0, 1.0)),
            sizes={"b": (1, 2), "m": (1, 3), "n": (1, 2)},
            where=lambda e: e["m"] >= e["n"],
            values_where=_independent,
        ),
        reference=over_matrices(_qr_by_projections),
    ),
)
def qr_packed(x: Array, /) -> Array:
    """`qr` as one array (..., n, m + n): the columns of Q as rows, then R."""
    if x.ndim < 2 or x.shape[-2] < x.shape[-1]:
        raise ShapeError(f"qr takes matrices (..., m, n) with m >= n, and got shape {x.shape}")
    q, r = np.linalg.qr(x)
    return np.concatenate([np.swapaxes(q, -1, -2), r], -1)


def qr(x: Array, mode: str = "reduced") -> QRResult:
    """Q with orthonormal columns and an upper triangle R with x = Q R, for matrices with at least as many rows as columns.

    The derivative is there where the columns are independent; columns of Q have a free sign. Raises ShapeError for wider
    matrices, DomainError for another mode than NumPy's "reduced".
    """
    if mode != "reduced":
        raise DomainError(f"qr got mode={mode!r}: only 'reduced' has a derivative here")
    y = qr_packed(x)
    m = np.shape(x)[-2]
    return QRResult(turned(getitem(y, (..., slice(None, m)))), getitem(y, (..., slice(m, None))))


def _norm_by_loop(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    return np.linalg.norm(x, ord, axis, keepdims)


@composed(
    spec=OpSpec(
        case(
            reals(),
            params={"ord": OneOf(None), "keepdims": flags()},
            values_where=lambda x, **_: np.abs(x).sum() > 0.01,
        ),
        case(
            reals("n m", kinks=(0.0,)),
            params={"ord": OneOf(2, 1, 3, None), "axis": OneOf(0, -1), "keepdims": flags()},
            sizes={"n": (1, 4), "m": (1, 4)},
            values_where=lambda x, axis=None, **_: bool((np.abs(x).sum(axis) > 0.01).all()),
        ),
        case(
            reals("n m", scale=(1.0, 1.0)),
            params={
                "ord": OneOf("fro", "nuc", 2, -2),
                "axis": OneOf(None, (0, 1), (1, 0)),
                "keepdims": flags(),
            },
            sizes={"n": (1, 3), "m": (1, 3)},
            values_where=lambda x, **_: _different(x),
        ),
        case(
            reals("b n m", distinct=True),
            params={"ord": OneOf(1, -1, math.inf, -math.inf), "axis": OneOf((1, 2), (2, 1))},
            sizes={"b": (1, 2), "n": (1, 3), "m": (1, 3)},
            values_where=lambda x, **_: bool(
                all(_far_apart(10 * np.abs(x).sum(i)) for i in (1, 2)) and (np.abs(x) > 0.01).all()
            ),
        ),
        reference=_norm_by_loop,
    ),
    numpy=(np.linalg.norm,),
)
def norm(x: Array, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Array:
    """NumPy's norm: of all entries, of vectors over one axis, or of matrices over two.

    ord of a vector: see `vector_norm`. ord of a matrix: None or "fro" sqrt(sum x^2), "nuc" the sum of the singular values, 2 and -2
    the largest and smallest of them, 1 and -1 the largest and smallest column sum of |x|, inf and -inf of its rows.
    Raises DomainError for another ord of a matrix.
    """
    ndim = len(np.shape(x))
    if ord is None:
        return length(x, tuple(axis) if isinstance(axis, list) else axis, keepdims)
    axes = (0, 1) if axis is None and ndim == 2 else axis
    if not isinstance(axes, tuple | list):
        return vector_norm(x, ord, axes, keepdims)
    rows, columns = axes
    if ord == "fro":
        return length(x, (rows, columns), keepdims)
    if ord in (1, -1, math.inf, -math.inf):
        inner, outer = (rows, columns) if ord in (1, -1) else (columns, rows)
        sums = sum(abs(x), inner, True)
        y = (max if ord > 0 else min)(sums, outer, True)
    elif ord in ("nuc", 2, -2):
        s = svdvals(np.moveaxis(x, (rows, columns), (-2, -1)))
        y = sum(s, -1) if ord == "nuc" else getitem(s, (..., 0 if ord == 2 else -1))
        y = np.expand_dims(y, (rows, columns))
    else:
        raise DomainError(
            f"norm got ord={ord!r} for matrices: None, 'fro', 'nuc', 1, -1, 2, -2, inf and -inf are taken"
        )
    return y if keepdims else np.squeeze(y, (rows, columns))


FUNCTIONS.update({np.linalg.eigh: eigh, np.linalg.eigvalsh: eigvalsh, np.linalg.svd: svd, np.linalg.qr: qr})
