"""Tensor: an array that records the ops applied to it, and NumPy's dispatch to the ops."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias

import numpy as np

from gradcore import names
from gradcore.attached import Attached
from gradcore.convert import as_array, of_values, plain
from gradcore.errors import DtypeError, GraphError, ShapeError
from gradcore.graph import backward_pass, next_order
from gradcore.modes import clear, seeded, tracing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import ArrayLike, DTypeLike, NDArray

    Operand: TypeAlias = "Tensor | ArrayLike"

# Which op stands for a NumPy function called on a Tensor; the ops' modules fill these in.
UFUNCS: dict[Any, Callable[..., Any]] = {}
FUNCTIONS: dict[Any, Callable[..., Any]] = {}

# NumPy functions of the values alone, whose derivative is zero or none: they see plain arrays and give plain results.
_VALUE_ONLY = {
    np.shape, np.ndim, np.size, np.zeros_like, np.ones_like, np.empty_like, np.full_like, np.argmax, np.argmin, np.argsort,
    np.array_equal, np.allclose, np.isclose, np.all, np.any, np.count_nonzero, np.nonzero, np.result_type, np.array_repr,
    np.array_str, np.array2string, np.may_share_memory, np.shares_memory, np.iscomplexobj, np.searchsorted, np.unique,
    np.bincount, np.isin, np.round, np.around, np.fix, np.digitize, np.argpartition, np.flatnonzero, np.argwhere,
}  # fmt: skip
_VALUE_ONLY_UFUNCS = {
    np.greater, np.greater_equal, np.less, np.less_equal, np.equal, np.not_equal, np.isfinite, np.isnan, np.isinf,
    np.signbit, np.sign, np.floor, np.ceil, np.rint, np.trunc, np.logical_and, np.logical_or, np.logical_not,
    np.logical_xor, np.bitwise_and, np.bitwise_or, np.bitwise_xor, np.invert, np.floor_divide,
}  # fmt: skip

# Those that Python's operators stand for give Tensors, whichever side the Tensor is on.
_OPERATORS = {
    np.greater, np.greater_equal, np.less, np.less_equal, np.equal, np.not_equal, np.bitwise_and, np.bitwise_or,
    np.bitwise_xor, np.invert,
}  # fmt: skip


class Tensor(Attached):
    """An array with a gradient: `data`, `grad`, and a record of how it was computed.

    array: what to hold. A NumPy array is shared, not copied, and keeps its dtype. Python's numbers and lists of them become
    float32, those of whole numbers int64, booleans stay booleans.
    requires_grad: whether `backward` adds to `grad`; floating dtypes only, else `DtypeError`.

    Dtypes mix as NumPy's do: the wider one wins (float32 with float64, or with int64, is float64), Python's numbers are
    weak, and a gradient comes back in the dtype of its own tensor.

    Optimizers and `load_state_dict` leave alone an array that something else holds, and put a new one into `data`: what a
    graph recorded keeps its values. So does `x -= lr * x.grad` under `no_grad`. Writing into an array yourself, as in
    `x.data[0] = 5`, can't be detected: do so before the forward pass, or after `backward`, not between them. `x.data = new`
    is safe in between, where x is a leaf.

    >>> x = Tensor([1.0, 2.0], requires_grad=True)
    >>> (x * x).sum().backward()
    >>> x.grad
    array([2., 4.], dtype=float32)
    """

    __slots__ = ("grad", "requires_grad")

    grad: NDArray[Any] | None

    def __init__(self, array: Operand, requires_grad: bool = False) -> None:
        data = as_array(array)
        if requires_grad and data.dtype.kind != "f":
            raise DtypeError(
                f"only floating-point tensors can require a gradient, and this one is {data.dtype}: pass a float "
                "array (write 1.0 for 1), or leave requires_grad out"
            )
        self.data = data
        self.grad = None
        self.requires_grad = requires_grad
        self._op = None
        self._left = self._right = self._first = self._second = None
        self._order = next_order()

    # --- what it is ---------------------------------------------------------------------------------------------------

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes of the axes."""
        return self.data.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """NumPy's dtype of `data`."""
        return self.data.dtype

    @property
    def ndim(self) -> int:
        """How many axes."""
        return self.data.ndim

    @property
    def size(self) -> int:
        """How many entries."""
        return self.data.size

    @property
    def is_leaf(self) -> bool:
        """Whether it was made by the user rather than by a recorded op; only leaves get a `grad`."""
        return self._op is None

    def item(self) -> Any:
        """The one entry as a Python number; `ShapeError` where there is not exactly one."""
        if self.data.size != 1:
            raise ShapeError(f"item() needs a tensor of one entry, and this one has shape {self.shape}")
        self._read("item()")
        return self.data.item()

    def tolist(self) -> Any:
        """The entries as nested lists of Python numbers."""
        self._read("tolist()")
        return self.data.tolist()

    def detach(self) -> Tensor:
        """The same data without its history; shared until an optimizer's step, which gives this tensor an array of its own."""
        return Tensor(self.data)

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Set whether `backward` adds to `grad`; returns the tensor. What an op made is refused with GraphError."""
        if not self.is_leaf:
            raise GraphError("requires_grad_() of the result of an op: write y = x.detach() and set it there")
        if requires_grad and self.data.dtype.kind != "f":
            raise DtypeError(f"only floating tensors take a gradient, and this one is {self.data.dtype}")
        self.requires_grad = requires_grad
        return self

    def zero_grad(self) -> None:
        """Clear the gradient: `grad` is None again."""
        clear([self])

    def _read(self, how: str) -> None:
        trace = tracing()
        if trace is not None:
            trace.read(self, how)

    # --- gradients ----------------------------------------------------------------------------------------------------

    def backward(self, gy: Operand | None = None, *, retain_graph: bool = False) -> None:
        """Add d<gy, self>/dx to the `grad` of every leaf x that requires a gradient.

        gy: the cotangent, of this tensor's shape; may be left out for a single entry, where it is 1.
        retain_graph: keep the graph for another backward pass; else it is freed on the way.

        Raises `GraphError` where nothing was recorded, where the graph was freed already, and where `gy` is missing;
        `ShapeError` where `gy` has another shape. Nothing is added to any `grad` then, nor where a rule raises.
        """
        if not self.requires_grad:
            raise GraphError(
                "backward() on a tensor that no recorded operation made: none of its inputs requires a gradient, or "
                "it was computed under no_grad(). Make an input with requires_grad=True"
            )
        cotangent = self._cotangent(gy)
        given = set() if gy is None else {id(cotangent)}  # which may be the caller's own array
        leaves = backward_pass([(self, cotangent)], retain_graph=retain_graph)
        before = [leaf.grad for leaf, _ in leaves]
        trace = tracing()
        try:
            for (leaf, gx), old in zip(leaves, before, strict=True):
                # x + y hands one array on to both: only the first leaf may keep it, as a gradient may be scaled in place.
                leaf._receive(gx, id(gx) not in given)
                given.add(id(gx))
                if trace is not None:
                    trace.received(leaf, old, gx)
        except BaseException:  # Ctrl-C too: all gradients or none
            for (leaf, _), grad in zip(leaves, before, strict=True):
                leaf.grad = grad
            raise

    def _cotangent(self, gy: Operand | None) -> NDArray[Any]:
        if gy is None:
            if self.data.size != 1:
                raise GraphError(
                    f"backward() on a tensor of shape {self.shape} needs a cotangent: only a single entry has a "
                    "gradient of its own. Reduce it (y.sum().backward()) or pass gy, of the same shape"
                )
            array = np.array(1, self.dtype, ndmin=self.ndim)  # np.ones takes six times as long
            seeded(array, None)
            return array
        array = np.asarray(gy.data if type(gy) is Tensor else gy, dtype=self.dtype)
        if array.shape != self.shape:
            raise ShapeError(
                f"the cotangent gy has shape {array.shape}, and this tensor {self.shape}: they must agree"
            )
        seeded(array, gy)
        return array

    def _receive(self, gx: NDArray[Any], ours: bool) -> None:
        if self.grad is not None:
            if type(self.grad) is not np.ndarray or self.grad.shape != gx.shape:
                raise GraphError(
                    f"a tensor of shape {self.shape} has as grad {self.grad!r:.60}, to which its gradient can't be added: "
                    "x.grad is None or an array of x's shape"
                )
            # Not in place: the sum so far may be in a graph, and an error at the next leaf must undo this one.
            self.grad = np.add(self.grad, gx, out=np.empty_like(self.grad))
        elif ours and type(gx) is np.ndarray and gx.base is None and gx.flags.writeable:
            self.grad = gx
        else:
            self.grad = np.array(gx, order="C")

    # --- NumPy's protocols --------------------------------------------------------------------------------------------

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        if self.requires_grad:
            raise GraphError(
                "a tensor that requires a gradient can't be converted to a plain array implicitly, as its history would "
                "be lost: write x.data, or x.detach(); gradcore.stack joins a list of Tensors"
            )
        self._read("np.asarray")
        if copy is None:
            return np.asarray(self.data, dtype)
        return np.array(self.data, dtype, copy=copy)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if kwargs.pop("out", None) is not None:
            raise GraphError(
                f"np.{ufunc.__name__} can't write into out= where Tensors are recorded: use the value that it returns"
            )
        if method == "__call__":
            if ufunc in UFUNCS:
                return UFUNCS[ufunc](*inputs, **kwargs)
            if ufunc in _VALUE_ONLY_UFUNCS:
                if ufunc in _OPERATORS and not kwargs:
                    return _of_values(ufunc, *inputs)
                return of_values(ufunc, inputs, kwargs)
            raise _no_rule(f"np.{ufunc.__name__}")
        if method == "reduce" and ufunc in _REDUCTIONS:
            return FUNCTIONS[_REDUCTIONS[ufunc]](inputs[0], **{"axis": 0, **kwargs})
        raise _no_rule(f"np.{ufunc.__name__}.{method}")

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if func in FUNCTIONS:
            return FUNCTIONS[func](*args, **kwargs)
        if func in _VALUE_ONLY:
            return of_values(func, args, kwargs)
        raise _no_rule(f"{func.__module__.replace('numpy', 'np', 1)}.{func.__name__}")

    # --- Python's protocols -------------------------------------------------------------------------------------------

    def _repr_html_(self) -> str:
        from gradcore.notebook import tensor_table

        how = f", op={self._op.name}" if self._op is not None else ", requires_grad=True" * self.requires_grad
        return tensor_table(self.data, f"{self.shape} {self.dtype}{how}")

    def __repr__(self) -> str:
        body = np.array2string(self.data, separator=", ", prefix="Tensor(", threshold=100, edgeitems=3)
        more = "" if self.dtype in (np.float32, np.bool_) else f", dtype={self.dtype}"
        if self._op is not None:
            more += f", op={self._op.name}"
        elif self.requires_grad:
            more += ", requires_grad=True"
        return f"Tensor({body}{more})"

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if spec else str(self)

    def __reduce__(self) -> tuple[Any, ...]:
        # Copies are leaves of their own: one that kept the creation number would be taken for the original.
        if self._op is not None:
            raise GraphError(
                "only tensors that the user made can be copied or pickled, and this one is the result of "
                f"{self._op.name}: copy x.detach(), or the model that it came from"
            )
        return Tensor, (self.data, self.requires_grad), (None, {"grad": self.grad})

    def __init_subclass__(cls) -> None:
        raise TypeError(
            f"class {cls.__name__}(Tensor): Tensor can't be subclassed, as ops tell tensors by their exact type. Keep a "
            "Tensor as an attribute, or write a gradcore.nn.Module"
        )

    __dir__ = names.without_hints

    def __len__(self) -> int:
        if self.data.ndim == 0:
            raise TypeError("a 0-d tensor has no length")
        return len(self.data)

    def __iter__(self) -> Iterator[Tensor]:
        if self.data.ndim == 0:
            raise TypeError("a 0-d tensor can't be iterated over: use item()")
        return (self[i] for i in range(self.data.shape[0]))

    def __bool__(self) -> bool:
        outcome = bool(self.data)
        trace = tracing()
        if trace is not None:
            trace.decided(self, outcome)
        return outcome

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __index__(self) -> int:
        return int(operator.index(self.item()))

    def __contains__(self, value: Any) -> bool:
        self._read("in")
        return bool((self.data == plain(value)).any())

    __hash__ = object.__hash__

    def __gt__(self, other: Operand) -> Tensor:
        return _of_values(operator.gt, self, other)

    def __ge__(self, other: Operand) -> Tensor:
        return _of_values(operator.ge, self, other)

    def __lt__(self, other: Operand) -> Tensor:
        return _of_values(operator.lt, self, other)

    def __le__(self, other: Operand) -> Tensor:
        return _of_values(operator.le, self, other)

    def __eq__(self, other: Operand) -> Tensor:  # type: ignore[override]
        return _of_values(operator.eq, self, other)

    def __ne__(self, other: Operand) -> Tensor:  # type: ignore[override]
        return _of_values(operator.ne, self, other)

    def __invert__(self) -> Tensor:
        return _of_values(operator.invert, self)

    def __and__(self, other: Operand) -> Tensor:
        return _of_values(operator.and_, self, other)

    def __or__(self, other: Operand) -> Tensor:
        return _of_values(operator.or_, self, other)

    __rand__ = __and__
    __ror__ = __or__

    def __setitem__(self, index: Any, value: Any) -> NoReturn:
        raise GraphError(
            "a tensor can't be assigned into, as what was recorded from it would no longer hold. Make a new one: "
            "gradcore.where(mask, value, x) or gradcore.concatenate; or fill a NumPy array first, and make the tensor of that"
        )


_REDUCTIONS = {np.add: np.sum, np.maximum: np.max}


def _no_rule(name: str) -> GraphError:
    if name.startswith("np.fft."):
        return GraphError(
            f"{name} gives complex numbers, which no Tensor holds: gradcore.fft, ifft, rfft and irfft have real and imaginary "
            "parts on a last axis of 2"
        )
    return GraphError(
        f"{name} has no derivative rule here, so it can't be called on a Tensor: write it with gradcore's ops, "
        "register an op for it (gradcore.op), or call it on x.data where no gradient is needed"
    )


def constant(value: Any) -> Tensor:
    """A Tensor around `value` that needs no gradient."""
    return Tensor(np.asarray(value))


def _of_values(function: Callable[..., Any], *inputs: Any) -> Tensor:
    """The constant Tensor of a function of values."""
    given = [x.data if type(x) is Tensor else x for x in inputs]
    out = constant(function(*given))
    trace = tracing()
    if trace is not None:
        trace.called(function, inputs, given, {}, out)
    return out
