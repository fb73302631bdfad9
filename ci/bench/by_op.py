"""Where the time of a step goes: in the functions of each op, in the calls that record it, in the engine, and in the rest.

Each of gradcore's ops is timed where it is called, a step at a time. What a timer costs is measured on a function that does
nothing, and taken off. Parts are medians over the steps, and shares are of their sum: with arrays of a few numbers, where
a timer costs as much as what it times, that is up to a fifth more than the step takes without timers.
"""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import Any
from unittest import mock

FORWARD, BACKWARD, WRAPPER, ENGINE, REST = PARTS = ("forward", "backward", "wrapper", "engine", "rest")
CALIBRATION = 2000
WARM = 3  # steps before those that count
# Ops of each workload, those that take most; what takes less than this part is left out.
SHOWN, SMALL = 3, 0.05

Key = tuple[str, str]
"""What is called, and the part that its own time belongs to."""


@dataclass
class Span:
    """Seconds in a function but not in the timed functions that it calls; its calls; the timed calls directly in it."""

    own: float = 0.0
    calls: int = 0
    inner: int = 0


class Timers:
    """Times functions that call each other. cost: what a timed call adds to its own time, and to its caller's."""

    def __init__(self, cost: tuple[float, float] = (0.0, 0.0)) -> None:
        self.spans: dict[Key, Span] = defaultdict(Span)
        self.cost = cost
        self.backward = False
        self._seconds, self._calls = 0.0, 0  # of the timed calls in the one that is running

    def timed(self, function: Callable[..., Any], name: str | Callable[..., str], part: str) -> Any:
        """The function, timed. name: of what it is, or a function of its arguments that says so."""

        def call(*args: Any, **kwargs: Any) -> Any:
            seconds, calls = self._seconds, self._calls
            self._seconds, self._calls = 0.0, 0
            start = perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                took = perf_counter() - start
                here = BACKWARD if part == FORWARD and self.backward else part
                span = self.spans[name if isinstance(name, str) else name(*args), here]
                span.own += took - self._seconds
                span.calls += 1
                span.inner += self._calls
                self._seconds, self._calls = seconds + took, calls + 1

        return call

    def engine(self, function: Callable[..., Any]) -> Any:
        """A backward pass, timed: what ops compute inside belongs to the part `BACKWARD`."""
        inner = self.timed(function, "the backward pass", ENGINE)

        def call(*args: Any, **kwargs: Any) -> Any:
            self.backward = True
            try:
                return inner(*args, **kwargs)
            finally:
                self.backward = False

        return call

    def parts(self) -> dict[Key, float]:
        """Seconds of each, less what the timers cost."""
        inside, outside = self.cost
        return {
            key: max(0.0, span.own - span.calls * inside - span.inner * outside)
            for key, span in self.spans.items()
        }


def cost_of_timers() -> tuple[float, float]:
    """Seconds that a timed call adds to its own time, and to that of its caller: medians of calls that do nothing."""

    def nothing(_gy: Any, _y: Any, _a: Any, _b: Any) -> None:  # as many arguments as most rules have
        pass

    def calls(function: Callable[..., Any]) -> None:
        for _ in range(CALIBRATION):
            function(1, 2, 3, 4)

    bare, own, around = [], [], []
    for _ in range(15):
        start = perf_counter()
        calls(nothing)
        bare.append((perf_counter() - start) / CALIBRATION)
        timers = Timers()
        timers.timed(calls, "calls", FORWARD)(timers.timed(nothing, "nothing", FORWARD))
        own.append(timers.spans["nothing", FORWARD].own / CALIBRATION)
        around.append(timers.spans["calls", FORWARD].own / CALIBRATION)
    # A call by itself, and the loop around it, are no part of what timing adds.
    return statistics.median(own), max(0.0, statistics.median(around) - statistics.median(bare))


