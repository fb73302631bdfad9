"""Code that shows a fault again: the call with its inputs, and the located entry without the checker."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gradcheck.backends.call import Call
from gradcheck.backends.protocol import Array
from gradcheck.backends.tree import described, leaves, name_of
from gradcore.tensor import Tensor

MOST = 100
"""Arrays of more entries than this are named by shape and dtype instead of being written out."""


def literal(value: Any, most: int = MOST) -> str:
    """A value as code that makes it again, exactly; of an array of more than `most` entries, only some, with `...`.

    >>> literal((np.array([1.5, 2.0], np.float32), 3))
    '(array([1.5, 2. ], dtype=float32), 3)'
    """
    if isinstance(value, Tensor):
        needs = ", requires_grad=True" if value.requires_grad else ""
        return f"Tensor({literal(value.data, most)}{needs})"
    if isinstance(value, np.ndarray):
        if not value.size:  # NumPy's own repr of these can't be run
            return f"zeros({value.shape}, {value.dtype.name!r})"
        with np.printoptions(threshold=most, precision=17, floatmode="unique", linewidth=100):
            return repr(value)
    if isinstance(value, np.generic):
        return f"{type(value).__name__}({value.item()!r})"
    if isinstance(value, dict):
        return "{" + ", ".join([f"{key!r}: {literal(item, most)}" for key, item in value.items()]) + "}"
    if isinstance(value, tuple):
        items = ", ".join([literal(item, most) for item in value])
        return f"({items}{',' if len(value) == 1 else ''})"
    if isinstance(value, list):
        return "[" + ", ".join([literal(item, most) for item in value]) + "]"
    return repr(value)


def in_its_layout(value: Any) -> str:
    """The same for an array behind strides of 0, negative ones, or in Fortran order: with those strides.

    >>> in_its_layout(np.broadcast_to(np.array([[1.0]]), (2, 1)))
    'np.broadcast_to(array([[1.]]), (2, 1))'
    """
    if isinstance(value, tuple | list):
        return "(" + "".join([in_its_layout(item) + ", " for item in value]).rstrip() + ")"
    if not isinstance(value, np.ndarray) or value.flags.c_contiguous or not value.size:
        return literal(value)
    if any(step == 0 and n > 1 for n, step in zip(value.shape, value.strides, strict=True)):
        first = value[tuple([slice(0, 1) if s == 0 else slice(None) for s in value.strides])]
        return f"np.broadcast_to({literal(first.copy())}, {value.shape})"
    if all(step < 0 for step in value.strides):
        turned = ", ".join(["::-1"] * value.ndim)
        return f"{literal(value[(slice(None, None, -1),) * value.ndim])}[{turned}]"
    return f"np.asfortranarray({literal(value)})" if value.flags.f_contiguous else literal(value)


def call_text(function: str, call: Call) -> str:
    """The call as the user would write it again."""
    rule = call.vjp
    named = "" if rule is None else f", vjp={name_of(rule) if name_of(rule) != 'f' else 'rule'}"
    more = [("wrt", call.wrt), ("params", call.params or None), ("gy", call.gy)]
    rest = "".join([f", {key}={in_its_layout(value)}" for key, value in more if value is not None])
    return f"{function}({name_of(call.f)}, inputs{named}{rest}, seed={call.seed})"


def call_snippet(inputs: Any, call: str) -> str:
    """The imports, the inputs and the call; inputs that are too large are named only."""
    given = inputs if isinstance(inputs, tuple | list) else (inputs,)
    arrays = [leaf.data if isinstance(leaf, Tensor) else leaf for _, leaf in leaves(given, "")]
    if any(isinstance(a, np.ndarray) and a.size > MOST for a in arrays):
        words = ", ".join([f"{path}: {described(_plain(leaf))}" for path, leaf in leaves(given, "inputs")])
        return f"inputs = ...  # as passed: {words}\n{call}"
    tensor = (
        "from gradcore import Tensor\n"
        if any(isinstance(leaf, Tensor) for _, leaf in leaves(given, ""))
        else ""
    )
    names = sorted(
        {"array", "zeros", "nan", "inf"} | {a.dtype.name for a in arrays if isinstance(a, np.ndarray)}
    )
    names = [n for n in names if n in ("array", "zeros", "nan", "inf") or hasattr(np, n)]
    text = literal(tuple(given))
    used = [n for n in names if n in text + call]
    head = "import numpy as np\n" if "np." in call else ""
    head += f"from numpy import {', '.join(used)}\n" if used else ""
    return f"{head}{tensor}from gradcheck import gradcheck, gradgradcheck\n\ninputs = {text}\n{call}"


def _plain(value: Any) -> Any:
    return value.data if isinstance(value, Tensor) else value


def entry_snippet(
    name: str, inputs: Any, gys: Sequence[Array], place: int, index: tuple[int, ...], *, tensors: bool
) -> str:
    """Code that differentiates `<gy, f>` by one entry with two calls of f; "" where that takes more than a few lines."""
    if not isinstance(inputs, tuple) or not all(isinstance(a, np.ndarray | Tensor) for a in inputs):
        return ""
    if len(gys) != 1 or gys[0].size > MOST or any(_plain(a).size > MOST for a in inputs):
        return ""
    x = _plain(inputs[place])
    if x.dtype.kind != "f":
        return ""
    step = f"2.0**{int(np.floor(np.log2(max(abs(float(x[index])), 1e-300)))) - 17 if x[index] else -17}"
    arguments = ["x" if i == place else f"inputs[{i}]" for i in range(len(inputs))]
    taken = f"inputs[{place}].data" if isinstance(inputs[place], Tensor) else f"inputs[{place}]"
    at = ", ".join(map(str, index)) if index else "()"
    value = f"{name}({', '.join(arguments)})"
    if tensors:
        arguments[place] = "Tensor(x)"
        value = f"{name}({', '.join(arguments)}).data"
    return (
        "\n\n# the same without the checker: the derivative of <gy, f> by that entry\n"
        f"gy = {literal(gys[0].astype(np.float64))}\n"
        "def value(t):\n"
        f"    x = {taken}.astype(float)\n"
        f"    x[{at}] += t\n"
        f"    return (gy * {value}).sum()\n"
        f"h = {step}\n"
        "print((value(h) - value(-h)) / (2 * h))"
    )
