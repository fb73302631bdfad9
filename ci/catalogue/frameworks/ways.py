"""A mistake as a function of each framework. To add a framework: one function here, and its name in `WAYS`."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

import numpy as np

import gradcore
from ci.catalogue.frameworks.mistakes import Mistake
from gradcheck import gradcheck
from gradcore.spec import OpSpec, case, reals


def as_pair(mistake: Mistake) -> Any:
    """A pair of NumPy functions."""

    def forward(*inputs: Any) -> Any:
        return np.asarray(mistake.forward(np, *inputs))

    def rule(gy: Any, y: Any, *inputs: Any) -> Any:
        return mistake.rule(np, gy, y, *inputs)

    return gradcheck(forward, mistake.inputs, vjp=rule, raise_exception=False)


def as_op(mistake: Mistake) -> Any:
    """An op of gradcore."""
    letters = iter("nmkpqrstuv")
    shapes = [reals(" ".join([next(letters) for _ in x.shape])) for x in mistake.inputs]
    count = len(mistake.inputs)

    def one(x: Any, /) -> Any:
        return np.asarray(mistake.forward(np, x))

    def two(x: Any, y: Any, /) -> Any:
        return np.asarray(mistake.forward(np, x, y))

    forward = one if count == 1 else two
    forward.__name__ = forward.__qualname__ = (
        f"wrong_{mistake.name.replace(' ', '_').replace('/', '').replace(',', '')}"
    )
    forward.__doc__ = "A wrong op."

    def rule(gy: Any, y: Any, *inputs: Any) -> Any:
        found = mistake.rule(np, gy, y, *inputs)
        return found if count > 1 else found[0]

    spec = OpSpec(case(*shapes), reference=lambda *inputs: mistake.forward(np, *inputs))
    op: Any = gradcore.op(vjp=rule, spec=spec)(forward)
    return gradcheck(op, mistake.inputs, raise_exception=False)


def as_torch(mistake: Mistake) -> Any:
    """A `torch.autograd.Function`."""
    import torch

    class Wrong(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, *inputs: Any) -> Any:
            y = mistake.forward(torch, *inputs)
            ctx.save_for_backward(y, *inputs)
            return y

        @staticmethod
        def backward(ctx: Any, gy: Any) -> Any:
            return mistake.rule(torch, gy, *ctx.saved_tensors)

    inputs = tuple([torch.tensor(x, requires_grad=True) for x in mistake.inputs])
    return gradcheck(Wrong, inputs, raise_exception=False)


def as_jax(mistake: Mistake) -> Any:
    """A `jax.custom_vjp`."""
    import jax

    @jax.custom_vjp
    def wrong(*inputs: Any) -> Any:
        return mistake.forward(jax.numpy, *inputs)

    def fwd(*inputs: Any) -> Any:
        y = mistake.forward(jax.numpy, *inputs)
        return y, (y, *inputs)

    wrong.defvjp(fwd, lambda saved, gy: mistake.rule(jax.numpy, gy, *saved))
    return gradcheck(wrong, mistake.inputs, raise_exception=False)


def as_autograd(mistake: Mistake) -> Any:
    """A primitive of HIPS autograd."""
    from autograd.extend import defvjp_argnums, primitive

    @primitive
    def wrong(*inputs: Any) -> Any:
        return np.asarray(mistake.forward(np, *inputs))

    def rule(argnums: Any, y: Any, inputs: Any, _: Any) -> Any:
        return lambda gy: [mistake.rule(np, gy, y, *inputs)[i] for i in argnums]

    defvjp_argnums(wrong, rule)
    return gradcheck(wrong, mistake.inputs, raise_exception=False)


def as_mygrad(mistake: Mistake) -> Any:
    """An operation of MyGrad."""
    import mygrad as mg
    from mygrad.operation_base import Operation

    class Wrong(Operation):
        def __call__(self, *inputs: Any) -> Any:
            self.variables = inputs
            self.y = np.asarray(mistake.forward(np, *[x.data for x in inputs]))
            return self.y

        def backward_var(self, grad: Any, index: int, **_: Any) -> Any:
            return mistake.rule(np, grad, self.y, *[x.data for x in self.variables])[index]

    def wrong(*inputs: Any) -> Any:
        return mg.execute_op(Wrong, *inputs)

    return gradcheck(wrong, tuple([mg.tensor(x) for x in mistake.inputs]), raise_exception=False)


WAYS: dict[str, tuple[str, Callable[[Mistake], Any]]] = {
    "NumPy pair": ("numpy", as_pair),
    "gradcore op": ("gradcore", as_op),
    "torch Function": ("torch", as_torch),
    "jax custom_vjp": ("jax", as_jax),
    "autograd primitive": ("autograd", as_autograd),
    "MyGrad operation": ("mygrad", as_mygrad),
}
"""By name: the module that has to be installed, and what gives the report on a mistake."""


def installed() -> dict[str, Callable[[Mistake], Any]]:
    """The ways whose framework is installed."""
    return {name: way for name, (module, way) in WAYS.items() if importlib.util.find_spec(module)}
