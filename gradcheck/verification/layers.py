"""Layers at an example: value, gradients by every input and every parameter, state, and batches of one or none."""

from __future__ import annotations

import inspect
from dataclasses import replace
from itertools import takewhile
from typing import TYPE_CHECKING, Any

import numpy as np

from gradcheck.backends.core import as_tensors
from gradcheck.check import gradcheck, gradgradcheck
from gradcheck.strategies.shapes import evaluate, names_in
from gradcheck.verification.agreement import check_agreement
from gradcheck.verification.layer_call import LayerCall, arguments, joined, outputs, parts, state_of
from gradcheck.verification.outcome import VerificationError
from gradcore.errors import ShapeError
from gradcore.nn.module import functional_call
from gradcore.tensor import Tensor

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gradcheck.report.report import Report
    from gradcheck.strategies import Example
    from gradcore.nn.module import Module
    from gradcore.spec import LayerSpec


def _equal(a: Any, b: Any) -> bool:
    if isinstance(a, np.random.Generator):
        return bool(a.bit_generator.state == b.bit_generator.state)
    return a.dtype == b.dtype and np.array_equal(a, b)


def check_layer_value(call: LayerCall, example: Example) -> None:
    """The output against the reference, on arrays as on Tensors, with its shape and dtype. Raises `VerificationError`."""
    what = call.on(example.arrays)

    def on_tensors(*values: Any) -> Any:
        arrays, parameters = _split(call, values)
        return joined(call(*map(_tensor, arrays), parameters))

    values = [*example.arrays, *call.parameters.values()]
    _check_shapes(what, call, values)
    y = on_tensors(*values)
    if y.dtype != call.dtype:
        raise VerificationError(f"{what}: the output is {y.dtype}, and the input {call.dtype}")
    arrays, parameters = _split(call, values)
    on_arrays = joined(call(*arrays, parameters))
    if on_arrays.dtype != y.dtype or not np.array_equal(on_arrays, y, equal_nan=True):
        raise VerificationError(f"{what}: the output on arrays is {on_arrays!r}, and on Tensors {y!r}")
    check_agreement(what, on_tensors, lambda *v: joined(call.reference(*v)), values, _moves(call, example))


def _check_shapes(what: str, call: LayerCall, values: Sequence[Any]) -> None:
    """Several outputs each have the shape of the reference's, which their entries in a row would not show."""
    arrays, parameters = _split(call, values)
    found = [y.shape for y in outputs(call(*map(_tensor, arrays), parameters))]
    expected = [np.shape(y) for y in outputs(call.reference(*map(_wide, values)))]
    if found != expected:
        raise VerificationError(
            f"{what}: the outputs have the shapes {found}, and the reference's {expected}"
        )


def _split(call: LayerCall, values: Sequence[Any]) -> tuple[Sequence[Any], dict[str, Tensor]]:
    n = len(values) - len(call.parameters)
    return values[:n], dict(zip(call.parameters, map(Tensor, values[n:]), strict=True))


def _tensor(a: Any) -> Any:
    return Tensor(a) if a is not None and a.dtype.kind == "f" else a


def _moves(call: LayerCall, example: Example) -> list[bool]:
    """Which of arrays and parameters may be moved to measure rounding."""
    return [*example.takes_gradient, *(True for _ in call.parameters)]


def check_layer_gradient(call: LayerCall, example: Example, *, seed: int = 0) -> Report:
    """The gradient by every input that takes one and every parameter, against numeric derivatives, with all contracts.

    Raises `GradientError`.
    """
    return gradcheck(
        call, as_tensors((*example.arrays, call.parameters)), wrt=_wanted(call, example), seed=seed
    )


def check_layer_second_order(call: LayerCall, example: Example, *, seed: int = 0) -> Report:
    """The recorded backward pass as a function of inputs, parameters and cotangent, and its values beside the plain one's.

    Raises `GradientError`.
    """
    return gradgradcheck(
        call, as_tensors((*example.arrays, call.parameters)), wrt=_wanted(call, example), seed=seed
    )


def _wanted(call: LayerCall, example: Example) -> list[int | str]:
    wanted: list[int | str] = [i for i, takes in enumerate(example.takes_gradient) if takes]
    return [*wanted, *(f"inputs[{len(example.arrays)}][{name!r}]" for name in call.parameters)]


def check_layer_start(cls: type[Module], params: Mapping[str, Any], seed: int) -> None:
    """A new layer's parameters and buffers against the spec's, to the last bit of float32. Raises `VerificationError`."""
    what = f"a new {cls.__name__}({', '.join(f'{name}={value!r}' for name, value in params.items())})"
    takes_rng = "rng" in inspect.signature(cls.__init__).parameters
    made = cls(**{"rng": seed, **params} if takes_rng else params)
    spec: LayerSpec = cls.spec  # type: ignore[attr-defined]
    expected = {} if spec.initial is None else spec.initial(np.random.default_rng(seed), **params)
    found = made.state_dict()
    if list(found) != list(expected):
        raise VerificationError(
            f"{what} holds {list(found)}, and the spec's `initial` gives {list(expected)}"
        )
    for name, array in found.items():
        if not _equal(array, np.asarray(expected[name], np.float32)):
            raise VerificationError(f"{what}: {name} is {array!r}, expected {expected[name]!r} in float32")
    if fixed := [name for name, parameter in made.named_parameters() if not parameter.requires_grad]:
        raise VerificationError(f"{what}: {', '.join(fixed)} would not be trained: it takes no gradient")
    if not made.training:
        raise VerificationError(f"{what} is in evaluation, and should be in training")


