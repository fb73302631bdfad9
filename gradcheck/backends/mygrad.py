"""MyGrad: functions of its tensors, `mygrad.operation_base.Operation`s of a user's own among them.

Its backward pass spends the graph, so that a second one needs a second forward call.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import mygrad as mg
import numpy as np

from gradcheck.backends.framework import Call, Framework, Recorded, name_in, outputs_of
from gradcheck.backends.protocol import Array, Traits
from gradcheck.errors import CallError

NAMESPACES = (("mg", mg), ("mg.nnet", mg.nnet), ("mg.linalg", mg.linalg))

LOST = (
    "the result does not depend on this input, as far as MyGrad has recorded: look for functions of x.data, float(x), "
    "constant=True and mg.no_autodiff on the way"
)


class MyGrad(Framework):
    """Tensors of MyGrad, and what their backward pass leaves in `x.grad`."""

    name, noun = "MyGrad", "tensor"
    traits = Traits(reads="{}.data", makes="mg.tensor({})", lost=LOST)
    imports: ClassVar[Mapping[str, str]] = {"mg": "import mygrad as mg"}

    # --- values -------------------------------------------------------------------------------------------------------

    def owns(self, leaf: Any) -> bool:
        """A tensor."""
        return isinstance(leaf, mg.Tensor)

    def array(self, leaf: Any, path: str) -> Array:
        """Its array."""
        found: Array = leaf.data
        if found.dtype.kind == "f" and found.dtype.itemsize < 4:
            raise CallError(
                f"{path} is {found.dtype}, in which a derivative cannot be told from rounding: pass x.astype(np.float32)"
            )
        return found

    def leaf(self, array: Array, like: Any, *, wanted: bool = False) -> Any:
        """A tensor in the array's memory."""
        return mg.tensor(array, constant=not wanted, copy=False)

    def trainable(self, leaf: Any) -> bool:
        """Whether it is no constant."""
        return not leaf.constant

    def follows(self, output: Any) -> bool:
        """The same of an output."""
        return not output.constant

    # --- derivatives --------------------------------------------------------------------------------------------------

    def record(self, call: Call, own: Sequence[Any], wanted: Sequence[bool]) -> Recorded:
        """`call(own)`; the first pull spends it, and any later one calls again, on the same arrays."""
        with mg.mem_guard_off:
            result = call(own)
        unspent = [(list(own), result)]

        def pull(gys: Sequence[Any | None]) -> list[Any | None]:
            with mg.mem_guard_off:
                leaves, made = unspent.pop() if unspent else self._again(call, own)
                _backward(outputs_of(made), gys)
            return [
                mg.tensor(np.array(x.grad)) if want and x.grad is not None else None
                for x, want in zip(leaves, wanted, strict=True)
            ]

        return Recorded(result, pull)

    def _again(self, call: Call, own: Sequence[Any]) -> tuple[list[Any], Any]:
        new = {id(x): mg.tensor(x.data, constant=x.constant, copy=False) for x in own}
        leaves = [new[id(x)] for x in own]
        return leaves, call(leaves)

    def values(self, call: Call, own: Sequence[Any], wanted: Sequence[bool]) -> Any:
        """The call, nothing recorded."""
        with mg.no_autodiff:
            return call(own)

    # --- code ---------------------------------------------------------------------------------------------------------

    def literal(self, leaf: Any, nested: str) -> str:
        """`mg.tensor(...)` with its dtype."""
        if not leaf.size:
            return f"mg.zeros({leaf.shape}, {str(leaf.dtype)!r})"
        constant = ", constant=True" if leaf.constant and leaf.dtype.kind == "f" else ""
        return f"mg.tensor({nested}, dtype={str(leaf.dtype)!r}{constant})"

    def function_code(self, f: Any) -> str | None:
        """Of MyGrad's own functions."""
        return name_in(NAMESPACES, f)


def _backward(outputs: Sequence[Any], gys: Sequence[Any | None]) -> None:
    """One pass from all outputs at once, as it ends with the graph."""
    pairs = [(y, gy.data) for y, gy in zip(outputs, gys, strict=True) if gy is not None and not y.constant]
    if len(pairs) == 1:
        pairs[0][0].backward(pairs[0][1])
    elif pairs:
        sum([mg.sum(y * gy) for y, gy in pairs]).backward()


FRAMEWORK = MyGrad()
"""The only one."""
