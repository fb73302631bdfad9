"""HIPS autograd: functions of NumPy arrays written with `autograd.numpy`, and primitives with `defvjp` and `defjvp`.

Its values are NumPy's, so that nothing shows whose derivative is meant, unless f is a primitive or a function that autograd
has wrapped (`grad(f)`): for any other one its caller says `backend="autograd"`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import autograd.builtins as autograd_builtins
import autograd.numpy as anp
import numpy as np
from autograd.core import JVPNode, VJPNode, backward_pass
from autograd.tracer import isbox, new_box, trace_stack

from gradcheck.backends.framework import Call, Framework, Recorded, code_root, name_in, outputs_of
from gradcheck.backends.protocol import Array, Traits
from gradcheck.backends.tree import described
from gradcheck.errors import CallError

NAMESPACES = (("anp", anp), ("anp.linalg", anp.linalg), ("anp.fft", anp.fft))

LOST = (
    "the result does not depend on this input, as far as autograd has recorded: look for functions of NumPy in the place of "
    "autograd.numpy, for defvjp with None, float(x), and an integer dtype on the way"
)


class Autograd(Framework):
    """Arrays of NumPy, and the vjps of autograd's primitives."""

    name, noun = "autograd", "array"
    traits = Traits(lost=LOST)
    imports: ClassVar[Mapping[str, str]] = {"anp": "import autograd.numpy as anp"}

    # --- values -------------------------------------------------------------------------------------------------------

    def owns(self, leaf: Any) -> bool:
        """An array or a floating scalar of NumPy, traced or not."""
        return isinstance(leaf, np.ndarray | np.generic) or isbox(leaf)

    def array(self, leaf: Any, path: str) -> Array:
        """Itself."""
        if isbox(leaf):
            raise CallError(
                f"{path} is a {type(leaf).__name__}, traced by autograd.grad or the like: call the check outside of it, on arrays"
            )
        found = np.asarray(leaf)
        if found.dtype.kind == "f" and found.dtype.itemsize < 4:
            raise CallError(
                f"{path} is {found.dtype}, in which a derivative cannot be told from rounding: pass x.astype(np.float32)"
            )
        if found.dtype.kind not in "fciub":
            raise CallError(f"{path} is {described(found)}, which holds no numbers: pass a floating array")
        return found

    def leaf(self, array: Array, like: Any, *, wanted: bool = False) -> Any:
        """The array itself."""
        return array

    # --- functions ----------------------------------------------------------------------------------------------------

    def claims(self, f: Any) -> bool:
        """A primitive, or a function that autograd has wrapped."""
        return callable(f) and not isinstance(f, type) and code_root(f) == "autograd"

    # --- derivatives --------------------------------------------------------------------------------------------------

    def record(self, call: Call, own: Sequence[Any], wanted: Sequence[bool]) -> Recorded:
        """One pass for each wanted leaf, as `grad(f, argnum)` makes it."""
        traced = {id(x): _reverse(call, own, x) for x, want in zip(own, wanted, strict=True) if want}

        def pull(gys: Sequence[Any | None]) -> list[Any | None]:
            found = _pulled(traced, own, wanted, gys)
            return [np.array(gx) if any(gx is gy for gy in gys if gy is not None) else gx for gx in found]

        return Recorded(call(own), pull)

    def values(self, call: Call, own: Sequence[Any], wanted: Sequence[bool]) -> Any:
        """The call itself."""
        return call(own)

    def gradients(
        self, call: Call, own: Sequence[Any], wanted: Sequence[bool], gys: Sequence[Any | None]
    ) -> list[Any]:
        """The cotangents within whatever is tracing."""
        traced = {id(x): _reverse(call, own, x) for x, want in zip(own, wanted, strict=True) if want}
        found = _pulled(traced, own, wanted, gys)
        return [
            anp.zeros(anp.shape(x)) if gx is None else gx
            for x, gx, want in zip(own, found, wanted, strict=True)
            if want
        ]

    def tangents(
        self, call: Call, own: Sequence[Any], moving: Sequence[Any | None]
    ) -> list[Any | None] | None:
        """Forward mode; None where a primitive on the way has no jvp."""
        with trace_stack.new_trace() as trace:
            boxes = {
                id(x): new_box(x, trace, JVPNode.new_root(t))
                for x, t in zip(own, moving, strict=True)
                if t is not None
            }
            try:
                result = call([boxes.get(id(x), x) for x in own])
            except NotImplementedError as error:
                if "JVP of" in str(error):
                    return None
                raise
            outputs = outputs_of(_opened(result))
            return [y._node.g if _made_in(y, trace) else None for y in outputs]

    # --- code ---------------------------------------------------------------------------------------------------------

    def literal(self, leaf: Any, nested: str) -> str:
        """Code of the array."""
        return f"np.array({nested}, {str(leaf.dtype)!r})"

    def function_code(self, f: Any) -> str | None:
        """Of autograd.numpy's own functions; `f` for one that autograd has made, which bears the name of another."""
        if (own := name_in(NAMESPACES, f)) is not None:
            return own
        primitive = hasattr(f, "_is_autograd_primitive")
        return None if primitive or not self.claims(f) else "f"


def _made_in(y: Any, trace: int) -> bool:
    return bool(isbox(y) and y._trace == trace)


def _reverse(call: Call, own: Sequence[Any], leaf: Any) -> list[tuple[Any, Any]]:
    """Pairs (value, node) of the outputs of a call recorded by one leaf; the node is None where nothing was recorded."""
    with trace_stack.new_trace() as trace:
        box = new_box(leaf, trace, VJPNode.new_root())
        try:
            result = call([box if x is leaf else x for x in own])
        except NotImplementedError as error:
            if "VJP of" in str(error):
                raise CallError(
                    f"autograd has no derivative of a primitive on the way ({error}): define it with "
                    "autograd.extend.defvjp, or leave that input out with wrt="
                ) from error
            raise
        outputs = outputs_of(_opened(result))
        return [(y._value, y._node) if _made_in(y, trace) else (y, None) for y in outputs]


def _pulled(
    traced: Mapping[int, list[tuple[Any, Any]]],
    own: Sequence[Any],
    wanted: Sequence[bool],
    gys: Sequence[Any | None],
) -> list[Any | None]:
    """One cotangent per leaf, None for one on which no output depends."""
    found: list[Any | None] = []
    for leaf, want in zip(own, wanted, strict=True):
        total = None
        for (_, node), gy in zip(traced[id(leaf)] if want else (), gys, strict=bool(want)):
            if node is not None and gy is not None:
                gx = _conjugate(backward_pass(_conjugate(gy), node))
                total = gx if total is None else total + gx
        found.append(total)
    return found


def _conjugate(x: Any) -> Any:
    """Autograd pairs a cotangent and a tangent as `Re sum(ct * t)`, with no conjugate."""
    return anp.conj(x) if anp.iscomplexobj(x) else x


def _opened(result: Any) -> Any:
    """The structure with traced tuples, lists and dicts taken apart."""
    if isinstance(result, autograd_builtins.SequenceBox):
        return tuple([_opened(result[i]) for i in range(len(result))])
    if isinstance(result, autograd_builtins.DictBox):
        return {key: _opened(result[key]) for key in result}
    if isinstance(result, dict):
        return {key: _opened(item) for key, item in result.items()}
    if isinstance(result, tuple | list) and not hasattr(result, "_fields"):
        return type(result)([_opened(item) for item in result])
    return result


FRAMEWORK = Autograd()
"""The only one."""
