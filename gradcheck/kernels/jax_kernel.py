"""A kernel of JAX: a function of arrays, a `jax.custom_vjp`, whatever `jax.vjp` differentiates, in its own dtype."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradcheck.backends.jax import FRAMEWORK
from gradcheck.backends.protocol import Array
from gradcheck.errors import CallError, RuleError
from gradcheck.kernels.formats import format_of
from gradcheck.kernels.subject import Arguments, Ran, Value


class JaxKernel(Arguments):
    """`f` on arrays of JAX, and what `jax.vjp` makes of it. They have no strides, so cotangents come in C order only."""

    layouts: tuple[str, ...] = ("broadcast",)

    def __init__(self, f: Callable[..., Any], template: tuple[Any, ...], params: Mapping[str, Any]) -> None:
        super().__init__(template, _owns)
        self.f, self._params = FRAMEWORK.function(f), dict(params)
        self.name = FRAMEWORK.title(f)
        self.gradient = f"the gradient of {self.name}"
        self.inputs = tuple([value_of(path, leaf, wanted=True) for path, leaf in self._own])
        self._arrays = [leaf for _, leaf in self._own]

    def value(self, path: str, leaf: Any) -> Value:
        """The numbers of an array."""
        return value_of(path, leaf)

    def outputs(self) -> list[Value]:
        """Forward alone."""
        return [value_of(path, y) for path, y in self._call(self._arrays)]

    def run(self, gys: Sequence[Array | None] | None, layout: str = "dense") -> Ran:
        """Forward and backward; nobody can write into the arrays."""
        if gys is None:
            return Ran(self.outputs(), [])
        paths: list[str] = []

        def flat(*sources: Any) -> Any:
            each = iter(sources)
            own = [next(each) if v.wanted else a for v, a in zip(self.inputs, self._arrays, strict=True)]
            found = self._call(own)
            paths[:] = [path for path, _ in found]
            return tuple([y for _, y in found])

        sources = [a for v, a in zip(self.inputs, self._arrays, strict=True) if v.wanted]
        try:
            ys, transposed = jax.vjp(flat, *sources)
            outputs = [value_of(path, y) for path, y in zip(paths, ys, strict=True)]
            each = iter(transposed(tuple([_cotangent(y, gy) for y, gy in zip(ys, gys, strict=True)])))
        except (TypeError, ValueError, AssertionError, NotImplementedError, IndexError) as error:
            raise RuleError(f"{type(error).__name__}: {error}") from error
        pulled = [value_of(v.path, next(each)) if v.wanted else None for v in self.inputs]
        return Ran(outputs, pulled)

    def _call(self, own: Sequence[Any]) -> list[tuple[str, Any]]:
        found = self._returned(self.f(*self.arguments(own), **self._params))
        return [(path, jnp.asarray(y)) for path, y in found]


def _owns(leaf: Any) -> bool:
    return FRAMEWORK.owns(leaf) or isinstance(leaf, np.ndarray)


def _cotangent(y: Any, gy: Array | None) -> Any:
    if gy is None or not jnp.issubdtype(y.dtype, jnp.inexact):
        return np.zeros(y.shape, jax.dtypes.float0)
    return jnp.asarray(gy.astype(y.dtype))


def value_of(path: str, array: Any, *, wanted: bool = False) -> Value:
    """An array of JAX among the inputs or outputs. Raises `CallError` where it holds no real numbers."""
    if isinstance(array, jax.core.Tracer):
        raise CallError(
            f"{path} is traced by jax.jit, jax.grad, jax.vmap or the like, and holds no numbers there: call the check outside of it"
        )
    if jnp.issubdtype(array.dtype, jnp.floating):
        return Value(path, np.array(array).astype(np.float64), format_of(array.dtype, path), wanted)
    if jnp.issubdtype(array.dtype, jnp.inexact):
        raise CallError(f"{path} is an array of {array.dtype}: a kernel takes and returns real numbers")
    return Value(path, np.array(array), None)
