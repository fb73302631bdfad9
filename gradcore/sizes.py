"""Whole numbers as users give them: sizes, counts, seeds."""

from __future__ import annotations

import operator
from typing import Any

from gradcore.errors import DomainError


def whole(value: Any, least: int) -> int | None:
    """`value` as a whole number of at least `least`; None where it is none. A boolean is none."""
    try:
        found = operator.index(value)
    except TypeError:
        return None
    return None if found < least or isinstance(value, bool) else found


def size(owner: str, name: str, value: Any) -> int:
    """`value` as a whole number of at least 1, else DomainError: a size of `owner` called `name`."""
    found = whole(value, 1)
    if found is None:
        raise DomainError(f"{owner} got {name}={value!r:.60}: expected a whole number of at least 1")
    return found
