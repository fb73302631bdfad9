"""The gradient function as a subject of its own: `(x, gy) -> gx`, with an independent random cotangent."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np

from gradcheck.backends import as_subject, first_run, subject_of
from gradcheck.backends.arguments import cotangents_of
from gradcheck.backends.call import Call
from gradcheck.backends.core import Core, gradient_function, rule_function
from gradcheck.backends.framed import Framed, gradient_of
from gradcheck.backends.protocol import Subject, differentiable, spread
from gradcheck.backends.tree import leaves, rebuild
from gradcheck.backends.values import arrays_of
from gradcheck.errors import CallError, RuleError
from gradcheck.numeric.probes import cotangents
from gradcore.tensor import Tensor


class _History(Exception):  # noqa: N818
    """A number was made of an array."""


class _Kept(np.ndarray[Any, Any]):
    """An array, and all that is computed from it, that can't be made a Python number."""

    def __float__(self) -> float:
        raise _History


def loses_history(call: Call) -> bool:
    """Whether `f` or its rule makes a Python number of an input (`math.sin(x)`), in which no Tensor's history is left."""
    rule = call.vjp
    if rule is None:
        return False

    def kept(value: Any) -> Any:
        value = value.data if isinstance(value, Tensor) else value
        floating = isinstance(value, np.ndarray | np.generic) and value.dtype.kind in "fc"
        return np.asarray(value).view(_Kept) if floating else value

    def held(value: Any) -> Any:
        return rebuild(value, (kept(leaf) for _, leaf in leaves(value, "")))

    arguments, named = held(call.arguments), dict(call.params or {})
    try:
        y = call.f(*arguments, **named)
        rule(held(rebuild(y, (np.ones_like(leaf) for _, leaf in leaves(y, "")))), y, *arguments, **named)
    except _History:
        return True
    except Exception:  # noqa: BLE001 - any other error is no sign of this
        return False
    return False


def _tried(second: Framed) -> Framed:
    """The same; raises `CallError` where the framework refuses a second order."""
    found = first_run(second, [np.array(item.array, order="C") for item in second.inputs])
    with suppress(RuleError):  # reported when it is judged
        found.pull([np.ones_like(y) if y.dtype.kind in "fc" else None for y in found.outputs])
    return second


def gradient_subject(call: Call) -> Subject:
    """The subject that `gradgradcheck` judges; its last input is the cotangent, named `gy`.

    Raises `CallError` where the rule cannot be run on Tensors.
    """
    first = as_subject(call)
    run = first_run(first, [np.array(item.array, order="C") for item in first.inputs])
    given_gys = cotangents_of(arrays_of(call.gy), first.name, differentiable(run.outputs))
    drawn = cotangents(differentiable(run.outputs), np.random.default_rng([call.seed, 3]))
    gys = spread(run.outputs, drawn if given_gys is None else given_gys)
    if isinstance(first, Framed):
        second: Subject = _tried(gradient_of(first, gys))
        second.primal = first
        return second
    given, wanted = call.arguments, [item.path for item in first.inputs if item.wanted]
    last = f"inputs[{len(given)}]"
    if call.vjp is None:
        gradient = gradient_function(call.f, frozenset(wanted))
        second = subject_of(Call(gradient, (*given, tuple(gys)), wrt=[*wanted, last], params=call.params))
    else:
        gy = rebuild(run.result, iter(gys))
        gradient = rule_function(call.f, call.vjp)
        second = subject_of(Call(gradient, (*given, gy), wrt=[*wanted, last], params=call.params))
        try:
            second.run([item.array.copy() for item in second.inputs])
        except Exception as error:
            raise CallError(
                f"the rule of {first.name} can't be run on gradcore Tensors ({type(error).__name__}: {error}): a second "
                "order needs f and its rule written with NumPy functions that gradcore has rules for, without "
                "assignment. Or check the gradient as a pair of its own: gradcheck(gradient, (gy, x), vjp=its_rule)"
            ) from error
    second.primal = first
    second.gradient = f"gradcore's derivative of {first.gradient}"
    if isinstance(first, Core):
        second.gradient = f"gradcore's second derivative of {first.name}"
    second.inputs = tuple(
        [
            replace(item, path="gy" + item.path[len(last) :]) if item.path.startswith(last) else item
            for item in second.inputs
        ]
    )
    return second
