"""Optimizers on drawn problems: the trajectory against a reference, numeric gradients, and saving in between."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from gradcheck.differences import derivative
from gradcheck.verification.outcome import VerificationError, first_difference
from gradcheck.verification.rounding import check_agreement, moved
from gradcore.tensor import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from gradcore.optim import Optimizer

    Values = NDArray[Any]


@dataclass(frozen=True)
class Problem:
    """One function per step of a few parameters, f_t(p) = sum(a_t (p - c_t)^2 / 2 + b_t exp(-p^2)), and a start.

    Curvatures are between 1/4 and 4, of the same sign as in a bowl; the bumps make it no quadratic, and each step's
    function differs, as batches do. start, a, b, c: by parameter, the last three with the steps as their first axis.
    """

    start: tuple[Values, ...]
    a: tuple[Values, ...]
    b: tuple[Values, ...]
    c: tuple[Values, ...]

    @classmethod
    def draw(
        cls, shapes: Sequence[tuple[int, ...]], steps: int, seed: int, dtype: Any = np.float64
    ) -> Problem:
        """A problem of these parameters' shapes and this many steps."""
        rng = np.random.default_rng(seed)

        def each(low: float, high: float, *more: int) -> tuple[Values, ...]:
            return tuple([rng.uniform(low, high, (*more, *shape)).astype(dtype) for shape in shapes])

        return cls(each(-2, 2), each(0.25, 4, steps), each(-1, 1, steps), each(-2, 2, steps))

    @property
    def steps(self) -> int:
        """How many steps."""
        return len(self.a[0])

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


def run(
    cls: Callable[..., Optimizer],
    problem: Problem,
    params: Mapping[str, Any],
    gradient: Callable[[int, int, Values], Values],
    *,
    reload_at: int | None = None,
) -> list[Values]:
    """The parameters after all steps; before step `reload_at` a new optimizer takes over the state of the old."""
    tensors = [Tensor(p.copy(), requires_grad=True) for p in problem.start]
    optimizer = cls(tensors, **params)
    for t in range(problem.steps):
        if t == reload_at:
            saved = optimizer.state_dict()
            optimizer = cls(tensors)
            optimizer.load_state_dict(saved)
        for i, p in enumerate(tensors):
            p.grad = np.asarray(gradient(t, i, p.data))
        optimizer.step()
    return [p.data for p in tensors]


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
    """Parameters after all steps against the spec's reference, each parameter on its own. Raises `VerificationError`.

    Rounding is measured as for any value: the start and the functions' coefficients are moved by a few eps.
    """
    for i, start in enumerate(problem.start):

        def ours(p: Any, a: Any, b: Any, c: Any) -> Any:
            alone = Problem((p,), (a,), (b,), (c,))
            return run(cls, alone, params, alone.gradient)[0]

        def reference(p: Any, a: Any, b: Any, c: Any) -> Any:
            alone = Problem((p,), (a,), (b,), (c,))
            gradients = [lambda x, t=t: alone.gradient(t, 0, x) for t in range(alone.steps)]
            return cls.spec.reference(p, gradients, **params)

        values = (start, problem.a[i], problem.b[i], problem.c[i])
        what = f"{cls.__name__}({_listed(params)}) after {problem.steps} steps on {start.dtype} {start.shape}"
        check_agreement(what, ours, reference, values, (True,) * 4)
    together = run(cls, problem, params, problem.gradient)
    for i, (p, start) in enumerate(zip(together, problem.start, strict=True)):
        alone = Problem(*[(part[i],) for part in (problem.start, problem.a, problem.b, problem.c)])
        if p.dtype != start.dtype:
            raise VerificationError(f"{cls.__name__}: parameter {i} was {start.dtype} and became {p.dtype}")
        if not np.array_equal(p, run(cls, alone, params, alone.gradient)[0]):
            raise VerificationError(
                f"{cls.__name__}({_listed(params)}): parameter {i} of {len(together)} moves otherwise when it is alone"
            )


def check_numeric_trajectory(cls: Any, problem: Problem, params: Mapping[str, Any]) -> None:
    """Numeric gradients lead where `backward`'s lead, up to what the numeric errors do. Raises `VerificationError`.

    What they do is measured: analytic gradients are moved by as much as the numeric ones' bounds, with random signs.
    """
    bounds: dict[tuple[int, int], Values] = {}

    def numeric(t: int, i: int, p: Values) -> Values:
        slopes, bounds[t, i] = problem.numeric_gradient(t, i, p)
        return slopes.astype(p.dtype)

    analytic = backward(problem)
    by_numbers = run(cls, problem, params, numeric)
    by_backward = run(cls, problem, params, analytic)
    rng = np.random.default_rng(0)

    def shaken(t: int, i: int, p: Values) -> Values:
        g = analytic(t, i, p)
        (shifted,) = moved([g], [True], float(np.finfo(g.dtype).eps), rng)
        return np.asarray(shifted + rng.choice([-1.0, 1.0], g.shape) * bounds[t, i], g.dtype)

    runs = [run(cls, problem, params, shaken) for _ in range(8)]
    for i, (found, expected) in enumerate(zip(by_numbers, by_backward, strict=True)):
        spread = np.max([np.abs(other[i].astype(np.float64) - expected) for other in runs], axis=0)
        steps = np.sqrt(problem.steps)  # one source of error a step
        difference = first_difference(found, expected, (1 + steps) * spread)
        if difference is not None:
            raise VerificationError(
                f"{cls.__name__}({_listed(params)}): with numeric gradients, entry {difference[0]} of parameter {i} ends "
                f"at {difference[1]}"
            )


def check_resumed(cls: Any, problem: Problem, params: Mapping[str, Any], reload_at: int) -> None:
    """Saving and loading the state between two steps changes nothing, to the last bit. Raises `VerificationError`."""
    through = run(cls, problem, params, problem.gradient)
    resumed = run(cls, problem, params, problem.gradient, reload_at=reload_at)
    for i, (p, q) in enumerate(zip(through, resumed, strict=True)):
        if not np.array_equal(p, q):
            raise VerificationError(
                f"{cls.__name__}({_listed(params)}): saved and loaded before step {reload_at}, parameter {i} ends at "
                f"{q!r}, and without at {p!r}"
            )


def _listed(params: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in params.items())
