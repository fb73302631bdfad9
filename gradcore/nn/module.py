"""Module: the base of layers and models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np

from gradcore import names
from gradcore.convert import plain
from gradcore.errors import ArgumentError
from gradcore.holding import assign
from gradcore.modes import clear
from gradcore.nn.hooks import Handle, Hook, Hooks
from gradcore.state import check_state
from gradcore.tensor import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from numpy.typing import DTypeLike, NDArray

# As tuples: a union of types is made anew wherever it stands, and every attribute of every module is looked at.
_SEQUENCES = (list, tuple)
_CONTAINERS = (list, tuple, dict, set, frozenset)


class Module:
    """A layer or a model: parameters, buffers and child modules are its attributes; `forward` computes its output.

    A Tensor among the attributes is a parameter, an array is a buffer (saved, but not trained), a Module is a child, and
    so is each Module in a list or tuple. (A Tensor in a list is refused: make it an attribute of its own.) Calling the
    module calls `forward`.

    >>> class Scale(Module):
    ...     def __init__(self, features):
    ...         super().__init__()
    ...         self.weight = gradcore.ones(features, requires_grad=True)
    ...     def forward(self, x):
    ...         return x * self.weight
    >>> [name for name, _ in Scale(3).named_parameters()]
    ['weight']
    """

    training: bool

    def __init__(self) -> None:
        self.training = True

    def forward(self, *inputs: Any, **options: Any) -> Any:
        """The output for the inputs; each module defines it."""
        raise NotImplementedError(f"{type(self).__name__} has no forward(self, ...): write one")

    def __call__(self, *inputs: Any, **options: Any) -> Any:
        """The output of `forward`, with the hooks before and after it; ArgumentError where that is None."""
        hooks = vars(self).get("_hooks")
        if hooks is not None:
            inputs = hooks.inputs(self, inputs)
        output = self.forward(*inputs, **options)
        if output is None:
            raise ArgumentError(f"{type(self).__name__}.forward returned None: end it with `return ...`")
        return output if hooks is None else hooks.output(self, inputs, output)

    def register_forward_hook(self, hook: Hook) -> Handle:
        """Call `hook(module, inputs, output)` after each `forward`; what it returns, unless None, takes the output's place.

        inputs: the tuple of positional ones. Returns a handle, whose `remove()` takes the hook off.
        """
        return self._register(hook, "after")

    def register_forward_pre_hook(self, hook: Hook) -> Handle:
        """Call `hook(module, inputs)` before each `forward`; what it returns, unless None, takes the inputs' place."""
        return self._register(hook, "before")

    def _register(self, hook: Hook, place: str) -> Handle:
        if not callable(hook):
            raise TypeError(f"a hook is a function, and {hook!r:.60} can't be called")
        listed = getattr(vars(self).setdefault("_hooks", Hooks()), place)
        listed.append(hook)
        return Handle(listed, hook)

    def apply(self, function: Callable[[Module], Any]) -> Self:
        """Call `function` on each module below this one and then on this one, children first; returns the model."""
        for _, child in self.named_children():
            child.apply(function)
        function(self)
        return self

    # --- what it holds ------------------------------------------------------------------------------------------------

    def _members(self) -> Iterator[tuple[str, Any]]:
        """Attributes by name; the modules in a list or tuple as name.0, name.1, ..."""
        for name, value in vars(self).items():
            if not isinstance(value, _CONTAINERS):
                yield name, value
            elif isinstance(value, _SEQUENCES):
                for i, entry in enumerate(value):
                    if isinstance(entry, Tensor):
                        raise TypeError(
                            f"{type(self).__name__}.{name} is a {type(value).__name__} with a Tensor in it: make each "
                            f"parameter an attribute of its own, self.{name}_{i} = ..., or put it into a Module"
                        )
                    if isinstance(entry, _CONTAINERS):
                        self._refuse_hidden(f"{name}[{i}]", entry)
                    yield f"{name}.{i}", entry
            else:
                self._refuse_hidden(name, value)

    def _refuse_hidden(self, name: str, value: Any) -> None:
        """Parameters in a dict, a set or a list of lists would be neither trained nor saved."""
        for entry in value.values() if isinstance(value, dict) else value:
            if isinstance(entry, Tensor | Module):
                raise TypeError(
                    f"{type(self).__name__}.{name} is a {type(value).__name__} with a {type(entry).__name__} in it, "
                    "where it would be neither trained nor saved: make it an attribute, or put modules into a list"
                )

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The modules directly below this one, with their names."""
        for name, value in self._members():
            if isinstance(value, Module):
                yield name, value

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """This module and all below it, depth first, with their dotted names ("" for this one)."""
        yield prefix, self
        for name, child in self.named_children():
            yield from child.named_modules(f"{prefix}.{name}" if prefix else name)

    def named_parameters(self) -> Iterator[tuple[str, Tensor]]:
        """Parameters with their dotted names; one that is shared comes once, under its first name."""
        seen: set[int] = set()
        for name, value in self._state():
            if isinstance(value, Tensor) and id(value) not in seen:
                seen.add(id(value))
                yield name, value

    def parameters(self) -> Iterator[Tensor]:
        """Parameters, each once."""
        return (parameter for _, parameter in self.named_parameters())

    def _state(self) -> Iterator[tuple[str, Tensor | NDArray[Any]]]:
        for prefix, module in self.named_modules():
            for name, value in module._members():
                if isinstance(value, Tensor | np.ndarray):
                    yield (f"{prefix}.{name}" if prefix else name), value

    # --- saving and loading -------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, NDArray[Any]]:
        """Copies of all parameters and buffers, by dotted name."""
        return {name: array.copy() for name, array in self._state_arrays().items()}

    def _state_arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays of all parameters and buffers themselves, by dotted name."""
        return {name: value.data if isinstance(value, Tensor) else value for name, value in self._state()}

    def load_state_dict(self, state: Mapping[str, NDArray[Any]], source: object = "this state") -> None:
        """Copy values into the parameters and buffers; `source` is what the error calls the state.

        In place, but an array that something else holds, such as a recorded graph, is left as it is and replaced.

        Raises StateError, and changes nothing, where names, shapes or dtypes differ; the message lists every difference.
        """
        own = self._state_arrays()
        check_state(own, state, f"{source} does not fit {type(self).__name__}")
        del own  # it holds every array
        for name, value in self._state():
            if isinstance(value, Tensor):
                assign(value, plain(state[name]))
        for prefix, module in self.named_modules():
            for name, value in list(module._members()):
                if isinstance(value, np.ndarray):
                    new = np.array(plain(state[f"{prefix}.{name}" if prefix else name]))
                    if name in vars(module):
                        vars(module)[name] = new
                    else:  # in a list or tuple
                        value[...] = new

    # --- modes --------------------------------------------------------------------------------------------------------

    def train(self, mode: bool = True) -> Self:
        """Switch this module and all below it to training (Dropout drops, BatchNorm uses the batch)."""
        for _, module in self.named_modules():
            module.training = mode
        return self

    def eval(self) -> Self:
        """Switch this module and all below it to evaluation."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Whether the parameters get gradients: False freezes this module and all below it, and clears their gradients."""
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
            if not requires_grad:
                parameter.grad = None
        return self

    def zero_grad(self) -> None:
        """Clear the gradients of all parameters."""
        clear(self.parameters())

    def astype(self, dtype: DTypeLike) -> Self:
        """Convert all floating parameters and buffers to `dtype`, and clear the gradients."""
        for _, module in self.named_modules():
            for name, value in list(vars(module).items()):
                if isinstance(value, np.ndarray) and value.dtype.kind == "f":
                    setattr(module, name, value.astype(dtype))
        for parameter in self.parameters():
            parameter.data = parameter.data.astype(dtype)
            parameter.grad = None
        return self

    __dir__ = names.without_hints

    # --- how it reads -------------------------------------------------------------------------------------------------

    def extra_repr(self) -> str:
        """The text between the parentheses of the repr; subclasses override it."""
        return ""

    def __repr__(self) -> str:
        return "\n".join(self._tree(""))

    def _repr_html_(self) -> str:
        from gradcore.notebook import module_table

        rows = []
        for path, module in self.named_modules():
            own = {n: v for n, v in module._members() if isinstance(v, Tensor)}
            shapes = ", ".join([f"{name} {value.shape}" for name, value in own.items()])
            text = f"{type(module).__name__}({module.extra_repr()})"
            rows.append((path, text, shapes, sum(p.size for p in own.values())))
        return module_table(type(self).__name__, rows, sum(p.size for p in self.parameters()))

    def _tree(self, name: str) -> Iterator[str]:
        count = sum(p.size for p in self.parameters())
        label = f"({name}): " if name else ""
        yield f"{label}{type(self).__name__}({self.extra_repr()})" + (
            f"  {count:,} parameters" if count else ""
        )
        for child_name, child in self.named_children():
            for line in child._tree(child_name):
                yield "  " + line


names.attach(Module, "nn.Module", names.MODULE)


def functional_call(module: Module, parameters: Mapping[str, Tensor], *inputs: Any) -> Any:
    """The module's output with other Tensors in place of some parameters, given by dotted name.

    The module is unchanged afterwards, except for what `forward` itself changes (BatchNorm's running averages). The
    Tensors may be of another dtype, and may be the results of operations: gradients flow to them.
    """
    places = {
        (f"{path}.{name}" if path else name): (vars(owner), name)
        for path, owner in module.named_modules()
        for name, value in vars(owner).items()
        if isinstance(value, Tensor)
    }
    if unknown := [path for path in parameters if path not in places]:
        raise KeyError(
            f"no parameters {', '.join(unknown)} to put others in their place: there are {', '.join(places)}"
        )
    before = [(*places[path], places[path][0][places[path][1]]) for path in parameters]
    try:
        for path, tensor in parameters.items():
            attributes, name = places[path]
            attributes[name] = tensor
        return module(*inputs)
    finally:
        for attributes, name, tensor in before:
            attributes[name] = tensor
