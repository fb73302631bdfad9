"""What a run needs to go on bit for bit: taken as a `Snapshot`, validated as a whole, and put back."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from gradcore.errors import CheckpointError, DataError, StateError
from gradcore.state import check_state
from gradcore.train.checkpoints import Snapshot
from gradcore.train.evaluation import Average

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gradcore.io import Layout
    from gradcore.nn.module import Module
    from gradcore.optim.base import Optimizer

Record = dict[str, Any]
_MOST = 2**53


class Plan(NamedTuple):
    """What one `fit` is to do: epochs from number `first` on, of so many batches, with these lr by group before the schedule."""

    first: int
    epochs: int
    batches: int
    lrs: tuple[float, ...]

    @property
    def last(self) -> int:
        """The number of the last epoch."""
        return self.first + self.epochs - 1


@dataclass
class Position:
    """How far a run is. step: steps so far in all; batch: those in the epoch in progress; seconds: spent on these.

    threads: the number of BLAS threads that the Trainer has chosen; None where it has not.
    """

    step: int = 0
    batch: int = 0
    seconds: float = 0.0
    seen: Average = field(default_factory=Average)
    threads: int | None = None

    def next_epoch(self) -> None:
        """Stand before the first batch of an epoch."""
        self.batch, self.seconds, self.seen = 0, 0.0, Average()


def generators(model: Module) -> dict[str, np.random.Generator]:
    """The random generators that are attributes of the model's modules, by dotted name."""
    return {
        f"{prefix}.{name}" if prefix else name: value
        for prefix, module in model.named_modules()
        for name, value in module._members()
        if isinstance(value, np.random.Generator)
    }


def capture(
    model: Module,
    optimizer: Optimizer,
    batches: Any,
    plan: Plan,
    position: Position,
    history: list[Record],
    metadata: Mapping[str, str],
) -> Snapshot:
    """The state between two steps. Arrays are copies."""
    tensors = {f"model.{name}": array for name, array in model.state_dict().items()}
    rest: dict[str, Any] = {}
    for name, value in optimizer.state_dict().items():
        if isinstance(value, np.ndarray):
            tensors[f"optimizer.{name}"] = value
        else:
            rest[name] = value
    for group, lr in zip(rest.get("groups", [rest]), plan.lrs, strict=True):
        group["lr"] = lr  # the optimizer's own is that of the schedule at this step
    seen = position.seen
    state = {
        "plan": [plan.first, plan.epochs, plan.batches],
        "step": position.step,
        "batch": position.batch,
        "seconds": position.seconds,
        "threads": position.threads,
        "seen": [seen.loss, seen.examples, seen.right, seen.labelled],
        "optimizer": {"name": type(optimizer).__name__, "state": rest},
        "generators": {name: _encoded(g.bit_generator.state) for name, g in generators(model).items()},
        "loader": batches.state_dict() if hasattr(batches, "state_dict") else None,
        "history": history,
    }
    return Snapshot(tensors, state, metadata)


def check_layouts(model: Module, optimizer: Optimizer, layouts: Mapping[str, Layout]) -> None:
    """Raise StateError where arrays of these layouts do not fit the model and the optimizer, before they are read."""
    expected: dict[str, Any] = {f"model.{name}": array for name, array in model._state_arrays().items()}
    found = {name: layout for name, layout in layouts.items() if not name.startswith("optimizer.")}
    check_state(expected, found, f"this checkpoint does not fit {type(model).__name__}")
    for name in layouts.keys() - found.keys():
        _, _, path = name.partition(".")
        number, _, _ = path.partition(".")
        if not number.isdecimal() or len(number) > 9 or int(number) >= len(optimizer.params):
            raise StateError(
                f"this checkpoint does not fit the optimizer: {name:.80} belongs to none of its {len(optimizer.params)} "
                "parameters"
            )
        shape = optimizer.params[int(number)].shape
        if layouts[name].shape != shape:
            raise StateError(
                f"this checkpoint does not fit the optimizer: {name:.80} has the shape {layouts[name].shape}, and its "
                f"parameter {shape}"
            )


def restore(
    snapshot: Snapshot, model: Module, optimizer: Optimizer, batches: Any
) -> tuple[Plan, Position, list[Record]]:
    """Put a state back into the model, the optimizer and the loader; the rest is returned.

    Raises CheckpointError where the state is damaged, StateError or DataError where it does not fit what it is put into;
    then nothing is changed.
    """
    state = snapshot.state
    plan, position, history = _plan(state), _position(state), _history(state)
    if not plan.first - 1 <= len(history) <= plan.last or position.batch > plan.batches:
        raise CheckpointError(
            f"damaged checkpoint: {len(history)} epochs and {position.batch} batches do not lie within {plan}"
        )
    found = _field(state, "optimizer", dict)
    if found.get("name") != type(optimizer).__name__ or not isinstance(found.get("state"), dict):
        raise StateError(
            f"this checkpoint holds the state of {found.get('name')!s:.40}, and the optimizer is {type(optimizer).__name__}"
        )
    drawn = _generator_states(_field(state, "generators", dict), generators(model))
    loader = state.get("loader")
    if hasattr(batches, "load_state_dict"):
        if not isinstance(loader, dict):
            raise DataError("this checkpoint has no position of a loader, as its batches were no DataLoader")
        copy.copy(batches).load_state_dict(loader)
    own = {f"model.{name}": array for name, array in model._state_arrays().items()}
    arrays = {name: array for name, array in snapshot.tensors.items() if not name.startswith("optimizer.")}
    check_state(own, arrays, f"this checkpoint does not fit {type(model).__name__}")
    running = {
        name.removeprefix("optimizer."): array
        for name, array in snapshot.tensors.items()
        if name not in arrays
    }
    optimizer.load_state_dict({**found["state"], **running})
    model.load_state_dict({name.removeprefix("model."): array for name, array in arrays.items()})
    if hasattr(batches, "load_state_dict"):
        batches.load_state_dict(loader)
    for name, generator in generators(model).items():
        generator.bit_generator.state = drawn[name]
    return plan._replace(lrs=optimizer.lrs), position, history


