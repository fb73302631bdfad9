"""A step as a flat list of calls: values, calls, and what they may share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray


class NotCapturable(Exception):  # noqa: N818 (it is the reason of a fallback, and reaches nobody)
    """A step does what a replay can't repeat; the message says what, and what to do."""


class Value:
    """What a replay computes at one place: an array, or what a callback gave.

    example: what it was when it was recorded. fresh: whether it is an array that its call allocated, and nothing else holds.
    """

    __slots__ = ("bases", "example", "fresh", "kept")

    def __init__(self, example: Any, fresh: bool = False, bases: tuple[Value, ...] = ()) -> None:
        self.example = example
        self.fresh = fresh
        self.bases = bases  # whose memory it may be a view of
        self.kept = False  # whether somebody holds it after the step: no buffer then

    def roots(self) -> Iterator[Value]:
        """The values whose memory this one may be in."""
        if not self.bases:
            yield self
        for base in self.bases:
            yield from base.roots()

    def keep(self) -> None:
        """State that somebody holds it after the step."""
        for root in self.roots():
            root.kept = True


class Call:
    """A call of a replay: `out = function(*args, **kwargs)`.

    args may hold Values, also inside tuples, lists, dicts and slices. into: whether the function is a ufunc or matmul whose
    result may be written into a buffer. effect: whether it changes something outside, so that a replay can't be given up
    after it. weak: whether it is left out where nothing needs its result. pure: whether it gives the same for the same
    arguments, and changes nothing.
    """

    __slots__ = ("args", "effect", "function", "into", "kwargs", "name", "out", "pure", "weak")

    def __init__(
        self,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any] | None = None,
        out: Value | None = None,
        *,
        into: bool = False,
        effect: bool = False,
        weak: bool = False,
        pure: bool = False,
        name: str = "",
    ) -> None:
        self.function = function
        self.args = args
        self.kwargs = kwargs or {}
        self.out = out
        self.into = into
        self.effect = effect
        self.weak = weak
        self.pure = pure
        self.name = name or getattr(function, "__name__", type(function).__name__)

    def values(self) -> Iterator[Value]:
        """The Values among its arguments."""
        yield from values_in((self.args, self.kwargs))


def values_in(tree: Any) -> Iterator[Value]:
    """The Values in nested containers."""
    if type(tree) is Value:
        yield tree
    elif isinstance(tree, tuple | list):
        for part in tree:
            yield from values_in(part)
    elif isinstance(tree, dict):
        for part in tree.values():
            yield from values_in(part)
    elif isinstance(tree, slice):
        yield from values_in((tree.start, tree.stop, tree.step))


def mapped(tree: Any, change: Callable[[Any], Any]) -> Any:
    """The same containers with `change(leaf)` in place of each leaf."""
    if type(tree) is tuple:
        return tuple([mapped(part, change) for part in tree])
    if type(tree) is list:
        return [mapped(part, change) for part in tree]
    if type(tree) is dict:
        return {key: mapped(part, change) for key, part in tree.items()}
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        return type(tree)(*[mapped(part, change) for part in tree])
    if isinstance(tree, slice):
        return slice(*[mapped(part, change) for part in (tree.start, tree.stop, tree.step)])
    return change(tree)


def arrays_in(tree: Any) -> list[Any]:
    """The arrays, and numbers of NumPy's, in nested containers."""
    found: list[Any] = []
    mapped(tree, lambda leaf: found.append(leaf) if isinstance(leaf, np.ndarray | np.generic) else None)
    return found


def same_bits(x: Any, y: Any) -> bool:
    """Whether two arrays or numbers have the same shape, dtype and bits; any NaN is like any other.

    A NaN's sign depends on where in memory its operands are, so that it is not the same in two eager runs either.
    """
    if type(x) is tuple and type(y) is tuple:
        return len(x) == len(y) and all(map(same_bits, x, y))
    if not isinstance(x, np.ndarray | np.generic):
        return type(x) is type(y) and (x is y or bool(x == y))
    if not isinstance(y, np.ndarray | np.generic) or x.shape != y.shape or x.dtype != y.dtype:
        return False
    if np.ascontiguousarray(x).tobytes() == np.ascontiguousarray(y).tobytes():
        return True
    if x.dtype.kind not in "fc":
        return False
    x, y = (np.where(np.isnan(a), np.asarray(np.nan, a.dtype), a) for a in (x, y))
    return np.ascontiguousarray(x).tobytes() == np.ascontiguousarray(y).tobytes()


def layout(x: NDArray[Any]) -> tuple[Any, ...]:
    """What a replay takes for given of an array that it is handed."""
    return x.dtype, x.shape, x.strides


class Changed(Exception):  # noqa: N818 (no error: the step runs eagerly)
    """A guard of a replay does not hold."""
