"""Op: a pair of pure functions, forward and vjp, that records itself when a Tensor is among its inputs."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeAlias, TypeVar

import numpy as np

from gradcore import registry
from gradcore.convert import number, operand, unmixed
from gradcore.errors import DtypeError, ShapeError, SpecError
from gradcore.graph import next_order
from gradcore.modes import recording, tracing
from gradcore.names import our_names, with_pytorchs_names
from gradcore.spec import OpSpec
from gradcore.tensor import FUNCTIONS, UFUNCS, Tensor

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

# What a rule runs on: an ndarray, or a Tensor while the rule itself is being recorded.
Array: TypeAlias = Any

P = ParamSpec("P")
R = TypeVar("R")
_new = Tensor.__new__
_ndarray = np.ndarray
_NUMBERS = (float, int, bool)


class Op(Generic[P, R]):
    """A differentiable primitive: `forward(*arrays, **params)` and its vector-Jacobian product.

    Called on arrays it is `forward`; with a Tensor among its inputs the result is a Tensor, recorded where one of them
    requires a gradient. Made by the decorator `op`.

    `vjp(gy, y, *arrays, **params)` gives one cotangent per array: `gx_i = sum_j gy_j dy_j / dx_i`, before the engine
    undoes broadcasting.
    """

    def __init__(
        self,
        forward: Callable[P, R],
        vjp: Any,
        spec: OpSpec,
        *,
        name: str | None = None,
        broadcasts: bool = False,
        ufunc: np.ufunc | None = None,
    ) -> None:
        self.name = name or forward.__name__
        self.forward: Callable[..., Any] = forward
        self.spec = spec
        self.broadcasts = broadcasts
        self.__doc__ = forward.__doc__
        self.__wrapped__ = forward  # inspect.signature and help() show forward's own
        parameters = inspect.signature(forward).parameters.values()
        self.variadic = any(p.kind is p.VAR_POSITIONAL for p in parameters)
        arrays = [p for p in parameters if p.kind is p.POSITIONAL_ONLY]
        self.n_arrays = len(arrays)
        self._defaults = [p.default for p in arrays]
        self._static = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
        if not (arrays or self.variadic):
            raise SpecError(
                f"forward of op {self.name!r} takes no arrays: write them as positional-only parameters, as in "
                "def scale(x, /, factor=2.0), where x is an array and factor a static parameter"
            )
        # Whether it takes arrays and nothing else, each of them always.
        self.plain = all(p.kind is p.POSITIONAL_ONLY and p.default is p.empty for p in parameters)
        if ufunc is not None and not (self.plain and ufunc.nin == self.n_arrays):
            raise SpecError(
                f"op {self.name!r}{inspect.signature(forward)} came with ufunc=np.{ufunc.__name__}, which takes {ufunc.nin} arrays and "
                "nothing else: ufunc= is for an op that takes the same. List the functions that another one stands for as numpy="
            )
        self.ufunc = ufunc
        self._unary = unary_method(self) if self.plain and self.n_arrays == 1 else None
        self.rules: tuple[Callable[..., Any], ...] | None = None
        if isinstance(vjp, tuple):
            if len(vjp) != self.n_arrays:
                raise SpecError(
                    f"op {self.name!r} has {self.n_arrays} array arguments and {len(vjp)} rules: give one per array, "
                    "or one function that returns all cotangents"
                )
            self.rules = vjp
        elif self.n_arrays == 1 and not self.variadic:
            self.rules = (vjp,)
        else:
            self._whole = vjp
            self._takes_needs = "needs" in inspect.signature(vjp).parameters

    def __repr__(self) -> str:
        return f"<op {self.name}{inspect.signature(self.forward)}>"

    def vjp(self, gy: Any, y: Any, *arrays: Any, **params: Any) -> tuple[Any, ...]:
        """One cotangent per array, None where an array gets none; `y` is `forward(*arrays, **params)`."""
        if self.rules is not None:
            return tuple([rule(gy, y, *arrays, **params) for rule in self.rules])
        return self.whole_rule(gy, y, arrays, params, tuple([a is not None for a in arrays]))

    def whole_rule(
        self, gy: Any, y: Any, arrays: Any, params: Any, needs: tuple[bool, ...]
    ) -> tuple[Any, ...]:
        """All cotangents at once, from a rule that is one function; it may leave out those for which `needs` is False."""
        if self._takes_needs:
            params = {**params, "needs": needs}
        found = self._whole(gy, y, *arrays, **params)
        return found if isinstance(found, tuple) else (found,)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Any:
        """`forward` on arrays; with a Tensor among the arguments, the Tensor of it, recorded where needed."""
        if self._unary is not None and len(args) == 1 and type(args[0]) is Tensor and not kwargs:
            return self._unary(args[0])
        inputs: Any = args
        params: dict[str, Any] = kwargs
        if params and ("dim" in params or "keepdim" in params):
            params = our_names(self.name, self._static, params)
        if len(inputs) != self.n_arrays and not self.variadic:
            inputs, params = self._bind(inputs, params)
        parents: list[Tensor | None] = []
        arrays: list[Any] = []
        like: Tensor | None = None
        enabled = recording()
        recorded = converted = False
        for value in inputs:
            if type(value) is Tensor:
                like = value
                arrays.append(value.data)
                if enabled is not False and value.requires_grad:
                    parents.append(value)
                    recorded = True
                    continue
            else:
                arrays.append(value)
                if type(value) is not _ndarray and value is not None:
                    converted = True
            parents.append(None)
        if converted:
            alone = all(type(value) in _NUMBERS for value in arrays)  # next to arrays a number is weak
            for i, value in enumerate(arrays):
                if type(value) is not _ndarray and value is not None:
                    if like is not None:
                        arrays[i] = operand(value, like.data.dtype)
                    elif alone or type(value) is list or type(value) is tuple:
                        arrays[i] = np.asarray(value)  # + would join lists
        try:
            y = self.forward(*arrays, **params)
        except ValueError as error:
            raise self.explained(error, arrays) from None
        except TypeError:
            if self.plain and any(a is None for a in arrays):
                unmixed(None)  # raises DtypeError
            raise
        if like is None:
            trace = tracing()
            if trace is not None:
                trace.called(self, arrays, arrays, params, y)
            return y
        out = _new(Tensor)
        out.data = y if type(y) is _ndarray else np.asarray(y)
        out.grad = None
        kind = out.data.dtype.kind
        if kind == "c":
            raise _complex(self.name)
        recorded = recorded and kind == "f"  # rounding to whole numbers ends the derivative
        out.requires_grad = recorded
        out._order = next_order()
        if recorded:
            out._op = self
            out._left = tuple(parents)
            out._right = None
            out._first = tuple(arrays)
            out._second = params or None
            if not enabled:
                enabled.recorded(out)
        else:
            out._op = out._left = out._right = out._first = out._second = None
        trace = tracing()
        if trace is not None:
            trace.called(self, inputs, arrays, params, out)
        return out

    def explained(self, error: ValueError, arrays: Sequence[Any]) -> ValueError:
        """The error to raise where forward raised `error`: ShapeError where the arrays do not broadcast."""
        shapes = [np.shape(a) for a in arrays if a is not None]
        if not self.broadcasts or isinstance(error, ShapeError) or _broadcast(shapes):
            return error
        return ShapeError(
            f"{self.name} got the shapes {' and '.join(map(str, shapes))}, which do not broadcast: compared from the "
            "right, each size must be equal or 1. Reshape one of them"
        )

    def _bind(self, args: tuple[Any, ...], params: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Fill in optional arrays, and name the static parameters that were passed by position."""
        n = self.n_arrays
        missing = self._defaults[len(args) :]
        extra = args[n:]
        named = dict(zip(self._static, extra, strict=False))
        lacking = any(d is inspect.Parameter.empty for d in missing)
        if lacking or len(extra) > len(named) or not named.keys().isdisjoint(params):
            inspect.signature(self.forward).bind(*args, **params)  # raises Python's own message
        return (*args[:n], *missing), named | params


