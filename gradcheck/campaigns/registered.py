"""The checks of what gradcore's registries hold: a strategy of examples, and what has to hold for each of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import seed as seeded
from hypothesis import strategies as st
from hypothesis.errors import Flaky
from hypothesis.stateful import run_state_machine_as_test

from gradcheck import verification as v
from gradcheck.report.report import Report
from gradcheck.strategies import cotangents, examples, parameters
from gradcheck.verification import cases
from gradcheck.verification.drawing import DTYPES, SEEDS, inputs, layer_calls, problems
from gradcheck.verification.machines import optimizer_machine
from gradcore import Op, registry

EXAMPLES = 20
QUIET: dict[str, Any] = {
    "database": None,
    "deadline": None,
    "print_blob": False,
    "report_multiple_bugs": False,
    "suppress_health_check": list(HealthCheck),
}
"""Settings of Hypothesis where no test runs and nothing is kept."""


@dataclass(frozen=True, slots=True)
class Property:
    """Something that holds for every example of an entry.

    strategy: of the entry's examples. check: raises where it does not hold, and may return a report. applies: to which
    entries. smooth: whether a point at a kink decides nothing.
    """

    name: str
    strategy: Callable[[Any], st.SearchStrategy[Any]]
    check: Callable[[Any], Callable[[Any], Any]]
    applies: Callable[[Any], bool] = lambda _: True
    smooth: bool = True


def drawn(
    name: str,
    strategy: st.SearchStrategy[Any],
    check: Callable[[Any], Any],
    count: int,
    seed: int,
    smooth: bool = True,
) -> tuple[v.Tally, AssertionError | None]:
    """Call the check with `count` examples; what it found, and its error on the smallest failing example."""
    tally, failed = v.Tally(name), []

    @seeded(seed)
    @settings(max_examples=count, **QUIET)
    @given(strategy)
    def run(example: Any) -> None:
        try:
            result = check(example)
        except AssertionError as error:
            failed.append(error)
            raise
        if isinstance(result, Report):
            tally.add(result, smooth)
        else:
            tally.passed()

    try:
        run()
    except (AssertionError, Flaky):  # flaky: an example that fails, and passes when it is tried again
        if not failed:
            raise
        return tally, failed[-1]
    return tally, None


def _float64(unit: cases.Unit) -> st.SearchStrategy[Any]:
    return examples(unit.case)


def _with_data(unit: cases.Unit) -> st.SearchStrategy[Any]:
    return st.tuples(inputs(unit), st.data())


def _recording(unit: cases.Unit) -> Callable[[Any], None]:
    forward = getattr(unit.entry, "forward", unit.entry)

    def check(pair: tuple[Any, Any]) -> None:
        example, data = pair
        y = np.asarray(forward(*example.arrays, **example.params))
        v.check_recording(unit.entry, example, data.draw(cotangents(y.shape, y.dtype)), unit.name)

    return check


def _differentiable(unit: cases.Unit) -> bool:
    return unit.takes_gradient


_VALUE = Property("value", inputs, lambda u: lambda e: v.check_value(u.entry, e, u.name))
_GRADIENT = Property("gradient", inputs, lambda u: lambda e: v.check_gradient(u.entry, e), _differentiable)
_RECORDING = Property("recording", _with_data, _recording, _differentiable)
_SECOND = Property(
    "2nd order",
    _float64,
    lambda u: lambda e: v.check_second_order(u.entry, e),
    lambda u: u.takes_gradient and u.entry.spec.second_order,
)

OPS = (
    _VALUE,
    _GRADIENT,
    Property(
        "kinks",
        lambda u: inputs(u, mode="kinks"),
        lambda u: lambda e: v.check_gradient(u.entry, e),
        lambda u: u.takes_gradient and u.kinked,
        smooth=False,
    ),
    _RECORDING,
    _SECOND,
    Property(
        "methods",
        inputs,
        lambda u: lambda e: v.check_fast_method(u.entry, e),
        lambda u: isinstance(u.entry, Op) and u.entry.plain and u.entry.n_arrays < 3,
    ),
)
LOSSES = (_VALUE, _GRADIENT, _RECORDING, _SECOND)


def _calls(training: bool, dtypes: Sequence[Any] = DTYPES) -> Callable[[cases.Unit], st.SearchStrategy[Any]]:
    return lambda unit: layer_calls(unit, training, dtypes)


def _of_layers() -> Iterator[Property]:
    for training in (True, False):
        mode = "training" if training else "evaluation"
        calls = _calls(training)
        yield Property(f"value in {mode}", calls, lambda _: lambda drawn: v.check_layer_value(*drawn))
        yield Property(f"gradient in {mode}", calls, lambda _: lambda drawn: v.check_layer_gradient(*drawn))
        yield Property(
            f"2nd order in {mode}",
            _calls(training, (np.float64,)),
            lambda _: lambda drawn: v.check_layer_second_order(*drawn),
            lambda u: u.entry.spec.second_order,
        )
        yield Property(f"state in {mode}", calls, lambda _: lambda drawn: v.check_layer_state(*drawn))
    yield Property(
        "start",
        lambda u: st.tuples(examples(u.case), SEEDS),
        lambda u: lambda drawn: v.check_layer_start(u.entry, drawn[0].params, drawn[1]),
    )


LAYERS = tuple(_of_layers())


def _problems(steps: int, axis: int, dtypes: Sequence[Any]) -> Callable[[type], st.SearchStrategy[Any]]:
    def given(optimizer: Any) -> st.SearchStrategy[Any]:
        return st.tuples(
            problems(st.integers(1, steps), axis, dtypes, optimizer.spec.least_ndim),
            parameters(optimizer.spec.params),
        )

    return given


OPTIMIZERS = (
    Property("trajectory", _problems(8, 3, DTYPES), lambda o: lambda drawn: v.check_trajectory(o, *drawn)),
    Property(
        "numeric",
        _problems(3, 2, (np.float64,)),
        lambda o: lambda drawn: v.check_numeric_trajectory(o, *drawn),
    ),
    Property("misfits", lambda _: st.just(None), lambda o: lambda _: v.check_refusals(o)),
)
RUNS = "runs"
"""The property of an optimizer that a state machine checks: nothing but gradients and lr decides where a run leads."""


def entries() -> Iterator[tuple[str, str, str, Any, tuple[Property, ...]]]:
    """Of everything registered: kind, module, name, what is checked, and properties."""
    for kind, units, properties in (
        ("op", cases.ops(), OPS),
        ("layer", cases.layers(), LAYERS),
        ("loss", cases.losses(), LOSSES),
    ):
        for unit in units:
            yield kind, home(unit.entry), unit.id, unit, tuple([p for p in properties if p.applies(unit)])
    for name, optimizer in sorted(registry.optimizers.items()):
        yield "optimizer", home(optimizer), name, optimizer, OPTIMIZERS


def home(entry: Any) -> str:
    """The module that an op, layer, loss or optimizer is declared in."""
    return str(getattr(entry.forward if isinstance(entry, Op) else entry, "__module__", ""))


def judged(
    kind: str, module: str, name: str, what: str, count: int, seed: int
) -> tuple[v.Tally, AssertionError | None]:
    """Check one property of a registered entry. Raises `LookupError` where there is no such entry or property."""
    for found, place, called, entry, properties in entries():
        if (found, place, called) != (kind, module, name):
            continue
        if kind == "optimizer" and what == RUNS:
            return _machine(called, entry, count, seed)
        for p in properties:
            if p.name == what:
                return drawn(called, p.strategy(entry), p.check(entry), count, seed, p.smooth)
    raise LookupError(f"{module} registers no {kind} {name!r} with the property {what!r}")


def _machine(name: str, optimizer: Any, count: int, seed: int) -> tuple[v.Tally, AssertionError | None]:
    tally = v.Tally(name)
    few = settings(max_examples=count, stateful_step_count=25, **QUIET)
    try:
        run_state_machine_as_test(seeded(seed)(optimizer_machine(optimizer)), settings=few)
    except AssertionError as error:
        return tally, error
    tally.passed()
    return tally, None
