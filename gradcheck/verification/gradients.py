"""Gradients of ops and losses at an example: numerically, through the recorded graph, and twice."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from gradcheck.check import gradcheck, gradgradcheck
from gradcheck.compare import Verdict
from gradcheck.contracts import CONTRACTS
from gradcheck.verification.outcome import VerificationError, described
from gradcore.graph import unbroadcast
from gradcore.op import Op
from gradcore.tensor import Tensor

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from gradcheck.report import Report
    from gradcheck.strategies import Example


NEED_MORE = {"integers_get_none", "aliased_arguments"}
"""Contracts that need an input of integers, or two that are alike, which not everything has."""


@dataclass
class Tally:
    """What the checks of one entry could tell, so that a check that never tells anything is not taken for a pass."""

    name: str
    told: int = 0
    vacuous: int = 0
    inconclusive: int = 0
    informed: set[str] = field(default_factory=set)
    expected: set[str] = field(default_factory=set)
    reasons: list[str] = field(default_factory=list)
    held: set[str] = field(default_factory=set)
    skipped: dict[str, str] = field(default_factory=dict)

    def add(self, report: Report, smooth: bool = True) -> None:
        """Count one report; at a smooth example, a kink is as little an answer as none."""
        self.expected |= {i.path for i in report.inputs}
        self.held |= {c.name for c in report.contracts if c.status == "held"}
        self.skipped.update({c.name: c.text for c in report.contracts if c.status == "skipped"})
        self.informed |= {
            i.path
            for i in report.inputs
            if not i.vacuous
            and i.verdict is not None
            and (i.verdict is Verdict.PASS or (i.verdict is Verdict.SUBGRADIENT and not smooth))
        }
        if report.verdict is Verdict.INCONCLUSIVE or (smooth and report.verdict is Verdict.SUBGRADIENT):
            self.inconclusive += 1
            self.reasons.append(str(report))
        elif len(report.vacuous) == len(report.inputs):
            self.vacuous += 1
        else:
            self.told += 1

    def conclude(self) -> None:
        """Raises `VerificationError` where most checks told nothing, where some input's gradient was never seen, or where
        some contract was never examined.
        """
        blind = sorted(self.expected - self.informed)
        if blind and self.told + self.inconclusive:  # all of them vacuous is the truth for x^0, say
            raise VerificationError(
                f"{self.name}: no example showed a gradient by {', '.join(blind)}: it was zero or could not be measured "
                "at any of them. Change the spec's domain, or declare the array differentiable=False"
            )
        left = set(CONTRACTS) - self.held - NEED_MORE
        if left and self.told:
            raise VerificationError(
                f"{self.name}: no example showed whether {', '.join(sorted(left))} holds: "
                f"{next(iter(self.skipped.get(name, 'it was not tried') for name in sorted(left)))}. Change the spec's domain"
            )
        if self.inconclusive > self.told + self.vacuous:
            raise VerificationError(
                f"{self.name}: {self.inconclusive} of {self.inconclusive + self.told + self.vacuous} checks could not "
                f"tell. Change the spec's domain to one where a derivative can be measured. The last one:\n"
                f"{self.reasons[-1]}"
            )


def check_gradient(entry: Any, example: Example, *, seed: int = 0) -> Report:
    """The gradient by every array that takes one, against numeric derivatives, with all contracts.

    entry: an Op, whose pair is checked, or a function composed of ops, which is checked on Tensors.
    Raises `GradientError`.
    """
    return gradcheck(entry, example.arrays, params=example.params, wrt=_wanted(example), seed=seed)


def check_second_order(entry: Any, example: Example, *, seed: int = 0) -> Report:
    """The recorded rule as a function of its own: derivatives of `(arrays, gy) -> gx`. Raises `GradientError`."""
    return gradgradcheck(entry, example.arrays, params=example.params, wrt=_wanted(example), seed=seed)


def _wanted(example: Example) -> list[int]:
    return [i for i, takes in enumerate(example.takes_gradient) if takes]


def check_recording(entry: Any, example: Example, gy: NDArray[Any], name: str) -> None:
    """Called on Tensors: the same value, and `backward` leaves what the pair's rule gives.

    Both run the same arithmetic on the same arrays, so they must agree to the last bit. A composed function has no pair:
    its value must agree, and its gradients must have their inputs' shapes and dtypes. Raises `VerificationError`.
    """
    arrays, params, takes = example.arrays, example.params, example.takes_gradient
    what = f"{name} on {described(arrays, params)}"
    forward = entry.forward if isinstance(entry, Op) else entry
    y = np.asarray(forward(*arrays, **params))
    gy = np.ascontiguousarray(gy).reshape(y.shape)
    tensors: list[Any] = [
        Tensor(a, requires_grad=True) if a is not None and t else a
        for a, t in zip(arrays, takes, strict=True)
    ]
    out = entry(*tensors, **params)
    if type(out) is not Tensor or out.dtype != y.dtype or not np.array_equal(out.data, y, equal_nan=True):
        raise VerificationError(f"{what}: on Tensors it gives {out!r}, on arrays {y!r}")
    out.backward(gy)
    expected = _pair(entry, gy, y, example) if isinstance(entry, Op) else [None] * len(arrays)
    for i, (tensor, gx) in enumerate(zip(tensors, expected, strict=True)):
        if not takes[i]:
            continue
        if tensor.grad is None or tensor.grad.shape != tensor.shape or tensor.grad.dtype != tensor.dtype:
            raise VerificationError(
                f"{what}: backward left {tensor.grad!r} for array {i}, which is {tensor.dtype} {tensor.shape}"
            )
        if gx is not None and not np.array_equal(tensor.grad, gx, equal_nan=True):
            raise VerificationError(
                f"{what}: backward left {tensor.grad!r} for array {i}, and the rule gives {gx!r}"
            )


def _pair(op: Op[..., Any], gy: Any, y: Any, example: Example) -> list[Any]:
    """What the rules give for the arrays that take a gradient, broadcasting and promotion undone, without the engine."""
    arrays = (*example.arrays, *op._defaults[len(example.arrays) :])
    needs = (*example.takes_gradient, *(False for _ in arrays[len(example.arrays) :]))
    if op.rules is None:
        found = op.whole_rule(gy, y, arrays, example.params, needs)
    else:
        found = tuple(
            [
                rule(gy, y, *arrays, **example.params) if need else None
                for rule, need in zip(op.rules, needs, strict=True)
            ]
        )
    fitted: list[Any] = []
    for gx, x, need in zip(found, arrays, needs, strict=True):
        if not need or gx is None:
            fitted.append(None)
            continue
        gx = unbroadcast(gx, x.shape) if op.broadcasts and gx.shape != x.shape else gx
        fitted.append(gx.astype(x.dtype))
    return fitted[: len(example.arrays)]
