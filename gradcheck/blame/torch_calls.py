"""What a function does in PyTorch, call by call: a dispatch mode, and the forwards of the custom Functions on the way."""

from __future__ import annotations

import threading
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.autograd.graph import Node
from torch.overrides import TorchFunctionMode

from gradcheck.backends.tree import leaves, rebuild
from gradcore.tracing import LIBRARIES, Source, calling

LEAVES = frozenset(
    {"numpy", "item", "tolist", "__array__", "__float__", "__int__", "__bool__", "__index__", "__complex__"}
)
"""Calls that make something of a tensor that PyTorch does not see."""

INSIDE = LIBRARIES | {"torch"}

DETACHED = frozenset({"detach", ".data"})
"""Calls that give the tensor itself, without its history."""


@dataclass(slots=True, eq=False)
class Event:
    """One call of a PyTorch function, a method of a tensor or a custom Function, in the order of the calls.

    given, made: the tensors that went in and came out. before, after: fingerprints of their values then. attached: which of
    those that went in had a gradient. follows: whether one that came out has. custom: the class of a custom Function, else None.
    values: what a custom Function got, its tensors copied. node: its place in the graph.
    """

    name: str
    function: Any
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    source: Source | None
    module: str
    given: list[Any]
    before: list[int]
    attached: list[bool]
    enabled: bool
    made: list[Any] = field(default_factory=list)
    after: list[int] = field(default_factory=list)
    history: list[Any] = field(default_factory=list)
    follows: bool = False
    custom: Any = None
    values: tuple[Any, ...] = ()
    node: Any = None

    @property
    def where(self) -> str:
        """The user's line, and the module that made the call."""
        line = "" if self.source is None else str(self.source)
        return line + f" (in module {self.module!r})" * bool(self.module)

    @property
    def title(self) -> str:
        """How messages name it."""
        return self.name if self.custom is not None or self.name.startswith(".") else f"{self.name}()"


def tensors(value: Any) -> list[Any]:
    """The tensors in tuples, lists and dicts of arguments."""
    return [leaf for _, leaf in leaves(value, "") if isinstance(leaf, torch.Tensor)]


def fingerprint(x: Any) -> int:
    """A number that differs where values do; 0 for what holds none that could be read."""
    if x.layout != torch.strided or x.device.type == "meta" or x.is_quantized:
        return 0
    with torch.no_grad():
        flat = x.detach().resolve_conj().resolve_neg().reshape(-1).contiguous()
        return zlib.crc32(flat.view(torch.uint8).numpy(force=True)) if flat.numel() else 0


def title_of(function: Any) -> str:
    """The name of a PyTorch function: ".data" for the attribute, "detach" for the method."""
    name = str(getattr(function, "__name__", function))
    if name in ("__get__", "__set__"):
        return f".{getattr(getattr(function, '__self__', None), '__name__', name)}"
    return name


