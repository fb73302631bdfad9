"""Matrices of a given structure in the last two axes, well conditioned so that a derivative can be measured."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from gradcore.errors import SpecError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from gradcore.spec import Structure


def structured(structure: Structure, shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[Any]:
    """Random matrices (..., m, n): "symmetric", "spd", "invertible", "orthogonal", "lower" or "upper" triangular.

    Singular values of "spd" and "invertible" lie between 1/2 and 2 and differ by a factor; a triangular diagonal has
    entries between 1/2 and 2 in size. Raises SpecError for a shape that can't have the structure.
    """
    if len(shape) < 2 or (structure not in ("lower", "upper") and shape[-1] != shape[-2]):
        raise SpecError(f"no {structure} matrix has the shape {shape}: write it as 'n n' or '... n n'")
    a = rng.standard_normal(shape)
    if 0 in shape:
        return a
    match structure:
        case "symmetric":
            return np.asarray((a + np.swapaxes(a, -1, -2)) / 2)
        case "orthogonal":
            return _orthogonal(a, rng)
        case "invertible":
            return _with_spectrum(_orthogonal(a, rng), _orthogonal(rng.standard_normal(shape), rng), rng)
        case "spd":
            q = _orthogonal(a, rng)
            found = _with_spectrum(q, np.swapaxes(q, -1, -2), rng)
            return np.asarray((found + np.swapaxes(found, -1, -2)) / 2)
    diagonal = np.eye(shape[-2], shape[-1], dtype=bool)
    a = np.where(diagonal, np.sign(a) * rng.uniform(0.5, 2.0, shape), a)
    return np.tril(a) if structure == "lower" else np.triu(a)


def _orthogonal(a: NDArray[Any], rng: np.random.Generator) -> NDArray[Any]:
    """Rotations, and reflections as often: the Q of a decomposition alone has a determinant of one sign."""
    q = np.array(np.linalg.qr(a).Q)
    q[..., :1, :] *= rng.choice([-1.0, 1.0], (*a.shape[:-2], 1, 1))
    return q


def _with_spectrum(left: NDArray[Any], right: NDArray[Any], rng: np.random.Generator) -> NDArray[Any]:
    """left diag(s) right with the s apart from each other: decompositions are smooth there."""
    n = left.shape[-1]
    s = 2.0 ** (2.0 * (rng.permutation(n) + rng.uniform(0.25, 0.75, n)) / n - 1.0)
    return np.asarray((left * s) @ right)
