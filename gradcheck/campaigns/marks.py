"""`@checked(...)` marks a function, with an example to check it with; a module keeps its own marks."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypedDict, TypeVar

from gradcheck.errors import CallError

if TYPE_CHECKING:
    from types import ModuleType
    from typing import Unpack

T = TypeVar("T")

REGISTER = "__gradcheck_checked__"
"""The name in a module under which its marks are."""


class Options(TypedDict, total=False):
    """Those of `verify` that a mark takes beside like=, vjp= and reference=."""

    domain: Any
    wrt: int | str | Sequence[int | str] | None
    params: Mapping[str, Any] | None
    backend: str | None
    straight_through: Callable[..., Any] | None
    accumulate: str | None
    intermediates: str | None
    max_examples: int
    max_seconds: float
    edges: Literal["list", "fail"]
    complex: bool


@dataclass(frozen=True, slots=True)
class Mark:
    """Something to verify. options: those of `verify`, less the example. line: where it was marked."""

    name: str
    function: Any
    like: Any
    line: int
    options: dict[str, Any] = field(default_factory=dict)

    def example(self) -> Any:
        """The example of the inputs: a function that was given in its place is called now."""
        return self.like() if callable(self.like) else self.like


def checked(
    *,
    like: Any = None,
    vjp: Callable[..., Any] | None = None,
    reference: Callable[..., Any] | None = None,
    name: str | None = None,
    **options: Unpack[Options],
) -> Callable[[T], T]:
    """Mark what follows for `gradcheck TARGET` and `campaign`; it is returned unchanged.

    What: a NumPy function with its rule as vjp=, a `torch.autograd.Function`, a `jax.custom_vjp` function, a gradcore op, or
    anything else that `verify` takes. like: an example of its inputs, or a function that returns one, called when the check
    runs; a gradcore op needs none. The other options are those of `verify`. name: in the results, by default its own.
    Marked twice, it is checked twice, as `name` and `name-2`. Raises `CallError` for options that `verify` does not have.

    >>> @checked(like=(np.array([0.5, 2.0]),), vjp=lambda gy, y, x: gy * np.cos(x))
    ... def sine(x):
    ...     return np.sin(x)
    """
    unknown = sorted(set(options) - set(Options.__annotations__))
    if unknown:
        raise CallError(
            f"@gradcheck.checked came with {unknown[0]}=: pass like=, vjp=, reference=, name= or one of "
            f"{', '.join([f'{n}=' for n in Options.__annotations__])}"
        )
    frame = sys._getframe(1)
    register: dict[str, Mark] = frame.f_globals.setdefault(REGISTER, {})

    def mark(function: T) -> T:
        if not callable(function):
            raise CallError(
                f"@gradcheck.checked(...) came above a {type(function).__name__}: put it above a function, a class or an op"
            )
        given = {"vjp": vjp, "reference": reference, **options}
        kept = {key: value for key, value in given.items() if value is not None}
        first = name or _name(function)
        called = first
        for number in range(2, len(register) + 3):
            if called not in register:
                break
            called = f"{first}-{number}"
        register[called] = Mark(called, function, like, frame.f_lineno, kept)
        return function

    return mark


def marks_of(module: ModuleType) -> dict[str, Mark]:
    """The marks that were made in a module, by name."""
    found: dict[str, Mark] = vars(module).get(REGISTER, {})
    return found


def _name(function: Any) -> str:
    for found in (getattr(function, key, None) for key in ("__qualname__", "__name__", "name")):
        if isinstance(found, str) and found:
            return found.replace("<locals>.", "")
    return type(function).__name__
