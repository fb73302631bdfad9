"""Optimizers: the trajectory against a reference, with numeric gradients, as a replay of a history; clipping."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from gradcheck.numeric.derivative import derivative
from gradcheck.verification.agreement import check_agreement, shifted
from gradcheck.verification.outcome import VerificationError, first_difference
from gradcore.errors import DomainError, GraphError, ShapeError
from gradcore.optim import clip_grad_norm, clip_grad_value
from gradcore.tensor import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from gradcore.optim import Optimizer

    Values = NDArray[Any]


ROUNDINGS = 8
"""Units of eps by which one step of an optimizer may round a parameter: so many operations, none larger than its way."""


@dataclass(frozen=True)
class Problem:
    """One function per step of a few parameters, f_t(p) = sum(a_t (p - c_t)^2 / 2 + b_t exp(-p^2)), and a start.

    Curvatures are between 1/4 and 4, of the same sign as in a bowl; the bumps make it no quadratic, and each step's
    function differs, as batches do. start, a, b, c: by parameter, the last three with the steps as their first axis.
    factors: of lr, by step.
    """

    start: tuple[Values, ...]
    a: tuple[Values, ...]
    b: tuple[Values, ...]
    c: tuple[Values, ...]
    factors: tuple[float, ...]

    @classmethod
    def draw(
        cls, shapes: Sequence[tuple[int, ...]], steps: int, seed: int, dtype: Any = np.float64
    ) -> Problem:
        """A problem of these parameters' shapes and this many steps."""
        rng = np.random.default_rng(seed)

        def each(low: float, high: float, *more: int) -> tuple[Values, ...]:
            return tuple([rng.uniform(low, high, (*more, *shape)).astype(dtype) for shape in shapes])

        factors = tuple(rng.choice([1.0, 0.5, 0.0], steps, p=[0.7, 0.2, 0.1]).tolist())
        return cls(each(-2, 2), each(0.25, 4, steps), each(-1, 1, steps), each(-2, 2, steps), factors)

    @property
    def steps(self) -> int:
        """How many steps."""
        return len(self.a[0])

    def alone(self, p: Any, a: Any, b: Any, c: Any) -> Problem:
        """The same steps for one parameter by itself, with these values."""
        return Problem((p,), (a,), (b,), (c,), self.factors)

    def value(self, t: int, i: int, p: Any) -> Any:
        """The part of f_t that parameter i makes, on arrays and on Tensors."""
        offset = p - self.c[i][t]
        return (self.a[i][t] * offset * offset * 0.5 + self.b[i][t] * np.exp(-p * p)).sum()

    def gradient(self, t: int, i: int, p: Any) -> Any:
        """Its derivative, written out."""
        return self.a[i][t] * (p - self.c[i][t]) - 2 * p * self.b[i][t] * np.exp(-p * p)

    def numeric_gradient(self, t: int, i: int, p: Values) -> tuple[Values, Values]:
        """The derivative by each entry, measured from values of the function alone, and bounds on its errors."""
        slopes, bounds = np.zeros(p.shape), np.zeros(p.shape)
        for index in np.ndindex(*p.shape):
            v = np.zeros(p.shape)
            v[index] = 1.0
            found = derivative(lambda x: np.asarray(self.value(t, i, x)), p.astype(np.float64), v)
            slopes[index], bounds[index] = float(found.value), float(found.bound)
        return slopes, bounds


@dataclass
class History:
    """What one parameter went through: its start, and of every step that changed it the gradient, lr's factor, the result."""

    start: Values
    gradients: list[Values] = field(default_factory=list)
    factors: list[float] = field(default_factory=list)
    after: list[Values] = field(default_factory=list)


def run(
    cls: Callable[..., Optimizer],
    start: Sequence[Values],
    gradient: Callable[[int, int, Values], Values],
    factors: Sequence[float],
    params: Mapping[str, Any],
) -> list[Values]:
    """Of each parameter, its values after each step, stacked; `gradient(t, i, p)` is parameter i's at step t."""
    tensors = [Tensor(p.copy(), requires_grad=True) for p in start]
    optimizer = cls(tensors, **params)
    lr = optimizer.lr
    seen = [np.empty((len(factors), *p.shape), p.dtype) for p in tensors]
    for t, factor in enumerate(factors):
        optimizer.lr = lr * factor
        for i, p in enumerate(tensors):
            p.grad = np.asarray(gradient(t, i, p.data))
        optimizer.step()
        for values, p, before in zip(seen, tensors, start, strict=True):
            if (p.dtype, p.shape) != (before.dtype, before.shape):
                raise VerificationError(
                    f"{_named(cls, params)}: a parameter was {before.dtype} {before.shape} and became {p.dtype} {p.shape}"
                )
            values[t] = p.data
    return seen


