"""The gradient function as a subject of its own: `(x, gy) -> gx`, with an independent random cotangent."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from gradcheck.backends import Subject, as_subject
from gradcheck.backends.core import gradient_function, rule_function
from gradcheck.backends.protocol import spread
from gradcheck.errors import CallError
from gradcheck.look import Look
from gradcheck.probes import cotangents
from gradcheck.tree import rebuild


def gradient_subject(
    f: Callable[..., Any],
    inputs: Any,
    *,
    vjp: Callable[..., Any] | None,
    wrt: Any,
    params: Mapping[str, Any] | None,
    seed: int,
) -> Subject:
    """The subject that `gradgradcheck` judges; its last input is the cotangent, named `gy`.

    Raises `CallError` where the rule can't be run on Tensors.
    """
    first = as_subject(f, inputs, vjp=vjp, wrt=wrt, params=params)
    look = Look(first, seed)
    drawn = cotangents(look.outputs, np.random.default_rng([seed, 3]))
    gys = spread(look.run.outputs, drawn)
    given = inputs if isinstance(inputs, tuple) else tuple(inputs) if isinstance(inputs, list) else (inputs,)
    wanted = [item.path for item in first.inputs if item.wanted]
    last = f"inputs[{len(given)}]"
    if vjp is None:
        second = as_subject(
            gradient_function(f, frozenset(wanted)), (*given, tuple(gys)), wrt=[*wanted, last], params=params
        )
    else:
        gy = rebuild(look.run.result, iter(gys))
        second = as_subject(rule_function(f, vjp), (*given, gy), wrt=[*wanted, last], params=params)
        try:
            second.run([item.array.copy() for item in second.inputs])
        except Exception as error:
            raise CallError(
                f"the rule of {first.name} can't be run on gradcore Tensors ({type(error).__name__}: {error}): a second "
                "order needs f and its rule written with NumPy functions that gradcore has rules for, without "
                "assignment. Or check the gradient as a pair of its own: gradcheck(gradient, (gy, x), vjp=its_rule)"
            ) from error
    second.inputs = tuple(
        [
            replace(item, path="gy" + item.path[len(last) :]) if item.path.startswith(last) else item
            for item in second.inputs
        ]
    )
    return second