def check_layer_state(call: LayerCall, example: Example) -> None:
    """What the layer holds after a call, and after the backward pass: what the spec says, and all else as before.

    In evaluation nothing changes. Raises `VerificationError`.
    """
    what = call.on(example.arrays)
    layer = call.layer(call.dtype)
    layer.load_state_dict({**layer.state_dict(), **call.parameters})
    before = state_of(layer)
    tensors = [
        Tensor(a, requires_grad=True) if a is not None and takes else a
        for a, takes in zip(example.arrays, example.takes_gradient, strict=True)
    ]
    y = layer(*arguments(call.cls, tensors))
    after = state_of(layer)
    sum(part.sum() for part in parts(y)).backward()
    _unchanged(what, after, state_of(layer), "by the backward pass")
    values = [*example.arrays, *call.parameters.values()]
    changed = call.state_after(*[_wide(v) for v in values])
    _unchanged(what, before, {name: v for name, v in after.items() if name not in changed}, "by the call")
    for name, expected in changed.items():
        if isinstance(expected, np.random.Generator):
            if not _equal(expected, after[name]):
                raise VerificationError(f"{what}: the generator {name} is not where the spec's is afterwards")
            continue

        def ours(*moved: Any, name: str = name) -> Any:
            buffers = dict(zip(call.buffers, moved[len(values) :], strict=True))
            other = replace(call, buffers=buffers)
            arrays, parameters = _split(other, moved[: len(values)])
            made = other.layer(call.dtype)
            functional_call(made, parameters, *arguments(call.cls, arrays))
            return made.state_dict()[name]

        def reference(*moved: Any, name: str = name) -> Any:
            buffers = dict(zip(call.buffers, moved[len(values) :], strict=True))
            return replace(call, buffers=buffers).state_after(*moved[: len(values)])[name]

        if after[name].dtype != before[name].dtype:
            raise VerificationError(f"{what}: {name} was {before[name].dtype} and became {after[name].dtype}")
        moves = [*_moves(call, example), *(True for _ in call.buffers)]
        check_agreement(
            f"{what}: {name} afterwards", ours, reference, [*values, *call.buffers.values()], moves
        )


def _unchanged(what: str, before: Mapping[str, Any], after: Mapping[str, Any], by: str) -> None:
    for name, value in after.items():
        if not _equal(before[name], value):
            raise VerificationError(
                f"{what}: {name} was changed {by}, from {before[name]!r} to {value!r}. If it should be, declare it in the "
                "spec's `state_after`"
            )


def _wide(a: Any) -> Any:
    return a.astype(np.float64) if a is not None and a.dtype.kind == "f" else a


def check_layer_rows(call: LayerCall, example: Example) -> None:
    """Batches of one example and of none, by all axes of the letter n, each against the reference.

    In training, a layer refuses just those after which `state_after` would not be finite, with ShapeError, and is then as
    before. Raises `VerificationError`.
    """
    for count in (1, 0):
        arrays = _rows(example, count)
        what = call.on(arrays)
        values = [*arrays, *call.parameters.values()]
        with np.errstate(all="ignore"):
            after = call.state_after(*[_wide(v) for v in values])
        known = all(np.isfinite(v).all() for v in after.values() if not isinstance(v, np.random.Generator))
        layer = call.layer(call.dtype)
        before = state_of(layer)
        try:
            layer(*arguments(call.cls, list(map(_tensor, arrays))))
        except ShapeError as error:
            if known:
                raise VerificationError(f"{what} was refused: {error}") from error
            if arrays[0] is None or str(arrays[0].shape) not in str(error):
                raise VerificationError(f"{what} was refused without naming its shape: {error}") from error
            _unchanged(what, before, state_of(layer), "by a call that was refused")
            continue
        if not known:
            raise VerificationError(f"{what} was not refused, and leaves no finite {', '.join(after)}")

        def ours(*values: Any) -> Any:
            arrays, parameters = _split(call, values)
            return joined(call(*map(_tensor, arrays), parameters))

        _check_shapes(what, call, values)
        check_agreement(what, ours, lambda *v: joined(call.reference(*v)), values, _moves(call, example))


def _rows(example: Example, count: int) -> list[Any]:
    """The example's arrays with so many rows along the axes of the letter n."""
    found = []
    for array, domain in zip(example.arrays, example.domains, strict=True):
        kept = [
            slice(evaluate(axis, {"n": count}) if names_in(axis) == ["n"] else None)
            for axis in takewhile(lambda axis: axis != "...", domain.array.shape.split())
        ]
        found.append(None if array is None else array[tuple(kept)])
    return found


def check_layer_misfit(call: LayerCall, example: Example, letters: Mapping[str, int]) -> None:
    """An input that is larger by one along an axis whose size the constructor was given, is refused with its shape.

    letters: those axes of the first array, by the constructor's argument. Raises `VerificationError`.
    """
    for name, axis in letters.items():
        shape = list(example.arrays[0].shape)  # type: ignore[union-attr]
        shape[axis] += 1
        x = np.ones(shape, call.dtype)
        layer = call.layer(call.dtype)
        before = state_of(layer)
        what = f"{call.on([x])}, where {name} is another"
        try:
            layer(*arguments(call.cls, [Tensor(x), *example.arrays[1:]]))
        except ShapeError as error:
            if str(x.shape) not in str(error):
                raise VerificationError(f"{what}, was refused without naming its shape: {error}") from error
            _unchanged(what, before, state_of(layer), "by a call that was refused")
        else:
            raise VerificationError(f"{what}, was not refused")
