"""Stage 1's state machines: an optimizer through whatever a training run does to it, in any order.

Hypothesis draws the order; what is checked at the end is `gradcheck.verification.check_history`.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gradcheck.strategies import parameters
from gradcheck.verification import History, VerificationError, check_clipping, check_history
from gradcore.errors import StateError
from gradcore.io import load_tensors, save_tensors
from gradcore.optim import clip_grad_norm, clip_grad_value, schedules
from gradcore.tensor import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from numpy.typing import NDArray


def _warmed_up(done: float) -> float:
    return schedules.warmup(0.25, schedules.cosine)(done)


SCHEDULES = {
    "constant": schedules.constant,
    "linear": schedules.linear,
    "cosine": schedules.cosine,
    "warmup, then cosine": _warmed_up,
}
SHAPES = [(), (0,), (1,), (3,), (2, 3), (3, 0), (5,), (2, 1, 2)]
SEEDS = st.integers(0, 2**32 - 1)
KINDS = st.lists(st.sampled_from(["normal", "normal", "half zeros", "zeros", "none"]), min_size=3, max_size=3)
"""Of each parameter's gradient; "none": it has none."""
EXPONENTS = st.integers(-3, 3)
FOREIGN = [
    "one missing",
    "one too many",
    "another shape",
    "another dtype",
    "more parameters",
    "steps that are no counts",
    "a hyperparameter that is no number",
    "a hyperparameter out of range",
]
"""What makes a state one that must be refused."""


def _kinds(least_ndim: int) -> st.SearchStrategy[list[tuple[tuple[int, ...], Any]]]:
    """Shapes and dtypes of a few parameters."""
    shapes = st.sampled_from([shape for shape in SHAPES if len(shape) >= least_ndim])
    return st.lists(st.tuples(shapes, st.sampled_from([np.float64, np.float32])), min_size=1, max_size=3)


