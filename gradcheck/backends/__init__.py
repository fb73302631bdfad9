"""Adapters: one per framework, chosen from what was handed in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from gradcheck.backends.arguments import params_of, plain, rule_fits
from gradcheck.backends.call import Call
from gradcheck.backends.core import Core
from gradcheck.backends.dtypes import is_extended
from gradcheck.backends.framed import framed
from gradcheck.backends.framework import framework_of
from gradcheck.backends.pair import Pair, op_rule
from gradcheck.backends.protocol import Array, Input, Run, Subject
from gradcheck.backends.surrogate import StraightThrough
from gradcheck.backends.tree import described, leaves, rebuild
from gradcheck.backends.wanted import chosen
from gradcheck.errors import CallError, ForwardError
from gradcore.op import Op
from gradcore.spec import OpSpec
from gradcore.tensor import Tensor

__all__ = [
    "Call",
    "Input",
    "Run",
    "StraightThrough",
    "Subject",
    "as_subject",
    "first_run",
    "has_gradient",
    "subject_of",
]


def as_subject(call: Call) -> Subject:
    """The function, its gradient and its inputs, behind the one protocol that the checks use.

    `call.f` is a gradcore Op (or a `functools.partial` of one); with `call.vjp`, a NumPy function; else a function of Tensors,
    or of the values of another framework.

    Raises `CallError` where the call cannot be judged, or leaves open whose gradient is to be judged.
    """
    subject = subject_of(call)
    if not has_gradient(call.f, call.vjp, call.inputs):
        raise CallError(
            f"{subject.name} came with plain arrays and without vjp=, and it is no gradcore Op: pass vjp=rule to check a "
            "rule of yours, or gradcore Tensors to check gradcore's own derivative; for a function of JAX or of autograd, add "
            "backend='jax' or backend='autograd'"
        )
    surrogate = call.straight_through
    if surrogate is None:
        return subject
    if not callable(surrogate):
        raise CallError(
            f"straight_through= is {described(surrogate)}: pass the smooth function whose derivative the rule is meant to be, "
            "such as lambda x: x"
        )
    return StraightThrough(subject, subject_of(replace(call, f=surrogate)))


def has_gradient(f: Callable[..., Any], vjp: Callable[..., Any] | None, inputs: Any) -> bool:
    """Whether it is clear whose gradient is to be checked: that of `vjp`, of an Op, or gradcore's.

    An array alone does not say that gradcore's is meant: `vjp` may have been forgotten.
    """
    function = f.func if isinstance(f, partial) else f
    registered = isinstance(function, Op) or isinstance(getattr(function, "spec", None), OpSpec)
    if vjp is not None or registered:
        return True
    given = _no_arrays(inputs)
    return framework_of(function, *given) is not None or any(isinstance(x, Tensor) for x in given)


def _no_arrays(inputs: Any) -> list[Any]:
    """The leaves that may come from a framework."""
    return [leaf for _, leaf in leaves(inputs, "") if type(leaf) is not np.ndarray]


def subject_of(call: Call) -> Subject:
    """The same as `as_subject`, with gradcore's derivative for a function on plain arrays too."""
    f, vjp = call.f, call.vjp
    if not callable(f):
        raise CallError(
            f"the first argument is {described(f)}, and it has to be the function to check: gradcheck(f, (x, y))"
        )
    if vjp is not None and not callable(vjp):
        raise CallError(f"vjp= is {described(vjp)}: pass the rule itself, a function rule(gy, y, *inputs)")
    framework = framework_of(f, *_no_arrays(call.arguments))
    if framework is not None:
        if vjp is not None:
            raise CallError(
                f"vjp= came together with {framework.name} {framework.noun}s, whose own derivative would be checked: leave vjp= "
                "out, or pass NumPy arrays and a rule for NumPy arrays"
            )
        return framed(framework, f, call.arguments, params_of(call.params), call.wrt)
    template = _as_inputs(call.inputs)
    params = params_of(call.params)
    if isinstance(f, partial) and isinstance(f.func, Op) and not f.args:
        params = {**f.keywords, **params}
        f = f.func
    places, found = _arrays(template, call.wrt)
    if vjp is not None:
        template = _plain(template)
        rule_fits(vjp, f, template, params)
        return Pair(f.forward if isinstance(f, Op) else f, vjp, template, found, places, params)
    if isinstance(f, Op):
        names = [path for path, _ in leaves(template, "inputs")]
        wanted_paths = {item.path for item in found if item.wanted}
        if len(names) != len(template):
            raise CallError(
                f"{f.name} is an Op, and an Op takes arrays: pass them side by side, not in tuples or dicts"
            )
        n = len(template) if f.variadic else min(f.n_arrays, len(template))
        if len(template) > n:  # static parameters that came by position
            params = {**dict(zip(f._static, template[n:], strict=False)), **params}
            found = tuple([item for item, place in zip(found, places, strict=True) if place < n])
            places = [place for place in places if place < n]
            template = template[:n]
        missing = tuple(f._defaults[len(template) : f.n_arrays])
        template = _plain((*template, *missing))
        wanted = [path in wanted_paths for path in names[:n]] + [False] * len(missing)
        pair = Pair(f.forward, op_rule(f, wanted), template, found, places, params)
        pair.name, pair.gradient = f.name, f"the rule of the op {f.name}"
        return pair
    return Core(f, template, found, places, params)


