"""Checks of right gradients in float64, with all contracts, against torch.autograd.gradcheck; and what takes many checks.

A pair of NumPy functions (of the convolution, gradcore's op) and PyTorch's function of the same mathematics, at one point.
PyTorch's full mode is the unit: it takes every entry by itself, and has one contract.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from contest import OURS, TORCH, Contender, Values, contest
from timing import Race, timed

FAST = "torch fast"
EPS = 1e-5
MILLION = 1_000_000
EXAMPLES = 100

Array = np.ndarray


class WrongVerdictError(Exception):
    """A check did not find what is known of its function: there is nothing to time."""


@dataclass(frozen=True)
class Work:
    """One function at one point. op: of gradcore, in place of forward and rule; torch: makes PyTorch's function."""

    inputs: Callable[[], Sequence[Array]]
    forward: Callable[..., Array]
    rule: Callable[..., Any]
    torch: Callable[[], Callable[..., Any]]
    op: Callable[[], Any] | None = None


class _Check(Contender):
    """A check of a work's function. values: the gradients by the inputs that have one, for a cotangent of ones."""

    def __init__(self, work: Work) -> None:
        self.inputs = [np.asarray(a) for a in work.inputs()]
        self.start(work)

    def start(self, work: Work) -> None:
        raise NotImplementedError

    def check(self) -> object:
        raise NotImplementedError

    def gradients(self) -> Sequence[Any]:
        raise NotImplementedError

    def run(self) -> None:
        if not self.check():
            raise WrongVerdictError(f"{type(self).__name__}: a right gradient did not pass")

    def values(self) -> Values:
        return {f"gradient {i}": np.asarray(gx) for i, gx in enumerate(self.gradients())}


class _Ours(_Check):
    def start(self, work: Work) -> None:
        self.forward, self.rule = work.forward, work.rule
        self.subject, self.vjp = (work.forward, work.rule) if work.op is None else (work.op(), None)

    def check(self) -> object:
        from gradcheck import gradcheck

        return gradcheck(self.subject, tuple(self.inputs), vjp=self.vjp, raise_exception=False)

    def gradients(self) -> Sequence[Any]:
        y = np.asarray(self.forward(*self.inputs))
        return [gx for gx in self.rule(np.ones_like(y), y, *self.inputs) if gx is not None]


class _Torch(_Check):
    fast = False

    def start(self, work: Work) -> None:
        import torch

        self.function, self.gradcheck = work.torch(), torch.autograd.gradcheck
        self.tensors = [torch.tensor(a).requires_grad_(a.dtype.kind == "f") for a in self.inputs]

    def check(self) -> object:
        return self.gradcheck(self.function, self.tensors, fast_mode=self.fast, raise_exception=False)

    def gradients(self) -> Sequence[Any]:
        import torch

        wanted = [t for t in self.tensors if t.requires_grad]
        y = self.function(*self.tensors)
        return torch.autograd.grad(y, wanted, torch.ones_like(y))


class _Fast(_Torch):
    fast = True


CONTENDERS: dict[str, type[_Check]] = {OURS: _Ours, TORCH: _Torch, FAST: _Fast}


def bench(work: Work, rounds: int) -> Race:
    """Race the checks of one function, once they agree on its gradients."""
    return contest({name: partial(kind, work) for name, kind in CONTENDERS.items()}, rounds, 1e-9)


def verification(rounds: int) -> float:
    """Seconds of `verify` on a right rule of an array of shape (4, 5), 100 examples; the fastest of some."""
    from gradcheck import verify

    x = _drawn(1, (4, 5))[0]
    run = partial(verify, np.tanh, like=(x,), vjp=_tanh_rule, max_examples=EXAMPLES)
    if not run():
        raise WrongVerdictError("verify: a right gradient did not pass")
    return min(timed(run, 1) for _ in range(rounds))


