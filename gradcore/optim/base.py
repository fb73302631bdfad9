"""Optimizer: the base that keeps parameters, hyperparameters and state."""

from __future__ import annotations

import copy
import inspect
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

import numpy as np

from gradcore import names
from gradcore.errors import ArgumentError, DomainError, GraphError, ShapeError
from gradcore.holding import is_held
from gradcore.modes import callback, clear
from gradcore.optim.groups import Common, grouped
from gradcore.optim.states import read, running_values
from gradcore.tensor import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

    Params: TypeAlias = Iterable[Tensor] | Iterable[Mapping[str, Any]]
    Checks: TypeAlias = Mapping[str, Callable[[str, Any], Any]]
    Array: TypeAlias = NDArray[Any]
    Arrays: TypeAlias = Sequence[Array]

# Long arrays are updated in blocks that stay near the processor: a step is a dozen passes over the same numbers. Smaller
# blocks cost more in calls than they gain: 100,000 parameters take SGD 37 us in four blocks, 27 us in one.
BLOCK = 131_072
# Bytes of scratch that are kept for the next step. More is given back: kept, it would be there in vain while a step holds most.
KEPT = 65_536


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
        made._divide()
        made._sealed = True
        return made

    @property
    def __signature__(cls) -> inspect.Signature:
        """That of `__init__`, which the call above hides from help() and from editors."""
        found = inspect.signature(next(vars(c)["__init__"] for c in cls.mro() if "__init__" in vars(c)))
        return found.replace(parameters=[p for n, p in found.parameters.items() if n != "self"])


