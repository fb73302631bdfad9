"""Code that shows a fault again: the inputs, the located entry without the checker, and the call; it runs as it stands."""

from __future__ import annotations

import ast
import builtins
import inspect
from collections.abc import Callable, Sequence
from dataclasses import fields, is_dataclass
from functools import partial
from typing import Any

import numpy as np

import gradcore
from gradcheck.backends.call import Call
from gradcheck.backends.framework import Stated, framework_of
from gradcheck.backends.registered import children_of
from gradcheck.backends.tree import described, leaves, name_of
from gradcheck.backends.values import array_in, arrays_of
from gradcore.op import Op
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
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return f"{type(value).__name__}({', '.join([literal(item, most) for item in value])})"
    if isinstance(value, tuple):
        items = ", ".join([literal(item, most) for item in value])
        return f"({items}{',' if len(value) == 1 else ''})"
    if isinstance(value, list):
        return "[" + ", ".join([literal(item, most) for item in value]) + "]"
    framework = framework_of(value)
    if framework is not None and framework.owns(value):
        array = framework.array(value, "an input")
        return framework.literal(value, repr(array.tolist()) if array.size <= most else "...")
    if isinstance(value, type):
        return _type_text(value)
    if children_of(value) is not None:
        return _container(value, most)
    return function_text(value, repr(value)) if callable(value) else repr(value)


def _container(value: Any, most: int) -> str:
    """A registered dataclass as a call of it; another container has no code, as only its user knows how it is made."""
    name = type(value).__name__
    if not is_dataclass(value):
        return f"<{name}>"
    given = [f"{f.name}={literal(getattr(value, f.name), most)}" for f in fields(value) if f.init]
    return f"{name}({', '.join(given)})"


def in_its_layout(value: Any) -> str:
    """The same for an array behind strides of 0, negative ones, or in Fortran order: with those strides.

    >>> in_its_layout(np.broadcast_to(np.array([[1.0]]), (2, 1)))
    'np.broadcast_to(array([[1.]]), (2, 1))'
    """
    if isinstance(value, tuple | list) and not hasattr(value, "_fields"):
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


def function_text(function: Callable[..., Any], otherwise: str) -> str:
    """A function as its user would name it; `otherwise` for a lambda, a method or an object without a name of its own.

    >>> function_text(np.sin, "f"), function_text(lambda x: x, "f"), function_text(partial(literal, most=3), "f")
    ('np.sin', 'f', 'partial(literal, most=3)')
    """
    if isinstance(function, partial):
        given = [literal(a) for a in function.args]
        given += [f"{key}={literal(value)}" for key, value in function.keywords.items()]
        return f"partial({', '.join([function_text(function.func, otherwise), *given])})"
    if isinstance(function, Stated):
        return function_text(function.function, otherwise)
    framework = framework_of(function)
    if framework is not None and (text := framework.function_code(function)) is not None:
        return text
    name = name_of(function)
    if isinstance(function, np.ufunc):
        return name if getattr(np, function.__name__, None) is function else function.__name__
    if isinstance(function, Op):
        if getattr(gradcore, name, None) is function:
            return f"gradcore.{name}"
        return name if name.isidentifier() else otherwise
    if getattr(np, name, None) is function:
        return f"np.{name}"
    own = inspect.isroutine(function) and not inspect.ismethod(function) and name.isidentifier()
    return name if own and getattr(function, "__name__", "") != "<lambda>" else otherwise