def location(rounds: int) -> float:
    """Seconds of a check of a million entries of which one is wrong, found; the fastest of some."""
    from gradcheck import gradcheck

    x = _drawn(1, (MILLION,))[0]

    def wrong(gy: Array, y: Array, x: Array) -> Array:
        gx = _tanh_rule(gy, y, x)
        gx[MILLION // 3] *= 1.5
        return gx

    run = partial(gradcheck, np.tanh, (x,), vjp=wrong, raise_exception=False)
    if [fault.index for fault in run().faults] != [(MILLION // 3,)]:
        raise WrongVerdictError("gradcheck: the wrong entry was not located")
    return min(timed(run, 1) for _ in range(rounds))


def _tanh_rule(gy: Array, y: Array, x: Array) -> Array:
    return gy * (1 - y * y)


def _drawn(seed: int, *shapes: tuple[int, ...]) -> list[Array]:
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(shape) / np.sqrt(shape[0]) for shape in shapes]


# --- the functions ----------------------------------------------------------------------------------------------------


def _softmax(x: Array) -> Array:
    e = np.exp(x - x.max(1, keepdims=True))
    return np.asarray(e / e.sum(1, keepdims=True))


def cross_entropy(x: Array, labels: Array) -> Array:
    """The mean negative log-likelihood of the labels under softmax."""
    shifted = x - x.max(1, keepdims=True)
    log_sum = np.log(np.exp(shifted).sum(1))
    return np.asarray((log_sum - shifted[np.arange(len(x)), labels]).mean())


def cross_entropy_rule(gy: Array, y: Array, x: Array, labels: Array) -> tuple[Array, None]:
    """The softmax less the one-hot labels, over the batch."""
    gx = _softmax(x)
    gx[np.arange(len(x)), labels] -= 1
    return gx * (gy / len(x)), None


def _labelled() -> list[Array]:
    rng = np.random.default_rng(0)
    return [rng.standard_normal((16, 10)), rng.integers(0, 10, 16)]


def linear(x: Array, w: Array, b: Array) -> Array:
    """A linear layer."""
    return np.asarray(x @ w + b)


def linear_rule(gy: Array, y: Array, x: Array, w: Array, b: Array) -> tuple[Array, ...]:
    """Its vjp."""
    return gy @ w.T, x.T @ gy, gy.sum(0)


def layer_norm(x: Array, w: Array, b: Array) -> Array:
    """Layer norm over the rows."""
    centred = x - x.mean(1, keepdims=True)
    return np.asarray(centred / np.sqrt((centred * centred).mean(1, keepdims=True) + EPS) * w + b)


def layer_norm_rule(gy: Array, y: Array, x: Array, w: Array, b: Array) -> tuple[Array, ...]:
    """Its vjp."""
    centred = x - x.mean(1, keepdims=True)
    scale = 1 / np.sqrt((centred * centred).mean(1, keepdims=True) + EPS)
    normal, g = centred * scale, gy * w
    gx = scale * (g - g.mean(1, keepdims=True) - normal * (g * normal).mean(1, keepdims=True))
    return gx, (gy * normal).sum(0), gy.sum(0)


def mlp(x: Array, w1: Array, b1: Array, w2: Array, b2: Array) -> Array:
    """Two layers with tanh between them."""
    return np.asarray(np.tanh(x @ w1 + b1) @ w2 + b2)


def mlp_rule(gy: Array, y: Array, x: Array, w1: Array, b1: Array, w2: Array, b2: Array) -> tuple[Array, ...]:
    """Their vjp."""
    h = np.tanh(x @ w1 + b1)
    gh = gy @ w2.T * (1 - h * h)
    return gh @ w1.T, x.T @ gh, gh.sum(0), h.T @ gy, gy.sum(0)


def _conv_op() -> Any:
    import gradcore

    return gradcore.ops.conv2d


def conv2d(x: Array, w: Array) -> Array:
    """The op's forward."""
    return np.asarray(_conv_op().forward(x, w))


def conv2d_rule(gy: Array, y: Array, x: Array, w: Array) -> Sequence[Array]:
    """The op's own gradients, by its engine."""
    import gradcore

    tensors = [gradcore.Tensor(a, True) for a in (x, w)]
    _conv_op()(*tensors).backward(gy)
    return [np.asarray(t.grad) for t in tensors]


def _torch_cross_entropy() -> Callable[..., Any]:
    from torch.nn.functional import cross_entropy

    return cross_entropy


def _torch_linear() -> Callable[..., Any]:
    return lambda x, w, b: x @ w + b


def _torch_conv2d() -> Callable[..., Any]:
    from torch.nn.functional import conv2d

    return conv2d


def _torch_layer_norm() -> Callable[..., Any]:
    from torch.nn.functional import layer_norm

    return lambda x, w, b: layer_norm(x, w.shape, w, b, EPS)


def _torch_mlp() -> Callable[..., Any]:
    import torch

    return lambda x, w1, b1, w2, b2: torch.tanh(x @ w1 + b1) @ w2 + b2


WORK = {
    "softmax cross-entropy (16, 10)": Work(
        _labelled, cross_entropy, cross_entropy_rule, _torch_cross_entropy
    ),
    "linear (8, 32) -> (8, 16)": Work(
        partial(_drawn, 0, (8, 32), (32, 16), (16,)), linear, linear_rule, _torch_linear
    ),
    "conv2d (2, 3, 8, 8) * (4, 3, 3, 3)": Work(
        partial(_drawn, 0, (2, 3, 8, 8), (4, 3, 3, 3)), conv2d, conv2d_rule, _torch_conv2d, _conv_op
    ),
    "layer norm (4, 64)": Work(
        partial(_drawn, 0, (4, 64), (64,), (64,)), layer_norm, layer_norm_rule, _torch_layer_norm
    ),
    "MLP 64-32-10": Work(
        partial(_drawn, 0, (8, 64), (64, 32), (32,), (32, 10), (10,)), mlp, mlp_rule, _torch_mlp
    ),
}
