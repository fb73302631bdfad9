"""Muon."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from gradcore.errors import DomainError, GraphError
from gradcore.optim.base import Optimizer, check, check_flag, follow
from gradcore.optim.reference import discounted, trajectory
from gradcore.registry import optimizer
from gradcore.spec import Floats, OneOf, OptimizerSpec
from gradcore.tensor import Tensor

if TYPE_CHECKING:
    from gradcore.optim.base import Array, Arrays, Checks, Params

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
_ADJUSTMENTS = (None, "original", "columns", "match_rms_adamw")


def orthogonalize(
    x: Any, steps: int = 5, coefficients: tuple[float, float, float] = COEFFICIENTS, eps: float = 1e-7
) -> Any:
    """About U V^T of a matrix x = U S V^T, by so many Newton-Schulz steps X = a X + (b X X^T + c (X X^T)^2) X.

    The start is x / max(norm, eps), with the Frobenius norm. The singular values s go through the polynomial
    a s + b s^3 + c s^5 each time; with the default coefficients they end between 0.68 and 1.16. On arrays and on Tensors.
    """
    a, b, c = coefficients
    tall = x.shape[0] > x.shape[1]
    x = x.T if tall else x
    # Squares overflow long before the norm does: at 1e19 in float32.
    top = max(1.0, float(np.max(np.abs(x.data if isinstance(x, Tensor) else x), initial=0.0)))
    x = x / top
    x = x / np.maximum(np.sqrt((x * x).sum()), eps / top)
    for _ in range(steps):
        gram = x @ x.T
        x = a * x + (b * gram + c * (gram @ gram)) @ x
    return x.T if tall else x


def _ratio(shape: tuple[int, ...], adjust: str | None) -> float:
    """The factor of lr for a matrix of this shape, whose axes from the second on count as one."""
    rows, columns = shape[0], math.prod(shape[1:])
    if adjust == "match_rms_adamw":
        return 0.2 * math.sqrt(max(rows, columns))
    return math.sqrt(max(1, columns / max(1, rows) if adjust == "columns" else rows / max(1, columns)))


def _by_singular_values(
    p: Any,
    gradients: Any,
    factors: Any,
    lr: float,
    weight_decay: float,
    momentum: float,
    nesterov: bool,
    coefficients: Any,
    eps: float,
    steps: int,
    adjust: str | None,
) -> Any:
    """The mean as an explicit sum, and the polynomial of its singular values."""
    a, b, c = coefficients

    def move(past: list[Any]) -> Any:
        mean = (1 - momentum) * discounted(past, momentum)
        ahead = (1 - momentum) * past[-1] + momentum * mean if nesterov else mean
        if not ahead.size:
            return ahead
        u, s, vt = np.linalg.svd(ahead.reshape(len(ahead), -1), full_matrices=False)
        s = s / max(np.linalg.norm(s), eps)
        for _ in range(steps):
            s = a * s + b * s**3 + c * s**5
        n, m = len(u), vt.shape[1]
        ratio = {"match_rms_adamw": 0.04 * max(n, m), "columns": max(1, m / n)}.get(
            adjust or "", max(1, n / m)
        )
        return ((u * s) @ vt).reshape(ahead.shape) * ratio**0.5

    return trajectory(p, gradients, factors, lr, move, 0.0, weight_decay)


def _check_coefficients(name: str, value: Any) -> tuple[float, float, float]:
    sound = isinstance(value, tuple | list) and len(value) == 3
    if not sound or not all(isinstance(n, int | float) and math.isfinite(n) for n in value):
        raise DomainError(f"{name}={value!r} are not three numbers: pass three, such as {COEFFICIENTS}")
    return float(value[0]), float(value[1]), float(value[2])


def _check_steps(name: str, value: Any) -> int:
    if not isinstance(value, int | np.integer) or isinstance(value, bool) or not 0 < value < 100:
        raise DomainError(f"{name}={value!r} is out of range: it must be a whole number from 1 to 99")
    return int(value)


def _check_adjustment(name: str, value: Any) -> str | None:
    if value not in _ADJUSTMENTS:
        raise DomainError(f"{name}={value!r} is none: write {', '.join(map(repr, _ADJUSTMENTS))}")
    found: str | None = value
    return found


@optimizer(
    spec=OptimizerSpec(
        {
            "lr": Floats(1e-4, 0.1, log=True),
            "weight_decay": Floats(0.0, 0.2, specials=(0.0, 0.1)),
            "momentum": Floats(0.0, 0.99, specials=(0.0, 0.95)),
            "nesterov": OneOf(True, False),
            "ns_coefficients": OneOf(COEFFICIENTS, (1.5, -0.5, 0.0), (1.875, -1.25, 0.375)),
            "eps": Floats(1e-8, 1e-2, log=True, specials=(1e-7,)),
            "ns_steps": OneOf(5, 1, 3),
            "adjust_lr_fn": OneOf(*_ADJUSTMENTS),
        },
        reference=lambda p, gradients, factors, *, lr=1e-3, weight_decay=0.1, momentum=0.95, nesterov=True, ns_coefficients=COEFFICIENTS, eps=1e-7, ns_steps=5, adjust_lr_fn=None: (
            _by_singular_values(
                p, gradients, factors, lr, weight_decay, momentum, nesterov, ns_coefficients, eps, ns_steps, adjust_lr_fn
            )
        ),
        least_ndim=2,
    )
)  # fmt: skip
class Muon(Optimizer):
    """Muon: a running mean of the gradient, made orthogonal, for the matrices of hidden layers.

    m = momentum m + (1 - momentum) g;  u = (1 - momentum) g + momentum m with nesterov, else m;
    p -= lr (r orthogonalize(u) + weight_decay p).  r: sqrt(max(1, rows / columns)), where the outputs are the rows, as in a
    convolution's kernels; with adjust_lr_fn="columns" the reverse, as nn.Linear's outputs are columns; with "match_rms_adamw"
    0.2 sqrt(max(rows, columns)), which takes Adam's lr.
    Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/, with the mean as in PyTorch; in the parameter's own precision,
    where PyTorch computes in bfloat16. A kernel of more than two axes is the matrix of its first axis by all others.
    GraphError for a parameter of fewer than two axes. Give biases, scales, embeddings and the last layer to another optimizer,
    such as AdamW; choose by name, as nn.Linear's bias is a matrix of one row.
    """

    hyper: ClassVar[Checks] = {
        "lr": check,
        "weight_decay": check,
        "momentum": partial(check, high=1.0),
        "nesterov": check_flag,
        "ns_coefficients": _check_coefficients,
        "eps": check,
        "ns_steps": _check_steps,
        "adjust_lr_fn": _check_adjustment,
    }
    elementwise = False
    weight_decay: float
    momentum: float
    nesterov: bool
    ns_coefficients: tuple[float, float, float]
    eps: float
    ns_steps: int
    adjust_lr_fn: str | None

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_coefficients: tuple[float, float, float] = COEFFICIENTS,
        eps: float = 1e-7,
        ns_steps: int = 5,
        adjust_lr_fn: str | None = None,
    ) -> None:
        super().__init__(
            params,
            lr=lr,
            weight_decay=weight_decay,
            momentum=momentum,
            nesterov=nesterov,
            ns_coefficients=ns_coefficients,
            eps=eps,
            ns_steps=ns_steps,
            adjust_lr_fn=adjust_lr_fn,
        )

    def _check_params(self) -> None:
        super()._check_params()
        for i, p in enumerate(self.params):
            if p.ndim < 2:
                raise GraphError(
                    f"Muon got a parameter of shape {p.shape} as parameter {i}: it changes matrices, so give biases and scales "
                    "to another optimizer: Muon([p for name, p in model.named_parameters() if name.endswith('weight')])"
                )

    def buffers(self) -> tuple[str, ...]:  # noqa: D102
        return ("mean",)

    def _numbers(self, step: int) -> tuple[float, ...]:
        return (self.momentum, 1 - self.momentum, self.lr, 1 - self.lr * self.weight_decay)

    def _update(self, p: Array, g: Array, s: Array, numbers: Arrays, state: Arrays) -> None:
        momentum, rest, lr, decay = numbers
        (mean,) = state
        follow(mean, g, s, momentum, rest)
        ahead = rest * g + momentum * mean if self.nesterov else mean
        matrix = ahead.reshape(len(p), math.prod(p.shape[1:]))
        if p.dtype.itemsize < 4:
            matrix = matrix.astype(np.float32)
        found = orthogonalize(matrix, self.ns_steps, self.ns_coefficients, self.eps)
        np.multiply(found.reshape(p.shape), lr * _ratio(p.shape, self.adjust_lr_fn), out=s)
        p *= decay
        p -= s
