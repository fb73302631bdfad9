"""Sizes that layers are made with."""

from __future__ import annotations

import operator
from typing import Any

from gradcore.errors import DomainError


def size(owner: str, name: str, value: Any) -> int:
    """`value` as a whole number of at least 1, else DomainError: a size of `owner` called `name`."""
    try:
        found = operator.index(value)
    except TypeError:
        found = 0
    if found < 1 or isinstance(value, bool):
        raise DomainError(f"{owner} got {name}={value!r:.60}: expected a whole number of at least 1")
    return found