def call_snippet(function: str, call: Call, middle: str = "") -> str:
    """The imports, the inputs and the call, which is the last line; what is too large, or has no literal, is named only.

    function: "gradcheck" or "gradgradcheck". middle: code to stand between the inputs and the call.
    """
    lines, given = [_assigned("inputs", call.arguments)], ["inputs"]
    f = function_text(call.f, "f")
    if call.vjp is not None:
        rule = function_text(call.vjp, "rule")
        given.append(f"vjp={'rule' if rule == f and call.vjp is not call.f else rule}")
    if isinstance(call.f, Stated) and not call.f.forward:
        given.append(f"backend={call.f.backend!r}")
    if call.straight_through is not None:
        given.append(f"straight_through={function_text(call.straight_through, 'surrogate')}")
    for key, value in (("wrt", call.wrt), ("params", call.params or None), ("gy", call.gy)):
        if value is not None and writable(value):
            given.append(f"{key}={in_its_layout(value)}")
        elif value is not None:
            lines.append(_assigned(key, value))
            given.append(f"{key}={key}")
    last = f"{function}({', '.join([f, *given])}, seed={call.seed})"
    if isinstance(call.f, Stated) and call.f.forward:
        of_jax = call.wrt is None and call.f.backend != "autograd"
        order = 1 if function == "gradcheck" else 2
        last = f"check_grads({f}, {'inputs' if of_jax else call.wrt}, {order}, modes=('fwd',))"
        last += "" if of_jax else "(*inputs)"
    body = "\n\n".join(["\n".join(lines), *([middle] if middle else []), last])
    every = [leaf for _, leaf in leaves(call.arguments, "")]
    return f"{_imports(body, (call.f, call.vjp, call.straight_through), every)}\n\n{body}"


def _type_text(value: type) -> str:
    name = value.__name__
    return f"np.{name}" if getattr(np, name, None) is value else name


def writable(value: Any) -> bool:
    """Whether a value can be written out as code that makes it again, and is no larger than `MOST`."""
    for _, leaf in leaves(value, ""):
        array = array_in(leaf)
        if array is not None and (array.size > MOST or array.dtype.hasobject):
            return False
    try:
        ast.parse(in_its_layout(value), mode="eval")
    except (SyntaxError, ValueError):
        return False
    return True


def _assigned(name: str, value: Any) -> str:
    if writable(value):
        return f"{name} = {literal(value)}"
    words = [f"{path}: {described(arrays_of(leaf))}" for path, leaf in leaves(value, name)]
    return f"{name} = ...  # as passed: {', '.join(words)}"


def _imports(body: str, functions: tuple[Any, ...], values: Sequence[Any]) -> str:
    """Import statements for the names that the code uses and that are not the user's own; what a framework has set up."""
    framework = framework_of(*functions, *values)
    setup = framework.setup_code(values) if framework else ""
    try:
        nodes = list(ast.walk(ast.parse(f"{setup}\n{body}")))
    except SyntaxError:  # whatever a repr gave: a report is worth more than its imports
        nodes = []
    used = {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
    used -= {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    used -= {n.name for n in nodes if isinstance(n, ast.FunctionDef)}
    used -= {n.arg for n in nodes if isinstance(n, ast.arg)}
    own = [getattr(f, "func", f) for f in functions]
    used -= {function_text(f, "f").partition(".apply")[0] for f in own if callable(f)}
    used -= {"f", "rule", "module", "surrogate"}
    lines = ["import dataclasses"] * ("dataclasses" in used)
    lines += ["from functools import partial"] * ("partial" in used)
    lines += ["import numpy as np"] * ("np" in used)
    numpys = sorted(
        n for n in used - {"np", "partial"} if not hasattr(builtins, n) and hasattr(np, n)
    )  # array, float32, nan, ...
    lines += [f"from numpy import {', '.join(numpys)}"] * bool(numpys)
    lines += [line for name, line in (framework.imports if framework else {}).items() if name in used]
    lines += ["import gradcore"] * ("gradcore" in used)
    lines += ["from gradcore import Tensor"] * ("Tensor" in used)
    checks = sorted(used & {"gradcheck", "gradgradcheck", "check_grads"})
    lines += [f"from gradcheck import {', '.join(checks)}"] * bool(checks)
    return "\n".join([*lines, *([setup] if setup else [])])