class OptimizerMachine(RuleBasedStateMachine):
    """A few parameters of several shapes and dtypes under one optimizer, see `optimizer_machine`."""

    cls: ClassVar[Any]

    def __init__(self) -> None:
        super().__init__()
        self.histories: list[History] = []

    @initialize(
        hyper=st.runner().flatmap(lambda machine: parameters(machine.cls.spec.params)),
        kinds=st.runner().flatmap(lambda machine: _kinds(machine.cls.spec.least_ndim)),
        seed=SEEDS,
    )
    def start(self, hyper: dict[str, Any], kinds: list[tuple[tuple[int, ...], Any]], seed: int) -> None:
        """Parameters, and an optimizer over them."""
        rng = np.random.default_rng(seed)
        self.hyper = hyper
        self.tensors = [
            Tensor(np.array(rng.uniform(-2, 2, shape), dtype), requires_grad=True) for shape, dtype in kinds
        ]
        self.optimizer = self.cls(self.tensors, **hyper)
        self.lr = self.optimizer.lr
        self.factor = 1.0
        self.histories = [History(p.data.copy()) for p in self.tensors]
        self.grads: list[NDArray[Any] | None] = [None] * len(self.tensors)

    # --- what a training run does -------------------------------------------------------------------------------------

    @rule(kinds=KINDS, exponent=EXPONENTS, seed=SEEDS)
    def differentiate(self, kinds: list[str], exponent: int, seed: int) -> None:
        """New gradients, as a backward pass would leave them; some parameters take no part in it."""
        rng = np.random.default_rng(seed)
        for i, (p, kind) in enumerate(zip(self.tensors, kinds, strict=False)):
            g = rng.standard_normal(p.shape) * 10.0**exponent
            if kind == "half zeros":
                g = np.where(rng.random(p.shape) < 0.5, 0.0, g)
            g = np.array(g * 0 if kind == "zeros" else g, p.dtype, order="F" if seed % 2 else "C")
            p.grad = None if kind == "none" else g
            self.grads[i] = None if kind == "none" else g.copy()

    @rule(kinds=KINDS, exponent=EXPONENTS, seed=SEEDS, times=st.integers(1, 3))
    def train(self, kinds: list[str], exponent: int, seed: int, times: int) -> None:
        """A few steps, each along gradients of its own."""
        for t in range(times):
            self.differentiate(kinds, exponent, seed + t)
            self.step()

    @rule()
    def zero_grad(self) -> None:
        """Gradients are forgotten."""
        self.optimizer.zero_grad()
        self.grads = [None] * len(self.tensors)

    @rule(kind=st.sampled_from(["norm", "value"]), most=st.sampled_from([0.0, 0.01, 1.0, 30.0]))
    def clip(self, kind: str, most: float) -> None:
        """Gradients are clipped, all together or one by one."""
        check_clipping(kind, [g for g in self.grads if g is not None], most)
        (clip_grad_norm if kind == "norm" else clip_grad_value)(self.tensors, most)
        self.grads = [None if p.grad is None else p.grad.copy() for p in self.tensors]

    @rule(schedule=st.sampled_from(sorted(SCHEDULES)), done=st.integers(0, 8))
    def schedule(self, schedule: str, done: int) -> None:
        """The learning rate is set to what a schedule gives after `done` eighths of a run."""
        self.factor = SCHEDULES[schedule](done / 8)
        self.optimizer.lr = self.lr * self.factor

    @rule()
    def step(self) -> None:
        """The parameters with a gradient are changed; whether rightly, is checked at the end."""
        self.optimizer.step()
        for history, p, g in zip(self.histories, self.tensors, self.grads, strict=True):
            if g is not None:
                history.gradients.append(g)
                history.factors.append(self.factor)
                history.after.append(p.data.copy())

    @rule(file=st.booleans())
    def save_and_load(self, file: bool) -> None:
        """A new optimizer over new parameters takes over; what happens to the old one does not change it."""
        saved = self.optimizer.state_dict()
        values = [p.data.copy() for p in self.tensors]
        state = saved
        if file:
            values, state = through_a_file(values, saved)
        old, gone = self.optimizer, self.tensors
        self.tensors = [Tensor(x, requires_grad=True) for x in values]
        self.optimizer = self.cls(self.tensors)
        self.optimizer.load_state_dict(state)
        for p, g in zip(self.tensors, self.grads, strict=True):
            p.grad = None if g is None else g.copy()
        for p in gone:
            p.grad = np.ones_like(p.data)
        old.step()

    @rule(what=st.sampled_from(FOREIGN))
    def load_what_does_not_fit(self, what: str) -> None:
        """A state that is not this optimizer's is refused, by name, and leaves it as it was."""
        before = self.optimizer.state_dict()
        for state, culprit in spoiled(before, what):
            try:
                self.optimizer.load_state_dict(state)
            except StateError as error:
                if "does not fit" not in str(error) or culprit not in str(error):
                    raise self._wrong(
                        f"refused a state with {what} ({culprit}) without naming it: {error}"
                    ) from error
            except Exception as error:
                raise self._wrong(
                    f"a state with {what} ({culprit}) is to be refused with StateError, and raised "
                    f"{type(error).__name__}: {error}"
                ) from error
            else:
                raise self._wrong(f"took over a state with {what} ({culprit})")
            if not _same(before, self.optimizer.state_dict()):
                raise self._wrong(f"refused a state with {what} ({culprit}), and took over part of it before")

    # --- what always holds --------------------------------------------------------------------------------------------

    @precondition(lambda self: bool(self.histories))
    @invariant()
    def nothing_else_changes(self) -> None:
        """Parameters are what the last step with a gradient made of them, in shape and dtype too; gradients are as given."""
        for i, (history, p, g) in enumerate(zip(self.histories, self.tensors, self.grads, strict=True)):
            if (p.dtype, p.shape) != (history.start.dtype, history.start.shape):
                raise self._wrong(
                    f"parameter {i} was {history.start.dtype} {history.start.shape} and became {p.dtype} {p.shape}"
                )
            if not np.array_equal(p.data, history.after[-1] if history.after else history.start):
                raise self._wrong(
                    f"parameter {i} changed, and it was not by a step in which it had a gradient"
                )
            kept = p.grad is None if g is None else p.grad is not None and np.array_equal(p.grad, g)
            if not kept:
                raise self._wrong(f"the gradient of parameter {i} was {g!r} and became {p.grad!r}")

    def teardown(self) -> None:
        """All that happened, against a replay and the spec's reference."""
        for history in self.histories:
            check_history(self.cls, history, self.hyper)

    def _wrong(self, message: str) -> VerificationError:
        self.histories = []  # a mistake is reported once: nothing is left to check at the end
        named = ", ".join(f"{name}={value!r}" for name, value in self.hyper.items())
        return VerificationError(f"{self.cls.__name__}({named}): {message}")


