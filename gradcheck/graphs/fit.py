"""Whether a value that is there already fits what a case describes: its shape's tokens, and its domain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from gradcheck.strategies.shapes import SIZES, Shape, evaluate, names_in
from gradcheck.strategies.values import MARGIN, Domain

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from gradcore.spec import Array, Case

REACH = 2.0
"""New leaves lie between -2 and 2 where the domain has such numbers, so that compositions stay of moderate size."""

LARGEST = 64.0
"""No value of a graph has a larger entry: what would is squashed, or made from new leaves."""

GAP = 1 / 32
"""Entries that must be distinct are at least so far apart."""

INSIDE = 1 / 16
"""Distance kept from a bound, so that a numeric derivative need not leave the domain."""


def bind(tokens: str, shape: Shape, case: Case) -> tuple[dict[str, int], Shape | None] | None:
    """The sizes of letters, and of ``...``, with which the tokens stand for `shape`; None where there are none.

    >>> from gradcore.spec import case, reals
    >>> bind("n 2*c ...", (3, 4, 5), case(reals("n 2*c ...")))
    ({'n': 3, 'c': 2}, (5,))
    """
    names = tokens.split()
    if names == ["~..."]:
        return {}, shape
    if "~..." in names:
        return None
    block: Shape | None = None
    if "..." in names:
        start, end = names.index("..."), len(shape) - (len(names) - names.index("...") - 1)
        if end < start:
            return None
        block, shape = shape[start:end], shape[:start] + shape[end:]
        names.remove("...")
    if len(names) != len(shape):
        return None
    sizes: dict[str, int] = {}
    pairs = [
        (t.removeprefix("~"), n) for t, n in zip(names, shape, strict=True) if not (t[0] == "~" and n == 1)
    ]
    for token, n in sorted(pairs, key=lambda pair: not pair[0].isidentifier()):
        if not _solved(token, n, sizes, case):
            return None
    return sizes, block


def _solved(token: str, n: int, sizes: dict[str, int], case: Case) -> bool:
    """Whether the token is n with the sizes known so far, and one more if need be, which is put among them."""
    unknown = [letter for letter in dict.fromkeys(names_in(token)) if letter not in sizes]
    if not unknown:
        return bool(evaluate(token, sizes) == n)
    if len(unknown) > 1:
        return False
    low, high = case.sizes.get(unknown[0], SIZES)
    for size in range(low, high + 1):
        if evaluate(token, {**sizes, unknown[0]: size}) == n:
            sizes[unknown[0]] = size
            return True
    return False


def fits(tokens: str, shape: Shape, sizes: Mapping[str, int], block: Shape) -> bool:
    """Whether the tokens, all of whose letters are known, may stand for `shape`."""
    forms: list[list[tuple[int, ...]]] = [[]]  # of each axis the sizes that it may have
    for axis in tokens.split():
        if axis == "...":
            forms = [[*form, *[(n,) for n in block]] for form in forms]
        elif axis == "~...":
            forms = [[*form, *[(n, 1) for n in block[k:]]] for form in forms for k in range(len(block) + 1)]
        else:
            n = evaluate(axis.removeprefix("~"), sizes)
            forms = [[*form, (n, 1) if axis[0] == "~" else (n,)] for form in forms]
    return any(
        len(form) == len(shape) and all(n in sizes_ for n, sizes_ in zip(shape, form, strict=True))
        for form in forms
    )


def takes_values(array: Array) -> bool:
    """Whether the result of another op may stand there: not for whole numbers, constants and structured matrices."""
    return array.takes_gradient and not array.structure


def tame(domain: Domain) -> Domain:
    """The part of a domain near zero and off its bounds, from which new leaves are drawn and into which values go."""
    if not takes_values(domain.array):
        return domain
    low, high = domain.low, domain.high
    if low is None and high is None:
        low, high = -REACH, REACH
    elif high is None:
        low, high = low + REACH / 8, low + REACH / 8 + REACH  # type: ignore[operator]
    elif low is None:
        low, high = high - REACH / 8 - REACH, high - REACH / 8
    elif max(low, -REACH) < min(high, REACH):
        low, high = max(low, -REACH), min(high, REACH)
        margin = min(INSIDE, (high - low) / 4)
        low, high = low + margin * (low == domain.low), high - margin * (high == domain.high)
    array = domain.array.replaced(specials=(), scale=(1.0, 1.0))
    return Domain(array, domain.shape, low, high)


def within(domain: Domain, x: NDArray[Any]) -> bool:
    """Whether the values are of moderate size, and inside the domain's bounds by a margin."""
    low = -LARGEST if domain.low is None else domain.low + INSIDE
    high = LARGEST if domain.high is None else domain.high - INSIDE
    return bool(((x >= low) & (x <= high)).all())


def smooth(domain: Domain, x: NDArray[Any]) -> bool:
    """Whether the values are away from the domain's kinks, and from each other where they have to be."""
    for kink in domain.array.kinks:
        if (np.abs(x - kink) < MARGIN * max(abs(kink), 1.0)).any():
            return False
    return not domain.array.distinct or bool((np.diff(np.sort(x, axis=None)) >= GAP).all())
