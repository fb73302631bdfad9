"""Containers of modules: one after another, a list, a dict; and a list of parameters."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, overload

from gradcore.nn.module import Module
from gradcore.tensor import Tensor


def _module(owner: str, place: str, value: Any) -> Module:
    if not isinstance(value, Module):
        raise TypeError(f"{owner} takes modules, and {place} is {value!r:.60}: wrap a function in a Module")
    return value


class Sequential(Module):
    """Modules applied one after another: `Sequential(a, b)(x)` is `b(a(x))`. Indexable, iterable and sized."""

    def __init__(self, *modules: Module) -> None:
        super().__init__()
        for i, module in enumerate(modules):
            setattr(self, str(i), _module("Sequential", f"argument {i}", module))

    def forward(self, x: Any) -> Any:
        """The last module's output."""
        for module in self:
            x = module(x)
        return x

    def __iter__(self) -> Iterator[Module]:
        return (value for value in vars(self).values() if isinstance(value, Module))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __getitem__(self, index: int) -> Module:
        return list(self)[index]


class ModuleList(Module):
    """A list of modules, whose parameters are this one's: indexable, iterable, sized; it has no `forward`.

    A plain list among the attributes of a Module does as well; this one can be passed about, and appended to.
    """

    def __init__(self, modules: Iterable[Module] = ()) -> None:
        super().__init__()
        for module in modules:
            self.append(module)

    def append(self, module: Module) -> ModuleList:
        """Add one at the end."""
        setattr(self, str(len(self)), _module("ModuleList", f"entry {len(self)}", module))
        return self

    def extend(self, modules: Iterable[Module]) -> ModuleList:
        """Add several at the end."""
        for module in modules:
            self.append(module)
        return self

    def __iter__(self) -> Iterator[Module]:
        return (child for _, child in self.named_children())

    def __len__(self) -> int:
        return sum(1 for _ in self)

    @overload
    def __getitem__(self, index: int) -> Module: ...
    @overload
    def __getitem__(self, index: slice) -> ModuleList: ...
    def __getitem__(self, index: int | slice) -> Module:
        found = list(self)[index]
        return ModuleList(found) if isinstance(found, list) else found

    def __setitem__(self, index: int, module: Module) -> None:
        setattr(self, str(range(len(self))[index]), _module("ModuleList", f"entry {index}", module))


class ParameterList(Module):
    """A list of parameters, which a plain list among the attributes of a Module can't be: indexable, iterable, sized.

    Its entries are Tensors; one that requires no gradient is made to. It has no `forward`.
    """

    def __init__(self, parameters: Iterable[Tensor] = ()) -> None:
        super().__init__()
        for parameter in parameters:
            self.append(parameter)

    def append(self, parameter: Tensor) -> ParameterList:
        """Add one at the end."""
        if not isinstance(parameter, Tensor):
            raise TypeError(
                f"ParameterList takes Tensors, and entry {len(self)} is {parameter!r:.60}: write gradcore.Tensor(array)"
            )
        setattr(self, str(len(self)), parameter.requires_grad_())
        return self

    def extend(self, parameters: Iterable[Tensor]) -> ParameterList:
        """Add several at the end."""
        for parameter in parameters:
            self.append(parameter)
        return self

    def __iter__(self) -> Iterator[Tensor]:
        return (value for value in list(vars(self).values()) if isinstance(value, Tensor))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __getitem__(self, index: int) -> Tensor:
        return list(self)[index]


class ModuleDict(Module):
    """Modules by name, whose parameters are this one's: `layers["first"]`; it has no `forward`."""

    def __init__(self, modules: Mapping[str, Module] | None = None) -> None:
        super().__init__()
        for name, module in (modules or {}).items():
            self[name] = module

    def __setitem__(self, name: str, module: Module) -> None:
        if (
            not isinstance(name, str)
            or not name
            or "." in name
            or name == "training"
            or hasattr(Module, name)
        ):
            raise KeyError(
                f"ModuleDict can't name a module {name!r}: a name is text without a dot that no method has"
            )
        setattr(self, name, _module("ModuleDict", f"entry {name!r}", module))

    def __getitem__(self, name: str) -> Module:
        found = dict(self.named_children())
        if name not in found:
            raise KeyError(f"ModuleDict has no module {name!r}: it has {', '.join(found) or 'none'}")
        return found[name]

    def __delitem__(self, name: str) -> None:
        delattr(self, name) if self[name] is not None else None

    def __contains__(self, name: object) -> bool:
        return name in dict(self.named_children())

    def __iter__(self) -> Iterator[str]:
        return iter(dict(self.named_children()))

    def __len__(self) -> int:
        return len(dict(self.named_children()))

    def keys(self) -> Iterable[str]:
        """The names."""
        return dict(self.named_children()).keys()

    def values(self) -> Iterable[Module]:
        """The modules."""
        return dict(self.named_children()).values()

    def items(self) -> Iterable[tuple[str, Module]]:
        """Pairs of name and module."""
        return dict(self.named_children()).items()
