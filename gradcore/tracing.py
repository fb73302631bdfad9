"""Where ops were called from, and `anomaly`, which names the op that first makes NaN or infinity."""

from __future__ import annotations

import linecache
import sys
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np

from gradcore.errors import NonFiniteError
from gradcore.modes import Trace

if TYPE_CHECKING:
    from collections.abc import Collection
    from types import FrameType

LIBRARIES = frozenset({"gradcore", "gradcheck", "numpy", "contextlib", "functools"})
"""Root modules whose frames are not the user's."""

EXAMPLES = "<doctest"
"""The code of an example in a docstring is its reader's, whatever module it stands in."""


class Source(NamedTuple):
    """A line of a user's source."""

    file: str
    line: int
    function: str

    @property
    def text(self) -> str:
        """The code of the line, "" where the file can't be read."""
        return linecache.getline(self.file, self.line).strip()

    @property
    def short(self) -> str:
        """The name of the file without its folders, the number of the line, and its code."""
        name = self.file.replace("\\", "/").rpartition("/")[2]
        return f"{name}:{self.line}{f': {self.text}' if self.text else ''}"

    def __str__(self) -> str:
        code = f": {self.text}" if self.text else ""
        return f'File "{self.file}", line {self.line}, in {self.function}{code}'


def calling(libraries: Collection[str] = LIBRARIES) -> Source | None:
    """The innermost line being run whose module is none of these libraries; None where there is none."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        code = frame.f_code
        root = str(frame.f_globals.get("__name__", "")).partition(".")[0]
        if root not in libraries or code.co_filename.startswith(EXAMPLES):
            return Source(code.co_filename, frame.f_lineno, code.co_name)
        frame = frame.f_back
    return None


def source_of(node: Any) -> Source | None:
    """The line that called the op of this node, where a `Sources` or `anomaly` was on; None elsewhere."""
    found: Source | None = getattr(node._order, "source", None)
    return found


class _Placed(int):
    """The creation number of a node, with the line that called its op: a slot for the line would cost every node memory."""

    source: Source | None


class Sources(Trace):
    """Context manager: every recorded node knows the line of the user's source that called its op."""

    def recorded(self, node: Any) -> None:
        """Keep the line."""
        node._order = _Placed(node._order)
        node._order.source = calling()


class anomaly(Sources):  # noqa: N801
    """Context manager: the first op that makes NaN or infinity of finite values raises, forward or backward.

    It sees every op on a tensor that requires a gradient, and every rule of a backward pass inside it. `NonFiniteError` names
    the op, the line that called it (of a rule too, where the op was called inside), and the values that did it. An infinity
    that is an input, as in a mask of -inf, may pass through; NaN may not. Each array is looked through once: outside of it
    nothing is.

    >>> x = gradcore.tensor([4.0, 0.0], requires_grad=True)
    >>> with gradcore.anomaly():
    ...     x.sqrt().sum().backward()  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    gradcore.errors.NonFiniteError: the rule of sqrt made inf at [1] of its cotangent: ...
    """

    def __init__(self) -> None:
        super().__init__()
        self._warnings: list[np.errstate] = []

    def __enter__(self) -> Self:
        self._warnings.append(np.errstate(all="ignore"))  # the error says more than NumPy's warning
        self._warnings[-1].__enter__()
        return super().__enter__()

    def __exit__(self, *raised: object) -> None:
        super().__exit__(*raised)
        self._warnings.pop().__exit__(None, None, None)

    def recorded(self, node: Any) -> None:
        """Look through what the op made."""
        super().recorded(node)
        at = first_made(node.data, node._arrays)
        if at is not None:
            raise NonFiniteError(
                f"{node._op.name} made {node.data[at]} at {list(at)} of its result: "
                f"{_given(node._arrays, node.data.shape, at)}{_where(node)}. {_advice(node._arrays)}"
            )

    def pulled(self, node: Any, gy: Any, index: int, gx: Any) -> None:
        """Look through what the rule made."""
        cotangent, found = getattr(gy, "data", gy), getattr(gx, "data", gx)
        if not isinstance(found, np.ndarray):  # a Tensor's data; an array's own is a buffer
            cotangent, found = np.asarray(gy), np.asarray(gx)
        at = first_made(found, (cotangent,))
        if at is not None:
            raise NonFiniteError(
                f"the rule of {node._op.name} made {found[at]} at {list(at)} of its cotangent: "
                f"{_given(node._arrays, found.shape, at, index)}, {_value('gy', cotangent, found.shape, at)}{_where(node)}. "
                "The derivative is not finite there: keep the input away from that value, or give the op a rule that is finite"
            )


def first_made(y: Any, given: Any) -> tuple[int, ...] | None:
    """Index of the first NaN of `y`, or infinity where all that was given is finite; None where there is none."""
    if y.dtype.kind not in "fc" or np.isfinite(y).all():
        return None
    wrong = ~np.isfinite(y)
    if any(x is not None and x.dtype.kind in "fc" and not np.isfinite(x).all() for x in given):
        wrong = np.isnan(y)
        if not wrong.any():
            return None
    return tuple(int(i) for i in np.unravel_index(np.argmax(wrong), y.shape))


def _given(arrays: Any, shape: tuple[int, ...], at: tuple[int, ...], first: int = 0) -> str:
    """The values of a node's arrays at an index, that of `first` first."""
    order = sorted(range(len(arrays)), key=lambda i: i != first)
    return ", ".join([_value(f"input {i}", arrays[i], shape, at) for i in order if arrays[i] is not None])


def _value(name: str, x: Any, shape: tuple[int, ...], at: tuple[int, ...]) -> str:
    """The value of an array that belongs to an index of another shape; its range where none does."""
    kind = f"{x.dtype} {x.shape}"
    if x.shape == shape or (x.ndim <= len(shape) and _spreads(x.shape, shape)):
        return f"{name} is {np.broadcast_to(x, shape)[at]} there ({kind})"
    if not x.size:
        return f"{name} is empty ({kind})"
    if x.dtype.kind == "f" and np.isnan(x).any():
        return f"{name} has NaN ({kind})"
    return f"{name} is from {x.min()} to {x.max()} ({kind})" if x.dtype.kind in "fiu" else f"{name} is {kind}"


def _spreads(small: tuple[int, ...], large: tuple[int, ...]) -> bool:
    return all(n in (1, m) for n, m in zip(small[::-1], large[::-1], strict=False))


def _where(node: Any) -> str:
    source = source_of(node)
    return "" if source is None else f". {source}"


def _advice(arrays: Any) -> str:
    floats = [x for x in arrays if x is not None and x.dtype.kind in "fc"]
    if all(np.isfinite(x).all() for x in floats):
        return "All that it was given is finite: keep its input within its domain and range"
    return "What it was given is not finite already, and no recorded op made that: look at the leaves and constants"