def _broadcast(shapes: Sequence[tuple[int, ...]]) -> bool:
    try:
        np.broadcast_shapes(*shapes)
    except ValueError:
        return False
    return True


def _complex(name: str) -> DtypeError:
    return DtypeError(
        f"{name} got complex numbers, which no Tensor holds: compute with real and imaginary parts, as two arrays or on a last "
        "axis of 2, as gradcore.fft does"
    )


def op(
    *,
    vjp: Any,
    spec: OpSpec,
    name: str | None = None,
    broadcasts: bool = False,
    ufunc: np.ufunc | None = None,
    numpy: tuple[Any, ...] = (),
    methods: tuple[str, ...] = (),
) -> Callable[[Callable[P, R]], Op[P, R]]:
    """Decorator that turns a forward function into a registered `Op`.

    Positional-only parameters of forward are its arrays, the others are static.
    vjp: a tuple of one function per array, each `rule(gy, y, *arrays, **params) -> cotangent`; or one function that
    returns all cotangents, which may take `needs`, a tuple of booleans, and give None for what is not needed.
    Rules are written with NumPy functions and operators and assign to nothing, so that they can be recorded themselves.
    spec: its domain and reference, see `gradcore.spec`. broadcasts: whether forward broadcasts its arrays against each
    other; the engine then sums the cotangents back. numpy: the NumPy functions that this op stands for on Tensors. ufunc: one of
    them that gives what forward gives to the bit; on small Tensors a call of Python less. methods: names under which Tensor gets
    it as a method.
    """

    def register(forward: Callable[P, R]) -> Op[P, R]:
        made = Op(forward, vjp, spec, name=name, broadcasts=broadcasts, ufunc=ufunc)
        registry.enroll(registry.ops, "op", made.name, made, spec, OpSpec)
        for function in numpy if ufunc is None else (ufunc, *numpy):
            (UFUNCS if isinstance(function, np.ufunc) else FUNCTIONS)[function] = made
        for method in methods:
            setattr(Tensor, method, _method(made))
        return made

    return register