def first_run(subject: Subject, arrays: Sequence[Array]) -> Run:
    """A forward call on the inputs that were given. Raises `ForwardError` where the function does not take them."""
    try:
        with np.errstate(all="ignore"):
            return subject.run(arrays)
    except CallError:
        raise
    except Exception as error:
        given = ", ".join(f"{i.path} is {described(i.array)}" for i in subject.inputs)
        raise ForwardError(
            f"{subject.name} raised {type(error).__name__} on these inputs ({given}): {error}. A check needs inputs "
            "that the function takes"
        ) from error


def _plain(template: Any) -> Any:
    """Tensors replaced by their arrays."""
    return rebuild(
        template, (leaf.data if isinstance(leaf, Tensor) else leaf for _, leaf in leaves(template, ""))
    )


def _as_inputs(inputs: Any) -> tuple[Any, ...]:
    if isinstance(inputs, np.ndarray | np.floating | np.complexfloating | Tensor):
        return (inputs,)
    if isinstance(inputs, list):
        return tuple(inputs)
    if not isinstance(inputs, tuple):
        raise CallError(
            f"inputs is {described(inputs)}: pass a tuple with the arguments of f, such as gradcheck(f, (x, w)), where "
            "x and w are arrays or Tensors"
        )
    return inputs


def _arrays(template: tuple[Any, ...], wrt: Any) -> tuple[list[int], tuple[Input, ...]]:
    """Which leaves are arrays, and of which a gradient is wanted."""
    named = list(leaves(template, "inputs"))
    tensors = [leaf for _, leaf in named if isinstance(leaf, Tensor)]
    explicit = any(t.requires_grad for t in tensors)
    places: list[int] = []
    found: list[Input] = []
    for place, (path, leaf) in enumerate(named):
        if not isinstance(leaf, np.ndarray | np.floating | np.complexfloating | Tensor):
            continue
        array: Array = leaf.data if isinstance(leaf, Tensor) else plain(leaf, path, "f is run on")
        if is_extended(array.dtype):
            raise CallError(
                f"{path} is {array.dtype}, in which a derivative cannot be told from rounding: pass reference=g, the same mathematics "
                "in float64, or convert the inputs to float32"
            )
        if array.dtype.kind not in "fciub":
            raise CallError(
                f"{path} is an array of {array.dtype}, which holds no numbers: pass a floating array, or the value "
                "itself where f takes it as a static one"
            )
        constant = isinstance(leaf, Tensor) and explicit and not leaf.requires_grad
        places.append(place)
        found.append(Input(path, array, array.dtype.kind in "fc" and not constant))
    return places, chosen(((path, _plain(leaf)) for path, leaf in named), found, wrt, len(template))
