"""What a framework (PyTorch, JAX, ...) has to offer so that functions of its values are checked: one class in one file.

To add a framework: subclass `Framework` in `gradcheck/backends/NAME.py`, name an instance of it `FRAMEWORK`, and add the
root modules of its values' types to `HOMES`. The file is loaded when such a value is handed in, and may import the
framework at its top. Nothing else has to be touched: `framed.py` is the adapter for all of them.

A *leaf* is one of the framework's values (a tensor); a *call* is a function from a list of leaves to what f returned.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial, update_wrapper
from importlib import import_module
from typing import Any, ClassVar, TypeAlias

import numpy as np

from gradcheck.backends.protocol import Array, Traits
from gradcheck.backends.tree import described, leaves, name_of
from gradcheck.errors import CallError

HOMES = {"torch": "torch", "jax": "jax", "jaxlib": "jax", "autograd": "autograd", "mygrad": "mygrad"}
"""From the root module of a value's type to the file of this folder that adapts it."""

Call: TypeAlias = Callable[[Sequence[Any]], Any]
Pull: TypeAlias = Callable[[Sequence[Any | None]], Sequence[Any | None]]


@dataclass(frozen=True, slots=True)
class Recorded:
    """One forward call.

    result: what f returned. pull: from one cotangent per leaf of `outputs_of(result)`, None for one that has none, to one
    per leaf that was handed in, None for one that gets none; any number of times. accumulated: the same as the framework
    leaves it with its user (`x.grad`), None where it keeps nothing. batched: the same for cotangents with one axis more at
    the front, all at once; None where there is no such thing.
    """

    result: Any
    pull: Pull
    accumulated: Pull | None = None
    batched: Pull | None = None


class NoForwardMode(Exception):  # noqa: N818
    """A call has no forward-mode derivative."""


