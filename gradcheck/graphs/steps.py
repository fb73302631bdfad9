"""What a graph is made of: leaves, which the user makes, and nodes, which call what is registered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from gradcore import registry

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

Kind = Literal["gradient", "constant", "array"]
"""A Tensor that requires a gradient, a Tensor that needs none, a plain array."""


@dataclass(frozen=True, eq=False, slots=True)
class Leaf:
    """A value that the user makes."""

    array: NDArray[Any]
    kind: Kind = "gradient"


@dataclass(frozen=True, eq=False, slots=True)
class Node:
    """A call of a registered op or loss. op: "add", or "losses.mse_loss". inputs: steps, None for an array left out."""

    op: str
    inputs: tuple[int | None, ...]
    params: Mapping[str, Any]

    @property
    def entry(self) -> Any:
        """The registry's current entry of that name, so that a mistake planted there takes effect here."""
        return entry_of(self.op)


def entry_of(op: str) -> Any:
    """The op or loss of this name."""
    name = op.removeprefix("losses.")
    return registry.ops[name] if name == op else registry.losses[name]


def forward_of(entry: Any) -> Callable[..., Any]:
    """The function on arrays: an op's forward, or a composed function itself."""
    found: Callable[..., Any] = getattr(entry, "forward", entry)
    return found
