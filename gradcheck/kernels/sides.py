"""The two sides of a check: the kernel in its own dtype and the reference in float64, by what was handed in."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from gradcheck.backends.arguments import params_of
from gradcheck.backends.framework import framework_of
from gradcheck.backends.protocol import Input
from gradcheck.backends.tree import described, leaves, name_of
from gradcheck.backends.wanted import chosen
from gradcheck.errors import CallError, ForwardError
from gradcheck.kernels.formats import FORMATS, Claims, claimed
from gradcheck.kernels.measured import Reference
from gradcheck.kernels.recorded import Recorded
from gradcheck.kernels.subject import Kernel, NumPyKernel, Value


def subject_of(kernel: Any, inputs: Any, vjp: Any, params: Any, wrt: Any, *, backward: bool = True) -> Kernel:
    """The kernel behind one protocol. Raises `CallError` where it can't be judged."""
    if not callable(kernel):
        raise CallError(
            f"the first argument is {described(kernel)}, and it has to be the kernel to check: gradcheck(kernel, (x, w), ...)"
        )
    template = tuple(inputs) if isinstance(inputs, tuple | list) else (inputs,)
    named = list(leaves(template, "inputs"))
    framework = framework_of(kernel, *[leaf for _, leaf in named])
    if framework is not None and framework.name not in ("PyTorch", "JAX"):
        raise CallError(
            f"{name_of(kernel)} is of {framework.name}, and reference= takes kernels of NumPy, PyTorch and JAX: convert it"
        )
    if framework is not None and vjp is not None:
        raise CallError(
            f"vjp= came together with {framework.name} {framework.noun}s, whose own derivative would be checked: leave vjp= out"
        )
    found: Kernel
    if framework is not None and framework.name == "PyTorch":
        from gradcheck.kernels.torch_kernel import TorchKernel

        found = TorchKernel(kernel, template, params_of(params))
    elif framework is not None:
        from gradcheck.kernels.jax_kernel import JaxKernel

        found = JaxKernel(kernel, template, params_of(params))
    else:
        if vjp is None and backward:
            raise CallError(
                f"{name_of(kernel)} came with plain arrays, with reference= and without vjp=: pass vjp=rule, its backward pass; "
                "for forward values alone call assert_close(actual, reference, inputs)"
            )
        found = NumPyKernel(kernel, vjp, template, params_of(params))
    if not any(v.format is not None for v in found.inputs):
        raise CallError(
            f"{found.name} got no floating array: pass the kernel's inputs in its own dtype, as arrays of NumPy or ml_dtypes, JAX, or "
            "tensors of PyTorch"
        )
    if wrt is not None:
        items = [Input(v.path, v.array, v.wanted) for v in found.inputs]
        items = list(chosen([(path, leaf) for path, leaf in named], items, wrt, len(template)))
        found.inputs = tuple([replace(v, wanted=i.wanted) for v, i in zip(found.inputs, items, strict=True)])
    return found


def require_runs(kernel: Kernel) -> None:
    """Raises `ForwardError` where the kernel does not take its inputs."""
    try:
        kernel.outputs()
    except CallError:
        raise
    except Exception as error:
        given = ", ".join(
            [
                f"{v.path} is {v.format.name if v.format else v.array.dtype} {v.array.shape}"
                for v in kernel.inputs
            ]
        )
        raise ForwardError(
            f"{kernel.name} raised {type(error).__name__} on these inputs ({given}): {error}. A check needs inputs that the kernel takes"
        ) from error


def claims_of(kernel: Kernel, accumulate: str, intermediates: str) -> Claims:
    """The two claims as relative errors. Raises `CallError` where one is unknown."""
    accumulate = claimed("accumulate", accumulate)
    intermediates = claimed("intermediates", intermediates, ("stored",))
    coarsest = max([v.format.unit for v in kernel.inputs if v.format is not None], default=2.0**-24)
    result = coarsest if intermediates == "stored" else FORMATS[intermediates].unit
    return Claims(result, FORMATS[accumulate].unit)


def cotangents_of(gy: Any, kernel: Kernel, outputs: Sequence[Value]) -> list[Any] | None:
    """The caller's cotangents, one for each output, None for one of integers. Raises `CallError` where they do not fit."""
    if gy is None:
        return None
    given = [leaf for _, leaf in leaves(gy, "gy")]
    floating = [v for v in outputs if v.format is not None]
    found = [kernel.value("gy", leaf) if hasattr(leaf, "dtype") else None for leaf in given]
    fits = len(found) == len(floating) and all(
        g is not None and (g.array.shape, g.format) == (y.array.shape, y.format)
        for g, y in zip(found, floating, strict=True)
    )
    if not fits:
        expected = ", ".join([f"{y.path} of {y.format.name} {y.array.shape}" for y in floating if y.format])
        raise CallError(
            f"gy= is {', '.join(map(described, given))}, and {kernel.name} returned {expected}: pass a cotangent of each output's shape and "
            "dtype"
        )
    if not all(g is not None and np.isfinite(g.array).all() for g in found):
        raise CallError(
            "gy= holds NaN or infinity, and no gradient can be checked with such a cotangent: pass finite numbers"
        )
    each = iter(given)
    return [None if v.format is None else next(each) for v in outputs]


def reference_of(g: Callable[..., Any], kernel: Kernel, inputs: Any, params: Any, seed: int) -> Reference:
    """The reference on the values of the kernel's own framework, or else of NumPy, or of a framework that is loaded."""
    if not callable(g):
        raise CallError(
            f"reference= is {described(g)}: pass the same mathematics as a function of float64 arrays or tensors, such as "
            "reference=lambda x, w: x @ w"
        )
    arrays = [v.array for v in kernel.inputs]
    named = params_of(params)

    def call(values: list[Any]) -> Any:
        return g(*kernel.arguments(values), **named)

    first: Exception | None = None
    for make in _kinds(g, inputs):
        try:
            return make(g, call, arrays, seed)
        except Exception as error:  # noqa: BLE001 - it may be one of another framework
            first = first or error
            if isinstance(error, CallError) and "could not be differentiated" not in str(error):
                break
    if isinstance(first, CallError | ForwardError):
        raise first
    raise ForwardError(
        f"the reference {name_of(g)} raised {type(first).__name__} on the kernel's inputs in float64: {first}. It gets the same "
        "arguments as the kernel"
    ) from first


def _kinds(g: Any, inputs: Any) -> Iterator[Callable[..., Reference]]:
    """Ways to run a reference, the likeliest first."""
    flat = [leaf for _, leaf in leaves(inputs, "")]
    own = framework_of(*flat) or framework_of(g)
    other = framework_of(g)
    tensors = [leaf for leaf in flat if hasattr(leaf, "device") and hasattr(leaf, "layout")]
    names = [f.name for f in (other, own) if f is not None]
    names += ["NumPy", *[n for n, m in (("PyTorch", "torch"), ("JAX", "jax")) if m in sys.modules]]
    for name in dict.fromkeys(names):
        if name == "NumPy":
            yield Recorded
        elif name == "PyTorch":
            yield _in_torch(tensors)
        elif name == "JAX":
            from gradcheck.kernels.jax_reference import JaxReference

            yield JaxReference


def _in_torch(tensors: Sequence[Any]) -> Callable[..., Reference]:
    from gradcheck.kernels.torch_reference import TorchReference

    device = tensors[0].device if tensors else "cpu"
    return lambda g, call, arrays, seed: TorchReference(g, call, arrays, device, seed)
