"""Gradcore's functions of matrices and moves of entries as PyTorch has them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

linalg = torch.linalg


def _dot(a: Any, b: Any) -> Any:
    if not a.ndim or not b.ndim:
        return a * b
    return torch.tensordot(a, b, dims=([-1], [-1 if b.ndim == 1 else -2]))


def _tensordot(a: Any, b: Any, axes: Any = 2) -> Any:
    if not isinstance(axes, int):
        axes = [[int(i) for i in np.atleast_1d(one)] for one in axes]
    return torch.tensordot(a, b, dims=axes)


def _lower(x: Any) -> Any:
    """The symmetric matrix of which the lower triangle alone is read."""
    return torch.tril(x) + torch.tril(x, -1).mT


def _array(x: Any) -> Any:
    return x.detach().numpy()


def _signs(vectors: Any, numpys: Any) -> Any:
    """By column, the sign that makes it NumPy's: it is free."""
    return torch.tensor(np.sign((_array(vectors) * numpys).sum(-2, keepdims=True)))


def _eigh(x: Any) -> Any:
    values, vectors = linalg.eigh(_lower(x))
    return torch.cat([values[..., None, :], vectors * _signs(vectors, np.linalg.eigh(_array(x))[1])], -2)


def _svd(x: Any) -> Any:
    u, s, vh = linalg.svd(x, full_matrices=False)
    signs = _signs(u, np.linalg.svd(_array(x), full_matrices=False)[0])
    return torch.cat([(u * signs).mT, s[..., None], vh * signs.mT], -1)


def _qr(x: Any) -> Any:
    q, r = linalg.qr(x)
    signs = _signs(q, np.linalg.qr(_array(x))[0])
    return torch.cat([(q * signs).mT, r * signs.mT], -1)


def _norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:  # noqa: A002
    if ord is None:
        return linalg.vector_norm(x, dim=axis, keepdim=keepdims)
    if isinstance(axis, int):
        return linalg.vector_norm(x, ord, axis, keepdims)
    return linalg.matrix_norm(x, ord, (0, 1) if axis is None else axis, keepdims)


def _vector_norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:  # noqa: A002
    return linalg.vector_norm(x, 2 if ord is None else ord, axis, keepdims)


def _places(x: Any) -> Any:
    return np.arange(math.prod(x.shape)).reshape(tuple(x.shape))


def _moved(x: Any, places: Any) -> Any:
    """Entries of x at places in row-major order."""
    return torch.take(x, torch.tensor(np.array(places)))


def _repeat(x: Any, repeats: Any, axis: Any = None) -> Any:
    if not isinstance(repeats, int):
        repeats = torch.tensor(repeats, dtype=torch.long)
    return torch.repeat_interleave(x, repeats, dim=axis)


def _pad(x: Any, pad_width: Any, mode: str = "constant", constant_values: float = 0.0) -> Any:
    if mode != "constant":
        return _moved(x, np.pad(_places(x), pad_width, mode))  # PyTorch's modes take few shapes
    widths = np.broadcast_to(np.asarray(pad_width), (x.ndim, 2))[::-1].ravel().tolist()
    return torch.nn.functional.pad(x, widths, value=constant_values) if x.ndim else x


def _take(x: Any, indices: Any, axis: Any = None) -> Any:
    return _moved(x, np.take(_places(x), indices, axis))


def _take_along_axis(x: Any, indices: Any, axis: int) -> Any:
    return _moved(x, np.take_along_axis(_places(x), indices, axis))


def _roll(x: Any, shift: Any, axis: Any = None) -> Any:
    if isinstance(axis, tuple) and isinstance(shift, int):
        shift = (shift,) * len(axis)
    return torch.roll(x, shift, axis)


def _solve(a: Any, b: Any) -> Any:
    if b.ndim == 1:
        return linalg.solve(a, b[:, None].expand(*a.shape[:-2], *b.shape, 1))[..., 0]
    batch = torch.broadcast_shapes(
        a.shape[:-2], b.shape[:-2]
    )  # PyTorch may take a matrix for a batch of vectors
    return linalg.solve(a.expand(*batch, *a.shape[-2:]), b.expand(*batch, *b.shape[-2:]))


def _topk(x: Any, k: int, axis: int = -1, largest: bool = True) -> Any:
    return torch.topk(x, k, axis, largest)[0]


def _sort(x: Any, axis: Any = -1) -> Any:
    return torch.sort(x.flatten() if axis is None else x, 0 if axis is None else axis)[0]


def _flip(x: Any, axis: Any = None) -> Any:
    return torch.flip(
        x, tuple(range(x.ndim)) if axis is None else (axis if isinstance(axis, tuple) else (axis,))
    )


MATRICES: Mapping[str, Callable[..., Any]] = {
    "append": lambda x, values, axis=None: torch.cat(
        (x.flatten(), values.flatten()) if axis is None else (x, values), axis or 0
    ),
    "cholesky": lambda x: linalg.cholesky(_lower(x)),
    "column_stack": lambda *xs: torch.column_stack(xs),
    "cross": lambda a, b, axis=-1: torch.cross(*torch.broadcast_tensors(a, b), dim=axis),
    "det": linalg.det,
    "diag": lambda x, k=0: torch.diag(x, k),
    "diagonal": lambda x, offset=0, axis1=0, axis2=1: torch.diagonal(x, offset, axis1, axis2),
    "dot": _dot,
    "dstack": lambda *xs: torch.dstack(xs),
    "eigh_packed": _eigh,
    "einsum": lambda *xs, subscripts: torch.einsum(subscripts, *xs),
    "flip": _flip,
    "fliplr": torch.fliplr,
    "flipud": torch.flipud,
    "hstack": lambda *xs: torch.hstack(xs),
    "inner": lambda a, b: torch.tensordot(a, b, dims=([-1], [-1])),
    "inv": linalg.inv,
    "kron": torch.kron,
    "logabsdet": lambda x: linalg.slogdet(x)[1],
    "matrix_power": linalg.matrix_power,
    "matrix_transpose": lambda x: x.mT,
    "moveaxis": torch.moveaxis,
    "norm": _norm,
    "outer": lambda a, b: torch.outer(a.flatten(), b.flatten()),
    "pad": _pad,
    "pinv": linalg.pinv,
    "qr_packed": _qr,
    "ravel": torch.ravel,
    "repeat": _repeat,
    "roll": _roll,
    "rot90": lambda x, k=1, axes=(0, 1): torch.rot90(x, k, axes),
    "solve": _solve,
    "solve_triangular": lambda a, b, lower=True: linalg.solve_triangular(
        torch.tril(a) if lower else torch.triu(a), b, upper=not lower
    ),
    "sort": _sort,
    "stack": lambda *xs, axis=0: torch.stack(xs, axis),
    "svd_packed": _svd,
    "take": _take,
    "take_along_axis": _take_along_axis,
    "tensordot": _tensordot,
    "tile": lambda x, reps: torch.tile(x, reps if isinstance(reps, tuple) else (reps,)),
    "topk": _topk,
    "trace": lambda x, offset=0, axis1=0, axis2=1: torch.diagonal(x, offset, axis1, axis2).sum(-1),
    "tril": lambda x, k=0: torch.tril(x, k),
    "triu": lambda x, k=0: torch.triu(x, k),
    "vdot": lambda a, b: torch.vdot(a.flatten(), b.flatten()),
    "vector_norm": _vector_norm,
    "vstack": lambda *xs: torch.vstack(xs),
}
"""By the op's name."""
