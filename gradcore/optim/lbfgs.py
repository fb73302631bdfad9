"""L-BFGS."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from gradcore.errors import ArgumentError, DivergenceError, DomainError, GraphError, ShapeError, StateError
from gradcore.modes import enable_grad
from gradcore.optim.base import Optimizer, check
from gradcore.optim.line_search import Trial, strong_wolfe
from gradcore.state import check_state

if TYPE_CHECKING:
    from gradcore.optim.base import Array, Checks, Params

LEAST_CURVATURE = 1e-10
"""A pair whose y s is not above this is left out of the memory: the Hessian's estimate would lose its definiteness."""


def _check_count(name: str, value: Any) -> int:
    if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < 1:
        raise DomainError(f"{name}={value!r} is out of range: it must be a whole number of at least 1")
    return int(value)


def _check_most(name: str, value: Any) -> int | None:
    return None if value is None else _check_count(name, value)


def _check_search(name: str, value: Any) -> str | None:
    if value not in (None, "strong_wolfe"):
        raise DomainError(f"{name}={value!r} is none: write 'strong_wolfe', or None for steps of lr")
    found: str | None = value
    return found


def direction(gradient: Array, moves: list[Array], changes: list[Array]) -> Array:
    """-H gradient, H the inverse Hessian's estimate from the moves s and the gradient's changes y, the oldest first.

    Nocedal and Wright 2006, algorithm 7.4, with gamma I as the first estimate, gamma = y s / (y y) of the last pair; I where
    there is none.
    """
    found = -gradient
    weights: list[float] = []
    for s, y in zip(reversed(moves), reversed(changes), strict=True):
        weights.append(float(np.vdot(s, found)) / float(np.vdot(y, s)))
        found = found - weights[-1] * y
    if moves:
        found = found * (float(np.vdot(changes[-1], moves[-1])) / float(np.vdot(changes[-1], changes[-1])))
    for s, y, weight in zip(moves, changes, reversed(weights), strict=True):
        found = found + (weight - float(np.vdot(y, found)) / float(np.vdot(y, s))) * s
    return found


