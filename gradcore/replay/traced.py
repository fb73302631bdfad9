"""Traced: stands for an array while a forward function or a rule runs, and writes down each call of NumPy.

It is no array, so that nothing can look at its entries without it: what does (a branch on a value, `np.asarray`, assignment
by index) raises `Leak`, and the function is then called as a whole in a replay. So what else a function uses depends on
shapes and dtypes alone.
"""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from gradcore.replay.program import Call, Value, mapped

if TYPE_CHECKING:
    from collections.abc import Callable

_MOVES = frozenset({"reshape", "transpose", "swapaxes", "squeeze", "ravel", "view", "astype", "diagonal"})
_METHODS = _MOVES | {
    "all", "any", "argmax", "argmin", "argsort", "clip", "copy", "cumprod", "cumsum", "dot", "flatten", "max", "mean", "min",
    "prod", "repeat", "round", "std", "sum", "take", "trace", "var",
}  # fmt: skip
_OF_SHAPE = {np.shape, np.ndim, np.size, np.result_type}
# Operators that NumPy's arrays hand to one ufunc, whatever the operands: a power by a number, say, is not among them.
_UFUNCS: dict[Any, np.ufunc] = {
    operator.add: np.add, operator.sub: np.subtract, operator.mul: np.multiply, operator.truediv: np.divide,
    operator.neg: np.negative, operator.gt: np.greater, operator.ge: np.greater_equal, operator.lt: np.less,
    operator.le: np.less_equal, operator.eq: np.equal, operator.ne: np.not_equal, operator.and_: np.bitwise_and,
    operator.or_: np.bitwise_or, operator.xor: np.bitwise_xor, operator.invert: np.invert, operator.matmul: np.matmul,
    operator.iadd: np.add, operator.isub: np.subtract, operator.imul: np.multiply, operator.itruediv: np.divide,
}  # fmt: skip
_TRANSPOSED = operator.attrgetter("T")
_WEAK = frozenset({
    np.add, np.subtract, np.multiply, np.divide, np.maximum, np.minimum, np.greater, np.greater_equal, np.less, np.less_equal,
    np.equal, np.not_equal,
})  # fmt: skip


class Leak(Exception):  # noqa: N818 (a way out, which no caller sees)
    """A function looks at the entries of a Traced, or does what can't be written down."""


