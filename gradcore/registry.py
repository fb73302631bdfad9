"""The registries of ops, layers, losses and optimizers: registering is enrolling in the verification suite.

Those of layers and optimizers load what they list when they are first looked at.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, TypeVar

from gradcore.errors import SpecError
from gradcore.spec import LayerSpec, OpSpec, OptimizerSpec

if TYPE_CHECKING:
    from collections.abc import Callable

    layers: dict[str, Any]
    optimizers: dict[str, Any]

T = TypeVar("T")

ops: dict[str, Any] = {}  # Op, or a function composed of ops
losses: dict[str, Any] = {}
_layers: dict[str, Any] = {}
_optimizers: dict[str, Any] = {}
_LATE = {
    "layers": ("gradcore.nn", _layers),
    "optimizers": ("gradcore.optim", _optimizers),
}

_EXAMPLES = {
    "op": 'spec=OpSpec(case(reals("...")), reference=...)',
    "layer": 'spec=LayerSpec(case(reals("n i"), params={"in_features": Size("i")}), reference=...)',
    "loss": 'spec=LossSpec(case(reals("n c"), indices("c", "n")), reference=...)',
    "optimizer": 'spec=OptimizerSpec({"lr": Floats(1e-4, 1.0, log=True)}, reference=...)',
}


def enroll(registry: dict[str, Any], kind: str, name: str, entry: Any, spec: Any, spec_type: type) -> None:
    """Put `entry` under `name`; refuses a missing or foreign spec and a name that is taken."""
    if not isinstance(spec, spec_type):
        raise SpecError(
            f"{kind} {name!r} came with spec={spec!r}: every {kind} is verified from its spec, so it can't be "
            f"registered without one. Write {_EXAMPLES[kind]} (see gradcore.spec)"
        )
    if name in registry:
        raise SpecError(
            f"there is {'an' if kind[0] in 'aeiou' else 'a'} {kind} named {name!r} already: choose another name"
        )
    registry[name] = entry


def layer(*, spec: LayerSpec) -> Callable[[type[T]], type[T]]:
    """Class decorator that enrolls a `Module` with its spec, as `cls.spec`."""

    def register(cls: type[T]) -> type[T]:
        enroll(_layers, "layer", cls.__name__, cls, spec, LayerSpec)
        cls.spec = spec  # type: ignore[attr-defined]
        return cls

    return register


def loss(*, spec: OpSpec) -> Callable[[T], T]:
    """Decorator that enrolls a loss function with its spec, as `function.spec`."""

    def register(function: T) -> T:
        enroll(losses, "loss", function.__name__, function, spec, OpSpec)  # type: ignore[attr-defined]
        function.spec = spec  # type: ignore[attr-defined]
        return function

    return register


def optimizer(*, spec: OptimizerSpec) -> Callable[[type[T]], type[T]]:
    """Class decorator that enrolls an `Optimizer` with its spec, as `cls.spec`."""

    def register(cls: type[T]) -> type[T]:
        enroll(_optimizers, "optimizer", cls.__name__, cls, spec, OptimizerSpec)
        cls.spec = spec  # type: ignore[attr-defined]
        return cls

    return register


def __getattr__(name: str) -> Any:
    if name not in _LATE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    package, found = _LATE[name]
    importlib.import_module(package)
    globals()[name] = found
    return found