def backward(problem: Problem) -> Callable[[int, int, Values], Values]:
    """Gradients by gradcore's own backward pass."""

    def gradient(t: int, i: int, x: Values) -> Values:
        p = Tensor(x.copy(), requires_grad=True)
        problem.value(t, i, p).backward()
        if p.grad is None:
            raise VerificationError("backward left no gradient for an optimizer's parameter")
        return p.grad

    return gradient


def check_trajectory(cls: Any, problem: Problem, params: Mapping[str, Any]) -> None:
    """Parameters after each step against the spec's reference, each parameter on its own. Raises `VerificationError`.

    Rounding is measured as for any value: the start and the functions' coefficients are moved by a few eps.
    A problem from which the reference runs away compares nothing: no two ways to round lead to one place then.
    """

    def reference(*values: Any) -> Any:
        one = problem.alone(*values)
        gradients = [lambda x, t=t: one.gradient(t, 0, x) for t in range(one.steps)]
        return np.array(list(cls.spec.reference(values[0], gradients, one.factors, **params)))

    def ours(*values: Any) -> Any:
        one = problem.alone(*values)
        return run(cls, one.start, one.gradient, one.factors, params)[0]

    each = list(zip(problem.start, problem.a, problem.b, problem.c, strict=True))
    if any(_runs_away(reference, values) for values in each):
        return
    together = run(cls, problem.start, problem.gradient, problem.factors, params)
    for i, values in enumerate(each):
        start = values[0]
        what = f"{_named(cls, params)} over {problem.steps} steps on {start.dtype} {start.shape}"
        check_agreement(what, ours, reference, values, (True,) * 4)
        if not np.array_equal(together[i], ours(*values)):
            raise VerificationError(
                f"{_named(cls, params)}: parameter {i} of {len(together)} moves otherwise when it is alone"
            )


def _runs_away(reference: Callable[..., Any], values: Sequence[Values]) -> bool:
    """Whether the reference's parameters grow until their squares leave their dtype.

    Centered RMSprop with alpha = 0 does: a variance of one value is 0, and each step divides by eps alone.
    """
    with np.errstate(all="ignore"):
        trajectory = np.abs(reference(*(x.astype(np.float64) for x in values)))
    return not (trajectory <= np.sqrt(np.finfo(values[0].dtype).max) / 1e4).all()


def check_history(cls: Any, history: History, params: Mapping[str, Any]) -> None:
    """What one parameter went through, along with others and whatever else, against a replay and the spec's reference.

    A new optimizer over the parameter alone must repeat it to the last bit, and the reference agree with that up to
    measured rounding, unless it runs away. Raises `VerificationError`.
    """
    steps = len(history.gradients)
    if not steps:
        return
    what = f"{_named(cls, params)} over {steps} steps on {history.start.dtype} {history.start.shape}"

    def ours(start: Any, *gradients: Any) -> Any:
        return run(cls, [start], lambda t, _i, _p: gradients[t], history.factors, params)[0]

    def reference(start: Any, *gradients: Any) -> Any:
        constant = [lambda _p, g=g: g for g in gradients]
        return np.array(list(cls.spec.reference(start, constant, history.factors, **params)))

    replayed = ours(history.start, *history.gradients)
    difference = first_difference(np.array(history.after), replayed, 0.0)
    if difference is not None:
        raise VerificationError(
            f"{what}: entry {difference[0]} of the values after each step is {difference[1]}, by the same steps of a new "
            "optimizer without interruption"
        )
    values = (history.start, *history.gradients)
    if not _runs_away(reference, values):
        check_agreement(what, ours, reference, values, (True,) * len(values))


def check_clipping(kind: str, gradients: Sequence[Values], most: float) -> None:
    """Gradients of a few parameters after `clip_grad_norm` (and the norm) or `clip_grad_value`, kind "norm" or "value".

    Raises `VerificationError`.
    """

    def ours(*arrays: Values) -> Values:
        tensors = [Tensor(np.zeros_like(g), requires_grad=True) for g in arrays]
        for tensor, g in zip(tensors, arrays, strict=True):
            tensor.grad = np.array(g)
        norm = 0.0
        if kind == "norm":
            norm = clip_grad_norm(tensors, most)
        else:
            clip_grad_value(tensors, most)
        return np.concatenate([[norm], *[np.ravel(np.asarray(t.grad)) for t in tensors]])

    def reference(*arrays: Values) -> Values:
        entries = [float(x) for g in arrays for x in g.ravel()]
        if kind == "value":
            return np.array([0.0, *[sorted((-most, x, most))[1] for x in entries]])
        norm = math.hypot(*entries)
        return np.array([norm, *[x if norm <= most else x / norm * most for x in entries]])

    shapes = ", ".join(f"{g.dtype} {g.shape}" for g in gradients)
    what = f"clip_grad_{kind}({shapes}; {most})"
    check_agreement(what, ours, reference, gradients, (True,) * len(gradients))


