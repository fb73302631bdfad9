"""States of optimizers (groups: `optimizer.param_groups`): running values by parameter and name, and a state validated as a whole before it is loaded."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from gradcore.errors import DomainError, StateError
from gradcore.state import check_state

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


def running_values(groups: Sequence[Any]) -> dict[str, NDArray[Any]]:
    """Copies of all running values, as "0.mean", with parameters counted through the groups; none of one without a step."""
    found = {}
    for number, (group, i) in enumerate(_places(groups)):
        if group.steps[i]:
            for name in group.buffers():
                kept = group._state[i].get(name)
                found[f"{number}.{name}"] = (
                    np.zeros_like(group.params[i].data) if kept is None else kept.copy()
                )
    return found


def read(groups: Sequence[Any], state: Any, name: str) -> list[dict[str, Any]]:
    """For each group the attributes that a state of `state_dict` gives it; StateError where it does not fit."""
    misfit = f"this state does not fit {name}"
    if not isinstance(state, Mapping):
        raise StateError(f"{misfit}: expected what state_dict() gives, got {state!r:.80}")
    entries = state.get("groups", [state])
    if not isinstance(entries, list | tuple) or len(entries) != len(groups):
        count = f"{len(entries)}" if isinstance(entries, list | tuple) else f"{entries!r:.40} for"
        raise StateError(
            f"{misfit}: it is the state of {count} groups of parameters, and the optimizer has {len(groups)}"
        )
    loaded = [_settled(group, entry, misfit) for group, entry in zip(groups, entries, strict=True)]
    # A parameter that never had a gradient has no running values, and hyperparameters decide which there are.
    expected = {
        f"{number}.{name}": group.params[i].data
        for number, (group, i) in enumerate(_places(loaded))
        if group.steps[i]
        for name in group.buffers()
    }
    apart = ("groups",) if "groups" in state else (*groups[0].hyper, "steps")
    arrays = {
        name: np.array(value) if isinstance(value, np.ndarray) else value
        for name, value in state.items()
        if name not in apart
    }
    check_state(expected, arrays, misfit)
    for number, (group, i) in enumerate(_places(loaded)):
        names = group.buffers() if group.steps[i] else ()
        group._state[i] = {name: arrays[f"{number}.{name}"] for name in names}
    return [{**group._settings(), "steps": group.steps, "_state": group._state} for group in loaded]


def _places(groups: Sequence[Any]) -> list[tuple[Any, int]]:
    """Of each parameter its group, and which of that group's it is."""
    return [(group, i) for group in groups for i in range(len(group.params))]


def _settled(group: Any, entry: Any, misfit: str) -> Any:
    """A copy with a state's hyperparameters and steps, StateError where they are not this group's."""
    if not isinstance(entry, Mapping):
        raise StateError(f"{misfit}: expected hyperparameters and steps of a group, got {entry!r:.80}")
    if missing := [name for name in (*group.hyper, "steps") if name not in entry]:
        raise StateError(f"{misfit}: it lacks {', '.join(missing)}")
    loaded = copy.copy(group)
    try:
        vars(loaded).update(group.fitted(entry), steps=_counts(entry["steps"]))
    except DomainError as error:
        raise StateError(f"{misfit}: {error}") from error
    if len(loaded.steps) != len(group.params):
        raise StateError(
            f"{misfit}: it is the state of {len(loaded.steps)} parameters, and the optimizer has {len(group.params)}"
        )
    loaded._state = [{} for _ in group.params]
    return loaded


def _counts(steps: Any) -> list[int]:
    """`steps` as a list of whole numbers of at least 0, else DomainError."""
    sequence = isinstance(steps, list | tuple | np.ndarray)
    if not sequence or not all(isinstance(n, int | np.integer) and n >= 0 for n in steps):
        raise DomainError(
            f"steps={steps!r} is not a list of whole numbers of at least 0, one for each parameter"
        )
    return [int(n) for n in steps]