class Recorder(TorchFunctionMode):  # type: ignore[misc]
    """Within `with`, in this thread only: every call on tensors that its user made, as an `Event`.

    restored: numbers of events whose result keeps its history, whatever the call does to it.
    """

    def __init__(self, restored: Collection[int] = ()) -> None:
        super().__init__()
        self.events: list[Event] = []
        self.modules: list[str] = []
        self._restored = restored
        self._inside = 0

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Make the call, and keep it."""
        kwargs = kwargs or {}
        if self._inside:
            return func(*args, **kwargs)
        event = self.begun(title_of(func), func, tuple(args), kwargs)
        place = len(self.events)
        if place in self._restored:
            with torch.enable_grad():
                result = args[0].view_as(args[0]) if event.name in DETACHED else func(*args, **kwargs)
        else:
            result = func(*args, **kwargs)
        made = [args[0]] if event.name == "__setitem__" else tensors(result)
        if len(self.events) > place:
            self.events[-1].name = event.name  # a custom op, whose Function is the event
        elif made or event.name in LEAVES:
            self.events.append(event)
            self.ended(event, made)
        return result

    def begun(self, name: str, function: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Event:
        """An event before its call."""
        given = tensors((args, dict(kwargs)))
        enabled = torch.is_grad_enabled()
        return Event(
            name,
            function,
            args,
            kwargs,
            calling(INSIDE),
            self.modules[-1] if self.modules else "",
            given,
            [fingerprint(x) for x in given],
            [x.requires_grad for x in given],
            enabled,
        )

    def ended(self, event: Event, made: list[Any]) -> None:
        """The same after it."""
        event.made = made
        event.after = [fingerprint(x) for x in made]
        event.history = [x.grad_fn for x in made]
        event.follows = any(x.requires_grad for x in made)

    # --- custom Functions -------------------------------------------------------------------------------------------

    @contextmanager
    def watching(self, functions: Iterable[Any]) -> Iterator[None]:
        """In which forwards of these classes, called in this thread, are events of their own."""
        thread = threading.get_ident()
        with ExitStack() as stack:
            for cls in functions:
                separate = _sets_up(cls)
                original = cls.forward
                _replace(stack, cls, "forward", self._forward(cls, original, thread, separate))
                if separate:
                    _replace(stack, cls, "setup_context", self._setup(cls.setup_context, thread))
            yield

    def _forward(
        self, cls: Any, original: Callable[..., Any], thread: int, separate: bool
    ) -> Callable[..., Any]:
        def forward(*given: Any) -> Any:
            if threading.get_ident() != thread or self._inside:
                return original(*given)
            args = given if separate else given[1:]
            self._inside += 1
            try:
                event = self.begun(function_name(cls), cls, args, {})
                event.custom, event.values, event.enabled = cls, copies(args), True
                result = original(*given)
                self.ended(event, tensors(result))
            finally:
                self._inside -= 1
            event.follows = any(event.attached)  # apply gives the result its history after this
            event.node = None if separate else given[0]
            self.events.append(event)
            return result

        return forward

    def _setup(self, original: Callable[..., Any], thread: int) -> Callable[..., Any]:
        def setup_context(ctx: Any, inputs: Any, output: Any) -> Any:
            self._inside += 1
            try:
                result = original(ctx, inputs, output)
            finally:
                self._inside -= 1
            if threading.get_ident() == thread and self.events and self.events[-1].custom is not None:
                self.events[-1].node = ctx
            return result

        return setup_context

    @contextmanager
    def naming(self, module: Any) -> Iterator[None]:
        """In which events know the submodule that they are in."""
        with ExitStack() as stack:
            if isinstance(module, torch.nn.Module):
                for path, part in module.named_modules():
                    if path:
                        stack.callback(part.register_forward_pre_hook(self._entered(path)).remove)
                        stack.callback(part.register_forward_hook(self._left, always_call=True).remove)
            yield

    def _entered(self, path: str) -> Callable[..., None]:
        def hook(_module: Any, _inputs: Any) -> None:
            self.modules.append(path)

        return hook

    def _left(self, *_: Any) -> None:
        if self.modules:
            self.modules.pop()


def _replace(stack: ExitStack, cls: Any, name: str, new: Callable[..., Any]) -> None:
    own = cls.__dict__.get(name)
    setattr(cls, name, staticmethod(new))
    if own is None:
        stack.callback(delattr, cls, name)
    else:
        stack.callback(setattr, cls, name, own)


def _sets_up(cls: Any) -> bool:
    """Whether its context is set up apart from forward."""
    return bool(cls.setup_context is not torch.autograd.Function.setup_context)


def copies(args: tuple[Any, ...]) -> tuple[Any, ...]:
    """The same arguments, each tensor a leaf of its own with a copy of the values."""
    made: tuple[Any, ...] = rebuild(
        args,
        iter(
            [
                leaf.detach().clone().requires_grad_(leaf.requires_grad)
                if isinstance(leaf, torch.Tensor)
                else leaf
                for _, leaf in leaves(args, "")
            ]
        ),
    )
    return made


def function_name(cls: Any) -> str:
    """The name of a custom Function, of a custom op that of the op."""
    name = str(cls.__name__)
    return name.removeprefix("GeneratedBackwardFor_")


def nodes_behind(outputs: Sequence[Any]) -> list[Node]:
    """The nodes of the graph behind these tensors."""
    waiting = [y.grad_fn for y in outputs if y.grad_fn is not None]
    seen: dict[Any, None] = {}
    while waiting:
        node = waiting.pop()
        if node not in seen:
            seen[node] = None
            waiting += [following for following, _ in node.next_functions if following is not None]
    return list(seen)


def functions_behind(outputs: Sequence[Any]) -> list[Any]:
    """The classes of custom Functions in the graph behind these tensors, those of PyTorch's own left out."""
    found = dict.fromkeys(getattr(type(node), "_forward_cls", None) for node in nodes_behind(outputs))
    return [
        cls
        for cls in found
        if cls is not None
        and (
            str(cls.__module__).partition(".")[0] != "torch"
            or str(cls.__module__).startswith("torch._library")
        )
    ]