class LBFGS(Optimizer):
    """L-BFGS: steps along the gradient times an estimate of the inverse Hessian from the last `history_size` steps.

        def closure():
            optimizer.zero_grad()
            loss = f(x)
            loss.backward()
            return loss
        optimizer.step(closure)

    A call of `step` makes up to max_iter iterations with up to max_eval calls of the closure (5/4 max_iter by default), of lr
    times the direction, or of a length that meets the strong Wolfe conditions with line_search_fn="strong_wolfe".
    It ends where no gradient's entry is above tolerance_grad, or a step changes neither loss nor parameters by more than
    tolerance_change. All parameters are one vector: there are no groups.
    Liu and Nocedal 1989; the values are PyTorch's.
    """

    hyper: ClassVar[Checks] = {
        "lr": check,
        "max_iter": _check_count,
        "max_eval": _check_most,
        "tolerance_grad": check,
        "tolerance_change": check,
        "history_size": _check_count,
        "line_search_fn": _check_search,
    }
    takes_closure = True
    max_iter: int
    max_eval: int | None
    tolerance_grad: float
    tolerance_change: float
    history_size: int
    line_search_fn: str | None

    def __init__(
        self,
        params: Params,
        lr: float = 1.0,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ) -> None:
        super().__init__(
            params,
            lr=lr,
            max_iter=max_iter,
            max_eval=max_eval,
            tolerance_grad=tolerance_grad,
            tolerance_change=tolerance_change,
            history_size=history_size,
            line_search_fn=line_search_fn,
        )
        if len(self._parts) > 1:
            raise ArgumentError(
                "LBFGS got groups of parameters: it moves all as one vector, so pass one list"
            )
        self.iterations = 0
        self._length = 0.0
        self._direction: Array | None = None
        self._gradient: Array | None = None
        self._moves: list[Array] = []
        self._changes: list[Array] = []

    def add_param_group(self, group: Mapping[str, Any]) -> None:
        """Raises ArgumentError: all parameters are one vector."""
        raise ArgumentError("LBFGS moves all parameters as one vector: make another one of all of them")

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Some iterations, see the class; what the first call of `closure` returned.

        closure: clears the gradients, computes the loss, calls backward and returns the loss. Parameters get new arrays, and
        what holds the old ones keeps them. Raises ArgumentError without a closure, DivergenceError, before anything has
        changed, where the loss or a gradient is not finite.
        """
        if not callable(closure):
            raise ArgumentError(
                f"LBFGS.step got {closure!r:.60}: pass a function that clears the gradients, calls backward on the loss and "
                "returns the loss, as it is evaluated several times"
            )
        first: list[Any] = []

        def evaluate() -> tuple[float, Array]:
            with enable_grad():
                value = closure()
            first.append(value)
            return float(value), self._flat_gradient()

        loss, gradient = evaluate()
        if not (math.isfinite(loss) and np.isfinite(gradient).all()):
            raise DivergenceError(
                f"LBFGS starts a step where the loss is {loss} and the gradient "
                f"{'finite' if np.isfinite(gradient).all() else 'not finite'}: take a smaller lr, or a line search"
            )
        most = self.max_iter * 5 // 4 if self.max_eval is None else self.max_eval
        for left in reversed(range(self.max_iter)):
            if _largest(gradient) <= self.tolerance_grad:
                break
            before = loss
            along, slope = self._aim(gradient)
            if slope > -self.tolerance_change:
                break
            if self.line_search_fn is not None:
                loss, gradient = self._search(
                    evaluate, along, Trial(0.0, loss, gradient, slope), most - len(first)
                )
            else:
                self._place(self._vector() + self._length * along)
                if left:  # in a last iteration nothing would look at it
                    loss, gradient = evaluate()
            moved = self._length * _largest(along)
            still = moved <= self.tolerance_change or abs(loss - before) < self.tolerance_change
            if len(first) >= most or still:
                break
        return first[0]

    def _aim(self, gradient: Array) -> tuple[Array, float]:
        """Choose the direction and the length to try, from what the last step showed; the direction and its slope."""
        self.iterations += 1
        if self._direction is None or self._gradient is None:
            self._length = min(1.0, 1 / float(np.abs(gradient).sum())) * self.lr
        else:
            change, move = gradient - self._gradient, self._length * self._direction
            if float(np.vdot(change, move)) > LEAST_CURVATURE:
                self._moves = [*self._moves, move][-self.history_size :]
                self._changes = [*self._changes, change][-self.history_size :]
            self._length = self.lr
        self._direction = along = direction(gradient, self._moves, self._changes)
        self._gradient = gradient
        return along, float(np.vdot(gradient, along))

    def _search(
        self, evaluate: Callable[[], tuple[float, Array]], along: Array, start: Trial, most: int
    ) -> tuple[float, Array]:
        x = self._vector()

        def at(t: float) -> Trial:
            self._place(x + t * along)
            loss, gradient = evaluate()
            return Trial(t, loss, gradient, float(np.vdot(gradient, along)))

        found, _ = strong_wolfe(at, start, self._length, most, _largest(along), self.tolerance_change)
        self._length = found.t
        self._place(x + found.t * along)
        return found.loss, found.gradient

    def _vector(self) -> Array:
        return np.concatenate([p.data.ravel() for p in self.params])

    def _place(self, x: Array) -> None:
        """Give the parameters these values, in new arrays."""
        first = 0
        for p in self.params:
            values = x[first : first + p.size].reshape(p.shape)
            p.data = np.array(values, p.dtype)
            first += p.size

    def _flat_gradient(self) -> Array:
        """All gradients as one vector; zeros where there is none."""
        found = []
        for p in self.params:
            g = p.grad
            if g is not None and type(g) is not np.ndarray:
                raise GraphError(
                    f"a parameter of shape {p.shape} has {g!r:.60} as its gradient: p.grad is None or an array"
                )
            if g is not None and g.shape != p.shape:
                raise ShapeError(
                    f"a parameter of shape {p.shape} has a gradient of shape {g.shape}: they must agree"
                )
            found.append(np.zeros(p.size, p.dtype) if g is None else g.ravel())
        return np.concatenate(found)

    # --- saving and loading -------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Hyperparameters, iterations, and copies of the memory: {"lr": ..., "iterations": ..., "move.0": ..., "change.0": ...}."""
        found = {**self._settings(), "iterations": self.iterations, "length": self._length}
        return {**found, **{name: a.copy() for name, a in self._memory().items()}}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Load what `state_dict` returned, for parameters of the same sizes in the same order; StateError where it does not fit."""
        misfit = "this state does not fit LBFGS"
        numbers = ("iterations", "length")
        if not isinstance(state, Mapping):
            raise StateError(f"{misfit}: expected what state_dict() gives, got {state!r:.80}")
        if missing := [name for name in (*self.hyper, *numbers) if name not in state]:
            raise StateError(f"{misfit}: it lacks {', '.join(missing)}")
        try:
            hyper = self.fitted(state)
            length = check("length", state["length"])
            iterations = int(check("iterations", state["iterations"]))
        except DomainError as error:
            raise StateError(f"{misfit}: {error}") from error
        arrays = {
            name: np.array(value) if isinstance(value, np.ndarray) else value
            for name, value in state.items()
            if name not in hyper and name not in numbers
        }
        pairs = sum(name.startswith("move.") for name in arrays)
        names = [f"{kind}.{i}" for kind in ("move", "change") for i in range(pairs)]
        like = self._vector()
        expected = dict.fromkeys((*(["direction", "gradient"] if iterations else []), *names), like)
        check_state(expected, arrays, misfit)
        vars(self).update(
            hyper,
            iterations=iterations,
            _length=length,
            _direction=arrays.get("direction"),
            _gradient=arrays.get("gradient"),
            _moves=[arrays[f"move.{i}"] for i in range(pairs)],
            _changes=[arrays[f"change.{i}"] for i in range(pairs)],
        )

    def _memory(self) -> dict[str, Array]:
        found = {"direction": self._direction, "gradient": self._gradient}
        pairs = {
            f"{kind}.{i}": a
            for kind, arrays in (("move", self._moves), ("change", self._changes))
            for i, a in enumerate(arrays)
        }
        return {**{name: a for name, a in found.items() if a is not None}, **pairs}


def _largest(x: Array) -> float:
    return float(np.max(np.abs(x), initial=0.0))
