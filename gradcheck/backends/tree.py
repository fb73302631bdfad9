"""Nested tuples, lists, dicts and registered containers of arrays, taken apart into named leaves and put together again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from gradcheck.backends.registered import LEAVES, children_of, put_together
from gradcheck.errors import CallError


def leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Pairs (name, leaf): `inputs[1]['w']` names what that expression gives.

    >>> list(leaves(({"w": 1}, 2), "inputs"))
    [("inputs[0]['w']", 1), ('inputs[1]', 2)]
    """
    if isinstance(value, LEAVES):
        yield path, value
    elif isinstance(value, (tuple, list)):
        for i, item in enumerate(value):
            yield from leaves(item, f"{path}[{i}]")
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from leaves(item, f"{path}[{key!r}]")
    elif (children := children_of(value)) is not None:
        for name, item in children:
            yield from leaves(item, path + name)
    else:
        yield path, value


def rebuild(template: Any, new: Iterator[Any]) -> Any:
    """A structure like `template` with its leaves replaced, in the order of `leaves`."""
    if isinstance(template, LEAVES):
        return next(new)
    if isinstance(template, (tuple, list)):
        items = [rebuild(item, new) for item in template]
        if isinstance(template, list):
            return items
        return type(template)(*items) if hasattr(template, "_fields") else tuple(items)
    if isinstance(template, dict):
        return {key: rebuild(item, new) for key, item in template.items()}
    if (children := children_of(template)) is not None:
        return put_together(template, [rebuild(item, new) for _, item in children])
    return next(new)


def replaced(flat: Sequence[Any], places: Sequence[int], values: Sequence[Any]) -> list[Any]:
    """A copy of a list of leaves with other values at some places."""
    made = list(flat)
    for place, value in zip(places, values, strict=True):
        made[place] = value
    return made


def aligned(template: Any, value: Any, path: str, what: str) -> Iterator[Any]:
    """The leaves of `value` in the order of those of `template`; a None stands for all leaves below it.

    Raises `CallError` where `value` has another structure; `what` names it in the message.
    """
    if value is None:
        for _ in leaves(template, ""):
            yield None
    elif isinstance(template, tuple | list):
        if not isinstance(value, tuple | list) or len(value) != len(template):
            raise CallError(
                f"{what} for {path} is {described(value)}, and {path} is a {type(template).__name__} of "
                f"{len(template)}: return one cotangent for each of its entries, None for one that gets none"
            )
        for i, item in enumerate(template):
            yield from aligned(item, value[i], f"{path}[{i}]", what)
    elif isinstance(template, dict):
        if not isinstance(value, dict) or not set(value) <= set(template):
            raise CallError(
                f"{what} for {path} is {described(value)}, and {path} is a dict with the keys {sorted(map(str, template))}: "
                "return a dict with a cotangent under each key, None or no entry for one that gets none"
            )
        for key, item in template.items():
            yield from aligned(item, value.get(key), f"{path}[{key!r}]", what)
    elif (children := children_of(template)) is not None:
        found = children_of(value) if type(value) is type(template) else None
        if found is None or len(found) != len(children):
            raise CallError(
                f"{what} for {path} is {described(value)}, and {path} is a {type(template).__name__}: return one of these that "
                "holds cotangents"
            )
        for (name, item), (_, cotangent) in zip(children, found, strict=True):
            yield from aligned(item, cotangent, path + name, what)
    else:
        yield value


def described(value: Any) -> str:
    """A few words on what a value is, for messages.

    >>> described(np.zeros((2, 3), np.float32)), described([1, 2]), described("abc")
    ('a float32 array of shape (2, 3)', 'a list of 2', "the text 'abc'")
    """
    if value is None:
        return "None"
    if isinstance(value, np.ndarray | np.generic):
        return f"{'an' if value.dtype.kind in 'iU' else 'a'} {value.dtype} array of shape {value.shape}"
    if isinstance(value, tuple | list):
        return f"a {type(value).__name__} of {len(value)}"
    if hasattr(value, "dtype") and isinstance(getattr(value, "shape", None), tuple):
        dtype = str(value.dtype).rpartition(".")[2]
        return f"{'an' if dtype[0] in 'iu' else 'a'} {dtype} {type(value).__name__} of shape {tuple(value.shape)}"
    if isinstance(value, dict):
        return f"a dict with the keys {sorted(map(str, value))}"
    if isinstance(value, str):
        return f"the text {value!r:.40}"
    if isinstance(value, bool | int | float):
        return f"the number {value!r}"
    return f"a {type(value).__name__}"


def name_of(function: Callable[..., Any]) -> str:
    """How to call a function in a message: its name, `f` for a lambda."""
    function = getattr(function, "func", function)
    if isinstance(function, np.ufunc):
        return f"np.{function.__name__}"
    name = getattr(function, "__name__", None) or getattr(function, "name", None) or type(function).__name__
    return "f" if name == "<lambda>" else str(name)
