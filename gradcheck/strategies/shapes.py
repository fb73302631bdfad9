"""Sizes of letters, and shapes from tokens such as "~n h-k+1 ..."."""

from __future__ import annotations

import ast
import operator
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from gradcore.errors import SpecError
from gradcore.spec import Integers, Size

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gradcheck.strategies.choice import Chooser
    from gradcore.spec import Bound, Case

Shape = tuple[int, ...]

SIZES = (0, 6)
"""Bounds of a letter's size where the case gives none."""

_OPERATORS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
}


class Unfit(Exception):  # noqa: N818 - it is caught here and never reaches a user
    """What was drawn so far allows no continuation: draw again."""


@lru_cache(maxsize=1024)
def _parsed(expression: str) -> ast.expr:
    try:
        return ast.parse(expression, mode="eval").body
    except SyntaxError:
        raise SpecError(
            f"{expression!r} is no arithmetic on letters: write letters, whole numbers, + - * // and parentheses, "
            "without spaces"
        ) from None


def evaluate(expression: Bound, sizes: Mapping[str, int]) -> Any:
    """The value of a bound or of a shape's token, given the letters' sizes; None stays None.

    Raises SpecError for anything but letters, whole numbers, ``+ - * //`` and parentheses.

    >>> evaluate("(h-k)//2+1", {"h": 7, "k": 3})
    3
    """
    if not isinstance(expression, str):
        return expression

    def value(node: ast.expr) -> int:
        if isinstance(node, ast.Constant) and isinstance(node.value, int):
            return node.value
        if isinstance(node, ast.Name) and node.id in sizes:
            return sizes[node.id]
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            return -value(node.operand)
        if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
            return int(_OPERATORS[type(node.op)](value(node.left), value(node.right)))
        raise SpecError(
            f"{ast.unparse(node)!r} in {expression!r} can't be evaluated: a spec's arithmetic has letters (here "
            f"{sorted(sizes)}), whole numbers, + - * // and parentheses"
        )

    return value(_parsed(expression))


def names_in(expression: Bound) -> list[str]:
    """The letters of a bound or of a shape's token, in order of appearance."""
    if not isinstance(expression, str):
        return []
    return [node.id for node in ast.walk(_parsed(expression)) if isinstance(node, ast.Name)]


def letters_of(case: Case) -> list[str]:
    """Every letter that a case mentions, in order of appearance."""
    found: list[str] = []
    for array in case.arrays:
        for token in array.shape.split():
            if token not in ("...", "~..."):
                found += names_in(token.removeprefix("~"))
        found += names_in(array.low) + names_in(array.high)
    for param in case.params.values():
        if isinstance(param, Size):
            found.append(param.letter)
        elif isinstance(param, Integers):
            found += names_in(param.low) + names_in(param.high)
    return list(dict.fromkeys([*found, *case.sizes]))


def draw_sizes(choose: Chooser, case: Case) -> tuple[dict[str, int], Shape]:
    """A size for each letter, and the shape of ``...``.

    In one example of eight one axis is empty, or all are: where every letter could be 0, most arrays would be empty.
    """
    letters = letters_of(case)
    bounds = {letter: case.sizes.get(letter, SIZES) for letter in letters}
    for letter, (low, high) in bounds.items():
        if low > high:
            raise SpecError(f"the sizes of letter {letter!r} go from {low} to {high}: give (low, high)")
    has_block = any("..." in array.shape for array in case.arrays)
    may_be_empty = [letter for letter, (low, _) in bounds.items() if low <= 0] + ["..."] * has_block
    empty = choose.pick([False] * 7 + [True]) and len(may_be_empty) > 0
    chosen = choose.pick([*[[name] for name in may_be_empty], may_be_empty]) if empty else []
    sizes = {
        letter: 0 if letter in chosen else choose.between(min(max(low, 1), high), high)
        for letter, (low, high) in bounds.items()
    }
    block: Shape = ()
    if has_block:
        axes = [choose.between(1, 4) for _ in range(choose.between("..." in chosen, 3))]
        if "..." in chosen:
            axes[choose.between(0, len(axes) - 1)] = 0
        block = tuple(axes)
    return sizes, block


def draw_shape(choose: Chooser, shape: str, sizes: Mapping[str, int], block: Shape) -> Shape:
    """The shape that the tokens stand for; raises Unfit where arithmetic gives a negative size."""
    found: list[int] = []
    for axis in shape.split():
        if axis == "...":
            found += block
        elif axis == "~...":
            kept = [choose.pick((n, 1)) for n in block]
            found += kept[choose.between(0, len(block)) :]
        elif axis.startswith("~"):
            found.append(choose.pick((evaluate(axis[1:], sizes), 1)))
        else:
            found.append(evaluate(axis, sizes))
    if any(n < 0 for n in found):
        raise Unfit
    return tuple(found)
