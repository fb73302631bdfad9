"""Arguments of `gradcheck`, `gradgradcheck` and `verify`, checked before anything is run.

Each function returns the argument in the form that the checker works with, or raises `CallError` with a sentence on what
came, what was expected and what to pass.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping
from types import FunctionType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck.backends.tree import described, name_of
from gradcheck.errors import CallError
from gradcore.sizes import whole as whole_number

Array = NDArray[Any]


def whole(name: str, value: Any, least: int, why: str) -> int:
    """A whole number from `least` up."""
    number = whole_number(value, least)
    if number is None:
        raise CallError(f"{name}={value!r}: pass a whole number from {least} up, {why}")
    return number


def seed_of(value: Any) -> int:
    """A seed that the same run can be made with again."""
    return whole("seed", value, 0, "so that the same seed gives the same check again")


def params_of(value: Any) -> dict[str, Any]:
    """Static parameters by name."""
    if value is None:
        return {}
    if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
        raise CallError(
            f"params= is {described(value)}: pass a dict with the static parameters by name, such as params={{'axis': 0}}"
        )
    return dict(value)


def contracts_of(value: Any, known: Collection[str], on_request: Collection[str]) -> Collection[str] | None:
    """Names of the contracts to try, None for the usual ones: all but those on request."""
    if isinstance(value, bool):
        return None if value else ()
    if isinstance(value, str):
        value = {value}
    if not isinstance(value, Collection) or not all(isinstance(name, str) for name in value):
        raise CallError(
            f"contracts= is {described(value)}: pass True for all, False for none, or the names of some, such as "
            f"contracts=['{next(iter(known))}']; contracts='-{next(iter(known))}' leaves one out"
        )
    signs = {name[:1] for name in value if name[:1] in ("+", "-")}
    if signs and not all(name[:1] in signs for name in value):
        raise CallError(
            f"contracts= mixes names and changes to the usual ones ({sorted(value)}): write all of them with a sign, "
            "such as '-linear', or none"
        )
    unknown = {name.lstrip("+-") if signs else name for name in value} - set(known)
    if unknown:
        raise CallError(
            f"contracts= names {sorted(unknown)}, and there is no such contract: choose among {', '.join(known)}"
        )
    if not signs:
        return set(value)
    added, left_out = ({name[1:] for name in value if name[0] == sign} for sign in "+-")
    return (set(known) - set(on_request) | added) - left_out


def plain(array: Any, path: str, what: str) -> Array:
    """An array of numbers of NumPy's own type.

    A subclass has other operations: f and the rule, which are run on plain arrays, would be other functions of it.
    `what` names the call that the array is a part of.
    """
    if isinstance(array, np.ndarray) and type(array) not in (np.ndarray, np.memmap):
        mask = " without its mask" if isinstance(array, np.ma.MaskedArray) else ""
        kind = f"{type(array).__module__.partition('.')[0]}.{type(array).__name__}"
        raise CallError(
            f"{path} is a {kind}, and {what} plain arrays{mask}: write np.asarray(x) in its place"
        )
    return np.asarray(array)


def rule_fits(
    rule: Callable[..., Any], f: Callable[..., Any], inputs: tuple[Any, ...], params: Mapping[str, Any]
) -> None:
    """Raises `CallError` where the rule does not take its arguments; not checked where only a call can show it."""
    usual = isinstance(rule, FunctionType) and not (
        params or rule.__dict__ or rule.__code__.co_kwonlyargcount
    )
    if usual and rule.__code__.co_argcount == 2 + len(inputs):
        return
    try:
        signature = inspect.signature(rule)
    except (TypeError, ValueError):
        return
    try:
        signature.bind(None, None, *inputs, **params)
    except TypeError as error:
        count = len(inputs)
        _inputs_fit(f, inputs, params)
        names = [name for name, p in signature.parameters.items() if p.kind is not p.VAR_KEYWORD]
        keywords = "".join([f", {name}={value!r}" for name, value in params.items()])
        raise CallError(
            f"the rule {name_of(rule)} takes ({', '.join(names)}), and it is called as rule(gy, y, *inputs) with the "
            f"cotangent gy of the output, the output y and the {count} input{'s' * (count != 1)} of f"
            f"{f' and the parameters {keywords[2:]}' if params else ''} ({error}): define it as "
            f"rule({', '.join(['gy', 'y', *_input_names(count)])}{keywords})"
        ) from error


def _inputs_fit(f: Callable[..., Any], inputs: tuple[Any, ...], params: Mapping[str, Any]) -> None:
    """Raises `CallError` where it is f that does not take the inputs."""
    try:
        signature = inspect.signature(f)
    except (TypeError, ValueError):
        return
    try:
        signature.bind(*inputs, **params)
    except TypeError as error:
        count = len(inputs)
        raise CallError(
            f"{name_of(f)} takes {signature}, and {count} input{'s' * (count != 1)} came{' with params' if params else ''} ({error}): "
            "pass a tuple with one input for each of its arguments, and static ones by name in params="
        ) from error


def _input_names(count: int) -> list[str]:
    return ["x"] if count == 1 else [f"x{i}" for i in range(count)] if count <= 4 else ["*inputs"]


def cotangents_of(gy: Any, name: str, outputs: tuple[Array, ...]) -> tuple[Array, ...] | None:
    """The caller's cotangents, one per floating output."""
    if gy is None:
        return None
    given = tuple([plain(g, "gy", "the rule gets") for g in (gy if isinstance(gy, tuple | list) else (gy,))])
    shapes, expected = [g.shape for g in given], [y.shape for y in outputs]
    if shapes != expected or any(g.dtype != y.dtype for g, y in zip(given, outputs, strict=True)):
        raise CallError(
            f"gy= is {', '.join(map(described, given))}, and {name} returned {', '.join(map(described, outputs))}: pass a "
            "cotangent of the output's shape and dtype"
        )
    for g in given:
        if not np.isfinite(g).all():
            raise CallError(
                f"gy= holds NaN or infinity ({np.count_nonzero(~np.isfinite(g))} of {g.size} entries), and no gradient "
                "can be checked with such a cotangent: pass finite numbers"
            )
    return given


def number(name: str, value: Any, what: str) -> float:
    """A finite number above zero."""
    real = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    if not real or not 0 < float(value) < float("inf"):
        raise CallError(f"{name}={value!r}: pass a finite number above 0, {what}")
    return float(value)