class Tape:
    """The calls that a function has made so far."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.errors = np.geterr()

    def call(self, function: Callable[..., Any], args: Any, kwargs: dict[str, Any] | None = None) -> Any:
        """Call a function on what the Traced among its arguments stand for; a Traced of the result."""
        kwargs = kwargs or {}
        if np.geterr() != self.errors:
            raise Leak  # a replay would give the warnings that the function suppresses
        function, args = _exactly(function, args, kwargs)
        ufunc = isinstance(function, np.ufunc)
        written = None
        if "out" in kwargs and kwargs["out"] is not None:
            (written,) = kwargs["out"] if type(kwargs["out"]) is tuple else (kwargs["out"],)
            if type(written) is not Traced or not written.slot.fresh:
                raise Leak  # into what was not made here
        result = function(*mapped(args, _real), **mapped(kwargs, _real))
        inner, named = mapped(args, _slot), mapped(kwargs, _slot)
        if written is not None:
            self.calls.append(Call(function, inner, named, None))
            return written
        if not isinstance(result, np.ndarray | np.generic):
            raise Leak
        array = isinstance(result, np.ndarray)
        fresh = ufunc or function in (np.add.reduce, np.maximum.reduce, np.ndarray.copy)
        bases = () if fresh else tuple([v.slot for v in _traced(args, kwargs)])
        slot = Value(result, fresh and array, bases)
        into = isinstance(function, np.ufunc) and array and not kwargs and function.nout == 1
        self.calls.append(Call(function, inner, named, slot, into=into, pure=True))
        return Traced(result, slot, self)


def _exactly(function: Any, args: Any, kwargs: Any) -> tuple[Any, Any]:
    """The ufunc in place of an operator, and 0-d arrays in place of numbers, where both give the same sooner."""
    ufunc = _UFUNCS.get(function)
    if ufunc is not None and any(isinstance(_real(a), np.ndarray) for a in args):
        function = ufunc
    if function in _WEAK and len(args) == 2 and not kwargs:
        for i in (0, 1):
            number, x = args[i], _real(args[1 - i])
            if type(number) in (int, float) and isinstance(x, np.ndarray) and x.dtype.kind == "f":
                with np.errstate(all="ignore"):
                    array = np.array(number, x.dtype)
                if np.isfinite(array):
                    args = (args[0], array) if i else (array, args[1])
    return function, args


def _real(value: Any) -> Any:
    return value.real_value if type(value) is Traced else value


def _slot(value: Any) -> Any:
    return value.slot if type(value) is Traced else value


def _traced(*trees: Any) -> list[Traced]:
    found: list[Traced] = []
    for tree in trees:
        mapped(tree, lambda leaf: found.append(leaf) if type(leaf) is Traced else None)
    return found


class Traced:
    """Stands for an array or a number of NumPy."""

    __slots__ = ("real_value", "slot", "tape")

    def __init__(self, value: Any, slot: Value, tape: Tape) -> None:
        self.real_value = value
        self.slot = slot
        self.tape = tape

    @property
    def shape(self) -> Any:
        """Of what it stands for."""
        return self.real_value.shape

    @property
    def dtype(self) -> Any:
        """Of what it stands for."""
        return self.real_value.dtype

    @property
    def ndim(self) -> Any:
        """Of what it stands for."""
        return self.real_value.ndim

    @property
    def size(self) -> Any:
        """Of what it stands for."""
        return self.real_value.size

    @property
    def T(self) -> Any:
        """The transpose."""
        return self.tape.call(_TRANSPOSED, (self,))

    def __len__(self) -> int:
        return len(self.real_value)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        return self.tape.call(ufunc if method == "__call__" else getattr(ufunc, method), inputs, kwargs)

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if func in _OF_SHAPE:
            return func(*mapped(args, _real), **mapped(kwargs, _real))
        return self.tape.call(func, args, kwargs)

    def __getattr__(self, name: str) -> Any:
        if name not in _METHODS:
            raise Leak
        method = getattr(
            np.ndarray if isinstance(self.real_value, np.ndarray) else type(self.real_value), name
        )

        def call(*args: Any, **kwargs: Any) -> Any:
            return self.tape.call(method, (self, *args), kwargs)

        return call

    def __getitem__(self, index: Any) -> Any:
        return self.tape.call(operator.getitem, (self, index))


def _leak(self: Traced, *_: Any) -> NoReturn:
    raise Leak


def _attach() -> None:
    for name in ("add", "sub", "mul", "truediv", "pow", "matmul", "mod", "floordiv", "and", "or", "xor"):
        function = getattr(operator, {"and": "and_", "or": "or_"}.get(name, name))
        setattr(Traced, f"__{name}__", lambda s, o, f=function: s.tape.call(f, (s, o)))
        setattr(Traced, f"__r{name}__", lambda s, o, f=function: s.tape.call(f, (o, s)))
    for name in ("gt", "ge", "lt", "le", "eq", "ne"):
        function = getattr(operator, name)
        setattr(Traced, f"__{name}__", lambda s, o, f=function: s.tape.call(f, (s, o)))
    for name in ("neg", "pos", "abs", "invert"):
        function = getattr(operator, name)
        setattr(Traced, f"__{name}__", lambda s, f=function: s.tape.call(f, (s,)))
    for name in ("iadd", "isub", "imul", "itruediv"):
        ufunc = _UFUNCS[getattr(operator, name)]
        plain = getattr(operator, name[1:])
        setattr(Traced, f"__{name}__", lambda s, o, u=ufunc, p=plain: _in_place(s, o, u, p))
    for name in ("bool", "float", "int", "index", "iter", "array", "setitem", "contains", "complex", "round"):
        setattr(Traced, f"__{name}__", _leak)
    Traced.__hash__ = object.__hash__  # type: ignore[method-assign]


def _in_place(x: Traced, other: Any, ufunc: np.ufunc, plain: Any) -> Any:
    if not isinstance(x.real_value, np.ndarray):
        return x.tape.call(plain, (x, other))
    return x.tape.call(ufunc, (x, other), {"out": (x,)})


_attach()