def optimizer_machine(cls: Any) -> type[OptimizerMachine]:
    """The machine for an optimizer with a spec: `run_state_machine_as_test(optimizer_machine(Adam))`.

    Gradients come and are forgotten or clipped, some parameters have none, lr follows schedules, the state goes through a
    file into a new optimizer over new parameters, states that do not fit are refused. Whatever the order, parameters are
    what the spec's reference makes of their gradients, and nothing else changes. Raises `VerificationError`.
    """
    return type(f"{cls.__name__}Machine", (OptimizerMachine,), {"cls": cls})


def through_a_file(
    values: list[NDArray[Any]], state: Mapping[str, Any]
) -> tuple[list[NDArray[Any]], dict[str, Any]]:
    """Parameters and an optimizer's state as they come back from a safetensors file; what is no array is its metadata."""
    arrays = {name: value for name, value in state.items() if isinstance(value, np.ndarray)}
    rest = {name: value for name, value in state.items() if name not in arrays}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "checkpoint.safetensors"
        both = {f"parameters.{i}": x for i, x in enumerate(values)}
        both.update({f"optimizer.{name}": array for name, array in arrays.items()})
        save_tensors(path, both, {"optimizer": json.dumps(rest)})
        found, metadata = load_tensors(path)
    loaded = json.loads(metadata["optimizer"])
    loaded.update({name: found[f"optimizer.{name}"] for name in arrays})
    return [found[f"parameters.{i}"] for i in range(len(values))], loaded


def spoiled(state: Mapping[str, Any], what: str) -> Iterator[tuple[dict[str, Any], str]]:
    """States that differ from this one all over, and for one reason do not fit; each with what is to be named."""
    arrays = [name for name, value in state.items() if isinstance(value, np.ndarray)]
    hyper = [name for name in state if name not in arrays and name != "steps"]
    new = {name: state[name] + 1 if name in arrays else state[name] for name in state}
    new["lr"] = state["lr"] + 0.125
    new["steps"] = steps = [n + (n > 0) for n in state["steps"]]

    def with_each(names: list[str], spoil: Callable[[Any], Any]) -> Iterator[tuple[dict[str, Any], str]]:
        for name in names:
            yield {**new, name: spoil(new[name])}, name

    match what:
        case "one missing":
            for name in state:
                yield {other: value for other, value in new.items() if other != name}, name
        case "one too many":
            yield {**new, "0.unheard_of": np.zeros(2)}, "0.unheard_of"
        case "another shape":
            yield from with_each(arrays, lambda x: np.zeros((*np.shape(x), 2), x.dtype))
        case "another dtype":
            yield from with_each(arrays, lambda x: np.zeros(np.shape(x), np.float16))
        case "more parameters":
            yield {**new, "steps": [*steps, 1]}, f"of {len(steps) + 1} parameters"
        case "steps that are no counts":
            for wrong in (["first", *steps[1:]], [-1, *steps[1:]]):
                yield {**new, "steps": wrong}, "steps"
        case "a hyperparameter that is no number":
            yield from with_each(hyper, lambda _: "none")
        case "a hyperparameter out of range":
            yield from with_each(hyper, lambda _: -1.0)


def _same(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)
