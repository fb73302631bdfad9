"""PyTorch: tensors, `autograd.Function`s, modules, custom ops, and whatever else makes tensors of tensors."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, ClassVar

import numpy as np
import torch
from torch.autograd import forward_ad

from gradcheck.backends.framework import Call, Framework, Recorded, name_in, outputs_of
from gradcheck.backends.protocol import Array, Traits
from gradcheck.backends.torch_mixed import Rounding, mixed
from gradcheck.backends.tree import name_of
from gradcheck.errors import CallError

NAMESPACES = (
    ("torch", torch),
    ("torch.nn.functional", torch.nn.functional),
    ("torch.linalg", torch.linalg),
    ("torch.special", torch.special),
    ("torch.fft", torch.fft),
)

LOST = (
    "nothing was recorded between this input and the result: look for detach(), .data, numpy(), item(), torch.tensor(...), "
    "torch.no_grad() or an integer dtype on the way, and for an input that backward returns None for"
)


class PyTorch(Framework):
    """Tensors of any device that has numbers, and their `torch.autograd` derivatives."""

    name, noun = "PyTorch", "tensor"
    traits = Traits(
        strides="positive",
        read_only=False,
        reads="{}.detach().numpy()",
        makes="torch.tensor({}, requires_grad=True)",
        lost=LOST,
    )
    imports: ClassVar[Mapping[str, str]] = {"torch": "import torch"}
    advice: ClassVar[Mapping[str, str]] = {
        "partial_gradients": "return gradients in the order of the inputs, whatever ctx.needs_input_grad says of the others",
        "saved_values": "save what backward needs with ctx.save_for_backward, which guards it, not as an attribute of ctx",
        "autocast": "decorate forward of the Function with torch.amp.custom_fwd(device_type=..., cast_inputs=torch.float32) and "
        "backward with torch.amp.custom_bwd(device_type=...), or call it under torch.autocast(..., enabled=False)",
    }

    # --- values -------------------------------------------------------------------------------------------------------

    def owns(self, leaf: Any) -> bool:
        """A tensor, a parameter included."""
        return isinstance(leaf, torch.Tensor)

    def array(self, leaf: Any, path: str) -> Array:
        """Its numbers; refuses what has none, or none that can be judged."""
        if leaf.device.type == "meta":
            raise CallError(
                f"{path} is on the meta device, which holds no numbers: pass a tensor on the CPU or another real device"
            )
        if leaf.is_quantized:
            raise CallError(f"{path} is quantised, and its values move in steps: pass x.dequantize()")
        if leaf.layout != torch.strided:
            if path.startswith("the gradient"):
                return self.array(leaf.to_dense(), path)
            raise CallError(
                f"{path} is a tensor in the layout {leaf.layout}: pass x.to_dense(), and make it sparse inside of the function"
            )
        if leaf.dtype in (torch.float16, torch.bfloat16) or "float8" in str(leaf.dtype):
            raise CallError(
                f"{path} is {leaf.dtype}, in which a derivative cannot be told from rounding: pass reference=g, the same "
                "mathematics in float64, or check it with x.float() or x.double()"
            )
        found: Array = leaf.numpy(force=True)  # from any device; of a lazy conjugate or zero, a copy
        return found

    def leaf(self, array: Array, like: Any, *, wanted: bool = False) -> Any:
        """A tensor in the array's memory, on the device of `like`."""
        tensor = _shared(array).to(like.device)
        return tensor.requires_grad_(True) if wanted else tensor

    def trainable(self, leaf: Any) -> bool:
        """Whether it requires a gradient."""
        return bool(leaf.requires_grad)

    def follows(self, output: Any) -> bool:
        """Whether something was recorded for it: not so for `mark_non_differentiable` and detached outputs."""
        return bool(output.requires_grad)

    def overwrite(self, leaf: Any) -> bool:
        """Double the values, as an optimizer step may change them: without a record, but with a new version."""
        with torch.no_grad():
            leaf.mul_(2).add_(1)
        return True

    # --- functions ----------------------------------------------------------------------------------------------------

    def claims(self, f: Any) -> bool:
        """A module, a Function or its `apply`, an op, one of torch's own functions."""
        if isinstance(f, torch.nn.Module) or _is_function(f) or _is_function(getattr(f, "__self__", None)):
            return True
        root = str(getattr(f, "__module__", None) or type(f).__module__).partition(".")[0]
        return callable(f) and root == "torch"

    def function(self, f: Any) -> Callable[..., Any]:
        """`apply` of a Function; a module only where it draws no random numbers."""
        if isinstance(f, torch.nn.Module):
            for path, module in f.named_modules():
                if module.training and _draws(module):
                    raise CallError(
                        f"{path or type(f).__name__} ({type(module).__name__}) draws new random numbers in each call while the "
                        "module is in training mode, so there is no one function to differentiate: call module.eval() first"
                    )
        made: Callable[..., Any] = f.apply if _is_function(f) else f
        return made

    def held(self, f: Any) -> dict[str, Any]:
        """The parameters of a module, as `named_parameters` names them."""
        return dict(f.named_parameters()) if isinstance(f, torch.nn.Module) else {}

    def call(
        self, f: Any, arguments: Sequence[Any], params: Mapping[str, Any], held: Mapping[str, Any]
    ) -> Any:
        """A module with these parameters, and with buffers of its own in each call, in the precision of the parameters."""
        if not isinstance(f, torch.nn.Module):
            return f(*arguments, **params)
        floating = [x for x in (*held.values(), *arguments) if torch.is_tensor(x) and x.is_floating_point()]
        finest = max([x.dtype for x in floating], key=lambda d: d.itemsize, default=torch.float64)
        buffers = {
            name: b.detach().to(finest, copy=True) if b.is_floating_point() else b.detach().clone()
            for name, b in f.named_buffers()
        }
        return torch.func.functional_call(f, {**held, **buffers}, tuple(arguments), dict(params))

    def own_rule(self, f: Any) -> bool:
        """A Function or a custom op."""
        custom = isinstance(f, torch.library.CustomOpDef)
        return custom or _is_function(f) or _is_function(getattr(f, "__self__", None))

    def composed(self, f: Any) -> bool:
        """A module, or a function that is none of one rule."""
        return not self.own_rule(f)

    def title(self, f: Any) -> str:
        """The class of a module or of a Function, the qualified name of an op."""
        owner: Any = getattr(f, "__self__", None)
        if _is_function(owner):
            return str(owner.__name__)
        if isinstance(f, torch.library.CustomOpDef):
            return str(f._qualname)
        return name_of(f)

    # --- derivatives --------------------------------------------------------------------------------------------------

    def record(self, call: Call, own: Sequence[Any], wanted: Sequence[bool]) -> Recorded:
        """`call(own)` with gradients enabled."""
        with torch.enable_grad():
            result = call(own)
        outputs = outputs_of(result)

        def pull(gys: Sequence[Any | None]) -> list[Any | None]:
            return _grads(outputs, gys, own, wanted)

        def accumulated(gys: Sequence[Any | None]) -> list[Any | None]:
            roots, given = _roots(outputs, gys)
            for leaf in own:
                leaf.grad = None
            if roots:
                torch.autograd.backward(roots, given, retain_graph=True, inputs=_sources(own, wanted))
            found = [leaf.grad if want else None for leaf, want in zip(own, wanted, strict=True)]
            for leaf in own:
                leaf.grad = None
            return found

        def batched(gys: Sequence[Any | None]) -> list[Any | None]:
            return _grads(outputs, gys, own, wanted, is_grads_batched=True)

        return Recorded(result, pull, accumulated, batched)

    def values(self, call: Call, own: Sequence[Any], wanted: Sequence[bool]) -> Any:
        """The same call: a function may take gradients itself, which it could not where none are recorded."""
        with torch.enable_grad():
            return call(own)

    def gradients(
        self, call: Call, own: Sequence[Any], wanted: Sequence[bool], gys: Sequence[Any | None]
    ) -> list[Any]:
        """The cotangents with their history."""
        with torch.enable_grad():
            sources = [
                x.detach().requires_grad_(True) if want and not x.requires_grad else x
                for x, want in zip(own, wanted, strict=True)
            ]
            found = _grads(outputs_of(call(sources)), gys, sources, wanted, create_graph=True)
            if _ends_in_error([gx for gx in found if gx is not None]):
                raise CallError(
                    "a Function in it is marked once_differentiable, so that it has no second derivative: check the first order "
                    "alone with gradcheck, or write its backward with differentiable operations and remove the mark"
                )
            return [
                torch.zeros_like(x) if gx is None else gx
                for x, gx, want in zip(sources, found, wanted, strict=True)
                if want
            ]

    def tangents(
        self, call: Call, own: Sequence[Any], moving: Sequence[Any | None]
    ) -> list[Any | None] | None:
        """Dual numbers through the call."""
        with torch.enable_grad(), forward_ad.dual_level(), warnings.catch_warnings():
            warnings.simplefilter(
                "ignore", DeprecationWarning
            )  # PyTorch's own, from its first use of dual numbers
            duals = [x if t is None else forward_ad.make_dual(x, t) for x, t in zip(own, moving, strict=True)]
            try:
                result = call(duals)
            except NotImplementedError:
                return None
            return [forward_ad.unpack_dual(y).tangent for y in outputs_of(result)]

    def lowered(self, call: Call, like: Any) -> tuple[Call, float] | None:
        """Forward under `torch.autocast`, in its dtype for that device; backward after it, as in training."""
        return mixed(call, like.device.type)

    def rounding(self, unit: float, seed: int) -> AbstractContextManager[Any]:
        """A dispatch mode."""
        mode: AbstractContextManager[Any] = Rounding(unit, seed)
        return mode

    # --- code ---------------------------------------------------------------------------------------------------------

    def literal(self, leaf: Any, nested: str) -> str:
        """`torch.tensor(...)`, with its dtype and whether it requires a gradient."""
        needs = ", requires_grad=True" if leaf.requires_grad else ""
        if not leaf.numel():
            return f"torch.zeros({tuple(leaf.shape)}, dtype={leaf.dtype}{needs})"
        return f"torch.tensor({nested}, dtype={leaf.dtype}{needs})"

    def function_code(self, f: Any) -> str | None:
        """Of torch's own functions; `MyFunction.apply`."""
        owner: Any = getattr(f, "__self__", None)
        if _is_function(owner):
            return f"{owner.__name__}.apply"
        if _is_function(f):
            return f"{f.__name__}.apply"
        if isinstance(f, torch.nn.Module):
            return "module"
        return name_in(NAMESPACES, f)

    def call_code(self, f: str, arguments: Sequence[str], moved: str, f_itself: Any) -> str:
        """A call of f; of a module with all that it holds in double precision."""
        if not isinstance(f_itself, torch.nn.Module):
            return super().call_code(f, arguments, moved, f_itself)
        given = "".join([f"{argument}, " for argument in arguments]).rstrip(" ")
        replaced = f"held | {{{moved!r}: torch.tensor(x)}}" if moved else "held"
        held = f"{{k: v.double() if v.is_floating_point() else v for k, v in {f}.state_dict().items()}}"
        return f"torch.func.functional_call({f}, {replaced}, ({given}))".replace("held", held)

    def held_code(self, f: str, name: str) -> str:
        """A parameter by its name."""
        return f"{f}.get_parameter({name!r})"