def check_refusals(cls: Any) -> None:
    """Parameters, hyperparameters and gradients that can't be are refused by name. Raises `VerificationError`."""

    def parameter() -> Tensor:
        return Tensor(np.ones((2,) * max(1, cls.spec.least_ndim)), requires_grad=True)

    def stepped() -> None:
        p = parameter()
        p.grad = np.ones(3)
        cls([p]).step()

    one = parameter()
    tries: list[tuple[str, Callable[[], Any], type[Exception], str]] = [
        ("no parameters", lambda: cls([]), GraphError, "no parameters"),
        ("a constant", lambda: cls([one, Tensor(np.ones(2))]), GraphError, "parameter 1"),
        ("an array", lambda: cls([np.ones(2)]), GraphError, "parameter 0"),
        ("a result", lambda: cls([one * 2]), GraphError, "parameter 0"),
        ("one parameter twice", lambda: cls([one, one]), GraphError, "twice"),
        ("a gradient of another shape", stepped, ShapeError, "(3,)"),
    ]
    tries += [
        (f"{name}={value!r}", partial(cls, [one], **{name: value}), DomainError, name)
        for name in cls.hyper
        for value in (-1.0, "none")
    ]
    for what, attempt, kind, named in tries:
        try:
            attempt()
        except kind as error:
            if named not in str(error):
                raise VerificationError(
                    f"{cls.__name__} refused {what} without naming it: {error}"
                ) from error
        except Exception as error:
            raise VerificationError(
                f"{cls.__name__} is to refuse {what} with {kind.__name__}, and raised {type(error).__name__}: {error}"
            ) from error
        else:
            raise VerificationError(f"{cls.__name__} took {what}")


def check_numeric_trajectory(cls: Any, problem: Problem, params: Mapping[str, Any]) -> None:
    """Numeric gradients lead where `backward`'s lead, up to what the numeric errors do. Raises `VerificationError`.

    What they do is measured: analytic gradients are moved by as much as the numeric ones' bounds, with random signs. And each
    step rounds what it leaves, also where the gradient's size does not matter (g / sqrt(g^2), RMSprop's first step).
    """
    bounds: dict[tuple[int, int], Values] = {}

    def numeric(t: int, i: int, p: Values) -> Values:
        slopes, bounds[t, i] = problem.numeric_gradient(t, i, p)
        return slopes.astype(p.dtype)

    def led(gradient: Callable[[int, int, Values], Values]) -> list[Values]:
        return run(cls, problem.start, gradient, problem.factors, params)

    analytic = backward(problem)
    by_numbers = led(numeric)
    by_backward = led(analytic)
    rng = np.random.default_rng(0)

    def shaken(t: int, i: int, p: Values) -> Values:
        g = analytic(t, i, p)
        (g,) = shifted([g], [True], float(np.finfo(g.dtype).eps), rng)
        return np.asarray(g + rng.choice([-1.0, 1.0], g.shape) * bounds[t, i], g.dtype)

    runs = [led(shaken) for _ in range(8)]
    for i, (found, expected) in enumerate(zip(by_numbers, by_backward, strict=True)):
        spread = np.max([np.abs(other[i][-1].astype(np.float64) - expected[-1]) for other in runs], axis=0)
        steps = np.sqrt(problem.steps)  # one source of error a step
        size = np.maximum(np.abs(problem.start[i]), np.max(np.abs(expected), axis=0))
        rounded = ROUNDINGS * problem.steps * np.finfo(expected.dtype).eps * size
        difference = first_difference(found[-1], expected[-1], (1 + steps) * spread + rounded)
        if difference is not None:
            raise VerificationError(
                f"{_named(cls, params)}: with numeric gradients, entry {difference[0]} of parameter {i} ends at "
                f"{difference[1]}"
            )


def _named(cls: Any, params: Mapping[str, Any]) -> str:
    return f"{cls.__name__}({', '.join(f'{name}={value!r}' for name, value in params.items())})"
