"""One pair of NumPy functions, as each of the checkers takes it: gradcheck's, PyTorch's, JAX's and autograd's.

A checker returns False for a pair that it calls wrong, True for one that it does not, None where it ends in another error.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from gradcheck import Verdict, gradcheck

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass
class Pair:
    """A forward function, its rule, and the inputs to check it at."""

    f: Callable[..., Any]
    rule: Callable[..., Any]
    inputs: tuple[Any, ...]
    params: dict[str, Any]

    def __post_init__(self) -> None:
        self.inputs = copy.deepcopy(self.inputs)  # some forwards change them
        self.moving = [i for i, x in enumerate(self.inputs) if np.asarray(x).dtype.kind in "fc"]

    def with_moving(self, arrays: Any) -> list[Any]:
        """All inputs, these in place of those that move."""
        found = list(self.inputs)
        for i, x in zip(self.moving, arrays, strict=True):
            found[i] = np.array(x)
        return found

    def forward(self, *arrays: Any) -> np.ndarray:
        """The output of the moving inputs; TypeError for several outputs."""
        y = self.f(*self.with_moving(arrays), **self.params)
        if isinstance(y, dict | tuple | list):
            raise TypeError("several outputs")
        return np.asarray(y)

    def pulled(self, gy: np.ndarray, y: np.ndarray, *arrays: Any) -> list[Any]:
        """The cotangents of the moving inputs, zeros for None."""
        found = self.rule(gy, y, *self.with_moving(arrays), **self.params)
        found = found if isinstance(found, tuple) else (found,)
        each = [found[i] for i in self.moving]
        return [np.zeros_like(x) if g is None else np.asarray(g) for g, x in zip(each, arrays, strict=True)]

    @property
    def arrays(self) -> list[np.ndarray]:
        """The moving inputs in double precision."""
        each = [np.asarray(self.inputs[i]) for i in self.moving]
        return [x.astype(np.complex128 if x.dtype.kind == "c" else np.float64) for x in each]


def ours(pair: Pair) -> bool | None:
    """Whether gradcheck does not call it wrong."""
    report = gradcheck(pair.f, pair.inputs, vjp=pair.rule, params=pair.params, raise_exception=False)
    return report.verdict is not Verdict.FAIL


def torchs(pair: Pair) -> bool | None:
    """`torch.autograd.gradcheck` of the pair as an `autograd.Function`."""
    import torch
    from torch.autograd.gradcheck import GradcheckError

    class Function(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, *tensors: Any) -> Any:
            y = pair.forward(*[x.detach().numpy() for x in tensors])
            ctx.arrays, ctx.y = [x.detach().numpy() for x in tensors], y
            return torch.from_numpy(np.array(y))

        @staticmethod
        def backward(ctx: Any, gy: Any) -> Any:
            found = pair.pulled(gy.detach().numpy(), ctx.y, *ctx.arrays)
            return tuple([torch.from_numpy(np.array(g)) for g in found])

    inputs = [torch.from_numpy(np.array(x)).requires_grad_() for x in pair.arrays]
    try:
        return bool(torch.autograd.gradcheck(Function.apply, inputs))
    except GradcheckError:
        return False
    except Exception:  # noqa: BLE001 - of the checker's own, or of a rule that raises
        return None


def jaxs(pair: Pair) -> bool | None:
    """`jax.test_util.check_grads` of the pair as a `custom_vjp` function."""
    import jax
    from jax.test_util import check_grads

    jax.config.update("jax_enable_x64", True)
    first = pair.forward(*pair.arrays)

    @jax.custom_vjp
    def function(*arrays: Any) -> Any:
        shape = jax.ShapeDtypeStruct(first.shape, first.dtype)
        return jax.pure_callback(lambda *given: pair.forward(*map(np.asarray, given)), shape, *arrays)

    def backward(saved: Any, gy: Any) -> Any:
        y, arrays = saved
        shapes = [jax.ShapeDtypeStruct(x.shape, x.dtype) for x in arrays]
        conj = np.conj  # JAX's cotangents are the conjugates of ours

        def pulled(gy: Any, y: Any, *given: Any) -> list[Any]:
            return [
                conj(g) for g in pair.pulled(conj(np.asarray(gy)), np.asarray(y), *map(np.asarray, given))
            ]

        return tuple(jax.pure_callback(pulled, shapes, gy, y, *arrays))

    def forward(*arrays: Any) -> Any:
        y = function(*arrays)
        return y, (y, arrays)

    function.defvjp(forward, backward)
    try:
        check_grads(function, tuple(map(jax.numpy.asarray, pair.arrays)), order=1, modes=["rev"])
    except AssertionError:
        return False
    except Exception:  # noqa: BLE001
        return None
    return True


def autograds(pair: Pair) -> bool | None:
    """`autograd.test_util.check_grads` of the pair as a primitive."""
    from autograd.extend import defvjp, primitive
    from autograd.test_util import check_grads

    @primitive
    def function(*arrays: Any) -> Any:
        return pair.forward(*arrays)

    def pull(k: int) -> Callable[..., Any]:
        def rule(y: Any, *arrays: Any) -> Callable[[Any], Any]:
            return lambda gy: np.conj(pair.pulled(np.conj(np.asarray(gy)), np.asarray(y), *arrays)[k])

        return rule

    defvjp(function, *[pull(k) for k in range(len(pair.moving))])
    try:
        check_grads(function, modes=["rev"], order=1)(*pair.arrays)
    except AssertionError:
        return False
    except Exception:  # noqa: BLE001
        return None
    return True


CHECKERS: dict[str, Callable[[Pair], bool | None] | None] = {
    "gradcheck": ours,
    "torch.autograd.gradcheck": torchs if find_spec("torch") else None,
    "jax.test_util.check_grads": jaxs if find_spec("jax") else None,
    "autograd.test_util.check_grads": autograds if find_spec("autograd") else None,
}
