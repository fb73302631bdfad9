"""Arrays of a kernel's own kind and dtype, made of numbers in float64, and the other way round."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradcheck.backends.framework import framework_of
from gradcheck.backends.protocol import Array
from gradcheck.backends.tree import described, leaves, rebuild
from gradcheck.kernels.subject import laid_out, value_of

MOST = 100
"""Arrays of more entries are named by dtype and shape."""


def _kind(leaf: Any) -> str:
    """Whose array it is, "" for none."""
    if isinstance(leaf, np.ndarray):
        return "NumPy"
    framework = framework_of(leaf)
    return framework.name if framework is not None and framework.owns(leaf) else ""


def numbers(leaf: Any) -> Array | None:
    """In float64, of integers and truth values as they are; None for what is no array."""
    kind = _kind(leaf)
    if kind == "PyTorch":
        from gradcheck.kernels.torch_kernel import value_of as of_tensor

        return of_tensor("an input", leaf).array
    if kind == "JAX":
        from gradcheck.kernels.jax_kernel import value_of as of_jax

        return of_jax("an input", leaf).array
    return value_of("an input", leaf).array if kind else None


def in_numbers(inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """The same structure with numbers in the places of arrays."""
    flat = [(leaf, numbers(leaf)) for _, leaf in leaves(inputs, "inputs")]
    made: tuple[Any, ...] = rebuild(inputs, iter([leaf if a is None else a for leaf, a in flat]))
    return made


def cast(inputs: tuple[Any, ...], like: tuple[Any, ...], layout: str = "dense") -> tuple[Any, ...]:
    """Numbers as arrays of the kinds, dtypes and devices of an example, in a memory layout."""
    flat = []
    for (_, leaf), (_, example) in zip(leaves(inputs, "inputs"), leaves(like, "inputs"), strict=True):
        flat.append(_cast(leaf, example, layout) if isinstance(leaf, np.ndarray) else leaf)
    made: tuple[Any, ...] = rebuild(like, iter(flat))
    return made


def _cast(array: Array, like: Any, layout: str) -> Any:
    kind = _kind(like)
    with np.errstate(all="ignore"):
        if kind == "PyTorch":
            import torch

            from gradcheck.kernels.torch_kernel import laid_out as laid_out_tensor

            made = torch.as_tensor(array).to(like.device, like.dtype)
            return laid_out_tensor(made, layout).requires_grad_(like.requires_grad)
        if kind == "JAX":
            import jax

            return jax.device_put(array.astype(like.dtype), *like.devices())
        return laid_out(array.astype(like.dtype), layout)


def code(inputs: tuple[Any, ...]) -> str:
    """Inputs as code that makes them again; of large arrays dtype and shape."""

    def one(leaf: Any) -> str:
        kind, array = _kind(leaf), numbers(leaf)
        if array is None:
            return repr(leaf)
        dtype = str(leaf.dtype).rpartition(".")[2]
        if array.size > MOST:
            return f"...  # {dtype} {array.shape}"
        nested = repr(array.tolist()).replace("nan", "float('nan')").replace("inf", "float('inf')")
        if kind == "PyTorch":
            return f"torch.tensor({nested}, dtype=torch.{dtype})"
        return f"{'jnp' if kind == 'JAX' else 'np'}.array({nested}, dtype={dtype!r})"

    lines = [
        f"{path} = {one(leaf)}" if numbers(leaf) is not None else f"{path} = {described(leaf)}"
        for path, leaf in leaves(inputs, "inputs")
    ]
    return "\n".join(lines)