def _field(state: Mapping[str, Any], name: str, *kinds: type) -> Any:
    value = state.get(name)
    if type(value) not in kinds:
        raise CheckpointError(
            f"damaged checkpoint: {name!r} is {value!r:.80}, expected {' or '.join(kind.__name__ for kind in kinds)}"
        )
    return value


def _count(state: Mapping[str, Any], name: str) -> int:
    value = _field(state, name, int)
    if not 0 <= value < _MOST:
        raise CheckpointError(f"damaged checkpoint: {name!r} is {value}, expected 0 to 2**53")
    return int(value)


def _plan(state: Mapping[str, Any]) -> Plan:
    found = _field(state, "plan", list)
    if len(found) != 3:
        raise CheckpointError(f"damaged checkpoint: 'plan' is {found!r:.80}, expected three numbers")
    first, epochs, batches = (_count({"plan": number}, "plan") for number in found)
    return Plan(first, epochs, batches, ())


def _position(state: Mapping[str, Any]) -> Position:
    seen = _field(state, "seen", list)
    if [type(value) for value in seen] not in ([float, int, int, bool], [int, int, int, bool]):
        raise CheckpointError(f"damaged checkpoint: 'seen' is {seen!r:.80}")
    batch = _count(state, "batch")
    if not 0 <= seen[2] <= seen[1] < _MOST or (seen[1] == 0) != (batch == 0):
        raise CheckpointError(f"damaged checkpoint: 'seen' is {seen!r:.80} after {batch} batches")
    seconds = float(_field(state, "seconds", int, float))
    threads = _field(state, "threads", int, type(None))
    if threads is not None and threads < 1:
        raise CheckpointError(f"damaged checkpoint: 'threads' is {threads}, expected 1 or more")
    return Position(_count(state, "step"), batch, seconds, Average(float(seen[0]), *seen[1:]), threads)


def _history(state: Mapping[str, Any]) -> list[Record]:
    history: list[Record] = _field(state, "history", list)
    for number, record in enumerate(history, 1):
        sound = isinstance(record, dict) and all(type(value) in (int, float) for value in record.values())
        if not sound or record.get("epoch") != number or not {"train_loss", "seconds"} <= record.keys():
            raise CheckpointError(f"damaged checkpoint: epoch {number} of its history is {record!r:.80}")
    return history


def _generator_states(found: dict[str, Any], own: dict[str, np.random.Generator]) -> dict[str, Any]:
    if found.keys() != own.keys():
        raise StateError(
            f"this checkpoint holds the random generators {', '.join(found) or 'of no module'}, and the model has "
            f"{', '.join(own) or 'none'}"
        )
    states = {}
    for name, generator in own.items():
        trial = copy.deepcopy(generator)
        try:
            states[name] = _decoded(found[name], trial.bit_generator.state)
            trial.bit_generator.state = states[name]
        except (ValueError, TypeError, KeyError, OverflowError) as error:
            raise CheckpointError(
                f"damaged checkpoint: the state of the random generator {name} can't be used ({error})"
            ) from error
    return states


def _encoded(value: Any) -> Any:
    """A bit generator's state as JSON's own types."""
    if isinstance(value, dict):
        return {name: _encoded(entry) for name, entry in value.items()}
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value


def _decoded(value: Any, like: Any) -> Any:
    """The inverse of `_encoded`, for a state of the form of `like`; raises ValueError or OverflowError for any other."""
    if isinstance(like, dict):
        if not isinstance(value, dict) or value.keys() != like.keys():
            raise ValueError(f"expected {', '.join(like)}, got {value!r:.80}")
        return {name: _decoded(value[name], entry) for name, entry in like.items()}
    if isinstance(like, np.ndarray):
        if (
            not isinstance(value, list)
            or not all(type(entry) is int for entry in value)
            or len(value) != like.size
        ):
            raise ValueError(f"expected {like.size} whole numbers, got {value!r:.80}")
        return np.array(value, like.dtype)
    if isinstance(like, int | np.integer):
        if type(value) is not int or not 0 <= value < 2**128:
            raise ValueError(f"expected a whole number from 0 to 2**128, got {value!r:.80}")
        return value
    if value != like:
        raise ValueError(f"expected {like!r}, got {value!r:.80}")
    return value
