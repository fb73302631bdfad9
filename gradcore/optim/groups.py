"""What an optimizer is given to change: Tensors, or groups of them with hyperparameters of their own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from gradcore.errors import ArgumentError, GraphError
from gradcore.tensor import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable

Group = tuple[list[Tensor], dict[str, Any]]


class Common:
    """A hyperparameter of an optimizer of several groups: the value that they have in common, or AttributeError.

    A class attribute that gives way to an instance's own: an optimizer of one group does not come here.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, instance: Any, owner: type) -> Any:
        if instance is None:
            return self
        values = [getattr(group, self.name) for group in instance._groups]
        if not values:
            raise AttributeError(f"{owner.__name__!r} object has no attribute {self.name!r}")
        if any(value != values[0] for value in values):
            raise AttributeError(
                f"the groups of this {owner.__name__} differ in {self.name}: {', '.join(map(repr, values))}. Read and set "
                f"it by group, as in optimizer.param_groups[0].{self.name}"
            )
        return values[0]


def grouped(params: Any, name: str, option: Callable[[Any], str]) -> list[Group]:
    """The parameters as groups, each with the hyperparameters that it sets; one group with none where they are Tensors.

    option: raises ArgumentError for what is no hyperparameter. Raises ArgumentError for what is often passed in the place of
    parameters, GraphError for a group without any.
    """
    found = listed(params, name)
    if not any(isinstance(entry, Mapping) for entry in found):
        return [(found, {})]
    groups: list[Group] = []
    for i, entry in enumerate(found):
        if not isinstance(entry, Mapping):
            raise ArgumentError(
                f"{name} got groups of parameters and, as entry {i}, {entry!r:.60}: put it into a group as well, "
                '{"params": [...]}'
            )
        if "params" not in entry:
            raise ArgumentError(
                f'{name} got a group of parameters without "params", with {", ".join(map(repr, entry)) or "nothing"}: write '
                '{"params": [...], "lr": 0.1}'
            )
        if isinstance(entry["params"], set | frozenset):
            raise ArgumentError(
                f"{name} got a set as the parameters of group {i}: its order is not the same in each run, so pass a list"
            )
        own = entry["params"]
        own = [own] if isinstance(own, Tensor) else listed(own, name)
        if not own:
            raise GraphError(f"{name} got no parameters in group {i}: leave it out, or fill it")
        groups.append((own, {option(key): value for key, value in entry.items() if key != "params"}))
    return groups


def listed(params: Any, name: str) -> list[Any]:
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
    if isinstance(params, Mapping):
        raise ArgumentError(f'{name} got a dict: pass a list of groups, {name}([{{"params": [...]}}])')
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
        if isinstance(entry, tuple) and len(entry) == 2 and isinstance(entry[1], Tensor):
            raise ArgumentError(
                f"{name} got pairs of names and Tensors: pass model.parameters(), which has no names"
            )
    return found
