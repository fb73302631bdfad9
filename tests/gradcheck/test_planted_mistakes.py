"""Wrong gradients and what has to be reported of them: a table, so that causes reported can be counted against causes planted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from mistaken import (
    accumulates_over_calls,
    by_identity,
    changes_cotangent_in_rule,
    changes_input_in_rule,
    changes_its_dtype,
    changes_output_in_rule,
    counts_its_calls,
    draws_noise,
    fills_memory_order,
    first_wins,
    last_wins,
    loses_a_sign_inside,
    one_entry,
    reads_the_base,
    remembers_the_last_input,
    remembers_the_last_mask,
    returns_one_buffer_always,
    reuses_its_result,
    shifts_its_input,
    shifts_its_input_for_a_while,
    spends_what_it_saved,
    takes_one_triangle_and_gives_both,
    trusts_strides,
    writes_into_view,
)

from gradcheck import Verdict, gradcheck
from gradcheck.contracts import ON_REQUEST, of_every_subject
from gradcheck.diagnosis.causes import CAUSES


def drawn(*shape: int, seed: int = 0, low: float | None = None) -> np.ndarray:
    rng = np.random.default_rng([seed, *shape])
    return rng.standard_normal(shape) if low is None else rng.uniform(low, low + 2, shape)


X, A, B, S, V = drawn(4, 3), drawn(4, 3, seed=1), drawn(3, 5), drawn(4, 4), drawn(6)
INDEX = np.array([0, 2, 2, 1, 2])


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def softmax_rule(gy, y, x, axis=-1):
    return y * (gy - (gy * y).sum(axis, keepdims=True))


def take_rule(gy, y, x, i):
    gx = np.zeros_like(x)
    np.add.at(gx, i, gy)
    return gx, None


def normalized(x):
    return (x - x.mean(-1, keepdims=True)) / x.std(-1, keepdims=True)


def normalized_rule(gy, y, x):
    mean = gy.mean(-1, keepdims=True)
    return (gy - mean - y * (gy * y).mean(-1, keepdims=True)) / x.std(-1, keepdims=True)


def both(x):
    return {"sum": x.sum(0), "square": x * x}


RIGHT: dict[str, tuple[Callable[..., Any], Callable[..., Any], tuple[Any, ...]]] = {
    "sin": (np.sin, lambda gy, y, x: gy * np.cos(x), (X,)),
    "exp": (np.exp, lambda gy, y, x: gy * y, (X,)),
    "square": (np.square, lambda gy, y, x: 2 * gy * x, (X,)),
    "relu": (lambda x: np.maximum(x, 0), lambda gy, y, x: gy * (x > 0), (X,)),
    "round": (np.round, lambda gy, y, x: 0 * gy, (np.array([0.2, 1.1, -0.9]),)),
    "sqrt": (np.sqrt, lambda gy, y, x: gy / (2 * y), (drawn(4, 3, low=0.5),)),
    "abs": (np.abs, lambda gy, y, x: gy * np.sign(x), (np.array([-1.0, 0.0, 2.0]),)),
    "mul": (lambda a, b: a * b, lambda gy, y, a, b: (gy * b, gy * a), (X, A)),
    "sub": (lambda a, b: a - b, lambda gy, y, a, b: (gy, -gy), (X, A)),
    "div": (lambda a, b: a / b, lambda gy, y, a, b: (gy / b, -gy * y / b), (X, drawn(4, 3, low=0.5))),
    "bias": (lambda x, b: x + b, lambda gy, y, x, b: (gy, gy.sum(0)), (X, drawn(3))),
    "scale": (
        lambda x, s: x * s,
        lambda gy, y, x, s: (gy * s, (gy * x).sum(1, keepdims=True)),
        (X, drawn(4, 1)),
    ),
    "matmul": (lambda a, b: a @ b, lambda gy, y, a, b: (gy @ b.T, a.T @ gy), (X, B)),
    "square matmul": (lambda a, b: a @ b, lambda gy, y, a, b: (gy @ b.T, a.T @ gy), (S, drawn(4, 4, seed=2))),
    "transpose": (lambda x: np.tanh(x.T), lambda gy, y, x: (gy * (1 - y * y)).T, (S,)),
    "sum": (lambda x: np.sum(x * x), lambda gy, y, x: 2 * gy * x, (X,)),
    "mean": (np.mean, lambda gy, y, x: np.broadcast_to(gy / x.size, x.shape), (X,)),
    "row mean": (
        lambda x: (x * x).mean(1),
        lambda gy, y, x: 2 * gy[:, None] * x / x.shape[1],
        (X,),
    ),
    "column sum": (lambda x: (x**2).sum(0), lambda gy, y, x: 2 * x * gy, (S,)),
    "cumsum": (np.cumsum, lambda gy, y, x: np.cumsum(gy[::-1])[::-1], (V,)),
    "flip": (lambda x: x[::-1] * np.arange(6.0), lambda gy, y, x: (gy * np.arange(6.0))[::-1], (V,)),
    "softmax": (softmax, softmax_rule, (X,)),
    "normalize": (normalized, normalized_rule, (X,)),
    "take": (lambda x, i: x[i], take_rule, (X, INDEX)),
    "norm": (lambda x: np.sqrt((x * x).sum()), lambda gy, y, x: gy * x / y, (X,)),
    "mse": (
        lambda a, b: np.mean((a - b) ** 2),
        lambda gy, y, a, b: (2 * gy * (a - b) / a.size, -2 * gy * (a - b) / a.size),
        (X, A),
    ),
    "dictionary": (both, lambda gy, y, x: gy["sum"] + 2 * x * gy["square"], (X,)),
    "single": (np.sin, lambda gy, y, x: gy * np.cos(x), (X.astype(np.float32),)),
    "power": (lambda x, n: x**n, lambda gy, y, x, n: gy * n * x ** (n - 1), (drawn(4, 3, low=0.5), 3)),
    "complex square": (np.square, lambda gy, y, z: gy * np.conj(2 * z), (X + 1j * A,)),
    "modulus": (lambda z: (np.abs(z) ** 2).sum(), lambda gy, y, z: 2 * gy * z, (X + 1j * A,)),
    "rank 3": (lambda x: np.tanh(x), lambda gy, y, x: gy * (1 - y * y), (drawn(3, 3, 3),)),
}


@dataclass(frozen=True)
class Mistake:
    """A wrong rule (or forward) for a function of RIGHT, the cause to be reported first, and all causes where only it may be."""

    name: str
    of: str
    cause: str
    rule: Callable[..., Any] | None = None
    forward: Callable[..., Any] | None = None
    alone: bool = False
    inputs: tuple[Any, ...] | None = None

    def check(self):
        f, rule, inputs = RIGHT[self.of]
        fresh = self.forward() if self.forward else None  # some keep state, so each check gets its own
        if isinstance(fresh, tuple):
            f, rule = fresh
        elif fresh is not None:
            f = fresh
        rule = self.rule or rule
        return gradcheck(f, self.inputs or inputs, vjp=rule, raise_exception=False)


MISTAKES = [
    # signs and factors
    Mistake("sign of the whole", "sin", "sign", lambda gy, y, x: -gy * np.cos(x)),
    Mistake("sign of one of two inputs", "sub", "sign", lambda gy, y, a, b: (gy, gy)),
    Mistake("sign of one entry", "sin", "sign", one_entry((2, 1), np.negative)),
    Mistake("sign of a quotient's denominator", "div", "sign", lambda gy, y, a, b: (gy / b, gy * y / b)),
    Mistake("factor 2 forgotten", "square", "factor", lambda gy, y, x: gy * x),
    Mistake("factor 2 too many", "sin", "factor", lambda gy, y, x: 2 * gy * np.cos(x)),
    Mistake("factor 2 in one entry", "sin", "factor", one_entry((0, 0), lambda g: 2 * g)),
    Mistake("mean without 1/n", "mean", "factor", lambda gy, y, x: np.broadcast_to(gy, x.shape)),
    Mistake("row mean divided by all", "row mean", "factor", lambda gy, y, x: 2 * gy[:, None] * x / x.size),
    Mistake("sum treated as a mean", "sum", "factor", lambda gy, y, x: 2 * gy * x / x.size),
    Mistake("mse divided by the batch only", "mse", "factor", lambda gy, y, a, b: (2 * gy * (a - b) / 4, -2 * gy * (a - b) / 12)),
    Mistake("exponent forgotten", "power", "factor", lambda gy, y, x, n: gy * x ** (n - 1)),
    Mistake("a small constant factor", "exp", "factor", lambda gy, y, x: gy * y * (1 + 1e-6)),
    Mistake("sign and factor", "square", "factor", lambda gy, y, x: -gy * x),
    # axes
    Mistake("matmul without the second transpose", "square matmul", "transposed", lambda gy, y, a, b: (gy @ b, a.T @ gy)),
    Mistake("matmul without the first transpose", "square matmul", "transposed", lambda gy, y, a, b: (gy @ b.T, a @ gy)),
    Mistake("transpose forgotten", "transpose", "transposed", lambda gy, y, x: gy * (1 - y * y)),
    Mistake("transposed instead of its shape", "sin", "transposed", lambda gy, y, x: (gy * np.cos(x)).T),
    Mistake("memory order of the transpose", "sin", "transposed", lambda gy, y, x: (gy * np.cos(x)).T.reshape(x.shape)),
    Mistake("axes of a rank 3 array moved", "rank 3", "transposed", lambda gy, y, x: np.moveaxis(gy * (1 - y * y), 0, 1)),
    Mistake("sum along the other axis spread wrongly", "column sum", "wrong axis", lambda gy, y, x: 2 * x * gy[:, None]),
    Mistake("softmax along the other axis", "softmax", "wrong axis", lambda gy, y, x: softmax_rule(gy, y, x, 0)),
    Mistake("cumsum not reversed", "flip", "reversed", lambda gy, y, x: gy * np.arange(6.0)),
    Mistake("two cotangents in each other's place", "mul", "swapped", lambda gy, y, a, b: (gy * a, gy * b)),
    Mistake("the symmetric gradient of one triangle", "transpose", "symmetric", forward=takes_one_triangle_and_gives_both, inputs=(S + S.T,)),
    # broadcasting and duplicates
    Mistake("bias not summed", "bias", "unsummed broadcast", lambda gy, y, x, b: (gy, gy)),
    Mistake("bias gets one row", "bias", "unsummed broadcast", lambda gy, y, x, b: (gy, gy[0])),
    Mistake("scale not summed", "scale", "unsummed broadcast", lambda gy, y, x, s: (gy * s, gy * x)),
    Mistake("scale gets one column", "scale", "unsummed broadcast", lambda gy, y, x, s: (gy * s, (gy * x)[:, :1])),
    Mistake("bias averaged", "bias", "factor", lambda gy, y, x, b: (gy, gy.mean(0))),
    Mistake("bias keeps an axis", "bias", "unsummed broadcast", lambda gy, y, x, b: (gy, gy.sum(0, keepdims=True))),
    Mistake("the last duplicate wins", "take", "overwritten", last_wins),
    Mistake("the first duplicate wins", "take", "overwritten", first_wins),
    Mistake("input ignored", "sin", "input ignored", lambda gy, y, x: gy),
    # the cotangent
    Mistake("cotangent ignored", "sin", "cotangent ignored", lambda gy, y, x: np.cos(x)),
    Mistake("cotangent of a loss ignored", "mse", "cotangent ignored", lambda gy, y, a, b: (2 * (a - b) / a.size, -2 * gy * (a - b) / a.size)),
    Mistake("cotangent replaced by its mean", "exp", "value", lambda gy, y, x: gy.mean() * y),
    Mistake("one output of two ignored", "dictionary", "cotangent ignored", lambda gy, y, x: 2 * x * gy["square"]),
    Mistake("the conjugate of a loss's gradient", "modulus", "conjugated", lambda gy, y, z: 2 * gy * np.conj(z)),
    # missing and wrong terms
    Mistake("no gradient at all", "sin", "missing", lambda gy, y, x: None),
    Mistake("zeros", "sin", "missing", lambda gy, y, x: np.zeros_like(x)),
    Mistake("second input forgotten", "mul", "missing", lambda gy, y, a, b: (gy * b, None)),
    Mistake("one entry forgotten", "sin", "missing", one_entry((1, 2), lambda g: 0.0)),
    Mistake("softmax's diagonal only", "softmax", "diagonal only", lambda gy, y, x: gy * y * (1 - y)),
    Mistake("normalisation's mean taken for a constant", "normalize", "value", lambda gy, y, x: (gy - y * (gy * y).mean(-1, keepdims=True)) / x.std(-1, keepdims=True)),
    Mistake("sine for cosine", "sin", "value", lambda gy, y, x: gy * np.sin(x)),
    Mistake("a sign lost inside", "exp", "mirrored", forward=loses_a_sign_inside),
    Mistake("gy handed on through a step", "round", "straight-through", lambda gy, y, x: 1.0 * gy),
    Mistake("derivative by the output", "sqrt", "value", lambda gy, y, x: gy / (2 * x)),
    Mistake("the norm's square root forgotten", "norm", "factor", lambda gy, y, x: gy * x),
    # kinks, NaN, precision
    Mistake("outside the slopes at a kink", "abs", "kink", lambda gy, y, x: gy * np.where(x == 0, 1.5, np.sign(x))),
    Mistake("NaN at zero", "abs", "nonfinite", lambda gy, y, x: gy * x / np.abs(x)),
    Mistake("a finite difference for a derivative", "sin", "precision", lambda gy, y, x: (gy * (np.sin(x.astype(np.float32) + np.float32(1e-2)) - np.sin(x.astype(np.float32) - np.float32(1e-2))) / 2e-2).astype(x.dtype), inputs=(X,)),
    # contracts, each broken alone
    Mistake("forward changes its input", "sin", "forward_keeps_inputs", forward=shifts_its_input, alone=True),
    Mistake("forward changes its input and puts it back", "sin", "read_only_arrays", forward=shifts_its_input_for_a_while, alone=True),
    Mistake("the rule changes the input", "sin", "vjp_keeps_inputs", changes_input_in_rule, alone=True),
    Mistake("the rule changes the output", "exp", "vjp_keeps_output", changes_output_in_rule, alone=True),
    Mistake("the rule changes the cotangent", "sin", "vjp_keeps_cotangent", changes_cotangent_in_rule, alone=True),
    Mistake("the rule spends what forward saved", "sin", "vjp_repeatable", forward=spends_what_it_saved, alone=True),
    Mistake("the rule accumulates over calls", "sin", "vjp_repeatable", forward=accumulates_over_calls),
    Mistake("the last input is remembered", "sin", "stateless", forward=remembers_the_last_input, alone=True),
    Mistake("the last mask is remembered", "relu", "stateless", forward=remembers_the_last_mask, alone=True),
    Mistake("one output buffer for all calls", "sin", "stateless", forward=returns_one_buffer_always, alone=True),
    Mistake("the result is overwritten by the next call", "sin", "no_shared_memory", forward=reuses_its_result, alone=True),
    Mistake("entries that are one place in memory", "mean", "no_shared_memory", writes_into_view, alone=True),
    Mistake("forward counts its calls", "sin", "deterministic", forward=counts_its_calls, alone=True),
    Mistake("forward draws noise", "sin", "deterministic", forward=draws_noise, alone=True),
    Mistake("another dtype at every call", "sin", "stable_dtype", forward=changes_its_dtype, alone=True),
    Mistake("a cotangent of another dtype", "single", "cotangent_dtype", lambda gy, y, x: gy * np.cos(x).astype(np.float64), alone=True),
    Mistake("a cotangent for integers", "take", "integers_get_none", lambda gy, y, x, i: (take_rule(gy, y, x, i)[0], np.ones(i.shape)), alone=True),
    Mistake("the cotangent is clipped", "sin", "linear", lambda gy, y, x: np.clip(gy, -1e3, 1e3) * np.cos(x), alone=True),
    Mistake("small cotangents are dropped", "sin", "linear", lambda gy, y, x: np.where(np.abs(gy) < 1e-4, 0, gy) * np.cos(x), alone=True),
    Mistake("NaN for a cotangent of zeros", "sin", "zero_cotangent", lambda gy, y, x: gy * gy / gy * np.cos(x), alone=True),
    Mistake("memory order trusted", "sin", "any_layout", fills_memory_order, alone=True),
    Mistake("the memory behind a view is read", "sin", "any_layout", reads_the_base, alone=True),
    Mistake("strides of 0 mistaken", "sin", "broadcast_views", forward=lambda: trusts_strides, alone=True),
    Mistake("inputs distinguished by identity", "sub", "aliased_arguments", by_identity, alone=True),
    Mistake("a flat cotangent", "sin", "shape", lambda gy, y, x: (gy * np.cos(x)).ravel(), alone=True),
    Mistake("a cotangent of the wrong size", "sin", "cotangent_shape", lambda gy, y, x: (gy * np.cos(x))[1:]),
    Mistake("a rule that raises", "sin", "raises", lambda gy, y, x: gy @ x),
]  # fmt: skip


@pytest.mark.parametrize("name", RIGHT)
def test_a_right_gradient_passes_with_all_its_contracts(name):
    f, rule, inputs = RIGHT[name]
    report = gradcheck(f, inputs, vjp=rule)
    assert report, str(report)
    assert not report.broken
    assert report.evaluations <= 30 or report.verdict is Verdict.SUBGRADIENT


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda m: m.name)
def test_a_planted_mistake_is_found_and_its_cause_is_named(mistake):
    report = mistake.check()
    assert report.verdict is Verdict.FAIL, str(report)
    assert report.causes[0] == mistake.cause, str(report)
    if mistake.alone:
        assert report.causes == (mistake.cause,), str(report)


def test_every_cause_and_every_contract_has_a_planted_mistake():
    planted = {m.cause for m in MISTAKES}
    assert set(CAUSES) | (of_every_subject() - ON_REQUEST) | {"raises"} == planted