class Optimizer(metaclass=_Sealed):
    """Changes parameters by their gradients; each subclass writes the update of one array in `_update`.

    params: the Tensors to change, such as `model.parameters()`; each must require a gradient and come once. Or groups of
    them, dicts with "params" and hyperparameters of their own: `[{"params": a, "lr": 0.1}, {"params": b}]`.
    A parameter whose `grad` is None is left alone by `step`. Hyperparameters are attributes and may be changed between
    steps, those of a group as `param_groups[0].lr` or `param_groups[0]["lr"]`. Raises DomainError for a hyperparameter out
    of range, then as well, GraphError for an unusable parameter, ArgumentError where `params` are none.
    """

    hyper: ClassVar[Checks] = {"lr": check}
    """For each hyperparameter a function of `(name, value)` that returns the value to use, or raises DomainError."""
    elementwise: ClassVar[bool] = True
    """Whether `_update` may be given an array in parts."""
    takes_closure: ClassVar[bool] = False
    """Whether `step` evaluates the loss itself, by a function that it is given."""
    lr: float
    params: list[Tensor]
    steps: list[int]
    _state: list[dict[str, Array]]
    _scratch: list[Array | None]
    _sealed = False
    _groups: Sequence[Optimizer] = ()

    def __init__(self, params: Params, **hyper: Any) -> None:
        groups = grouped(params, type(self).__name__, self._option)
        self._defaults = self.fitted(hyper)
        self._parts = [(found, self.fitted({**hyper, **options})) for found, options in groups]
        self._take([p for found, _ in groups for p in found], self._parts[0][1])
        self._check_params()

    def _take(self, params: list[Tensor], hyper: Mapping[str, Any]) -> None:
        """Begin with these parameters and hyperparameters, as one group."""
        count = len(params)
        # steps: one count for each parameter, as Adam's bias correction starts with the parameter's first step. _scratch:
        # views of one buffer a dtype, so that what is written for one parameter is still in the cache for the next.
        vars(self).update(
            hyper, params=params, steps=[0] * count, _state=[{} for _ in params], _scratch=[None] * count
        )

    def _divide(self) -> None:
        """Become several groups, where there are several: each is an optimizer of its own, of the same class."""
        parts = vars(self).pop("_parts")
        if len(parts) > 1:
            self._hold([self._like(*part) for part in parts])

    def _like(self, params: list[Tensor], hyper: Mapping[str, Any]) -> Optimizer:
        group = copy.copy(self)
        group._take(params, hyper)
        return group

    def _hold(self, groups: list[Optimizer]) -> None:
        self._groups = groups
        self.params = [p for group in groups for p in group.params]
        for name in (*self.hyper, "steps", "_state", "_scratch"):  # which each group has now
            vars(self).pop(name, None)
        for name in self.hyper:  # not before: an attribute of the class slows down the instances' own
            if not hasattr(type(self), name):
                setattr(type(self), name, Common(name))

    def _check_params(self) -> None:
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

    # --- groups -------------------------------------------------------------------------------------------------------

    @property
    def param_groups(self) -> tuple[Optimizer, ...]:
        """The groups of parameters, each with its `params` and hyperparameters; of one group, the optimizer itself."""
        return tuple(self._groups) or (self,)

    def add_param_group(self, group: Mapping[str, Any]) -> None:
        """One more group, a dict as at construction; what it does not set is as it was set for all at construction.

        Raises as construction does, and then changes nothing.
        """
        ((params, options),) = grouped([group], type(self).__name__, self._option)
        added = self._like(params, self.fitted({**self._defaults, **options}))
        added._groups = ()  # of a copy of an optimizer of several
        added._check_params()
        both = copy.copy(self)
        both.params = [*self.params, *params]
        both._check_params()
        self._hold([*(self._groups or [copy.copy(self)]), added])

    @property
    def lrs(self) -> tuple[float, ...]:
        """The lr of each group; setting it takes one for each."""
        return tuple(group.lr for group in self.param_groups)

    @lrs.setter
    def lrs(self, values: Sequence[float]) -> None:
        if len(values) != len(self.param_groups):
            raise ArgumentError(
                f"{type(self).__name__} has {len(self.param_groups)} groups of parameters, and got {len(values)} for lr"
            )
        for group, lr in zip(self.param_groups, values, strict=True):
            group.lr = lr

    def __getitem__(self, name: str) -> Any:
        """A hyperparameter, or "params", by name, as PyTorch writes it: `param_groups[0]["lr"]`."""
        return getattr(self, name if name == "params" else self._option(name))

    def __setitem__(self, name: str, value: Any) -> None:
        setattr(self, self._option(name), value)

    __iter__: ClassVar[None] = None  # with items by name alone, Python would go over numbers

    def _option(self, name: Any) -> str:
        """`name` where it is a hyperparameter's, else ArgumentError."""
        if name not in self.hyper:
            meant = self._meant(name) if isinstance(name, str) else None
            raise ArgumentError(
                f"{type(self).__name__} has no hyperparameter {name!r}"
                + (f": did you mean {meant}?" if meant else f": it has {', '.join(self.hyper)}")
            )
        return str(name)

    @classmethod
    def fitted(cls, hyper: Mapping[str, Any]) -> dict[str, Any]:
        """The hyperparameters as they are used, all of them; DomainError where one is out of range or two contradict."""
        return {name: fit(name, hyper[name]) for name, fit in cls.hyper.items()}

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self.hyper and name in vars(self):
            value = self.fitted({**self._settings(), name: value})[name]
        elif self._groups and name in self.hyper:
            getattr(self, name)  # which must be the same in all
            fitted = [group.fitted({**group._settings(), name: value})[name] for group in self._groups]
            for group, one in zip(self._groups, fitted, strict=True):
                setattr(group, name, one)
            return
        elif self._sealed and not hasattr(self, name) and (meant := self._meant(name)):
            raise AttributeError(
                f"{type(self).__name__} has no attribute {name!r}: did you mean {meant}? Its hyperparameters are "
                f"{', '.join(self.hyper)}"
            )
        object.__setattr__(self, name, value)

    def _settings(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.hyper}

    def _meant(self, name: str) -> str | None:
        """The hyperparameter that `name` is a misspelling or another name of, if it is one."""
        import difflib

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
        clear(self.params)

    def step(self) -> None:
        """Change every parameter that has a gradient.

        In place, unless something else holds the parameter's array: a graph that is still to be differentiated, or a
        variable of yours. Those keep their values, and the parameter gets a new array.
        """
        callback(self._step)

    def _step(self) -> None:
        if self._groups:
            for group in self._groups:
                group._step()
            return
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
            if x.size <= BLOCK or not self.elementwise or not _flat(x, g, *arrays):
                self._update(x, g, self._scratch_for(i, x), numbers, arrays)
            else:
                x, g, *arrays = (a.reshape(-1) for a in (x, g, *arrays))
                scratch = self._scratch_for(i, x[:BLOCK])
                for start in range(0, x.size, BLOCK):
                    part = slice(start, start + BLOCK)
                    room = scratch[: x[part].size]
                    self._update(x[part], g[part], room, numbers, [a[part] for a in arrays])

    def _scratch_for(self, i: int, x: Array) -> Array:
        if x.nbytes > KEPT:
            return np.empty(x.shape, x.dtype)
        found = self._scratch[i]
        if found is None or found.shape != x.shape or found.dtype != x.dtype:
            room = next(
                (view.base for view in self._scratch if view is not None and view.dtype == x.dtype), None
            )
            if room is None:
                room = np.empty(KEPT // x.itemsize, x.dtype)
            found = self._scratch[i] = room[: x.size].reshape(x.shape)
        return found

    # --- saving and loading -------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Hyperparameters, steps by parameter, and copies of the running values: {"lr": ..., "steps": ..., "0.mean": ...}.

        Of several groups {"groups": [{"lr": ..., "steps": ...}, ...], "0.mean": ...}, parameters counted through all.
        """
        groups = [{**group._settings(), "steps": list(group.steps)} for group in self.param_groups]
        return {**({"groups": groups} if self._groups else groups[0]), **running_values(self.param_groups)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Load what `state_dict` returned, for parameters of the same shapes and dtypes in the same order and groups.

        Raises StateError, and changes nothing, where groups, names, shapes or dtypes differ (the message lists every
        difference) and where a hyperparameter is out of range.
        """
        for group, loaded in zip(
            self.param_groups, read(self.param_groups, state, type(self).__name__), strict=True
        ):
            vars(group).update(loaded)

    def __repr__(self) -> str:
        groups = self.param_groups
        shown = [(name, list(dict.fromkeys(repr(group[name]) for group in groups))) for name in self.hyper]
        each = ", ".join(f"{name}={' / '.join(values)}" for name, values in shown)
        of = f" in {len(groups)} groups" if self._groups else ""
        return f"{type(self).__name__}({len(self.params)} parameters{of}, {each})"


names.attach(Optimizer, "Optimizer", names.OPTIMIZER)


def _flat(*arrays: Array) -> bool:
    return all(a.flags.c_contiguous for a in arrays)
