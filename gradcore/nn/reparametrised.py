"""Weight norm and spectral norm: a weight that is computed from other parameters each time that it is read."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from gradcore.errors import ArgumentError, DomainError
from gradcore.nn.module import Module
from gradcore.ops.shape import reshape, transpose
from gradcore.ops.statistics import vector_norm
from gradcore.tensor import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable

    from gradcore.nn.init import Rng

M = TypeVar("M", bound=Module)


def weight_norm(module: M, name: str = "weight", dim: int | None = None) -> M:
    """Put g v / |v| in the place of a module's weight: Salimans and Kingma 2016, equation 2. Returns the module.

    Its parameters are then `weight_g` and `weight_v`; each slice along `dim` has a length of its own. dim: the axis of the
    outputs where None, 1 for a `Linear` and a `ConvTranspose2d` and 0 else (PyTorch has 0 for the latter as well); -1: one
    length for all. The module computes what it did before.
    Raises ArgumentError where it has no such parameter.
    """
    weight = _parameter("weight_norm", module, name)
    axis = _outputs(module) if dim is None else dim
    axes = tuple([i for i in range(weight.ndim) if i != axis])

    def computed(owner: Any) -> Any:
        v = vars(owner)[name + "_v"]
        return v * (vars(owner)[name + "_g"] / vector_norm(v, axis=axes, keepdims=True))

    lengths = np.sqrt((weight.data**2).sum(axes, keepdims=True))
    parts = {name + "_g": Tensor(lengths, True), name + "_v": Tensor(weight.data, True)}
    return _with_computed(module, name, computed, parts)


def spectral_norm(
    module: M,
    name: str = "weight",
    n_power_iterations: int = 1,
    eps: float = 1e-12,
    dim: int | None = None,
    *,
    rng: Rng = None,
) -> M:
    """Divide a module's weight by its largest singular value: Miyato et al. 2018, algorithm 1. Returns the module.

    The weight is taken as the matrix of its axis `dim` by all others. Its singular vectors are the buffers `weight_u` and
    `weight_v`; in training each reading of the weight improves them by power iterations, through which no gradient flows.
    The parameter is then `weight_orig`. dim: the axis of the outputs where None. rng: of the vectors' start.
    Raises ArgumentError where there is no such parameter, DomainError for less than one iteration.
    """
    if n_power_iterations < 1:
        raise DomainError(f"spectral_norm got n_power_iterations={n_power_iterations}: expected 1 or more")
    weight = _parameter("spectral_norm", module, name)
    first = _outputs(module) if dim is None else dim
    order = (first, *[i for i in range(weight.ndim) if i != first])
    shape = (weight.shape[first], math.prod(weight.shape) // weight.shape[first])

    def improved(times: int, matrix: Any, u: Any, v: Any) -> tuple[Any, Any]:
        for _ in range(times):
            u = matrix @ v
            u = u / max(float(np.sqrt(u @ u)), eps)
            v = matrix.T @ u
            v = v / max(float(np.sqrt(v @ v)), eps)
        return u, v

    def computed(owner: Any) -> Any:
        own = vars(owner)
        matrix = reshape(transpose(own[name + "_orig"], order), shape)
        if owner.training:
            own[name + "_u"], own[name + "_v"] = improved(
                n_power_iterations, matrix.data, own[name + "_u"], own[name + "_v"]
            )
        return own[name + "_orig"] / (own[name + "_u"] @ (matrix @ own[name + "_v"]))

    generator = np.random.default_rng(rng)
    start = [generator.standard_normal(n).astype(weight.dtype) for n in shape]
    u, v = improved(15, weight.data.transpose(order).reshape(shape), *start)
    parts = {name + "_orig": Tensor(weight.data, True), name + "_u": u, name + "_v": v}
    return _with_computed(module, name, computed, parts)


def _parameter(owner: str, module: Module, name: str) -> Tensor:
    found = vars(module).get(name)
    if not isinstance(found, Tensor):
        have = ", ".join([n for n, v in vars(module).items() if isinstance(v, Tensor)]) or "none"
        raise ArgumentError(
            f"{owner} got a {type(module).__name__}, which has no parameter {name!r}: its own are {have}"
        )
    return found


def _outputs(module: Module) -> int:
    """The axis of the outputs in a module's weight."""
    from gradcore.nn.conv_transpose2d import ConvTranspose2d
    from gradcore.nn.linear import Linear

    return 1 if isinstance(module, Linear | ConvTranspose2d) else 0


def _with_computed(module: M, name: str, computed: Callable[[Any], Any], parts: dict[str, Any]) -> M:
    """The module with `name` computed in place of held: its class is one of its own below the class that it had."""
    del vars(module)[name]
    vars(module).update(parts)
    cls = type(module)
    computes = {name: property(computed), "__module__": cls.__module__, "made_of": cls}
    module.__class__ = type(cls.__name__, (cls,), computes)
    return module
