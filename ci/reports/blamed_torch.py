"""PyTorch's models for `ci/reports/blame.py`: its own functions, and custom Functions of the same mathematics."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import torch
from blamed_models import COLUMNS, ROWS, Drawn

from gradcheck import explain
from gradcheck.blame.torch_calls import nodes_behind
from gradcheck.verification.breaking import CHANGES as NUMPY_CHANGES

OWN = {
    "sin": torch.sin,
    "cos": torch.cos,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "neg": torch.neg,
    "exp": torch.exp,
    "log1p": torch.log1p,
    "add": torch.add,
    "sub": torch.sub,
    "mul": torch.mul,
    "div": torch.div,
    "matmul": torch.matmul,
}

RULES: dict[str, Any] = {
    "sin": lambda g, y, x: (g * torch.cos(x),),
    "cos": lambda g, y, x: (-g * torch.sin(x),),
    "tanh": lambda g, y, x: (g * (1 - y * y),),
    "sigmoid": lambda g, y, x: (g * y * (1 - y),),
    "neg": lambda g, y, x: (-g,),
    "exp": lambda g, y, x: (g * y,),
    "log1p": lambda g, y, x: (g / (1 + x),),
    "add": lambda g, y, a, b: (g, g),
    "sub": lambda g, y, a, b: (g, -g),
    "mul": lambda g, y, a, b: (g * b, g * a),
    "div": lambda g, y, a, b: (g / b, -g * y / b),
    "matmul": lambda g, y, a, b: (g @ b.mT, a.mT @ g),
}

SHARE = 0.45
"""Of the calls that may be of a custom Function."""


def _in_torch(change: Any) -> Any:
    return lambda gx: torch.from_numpy(np.asarray(change(gx.detach().numpy())))


CHANGES: dict[str, Any] = {
    **{name: _in_torch(change) for name, change in NUMPY_CHANGES.items()},
    "twice": lambda gx: gx * 2,
}


@functools.cache
def function(name: str, wrong: tuple[int, str] | None = None) -> Any:
    """A custom Function; wrong: which of its cotangents is changed, and how."""

    class Made(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, *arrays: Any) -> Any:
            y = OWN[name](*arrays)
            ctx.save_for_backward(y, *arrays)
            return y

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            y, *arrays = ctx.saved_tensors
            found = list(RULES[name](g, y, *arrays))
            if wrong is not None:
                found[wrong[0]] = CHANGES[wrong[1]](found[wrong[0]])
            return tuple([_summed(gx, x) for gx, x in zip(found, arrays, strict=True)])

    Made.__name__ = Made.__qualname__ = f"{'My' if wrong is None else 'Wrong'}{name.title()}"
    return Made


def _summed(gx: Any, x: Any) -> Any:
    """Over the axes along which x was broadcast."""
    return gx if gx.shape == x.shape else gx.sum_to_size(x.shape)


RIGHT = {name: function(name) for name in OWN}


@functools.cache
def _is_custom(seed: int, place: int) -> bool:
    """Whether a call may be of a custom Function. Kept, so that a model's time is that of its ops."""
    return bool(np.random.default_rng([seed, 3, place]).random() < SHARE)


class Torch(Drawn):
    """Of PyTorch's functions."""

    def call(self, name: str, *arrays: Any, **params: Any) -> Any:
        """A function by its name: a custom Function of it in some calls, which is wrong in one."""
        place = self.count
        self.count += 1
        if name == "sum":
            return (
                arrays[0].sum(**params) if not params else arrays[0].sum(params["axis"], params["keepdims"])
            )
        if not _is_custom(self.seed, place) or any(x.shape[-2:] != (ROWS, COLUMNS) for x in arrays[:1]):
            return OWN[name](*arrays)
        planted = self.wrong is not None and place == self.wrong[0]
        y = (function(name, self.wrong[1:]) if planted else RIGHT[name]).apply(*arrays)
        self.custom.append((place, name, arrays, y))
        return y

    def values(self, x: Any) -> Any:
        """Its numbers."""
        return x.detach().numpy()

    def special(self, rng: Any, x: Any, other: Any) -> Any:
        """Functions that gradcore has under other names."""
        kind = int(rng.integers(5))
        self.count += 1
        if kind == 0:
            return torch.softmax(x, 1)
        if kind == 1:
            return torch.nn.functional.layer_norm(x, (COLUMNS,))
        if kind == 2:
            return torch.where(torch.from_numpy(rng.random(x.shape) > 0.5), x, other)
        if kind == 3:
            return torch.cat([x[:2], other[2:]])
        return torch.nn.functional.elu(x)

    def model(self, x: Any, w: Any, b: Any) -> Any:
        """The function that is explained."""
        self.custom: list[tuple[int, str, Any]] = []
        return self(x, w, b)

    def inputs(self) -> tuple[Any, ...]:
        """New leaves."""
        return tuple([torch.from_numpy(a.copy()).requires_grad_() for a in (self.x, self.w, self.b)])

    def place(self, rng: Any) -> tuple[int, int, str]:
        """A call of a custom Function that the result depends on, one of its inputs, and a change."""
        behind = set(nodes_behind([self.model(*self.inputs())]))
        custom = [one for one in self.custom if one[3].grad_fn in behind]
        names = list(CHANGES)
        while True:
            place, name, arrays, y = custom[int(rng.integers(len(custom)))]
            change, position = names[int(rng.integers(len(names)))], int(rng.integers(len(arrays)))
            given = [x.detach() for x in (y, *arrays)]
            gx = RULES[name](torch.from_numpy(rng.standard_normal(y.shape)).to(y.dtype), *given)[position]
            if not torch.equal(CHANGES[change](gx), gx):
                return place, position, change

    def explained(self) -> Any:
        """The explanation."""
        return explain(self.model, self.inputs())

    def named(self, found: Any) -> bool:
        """Whether the wrong op alone is blamed."""
        return [(b.kind, b.op[:5]) for b in found.blamed] == [("rule", "Wrong")]
