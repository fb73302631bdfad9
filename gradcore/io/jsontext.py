"""JSON from files that may be damaged or hostile: strict, and bounded in size, depth and numbers."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any, NoReturn

__all__ = ["parse_json", "read_json"]

_MOST_DIGITS = 40  # the state of a random generator has whole numbers below 2**128


def parse_json(text: bytes | str) -> Any:
    """The value of a JSON text.

    Raises ValueError for what JSON does not define or readers take differently: a name twice in one object, NaN and
    infinities, numbers of more than 40 digits or beyond float64, half a surrogate pair; and for nesting that is too deep.
    """
    decoded = text.decode("utf-8") if isinstance(text, bytes) else text
    try:
        value = json.loads(
            decoded,
            object_pairs_hook=_unique,
            parse_int=_whole_number,
            parse_float=_finite,
            parse_constant=_refuse_constant,
        )
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if "\\ud" in decoded or "\\uD" in decoded:
        json.dumps(value, ensure_ascii=False).encode("utf-8")  # a UnicodeEncodeError is a ValueError
    return value


def read_json(path: str | os.PathLike[str], limit: int) -> Any:
    """The value in a JSON file of at most `limit` bytes.

    Raises ValueError where there is no such file or it is not JSON (see `parse_json`); the message says which.
    """
    path = Path(path)
    try:
        if not path.is_file():
            raise ValueError("there is nothing" if not path.exists() else "it is no regular file")
        with path.open("rb") as file:
            text = file.read(limit + 1)
    except OSError as error:
        raise ValueError(f"it can't be read: {error.strerror or error}") from error
    if len(text) > limit:
        raise ValueError(f"it has more than {limit} bytes")
    return parse_json(text)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the name {twice[:80]!r} comes twice in one object")
    return found


def _whole_number(text: str) -> int:
    if len(text) > _MOST_DIGITS:
        raise ValueError(f"a number of {len(text)} digits: at most {_MOST_DIGITS} are taken")
    return int(text)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"the number {text[:40]} is beyond what float64 holds")
    return number


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a number of JSON's")