def _method(made: Op[..., Any]) -> Callable[..., Tensor]:
    if made.plain and made.n_arrays <= 2:
        method: Callable[..., Any] = unary_method(made) if made.n_arrays == 1 else binary_method(made)
    else:

        def method(self: Tensor, *args: Any, **params: Any) -> Any:
            return made(self, *args, **params)

    method.__doc__ = made.__doc__
    method.__name__ = made.name
    method.__wrapped__ = made.forward  # type: ignore[attr-defined]  # so that help(x.sum) shows its parameters
    return method


# The two methods below do what Op.__call__ does, spelled out for one and for two arrays without static parameters:
# on small tensors the bookkeeping is most of the cost. tests/core compares them with Op.__call__.


def unary_method(made: Op[..., Any]) -> Callable[[Tensor], Tensor]:
    """`made` as a method, for one array and no static parameters."""
    forward = made.forward if made.ufunc is None else made.ufunc

    def method(self: Tensor) -> Tensor:
        x = self.data
        y = forward(x)
        out = _new(Tensor)
        out.data = y if type(y) is _ndarray else np.asarray(y)
        out.grad = None
        out._order = next_order()
        out._right = out._second = None
        if self.requires_grad and recording():
            out.requires_grad = True
            out._op = made
            out._left = self
            out._first = x
        else:
            out.requires_grad = False
            out._op = out._left = out._first = None
            if tracing() is not None:
                _traced(out, made, (self if self.requires_grad else None,), (x, None), (self,))
        return out

    return method


def binary_method(made: Op[..., Any], *, swapped: bool = False) -> Callable[[Tensor, Any], Tensor]:
    """`made` as a method, for two arrays and no static parameters; `swapped` for `__radd__` and its like."""
    forward = made.forward if made.ufunc is None else made.ufunc

    def method(self: Tensor, other: Any) -> Tensor:
        a = self.data
        left = self if self.requires_grad else None
        right = None
        if type(other) is Tensor:
            b = other.data
            if other.requires_grad:
                right = other
        elif type(other) is float or type(other) is int:
            b = number(other, a.dtype) if other else operand(other, a.dtype)
        else:
            b = other if type(other) is _ndarray else operand(other, a.dtype)
            if b.dtype.kind == "c":
                raise _complex(made.name)
        if swapped:
            a, b, left, right = b, a, right, left
        try:
            y = forward(a, b)
        except ValueError as error:
            raise made.explained(error, (a, b)) from None
        out = _new(Tensor)
        out.data = y if type(y) is _ndarray else np.asarray(y)
        out.grad = None
        out._order = next_order()
        if (left is not None or right is not None) and recording():
            out.requires_grad = True
            out._op = made
            out._left = left
            out._right = right
            out._first = a
            out._second = b
        else:
            out.requires_grad = False
            out._op = out._left = out._right = out._first = out._second = None
            if tracing() is not None:
                inputs = (other, self) if swapped else (self, other)
                _traced(out, made, (left, right), (a, b), inputs)
        return out

    return method


def _traced(
    out: Tensor,
    made: Op[..., Any],
    parents: tuple[Tensor | None, ...],
    arrays: tuple[Any, Any],
    inputs: tuple[Any, ...],
) -> None:
    """Inform the trace of a call, and record `out` where recording is off for the fast paths above only."""
    trace = recording()
    if trace is not False and any(p is not None for p in parents):
        out.requires_grad, out._op = True, made
        out._left, out._right = parents if len(parents) == 2 else (parents[0], None)
        out._first, out._second = arrays
        trace.recorded(out)
    tracing().called(made, inputs, arrays, {}, out)  # type: ignore[union-attr]  # one is on


def composed(
    *, spec: OpSpec, name: str | None = None, numpy: tuple[Any, ...] = (), methods: tuple[str, ...] = ()
) -> Callable[[Callable[P, R]], Callable[P, Any]]:
    """Decorator that enrolls a function composed of ops: it needs no rule, and is verified like an op all the same.

    An `axis` comes by PyTorch's name too.
    """

    def register(function: Callable[P, R]) -> Callable[P, Any]:
        function = with_pytorchs_names(function)
        registry.enroll(registry.ops, "op", name or function.__name__, function, spec, OpSpec)
        function.spec = spec  # type: ignore[attr-defined]
        for called in numpy:
            (UFUNCS if isinstance(called, np.ufunc) else FUNCTIONS)[called] = function
        for method in methods:
            setattr(Tensor, method, function)
        return function

    return register
