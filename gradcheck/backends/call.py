"""One call of `gradcheck` or `verify`: the function, its rule, its inputs, and how they are to be checked."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Call:
    """What the caller passed, unchanged; the backends check it and report what is wrong with it.

    f, inputs, vjp, wrt, params, gy, straight_through: as for `gradcheck`. contracts: names of those to try, None for all. seed: of all that
    is drawn.
    """

    f: Callable[..., Any]
    inputs: Any
    vjp: Callable[..., Any] | None = None
    wrt: Any = None
    params: Any = None
    gy: Any = None
    contracts: Collection[str] | None = None
    seed: int = 0
    straight_through: Callable[..., Any] | None = None

    @property
    def arguments(self) -> tuple[Any, ...]:
        """The inputs as a tuple; anything but a tuple or a list is the only one."""
        return tuple(self.inputs) if isinstance(self.inputs, tuple | list) else (self.inputs,)