class Framework(ABC):
    """The values and the derivatives of one framework."""

    name: str
    """Of the framework, for messages: "PyTorch"."""
    noun: str
    """What one of its values is called: "tensor"."""
    traits: Traits
    imports: ClassVar[Mapping[str, str]]
    """Import statements for the names that its code uses: {"torch": "import torch"}."""
    advice: ClassVar[Mapping[str, str]] = {}
    """What to do in this framework's terms where a contract of that name is broken, without a full stop."""

    # --- values -------------------------------------------------------------------------------------------------------

    @abstractmethod
    def owns(self, leaf: Any) -> bool:
        """Whether a value is one of this framework's."""

    @abstractmethod
    def array(self, leaf: Any, path: str) -> Array:
        """Its numbers, from whatever device; in shared memory where that can be, so that writing into it is seen.

        Raises `CallError` where they can't be had, or not judged (16 bits); `path` names the leaf in the message.
        """

    @abstractmethod
    def leaf(self, array: Array, like: Any, *, wanted: bool = False) -> Any:
        """A new leaf on the device of `like` with the values and the dtype of `array`, in its memory where that can be.

        wanted: whether a gradient by it will be requested.
        """

    def trainable(self, leaf: Any) -> bool | None:
        """Whether its user requested a gradient by this leaf; None where the framework knows no such request."""
        return None

    def follows(self, output: Any) -> bool:
        """Whether a gradient can be pulled back from this output of a recorded call."""
        return True

    def overwrite(self, leaf: Any) -> bool:
        """Change the values of a leaf in place, as its user may after forward; False where no leaf can be changed."""
        return False

    # --- functions ----------------------------------------------------------------------------------------------------

    def claims(self, f: Any) -> bool:
        """Whether f is a function of this framework, whatever its inputs are."""
        return False

    def function(self, f: Any) -> Callable[..., Any]:
        """f as a function to be called; raises `CallError` where it cannot be judged."""
        made: Callable[..., Any] = f
        return made

    def held(self, f: Any) -> dict[str, Any]:
        """Leaves that f holds, such as the parameters of a module: inputs under these names."""
        return {}

    def call(
        self, f: Any, arguments: Sequence[Any], params: Mapping[str, Any], held: Mapping[str, Any]
    ) -> Any:
        """f's result with other leaves in the place of those that it holds."""
        return f(*arguments, **params)

    def own_rule(self, f: Any) -> bool:
        """Whether f is one function with a rule that its user wrote, and not composed of the framework's."""
        return False

    def composed(self, f: Any) -> bool:
        """Whether `explain` can look into f, and say more than a check of the whole."""
        return False

    def title(self, f: Any) -> str:
        """How messages name f."""
        return name_of(f)

    # --- derivatives --------------------------------------------------------------------------------------------------

    def mode(self, arrays: Iterable[Array]) -> AbstractContextManager[Any]:
        """What leaves of these arrays are made and used in, such as a switch for double precision."""
        return nullcontext()

    @abstractmethod
    def record(self, call: Call, own: Sequence[Any], wanted: Sequence[bool]) -> Recorded:
        """Run `call(own)` so that it can be pulled back to the wanted leaves. One leaf may be in several places."""

    @abstractmethod
    def values(self, call: Call, own: Sequence[Any], wanted: Sequence[bool]) -> Any:
        """What `call(own)` returns, nothing kept."""

    def gradients(
        self, call: Call, own: Sequence[Any], wanted: Sequence[bool], gys: Sequence[Any | None]
    ) -> list[Any]:
        """The cotangents of the wanted leaves as values that can be differentiated by `own` and `gys`."""
        raise CallError(f"a second order is not supported for functions of {self.name}: check the first one")

    def tangents(
        self, call: Call, own: Sequence[Any], moving: Sequence[Any | None]
    ) -> list[Any | None] | None:
        """Forward mode: tangents of `outputs_of` the result; None where this call has no forward-mode derivative.

        moving: one tangent per leaf, None for one that stays. What a rule for it raises is let through.
        """
        return None

    def by_tangents(
        self, call: Call, own: Sequence[Any], wanted: Sequence[bool], gys: Sequence[Any | None]
    ) -> list[Any | None]:
        """The cotangents of the wanted leaves by forward mode alone: a tangent for each of their entries.

        Raises `NoForwardMode` where the call has no forward-mode derivative.
        """
        found: dict[int, Any] = {}
        for leaf in {id(x): x for x, want in zip(own, wanted, strict=True) if want}.values():
            gx = np.zeros_like(self.array(leaf, "an input"))
            for k in np.ndindex(gx.shape):
                for unit in (1, 1j) if gx.dtype.kind == "c" else (1,):
                    tangent = np.zeros_like(gx)
                    tangent[k] = unit
                    moved = self.tangents(
                        call, own, [self.leaf(tangent, x) if x is leaf else None for x in own]
                    )
                    if moved is None:
                        raise NoForwardMode
                    pairs = [
                        (gy, t) for gy, t in zip(gys, moved, strict=True) if gy is not None and t is not None
                    ]
                    gx[k] += unit * sum(
                        [np.vdot(self.array(gy, ""), self.array(t, "")).real for gy, t in pairs]
                    )
            found[id(leaf)] = self.leaf(gx, leaf)
        return [found.get(id(x)) for x in own]

    def second_tangents(
        self, call: Call, own: Sequence[Any], wanted: Sequence[bool], gys: Sequence[Any | None]
    ) -> list[Any]:
        """`by_tangents` of the wanted leaves as values that can be differentiated by `own` and `gys`."""
        raise CallError(
            f"a second order by forward mode alone is not supported for functions of {self.name}: pass order=1"
        )

    def lowered(self, call: Call, like: Any) -> tuple[Call, float] | None:
        """`call` as mixed precision runs it, its results in single precision, and the unit roundoff of the lower one.

        like: a leaf on the device. None where the framework has no mixed precision there.
        """
        return None

    def rounding(self, unit: float, seed: int) -> AbstractContextManager[Any]:
        """In which every result is moved by the part `unit` of its size, up or down: the effect of rounding in `lowered`."""
        return nullcontext()

    # --- code ---------------------------------------------------------------------------------------------------------

    @abstractmethod
    def literal(self, leaf: Any, nested: str) -> str:
        """Code that makes the leaf; `nested` has its numbers as nested lists."""

    def function_code(self, f: Any) -> str | None:
        """f as its user names it, None where it has no name of the framework's own."""
        return None

    def call_code(self, f: str, arguments: Sequence[str], moved: str, f_itself: Any) -> str:
        """Code of a call of f in double precision; the array x stands for what f holds as `moved` ("": for none)."""
        return f"{f}({', '.join(arguments)})"

    def held_code(self, f: str, name: str) -> str:
        """Code of the leaf that f holds under a name."""
        return f"{f}[{name!r}]"

    def setup_code(self, given: Iterable[Any]) -> str:
        """Statements to stand between the imports and the leaves, "" for none."""
        return ""

    def within_code(self) -> str:
        """A `with` statement in which a call in double precision stands, "" for none."""
        return ""


