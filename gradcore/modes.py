"""The grad modes, and traces: whether ops are recorded here, and what is informed of it."""

from __future__ import annotations

import functools
import inspect
from contextlib import ContextDecorator
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NoReturn, Self

from gradcore.errors import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable


# True, False, or the trace that is on. A trace is false as a condition: ops that record on their fast path where the mode
# is true look whether it is one elsewhere only, so that it costs them nothing.
_mode: ContextVar[Any] = ContextVar("gradcore's grad mode", default=True)
_trace: ContextVar[Trace | None] = ContextVar("gradcore's trace", default=None)
recording = _mode.get
tracing = _trace.get


class _Callable(type):
    """Type of the grad modes: `with no_grad:` lacks the parentheses."""

    def __enter__(cls) -> NoReturn:
        raise ArgumentError(f"{cls.__name__} was used without parentheses: write `with {cls.__name__}():`")

    def __exit__(cls, *_: object) -> None:
        """Python demands it of what `with` is used on, and never calls it."""


class _SetGradMode(ContextDecorator, metaclass=_Callable):
    _value: bool

    def __init__(self, *given: Any) -> None:
        if given:
            name = type(self).__name__
            raise ArgumentError(f"{name} takes no arguments, and got {given[0]!r:.60}: write `@{name}()`")
        self._before: list[Any] = []

    def _recreate_cm(self) -> Self:
        # A decorated function may run in several threads at once: each call gets a stack of its own.
        return type(self)()

    def __enter__(self) -> Self:
        self._before.append(recording())
        trace = tracing() if self._value else None
        _mode.set(self._value if trace is None else trace)
        return self

    def __exit__(self, *_: object) -> None:
        _mode.set(self._before.pop())

    def __call__(self, function: Any) -> Any:
        """The function with this mode inside; a generator function has it while it runs, and not where it is suspended."""
        if inspect.isgeneratorfunction(function):
            return _stepwise(function, type(self))
        if inspect.iscoroutinefunction(function):
            return _awaited(function, type(self))
        return super().__call__(function)


def _stepwise(function: Callable[..., Any], mode: type[_SetGradMode]) -> Callable[..., Any]:
    @functools.wraps(function)
    def generator(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        inner = function(*args, **kwargs)
        resume, sent = inner.send, None
        try:
            while True:
                try:
                    with mode():
                        value = resume(sent)
                except StopIteration as end:
                    return end.value
                try:
                    resume, sent = inner.send, (yield value)
                except GeneratorExit:
                    raise
                except BaseException as error:  # noqa: BLE001 (what was thrown in is the inner generator's)
                    resume, sent = inner.throw, error
        finally:
            with mode():
                inner.close()

    return generator


def _awaited(function: Callable[..., Any], mode: type[_SetGradMode]) -> Callable[..., Any]:
    @functools.wraps(function)
    async def coroutine(*args: Any, **kwargs: Any) -> Any:
        with mode():
            return await function(*args, **kwargs)

    return coroutine


class no_grad(_SetGradMode):  # noqa: N801
    """Context manager and decorator: nothing inside is recorded, in this thread and this asyncio task only.

    A generator shares the mode of whoever runs it, as all of Python's contexts do: a `with no_grad()` that is open at a
    `yield` holds for the caller too. Decorate the generator function instead.

    >>> x = gradcore.ones((2,), requires_grad=True)
    >>> with gradcore.no_grad():
    ...     y = x * 2
    >>> y.requires_grad
    False
    """

    _value = False


class enable_grad(_SetGradMode):  # noqa: N801
    """Context manager and decorator: records again inside a `no_grad` block, in this thread and task only."""

    _value = True


def is_grad_enabled() -> bool:
    """Whether operations on Tensors that require a gradient are being recorded in this thread and task."""
    return recording() is not False


class Trace(metaclass=_Callable):
    """Base of what is informed of every recorded op and every rule called: within `with`, in this thread and task only."""

    def __init__(self) -> None:
        self._before: list[tuple[Any, Trace | None]] = []

    def __enter__(self) -> Self:
        self._before.append((recording(), tracing()))
        _trace.set(self)
        if recording() is not False:
            _mode.set(self)
        return self

    def __exit__(self, *_: object) -> None:
        mode, trace = self._before.pop()
        _mode.set(mode)
        _trace.set(trace)

    def __bool__(self) -> bool:
        return False

    def recorded(self, node: Any) -> None:
        """An op made this node."""

    def pulled(self, node: Any, gy: Any, index: int, gx: Any) -> None:
        """The rule of this node's op made `gx`, the cotangent of its input number `index`, of `gy`."""

    def called(self, function: Any, inputs: Any, arrays: Any, params: Any, out: Any) -> None:
        """An op, or a function of NumPy's, gave `out`, recorded or not. arrays: what it made of the inputs that it was given."""

    def added(self, before: Any, gx: Any, total: Any) -> None:
        """A backward pass added `gx` to the cotangent `before`, which may be `total` itself."""

    def seeded(self, array: Any, source: Any) -> None:
        """A backward pass begins with this cotangent: a copy of `source`, or ones where that is None."""

    def received(self, leaf: Any, before: Any, gx: Any) -> None:
        """A backward pass gave a leaf `gx`; its `grad` was `before`."""

    def cleared(self, leaf: Any) -> None:
        """The `grad` of a leaf has become None."""

    def assigned(self, leaf: Any, values: Any) -> None:
        """A leaf has been given values in place."""

    def read(self, tensor: Any, how: str) -> None:
        """The values of a tensor have become Python's, or a plain array: by what is called `how`."""

    def decided(self, tensor: Any, outcome: bool) -> None:
        """A tensor was used as a condition."""

    def performs(self, function: Callable[..., Any], args: tuple[Any, ...], changes: bool) -> Any:
        """What `function(*args)` gives, which `callback` was called for, or `repeated`, where it changes nothing."""
        return function(*args)


def inform(node: Any) -> None:
    """Hand a node that no call of an op made to the trace, where one is on."""
    trace = tracing()
    if trace is not None:
        trace.recorded(node)


def clear(leaves: Iterable[Any]) -> None:
    """Make None of the `grad` of each."""
    trace = tracing()
    for leaf in leaves:
        leaf.grad = None
        if trace is not None:
            trace.cleared(leaf)


def seeded(array: Any, source: Any) -> None:
    """Inform the trace of the cotangent that a backward pass begins with."""
    trace = tracing()
    if trace is not None:
        trace.seeded(array, source)


def callback(function: Callable[..., Any], *args: Any) -> Any:
    """`function(*args)`; a captured step calls it again at this place of each replay (`gradcore.capture`).

    For what a replay would leave out, as it is made of gradcore's ops alone: drawing random numbers, averages that are kept
    from step to step, checks of values, and computations in plain NumPy. Arrays among `args`, and an array that it returns,
    are those of the replay.

    >>> rng = np.random.default_rng(0)
    >>> noise = gradcore.callback(rng.standard_normal, (2, 3))
    >>> noise.shape
    (2, 3)
    """
    trace = tracing()
    return function(*args) if trace is None else trace.performs(function, args, True)


def repeated(function: Callable[..., Any], *args: Any) -> Any:
    """`callback` of a function that changes nothing: a check of values, or what plain NumPy makes of them."""
    trace = tracing()
    return function(*args) if trace is None else trace.performs(function, args, False)
