"""From the text of options to functions, shapes, parameters and inputs. Raises `CallError` for what can't be read."""

from __future__ import annotations

import json
import sys
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from gradcheck.backends.core import as_tensors
from gradcheck.errors import CallError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable


def named(text: str) -> Any:
    """What `module:name` or `FILE.py:name` names, with the current folder among the places to look."""
    place, colon, name = text.rpartition(":")
    if not (place and colon and name):
        raise CallError(f"{text!r} names no function: write module:name, such as numpy:sin, or FILE.py:name")
    found: Any = _module(place, text)
    before, parts = f"{place}:", name.split(".")
    for part in parts:
        try:
            found = getattr(found, part)
        except AttributeError as error:
            close = meant(part, _names(found, modules=part != parts[-1]), before)
            raise CallError(f"{text!r} can't be loaded: {error}{close}") from error
        before += f"{part}."
    return found


def _module(place: str, text: str) -> ModuleType:
    """The module of this name, or of this file. text: the option, for the message."""
    if place.endswith(".py"):
        from gradcheck.campaigns.target import loaded

        return loaded("", str(Path(place).resolve()))
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        return import_module(place)
    except ImportError as error:
        raise CallError(f"{text!r} can't be loaded: {error}") from error
    except Exception as error:  # anything that a user's module raises when it is run
        raise CallError(f"{text!r} can't be loaded: {type(error).__name__}: {error}") from error


def _names(owner: Any, *, modules: bool) -> list[str]:
    """The attributes that may have been meant. modules: whether imported modules are among them."""
    values = getattr(owner, "__dict__", {})
    return [n for n in dir(owner) if modules or not isinstance(values.get(n), ModuleType)]


def meant(name: str, known: Iterable[str], before: str = "") -> str:
    """The name that may have been meant, as a question that continues a sentence; "" where none is close. before: to be written first."""
    close = get_close_matches(name, list(known), n=1)
    return f": did you mean {before}{close[0]}?" if close else ""


def shape_of(text: str) -> tuple[int, ...]:
    """A shape, from sizes with commas between them."""
    try:
        shape = tuple([int(n) for n in text.split(",") if n.strip()])
    except ValueError:
        shape = (-1,)
    if any(n < 0 for n in shape):
        raise CallError(f"{text!r} is no shape: write sizes from 0 up with commas between them, such as 4,3")
    return shape


def params_of(text: str | None) -> dict[str, Any] | None:
    """Static parameters; lists become tuples, which is what NumPy takes for several axes."""

    def plain(value: Any) -> Any:
        return tuple([plain(v) for v in value]) if isinstance(value, list) else value

    if text is None:
        return None
    try:
        found = json.loads(text)
    except json.JSONDecodeError as error:
        raise CallError(
            f"--params {text!r} is no JSON ({error}): write an object such as '{{\"axis\": 0}}'"
        ) from error
    if not isinstance(found, dict):
        raise CallError(f"--params {text!r} has no names: write an object such as '{{\"axis\": 0}}'")
    return {name: plain(value) for name, value in found.items()}


def wrt_of(names: list[str] | None) -> list[int | str] | None:
    """Inputs to differentiate by: positions as numbers, other names as they are."""
    return None if names is None else [int(n) if n.lstrip("-").isdigit() else n for n in names]


def inputs_of(options: argparse.Namespace) -> Any:
    """The inputs that the options name or draw, as Tensors on request; None where they give none."""
    if options.inputs is not None:
        inputs = named(options.inputs)
        if callable(inputs):
            try:
                inputs = inputs()
            except Exception as error:  # anything that a user's function raises
                raise CallError(f"{options.inputs} raised {type(error).__name__}: {error}") from error
    elif options.shapes is not None:
        rng = np.random.default_rng(options.seed)
        inputs = tuple([rng.standard_normal(shape_of(s)).astype(options.dtype) for s in options.shapes])
    else:
        inputs = None
    return as_tensors(inputs) if options.tensors else inputs