@dataclass
class Stated:
    """A function with its framework, where its caller named it, or said how to differentiate it."""

    function: Callable[..., Any]
    framework: Framework
    backend: str
    forward: bool = False
    """Whether its forward mode alone is judged."""

    def __post_init__(self) -> None:
        update_wrapper(self, self.function)

    def __call__(self, *arguments: Any, **params: Any) -> Any:
        """The function itself."""
        return self.function(*arguments, **params)


def stated(f: Any, backend: str | None) -> Any:
    """f as a function of the framework named; raises `CallError` where there is no such framework."""
    if backend is None or not callable(f):
        return f
    known = sorted(set(HOMES.values()))
    if not isinstance(backend, str) or backend not in known:
        raise CallError(
            f"backend={backend!r}: pass the name of a framework whose derivative of f is to be checked ({', '.join(known)}), or "
            "leave it out"
        )
    framework = _loaded(backend)
    if framework is None:
        raise CallError(f"backend={backend!r} is not installed: pip install 'gradcore[{backend}]'")
    return f if framework.claims(innermost(f)) else Stated(f, framework, backend)


def by_forward_mode(f: Any, given: Iterable[Any], otherwise: str) -> Stated:
    """f with its forward mode alone to be judged; `otherwise` is its framework where neither f nor what is given shows one."""
    known = framework_of(f, *given)
    framework = framework_of(stated(f, otherwise)) if known is None else known
    if framework is None:
        raise CallError(f"{described(f)} is no function whose forward-mode derivative could be taken")
    name = type(framework).__module__.rpartition(".")[2]
    return Stated(f.function if isinstance(f, Stated) else f, framework, name, forward=True)


def outputs_of(result: Any) -> list[Any]:
    """The leaves of what f returned, without None."""
    return [leaf for _, leaf in leaves(result, "") if leaf is not None]


def framework_of(*values: Any) -> Framework | None:
    """The framework that one of these values, or functions, comes from; loaded only then."""
    for value in values:
        if isinstance(value, Stated):
            return value.framework
        inner = innermost(value)
        for root in _roots(inner):
            found = _loaded(HOMES[root]) if root in HOMES else None
            if found is not None and (found.owns(inner) or found.claims(inner)):
                return found
    return None


def innermost(f: Any) -> Any:
    """What partials are made of; f itself where it is none."""
    while isinstance(f, partial):
        f = f.func
    return f


def _loaded(name: str) -> Framework | None:
    """None where it is not installed: some other module has the same name."""
    try:
        found: Framework = import_module(f"gradcheck.backends.{name}").FRAMEWORK
    except ImportError:
        return None
    return found


def _roots(value: Any) -> Iterator[str]:
    """The root modules of a value's type and of what that derives from, of a function itself and its code, of a method's owner."""
    owner = getattr(value, "__self__", None)
    for kind in (*type(value).__mro__, value, *type(owner).__mro__):
        yield str(getattr(kind, "__module__", "")).partition(".")[0]
    yield code_root(value)


def name_in(namespaces: Iterable[tuple[str, Any]], f: Any) -> str | None:
    """Code of a function that stands in one of these (path, module) pairs under its own name; None for any other."""
    name = str(getattr(f, "__name__", ""))
    return next(
        (f"{path}.{name}" for path, space in namespaces if name and getattr(space, name, None) is f), None
    )


def code_root(f: Any) -> str:
    """The root module that the code of a function stands in: that of a decorator, whatever it wraps."""
    names = getattr(f, "__globals__", None)
    return str(names.get("__name__", "")).partition(".")[0] if isinstance(names, dict) else ""
