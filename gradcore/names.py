"""PyTorch's names for what has another name here, or is not here: an error says what to write."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, ParamSpec, TypeVar

from gradcore.errors import ArgumentError

P = ParamSpec("P")
R = TypeVar("R")

TENSOR = {
    "to": "x.astype(dtype) converts; everything is on the CPU",
    "cpu": "everything is on the CPU",
    "cuda": "everything is on the CPU",
    "device": "everything is on the CPU",
    "is_cuda": "everything is on the CPU",
    "float": "write x.astype(np.float32)",
    "double": "write x.astype(np.float64)",
    "half": "write x.astype(np.float16)",
    "int": "write x.astype(np.int32)",
    "long": "write x.astype(np.int64)",
    "bool": "write x != 0",
    "type": "write x.dtype, or x.astype(dtype)",
    "type_as": "write x.astype(other.dtype)",
    "detach_": "write x = x.detach()",
    "retain_grad": "only leaves get a grad: use y = x.detach() with y.requires_grad = True as one",
    "register_hook": "there are no hooks: multiply by a factor, or write an op with a rule of its own (gradcore.op)",
    "grad_fn": "x.is_leaf says whether an op made it, and repr(x) which",
    "add_": "tensors are not changed in place: write x = x + y",
    "sub_": "tensors are not changed in place: write x = x - y",
    "mul_": "tensors are not changed in place: write x = x * y",
    "div_": "tensors are not changed in place: write x = x / y",
    "zero_": "tensors are not changed in place: write gradcore.zeros_like(x); x.zero_grad() clears a gradient",
    "fill_": "tensors are not changed in place: write gradcore.full_like(x, value)",
    "copy_": "tensors are not changed in place: write x.data = array of x's shape and dtype",
    "clamp_": "tensors are not changed in place: write x = x.clip(low, high)",
    "mm": "write x @ y",
    "bmm": "write x @ y",
    "mv": "write x @ y",
    "norm": "write gradcore.norm(x, ord, axis)",
    "rsqrt": "write x.sqrt().reciprocal()",
    "expand": "write x.broadcast_to(shape)",
    "expand_as": "write x.broadcast_to(other.shape)",
    "view_as": "write x.reshape(other.shape)",
    "reshape_as": "write x.reshape(other.shape)",
    "repeat": "write x.tile(reps); gradcore.repeat repeats each entry, as NumPy does",
    "contiguous": "not needed: every op takes any memory layout",
    "scatter_add_": "write gradcore.scatter_add(values, index, shape)",
    "index_select": "write x.take(index, axis)",
    "masked_fill": "write gradcore.where(mask, value, x)",
    "masked_select": "write x[mask]",
    "chunk": "write gradcore.array_split(x, n)",
    "split": "write gradcore.split(x, parts), with a number of parts or where to cut",
    "unbind": "write list(x)",
    "argsort": "write np.argsort(x)",
    "round": "write np.round(x), which has no gradient",
    "floor": "write np.floor(x), which has no gradient",
    "ceil": "write np.ceil(x), which has no gradient",
    "sign": "write np.sign(x), which has no gradient",
    "any": "write np.any(x)",
    "all": "write np.all(x)",
    "eq": "write x == y",
    "allclose": "write np.allclose(x, y)",
    "isnan": "write np.isnan(x)",
    "nelement": "write x.size",
    "stride": "write x.data.strides",
    "data_ptr": "write x.data.ctypes.data",
    "mT": "write x.swapaxes(-1, -2)",
}

MODULE = {
    "to": "everything is on the CPU; model.astype(dtype) converts",
    "cuda": "everything is on the CPU",
    "cpu": "everything is on the CPU",
    "half": "write model.astype(np.float16)",
    "float": "write model.astype(np.float32)",
    "double": "write model.astype(np.float64)",
    "children": "write named_children(), which gives pairs of name and module",
    "modules": "write named_modules(), which gives pairs of name and module",
    "register_buffer": "an array among the attributes is a buffer: write self.name = np.zeros(n, np.float32)",
    "register_parameter": "a Tensor among the attributes is a parameter: write self.name = gradcore.zeros(n, requires_grad=True)",
    "add_module": "a Module among the attributes is a child: write self.name = module",
    "buffers": "write state_dict(), which holds them by name",
}

OPTIMIZER = {
    "state": "write state_dict(), which holds the running values by parameter and name",
    "defaults": "the hyperparameters are attributes: write optimizer.lr, or optimizer.param_groups[0].lr",
    "register_step_pre_hook": "write in the loop what is to run before step()",
    "register_step_post_hook": "write in the loop what is to run after step()",
}

PACKAGE = {
    "cat": "write gradcore.concatenate([x, y], axis)",
    "concat": "write gradcore.concatenate([x, y], axis)",
    "manual_seed": "there is no global generator: pass rng=seed to gradcore.randn, nn.Linear and the others",
    "from_numpy": "write gradcore.Tensor(array), which shares it, or gradcore.tensor(array), which copies it",
    "as_tensor": "write gradcore.Tensor(array)",
    "load": "write gradcore.load_into(path, model)",
    "randint": "write gradcore.tensor(np.random.default_rng(seed).integers(low, high, shape))",
    "linspace": "write gradcore.tensor(np.linspace(start, stop, n, dtype=np.float32))",
    "empty": "write gradcore.zeros(shape)",
    "mm": "write x @ y",
    "bmm": "write x @ y",
    "flatten": "write x.flatten()",
    "permute": "write gradcore.transpose(x, axes)",
    "argmax": "write x.argmax(axis)",
    "float16": "write np.float16",
    "float32": "write np.float32",
    "float64": "write np.float64",
    "int64": "write np.int64",
    "long": "write np.int64",
    "device": "everything is on the CPU",
    "cuda": "everything is on the CPU",
    "autograd": "write y.backward(), or an op with a rule of its own (gradcore.op)",
    "utils": "DataLoader is in gradcore.data",
    "inference_mode": "write gradcore.no_grad()",
}

NN = {
    "Parameter": "write gradcore.Tensor(array, requires_grad=True)",
    "Transformer": "write a Module of nn.TransformerEncoderLayer and nn.MultiheadAttention",
    "utils": "clip_grad_norm and clip_grad_value are in gradcore.optim, weight_norm and spectral_norm in gradcore.nn",
}

OPTIM = {
    "swa_utils": "write optim.EMA or optim.SWA",
    "SparseAdam": "gradients are dense: write optim.Adam",
    "Rprop": "write optim.RMSprop",
    "Adafactor": "write optim.Adam",
    "ASGD": "write optim.SGD, and optim.SWA for the average",
}

_OBJECT = "it is in gradcore.optim.lr_scheduler; a Trainer takes the function, {}"

SCHEDULES = {
    "StepLR": _OBJECT.format("schedules.every"),
    "MultiStepLR": _OBJECT.format("schedules.steps"),
    "ExponentialLR": _OBJECT.format("schedules.exponential"),
    "LinearLR": _OBJECT.format("schedules.points or schedules.warmup"),
    "CosineAnnealingLR": _OBJECT.format("schedules.cosine"),
    "CosineAnnealingWarmRestarts": _OBJECT.format("schedules.restarts"),
    "OneCycleLR": _OBJECT.format("schedules.points"),
    "LambdaLR": "a schedule is such a function itself",
}

LR_SCHEDULER = {
    "SequentialLR": "put schedules together: LambdaLR(optimizer, schedules.joined(first, (5, second)))",
    "ChainedScheduler": "multiply schedules: LambdaLR(optimizer, lambda steps: first(steps) * second(steps))",
    "MultiplicativeLR": "write LambdaLR with the product, or ExponentialLR",
    "CyclicLR": "write LambdaLR(optimizer, schedules.restarts(2 * size, shape=schedules.points((0, low), (0.5, 1), (1, low))))",
    "SWALR": "write LambdaLR with schedules.points",
}


class Elsewhere:
    """A class attribute that is not there: reading it from an instance raises AttributeError with what to write.

    A `__getattr__` would say the same, and slow down every attribute of the class.
    """

    def __init__(self, owner: str, name: str, hint: str) -> None:
        self.hint = f"{owner} has no {name}: {hint}"

    def __get__(self, instance: Any, owner: type) -> Elsewhere:
        if instance is None:
            return self
        raise AttributeError(self.hint)

    def __repr__(self) -> str:
        return f"<not here: {self.hint}>"


def attach(cls: type, owner: str, hints: dict[str, str]) -> None:
    """Give `cls` an `Elsewhere` for each name that it does not have."""
    for name, hint in hints.items():
        if not hasattr(cls, name):
            setattr(cls, name, Elsewhere(owner, name, hint))


def without_hints(instance: Any) -> list[str]:
    """What `dir(instance)` should list: all but what is not there."""
    cls = type(instance)
    return [name for name in object.__dir__(instance) if not isinstance(getattr(cls, name, None), Elsewhere)]


def missing(module: str, name: str, hints: dict[str, str]) -> AttributeError:
    """The error for `module.name`, as Python words it, with what to write where that is known."""
    hint = f": {hints[name]}" if name in hints else ""
    return AttributeError(f"module {module!r} has no attribute {name!r}{hint}")


def our_names(op: str, known: Sequence[str], named: dict[str, Any]) -> dict[str, Any]:
    """`named`, in which `dim` stands for axis and `keepdim` for keepdims, as in PyTorch.

    Raises ArgumentError where the op has no such parameter, where one comes under both names, and for max and min with
    `dim`, which give pairs in PyTorch.
    """
    found = {}
    for name, value in named.items():
        own = {"dim": "axis", "keepdim": "keepdims"}.get(name, name)
        if own not in known:
            raise ArgumentError(
                f"{op} takes no {name}: its parameters are {', '.join(known) or 'arrays alone'}"
            )
        if own != name and own in named:
            raise ArgumentError(f"{op} got both {own} and {name}, which are one parameter: leave {name} out")
        if name == "dim" and op in ("max", "min"):
            raise ArgumentError(
                f"{op} with dim= gives values and places in PyTorch: write x.{op}(axis={value!r}) for the values, "
                f"x.arg{op}(axis={value!r}) for the places"
            )
        found[own] = value
    return found


def with_pytorchs_names(function: Callable[P, R]) -> Callable[P, R]:
    """`function`; where it has an axis, with `dim` for axis and `keepdim` for keepdims as well."""
    code = function.__code__
    known = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    if "axis" not in known:
        return function
    accepted = frozenset(known)

    @functools.wraps(function)
    def call(*args: P.args, **params: P.kwargs) -> R:
        if params and not accepted.issuperset(params):
            return function(*args, **our_names(function.__name__.lstrip("_"), known, params))
        return function(*args, **params)

    return call