@contextmanager
def timing_ops(timers: Timers) -> Iterator[None]:
    """Within the block gradcore's ops, backward passes and optimizers are timed."""
    import gradcore.nn.norm
    from gradcore import registry
    from gradcore.op import Op
    from gradcore.optim.base import Optimizer
    from gradcore.tensor import Tensor

    with ExitStack() as stack:

        def put(holder: Any, attribute: str, value: Any) -> None:
            stack.enter_context(mock.patch.object(holder, attribute, value))

        for name, op in [*registry.ops.items(), *registry.losses.items()]:
            if not isinstance(op, Op):
                continue
            put(op, "forward", timers.timed(op.forward, name, FORWARD))
            if op.rules is None:
                put(op, "_whole", timers.timed(op._whole, name, BACKWARD))
            else:
                put(op, "rules", tuple(timers.timed(rule, name, BACKWARD) for rule in op.rules))
            if op._unary is not None:
                _fill(stack, op._unary, op.forward)
        for name, method in list(vars(Tensor).items()):
            cells = _cells(method)
            if "made" in cells and "forward" in cells:  # of those that call no op, but do what it does
                made = cells["made"].cell_contents
                _fill(stack, method, made.forward)
                put(Tensor, name, timers.timed(method, made.name, WRAPPER))
        put(Op, "__call__", timers.timed(Op.__call__, lambda op, *_: op.name, WRAPPER))
        put(Tensor, "backward", timers.engine(Tensor.backward))
        put(Optimizer, "step", timers.timed(Optimizer.step, lambda o, *_: type(o).__name__, WRAPPER))
        for cls in registry.optimizers.values():
            if "_update" in vars(cls):
                put(cls, "_update", timers.timed(cls._update, lambda o, *_: type(o).__name__, FORWARD))
        moments = gradcore.nn.norm.channel_moments  # NumPy's work that a layer does outside of ops
        put(gradcore.nn.norm, "channel_moments", timers.timed(moments, "channel_moments", FORWARD))
        yield


def _cells(method: Any) -> dict[str, Any]:
    code, closure = getattr(method, "__code__", None), getattr(method, "__closure__", None)
    return dict(zip(code.co_freevars, closure, strict=True)) if code and closure else {}


def _fill(stack: ExitStack, method: Any, forward: Any) -> None:
    """Put `forward` in the place of the one that a method has in its closure."""
    cell = _cells(method)["forward"]
    stack.callback(setattr, cell, "cell_contents", cell.cell_contents)
    cell.cell_contents = forward


@dataclass(frozen=True)
class Profile:
    """Seconds of a step without timers; of each part, by op; calls of each op in a step."""

    seconds: float
    parts: Mapping[Key, float]
    calls: Mapping[str, int]

    @property
    def total(self) -> float:
        """Of all parts: near `seconds`, unless what the timers cost was measured badly."""
        return math.fsum(self.parts.values())

    def share(self, part: str, op: str | None = None) -> float:
        """Of all time, what this part takes, in all ops or in one."""
        found = (s for (name, p), s in self.parts.items() if p == part and op in (None, name))
        return math.fsum(found) / self.total

    def dearest(self) -> list[str]:
        """The few ops that take most, the dearest first."""
        takes = {op: math.fsum(self.share(part, op) for part in PARTS) for op in self.calls}
        return [op for op in sorted(takes, key=lambda op: -takes[op])[:SHOWN] if takes[op] >= SMALL]


def profile(run: Callable[[], object], steps: int) -> Profile:
    """Of so many calls of `run`, with timers; without them as often before that, and again behind it."""
    timers = Timers(cost_of_timers())
    bare = _seconds(run, steps)
    step = timers.timed(run, "the step", REST)
    with timing_ops(timers):
        for _ in range(WARM):
            step()
        timed = []
        for _ in range(steps):
            timers.spans.clear()
            step()
            timed.append(timers.parts())
    bare += _seconds(run, steps)
    return Profile(
        statistics.median(bare),
        {key: statistics.median(parts.get(key, 0.0) for parts in timed) for key in timed[-1]},
        _calls(timers.spans),
    )


def _seconds(run: Callable[[], object], steps: int) -> list[float]:
    for _ in range(WARM):
        run()
    found = []
    for _ in range(steps):
        start = perf_counter()
        run()
        found.append(perf_counter() - start)
    return found


def _calls(spans: Mapping[Key, Span]) -> dict[str, int]:
    """Of each op, as often as it was recorded, or as its functions were called by others."""
    found: dict[str, int] = {}
    for part in (BACKWARD, FORWARD, WRAPPER):
        found.update({name: span.calls for (name, p), span in spans.items() if p == part})
    return found


def rows(found: Profile) -> Iterator[tuple[str, ...]]:
    """Lines of the table: all ops together, then those that take most. Name, calls, and the parts in percent."""

    def cells(parts: tuple[str, ...], op: str | None = None) -> list[str]:
        return [f"{found.share(part, op) * 100:.0f} %" for part in parts]

    if len(found.calls) == 1:
        (op,) = found.calls
        yield op, str(found.calls[op]), *cells(PARTS)
        return
    yield "all", str(sum(found.calls.values())), *cells(PARTS)
    for op in found.dearest():
        yield op, str(found.calls[op]), *cells((FORWARD, BACKWARD, WRAPPER), op), "", ""
