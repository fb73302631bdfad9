"""Optimizer: the base that keeps parameters, hyperparameters and state."""

from __future__ import annotations

import copy
import difflib
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

import numpy as np

from gradcore import names
from gradcore.errors import ArgumentError, DomainError, GraphError, ShapeError, StateError
from gradcore.holding import is_held
from gradcore.state import check_state
from gradcore.tensor import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

    Params: TypeAlias = Iterable[Tensor]
    Checks: TypeAlias = Mapping[str, Callable[[str, Any], Any]]
    Array: TypeAlias = NDArray[Any]
    Arrays: TypeAlias = Sequence[Array]

# Long arrays are updated in blocks that stay near the processor: a step is a dozen passes over the same numbers. Smaller
# blocks cost more in calls than they gain: 100,000 parameters take SGD 37 us in four blocks, 27 us in one.
BLOCK = 131_072


def check(name: str, value: Any, low: float = 0.0, high: float = math.inf) -> float:
    """`value` where low <= value < high, else DomainError."""
    if not (isinstance(value, int | float | np.number) and low <= value < high):
        raise DomainError(
            f"{name}={value!r} is out of range: it must be a number with {low} <= {name} < {high}"
        )
    return float(value)


def follow(mean: Array, x: Array, s: Array, by: Array, rest: Array) -> None:
    """mean = by mean + rest x, in place; s: scratch of their shape, which may be x."""
    np.multiply(x, rest, out=s)
    mean *= by
    mean += s


def check_flag(name: str, value: Any) -> bool:
    """`value` where it is True or False, else DomainError."""
    if not isinstance(value, bool | np.bool_):
        raise DomainError(f"{name}={value!r} is neither True nor False")
    return bool(value)


_ALIASES = {
    "learning_rate": "lr",
    "learningrate": "lr",
    "rate": "lr",
    "decay": "weight_decay",
    "beta": "betas",
}