def _draws(module: Any) -> bool:
    """Whether a module draws random numbers in training mode."""
    if isinstance(module, torch.nn.modules.dropout._DropoutNd):
        return float(module.p) > 0
    recurrent = isinstance(module, torch.nn.RNNBase | torch.nn.MultiheadAttention)
    return isinstance(module, torch.nn.RReLU) or (recurrent and float(module.dropout) > 0)


def _is_function(f: Any) -> bool:
    return inspect.isclass(f) and issubclass(f, torch.autograd.Function)


def _shared(array: Array) -> Any:
    """A tensor in the array's memory; a copy where PyTorch has no such strides or the array can't be written to."""
    if array.flags.writeable and all(step >= 0 for step in array.strides):
        return torch.from_numpy(array)
    first = tuple([slice(0, 1) if step == 0 else slice(None) for step in array.strides])
    return torch.from_numpy(np.array(array[first], order="C")).expand(array.shape)


def _sources(own: Sequence[Any], wanted: Sequence[bool]) -> list[Any]:
    """The wanted leaves, each once."""
    found = {id(leaf): leaf for leaf, want in zip(own, wanted, strict=True) if want}
    return list(found.values())


def _roots(outputs: Sequence[Any], gys: Sequence[Any | None]) -> tuple[list[Any], list[Any]]:
    pairs = [(y, gy) for y, gy in zip(outputs, gys, strict=True) if gy is not None and y.requires_grad]
    return [y for y, _ in pairs], [gy for _, gy in pairs]


def _grads(
    outputs: Sequence[Any],
    gys: Sequence[Any | None],
    own: Sequence[Any],
    wanted: Sequence[bool],
    **options: bool,
) -> list[Any | None]:
    """One gradient per leaf, None for one that gets none."""
    roots, given = _roots(outputs, gys)
    sources = _sources(own, wanted)
    if not roots:
        return [None] * len(own)
    found = torch.autograd.grad(roots, sources, given, retain_graph=True, allow_unused=True, **options)
    by_leaf = {id(leaf): gx for leaf, gx in zip(sources, found, strict=True)}
    return [by_leaf.get(id(leaf)) if want else None for leaf, want in zip(own, wanted, strict=True)]


def _ends_in_error(tensors: Sequence[Any]) -> bool:
    """Whether the history of a tensor has the node that once_differentiable leaves, whose gradient is an error."""
    waiting = [x.grad_fn for x in tensors]
    seen: set[Any] = {None}
    while waiting:
        node = waiting.pop()
        if node in seen:
            continue
        seen.add(node)
        if type(node).__name__ == "Error":
            return True
        waiting += [following for following, _ in node.next_functions]
    return False


FRAMEWORK = PyTorch()