class _Sealed(type):
    """Type of optimizers: once made, one takes no new attributes that look like a misspelt hyperparameter."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        made = super().__call__(*args, **kwargs)
        made._sealed = True
        return made


class Optimizer(metaclass=_Sealed):
    """Changes parameters by their gradients; each subclass writes the update of one array in `_update`.

    params: the Tensors to change, such as `model.parameters()`; each must require a gradient and come once.
    A parameter whose `grad` is None is left alone by `step`. Hyperparameters are attributes and may be changed between
    steps. Raises DomainError for a hyperparameter out of range, then as well, GraphError for an unusable parameter,
    ArgumentError where `params` are none.
    """

    hyper: ClassVar[Checks] = {"lr": check}
    """For each hyperparameter a function of `(name, value)` that returns the value to use, or raises DomainError."""
    lr: float
    _sealed = False

    def __init__(self, params: Params, **hyper: Any) -> None:
        self.params = _listed(params, type(self).__name__)
        vars(self).update(self.fitted(hyper))
        # One count for each parameter: Adam's bias correction starts with the parameter's first step, not the optimizer's.
        self.steps = [0] * len(self.params)
        if not self.params:
            raise GraphError(
                f"{type(self).__name__} got no parameters: pass model.parameters(), or a list of Tensors"
            )
        for i, p in enumerate(self.params):
            if not isinstance(p, Tensor) or not p.requires_grad or not p.is_leaf:
                raise GraphError(
                    f"{type(self).__name__} got {p!r:.80} as parameter {i}: a parameter is a Tensor made with "
                    "requires_grad=True, not the result of an operation"
                )
        if len({id(p) for p in self.params}) < len(self.params):
            raise GraphError(
                f"{type(self).__name__} got the same parameter twice: it would be changed twice a step"
            )
        self._state: list[dict[str, Array]] = [{} for _ in self.params]
        # Views of one buffer a dtype, so that what is written for one parameter is still in the cache for the next.
        self._scratch: list[Array | None] = [None] * len(self.params)

    @classmethod
    def fitted(cls, hyper: Mapping[str, Any]) -> dict[str, Any]:
        """The hyperparameters as they are used, all of them; DomainError where one is out of range or two contradict."""
        return {name: fit(name, hyper[name]) for name, fit in cls.hyper.items()}

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self.hyper and name in vars(self):
            value = self.fitted({**{key: getattr(self, key) for key in self.hyper}, name: value})[name]
        elif self._sealed and not hasattr(self, name) and (meant := self._meant(name)):
            raise AttributeError(
                f"{type(self).__name__} has no attribute {name!r}: did you mean {meant}? Its hyperparameters are "
                f"{', '.join(self.hyper)}"
            )
        object.__setattr__(self, name, value)

    def _meant(self, name: str) -> str | None:
        """The hyperparameter that `name` is a misspelling or another name of, if it is one."""
        meant = _ALIASES.get(name.lower())
        close = [meant] if meant in self.hyper else difflib.get_close_matches(name.lower(), self.hyper)
        return close[0] if close and not name.startswith("_") else None

    __dir__ = names.without_hints

    def buffers(self) -> tuple[str, ...]:
        """Names of the running values kept for each entry of a parameter; subclasses override it."""
        return ()

    def _numbers(self, step: int) -> tuple[float, ...]:
        """The scalars that `_update` uses, for a parameter at its step number `step` (from 1)."""
        raise NotImplementedError

    def _update(self, p: Array, g: Array, s: Array, numbers: Arrays, state: Arrays) -> None:
        """Change p in place by its gradient g.

        s: scratch of p's shape. numbers: those of `_numbers`, as 0-d arrays of p's dtype. state: the arrays that `buffers`
        names, to be kept up to date in place.
        """
        raise NotImplementedError

    def zero_grad(self) -> None:
        """Clear the gradients of all parameters."""
        for p in self.params:
            p.grad = None

    def step(self) -> None:
        """Change every parameter that has a gradient.

        In place, unless something else holds the parameter's array: a graph that is still to be differentiated, or a
        variable of yours. Those keep their values, and the parameter gets a new array.
        """
        names = self.buffers()
        prepared = 0
        by_dtype: dict[Any, list[Array]] = {}
        for i, p in enumerate(self.params):
            g = p.grad
            if g is None:
                continue
            held = is_held(p)
            x = p.data
            if type(g) is not np.ndarray:
                raise GraphError(
                    f"a parameter of shape {x.shape} has {g!r:.60} as its gradient: p.grad is None or an array"
                )
            if g.shape != x.shape:
                raise ShapeError(
                    f"a parameter of shape {x.shape} has a gradient of shape {g.shape}: they must agree"
                )
            self.steps[i] += 1
            if self.steps[i] != prepared:
                prepared, by_dtype = self.steps[i], {}
            numbers = by_dtype.get(x.dtype)
            if numbers is None:  # as arrays: a Python number takes NumPy longer than a thousand entries do
                numbers = by_dtype[x.dtype] = [np.array(n, x.dtype) for n in self._numbers(prepared)]
            if held:
                p.data = x = x.copy()
            arrays: list[Array] = []
            if names:
                state = self._state[i]
                if len(state) < len(names):
                    state.update({name: np.zeros_like(x) for name in names if name not in state})
                arrays = [state[name] for name in names]
            if x.size <= BLOCK or not _flat(x, g, *arrays):
                self._update(x, g, self._scratch_for(i, x), numbers, arrays)
            else:
                x, g, *arrays = (a.reshape(-1) for a in (x, g, *arrays))
                scratch = self._scratch_for(i, x[:BLOCK])
                for start in range(0, x.size, BLOCK):
                    part = slice(start, start + BLOCK)
                    room = scratch[: x[part].size]
                    self._update(x[part], g[part], room, numbers, [a[part] for a in arrays])

    def _scratch_for(self, i: int, x: Array) -> Array:
        found = self._scratch[i]
        if found is None or found.shape != x.shape or found.dtype != x.dtype:
            bases = (view.base for view in self._scratch if view is not None and view.dtype == x.dtype)
            room = next((base for base in bases if base is not None and base.size >= x.size), None)
            if room is None:
                room = np.empty(max(x.size, BLOCK), x.dtype)
            found = self._scratch[i] = room[: x.size].reshape(x.shape)
        return found

    # --- saving and loading -------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Hyperparameters, steps by parameter, and copies of the running values: {"lr": ..., "steps": ..., "0.mean": ...}."""
        found: dict[str, Any] = {name: getattr(self, name) for name in self.hyper}
        found["steps"] = list(self.steps)
        for i, (p, state) in enumerate(zip(self.params, self._state, strict=True)):
            if self.steps[i]:
                for name in self.buffers():
                    found[f"{i}.{name}"] = state[name].copy() if name in state else np.zeros_like(p.data)
        return found

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Load what `state_dict` returned, for parameters of the same shapes and dtypes in the same order.

        Raises StateError, and changes nothing, where names, shapes or dtypes differ (the message lists every difference)
        and where a hyperparameter is out of range.
        """
        misfit = f"this state does not fit {type(self).__name__}"
        if not isinstance(state, Mapping):
            raise StateError(f"{misfit}: expected what state_dict() gives, got {state!r:.80}")
        if missing := [name for name in (*self.hyper, "steps") if name not in state]:
            raise StateError(f"{misfit}: it lacks {', '.join(missing)}")
        try:
            hyper = self.fitted(state)
            steps = _counts(state["steps"])
        except DomainError as error:
            raise StateError(f"{misfit}: {error}") from error
        if len(steps) != len(self.params):
            raise StateError(
                f"{misfit}: it is the state of {len(steps)} parameters, and the optimizer has {len(self.params)}"
            )
        loaded = copy.copy(self)
        vars(loaded).update(hyper)
        # A parameter that never had a gradient has no running values.
        expected = {
            f"{i}.{name}": p.data
            for i, p in enumerate(self.params)
            if steps[i]
            for name in loaded.buffers()  # its hyperparameters decide which there are
        }
        arrays = {
            name: np.array(value) if isinstance(value, np.ndarray) else value
            for name, value in state.items()
            if name not in self.hyper and name != "steps"
        }
        check_state(expected, arrays, misfit)
        vars(self).update(hyper)
        self.steps = steps
        self._state = [{} for _ in self.params]
        for path in expected:
            number, _, name = path.partition(".")
            self._state[int(number)][name] = arrays[path]

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.hyper)
        return f"{type(self).__name__}({len(self.params)} parameters, {shown})"


names.attach(Optimizer, "Optimizer", names.OPTIMIZER)


def _listed(params: Any, name: str) -> list[Tensor]:
    """The parameters as a list; ArgumentError for what is often passed in their place."""
    if hasattr(params, "named_parameters"):
        if isinstance(params, type):
            raise ArgumentError(
                f"{name} got the class {params.__name__}: make a model of it, and pass model.parameters()"
            )
        raise ArgumentError(
            f"{name} got a model, {type(params).__name__}: pass its parameters, {name}(model.parameters())"
        )
    if isinstance(params, Tensor):
        raise ArgumentError(f"{name} got one Tensor: pass a list of them, {name}([x])")
    if callable(params):
        raise ArgumentError(
            f"{name} got a function, {params!r:.60}: call it, as in {name}(model.parameters())"
        )
    try:
        found = list(params)
    except TypeError:
        raise ArgumentError(
            f"{name} got {params!r:.60}: pass model.parameters(), or a list of Tensors"
        ) from None
    for entry in found:
        if isinstance(entry, dict):
            raise ArgumentError(
                f"{name} got a group of parameters as a dict: make one optimizer for each group, {name}(parameters, lr=...)"
            )
        if isinstance(entry, tuple) and len(entry) == 2 and isinstance(entry[1], Tensor):
            raise ArgumentError(
                f"{name} got pairs of names and Tensors: pass model.parameters(), which has no names"
            )
    return found


def _flat(*arrays: Array) -> bool:
    return all(a.flags.c_contiguous for a in arrays)


def _counts(steps: Any) -> list[int]:
    """`steps` as a list of whole numbers of at least 0, else DomainError."""
    sequence = isinstance(steps, list | tuple | np.ndarray)
    if not sequence or not all(isinstance(n, int | np.integer) and n >= 0 for n in steps):
        raise DomainError(
            f"steps={steps!r} is not a list of whole numbers of at least 0, one for each parameter"
        )
    return [int(n) for n in steps]
