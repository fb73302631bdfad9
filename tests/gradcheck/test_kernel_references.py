"""References in NumPy functions: the same values as NumPy's on Tensors, and errors within."""

import numpy as np
import pytest
from drawing import drawn
from hypothesis import HealthCheck, settings

from gradcheck import CallError, gradcheck
from gradcheck.kernels.formats import Claims
from gradcheck.kernels.noise import Pool, Source, run
from gradcheck.strategies import examples
from gradcore import Op, registry
from gradcore.tensor import Tensor

RNG = np.random.default_rng(0)
X = RNG.standard_normal((4, 6)).astype(np.float32)
FUNCTIONS = {
    "square": lambda x: np.square(x),
    "reciprocal": lambda x: np.reciprocal(x),
    "cbrt": lambda x: np.cbrt(x),
    "hypot": lambda x: np.hypot(x, 2.0),
    "exp2": lambda x: np.exp2(x),
    "log2": lambda x: np.log2(np.abs(x)),
    "log10": lambda x: np.log10(np.abs(x)),
    "sinh": lambda x: np.sinh(x),
    "cosh": lambda x: np.cosh(x),
    "tan": lambda x: np.tan(x),
    "logaddexp": lambda x: np.logaddexp(x, 0.5),
    "clip": lambda x: x.clip(-0.5, 0.5),
    "var": lambda x: np.var(x, axis=-1, ddof=1),
    "var of all": lambda x: np.var(x),
    "std": lambda x: x.std(0, keepdims=True),
    "prod": lambda x: np.prod(x, axis=1),
    "prod of all": lambda x: np.prod(x, keepdims=True),
    "average": lambda x: np.average(x, axis=0),
    "ptp": lambda x: np.ptp(x, axis=0),
    "cumsum": lambda x: np.cumsum(x, axis=0),
    "cumsum of all": lambda x: x.cumsum(),
    "cumulative_sum": lambda x: np.cumulative_sum(x, axis=1),
    "cumprod": lambda x: np.cumprod(x, axis=1),
    "diff": lambda x: np.diff(x, axis=0),
    "sort": lambda x: np.sort(x, axis=0),
    "stack": lambda x: np.stack([x, 2 * x], axis=1),
    "stack last": lambda x: np.stack([x, 2 * x], axis=-1),
    "vstack": lambda x: np.vstack([x, x[0]]),
    "hstack": lambda x: np.hstack([x, x]),
    "split": lambda x: tuple(np.split(x, 2, axis=1)),
    "expand_dims": lambda x: np.expand_dims(x, (0, -1)),
    "squeeze": lambda x: np.squeeze(x[:1]),
    "ravel": lambda x: x.flatten() + np.ravel(x),
    "swapaxes": lambda x: x.swapaxes(0, 1),
    "moveaxis": lambda x: np.moveaxis(np.reshape(x, (2, 2, 6)), 0, -1),
    "matrix_transpose": lambda x: np.matrix_transpose(x),
    "flip": lambda x: np.flip(x, 1),
    "roll": lambda x: np.roll(x, 2, axis=1),
    "roll of all": lambda x: np.roll(x, 1),
    "repeat": lambda x: np.repeat(x, 3, axis=1),
    "tile": lambda x: np.tile(x, (2, 3)),
    "take": lambda x: np.take(x, [2, 0, 2], axis=1),
    "take_along_axis": lambda x: np.take_along_axis(x, np.array([[0, 1, 2, 3, 0, 1]]), 0),
    "pad": lambda x: np.pad(x, ((1, 0), (2, 3)), constant_values=2.0),
    "tril": lambda x: np.tril(x, 1),
    "triu": lambda x: np.triu(x, 1),
    "diagonal": lambda x: np.diagonal(x, 1),
    "trace": lambda x: np.trace(x),
    "einsum": lambda x: np.einsum("ij,kj->ik", x, x),
    "einsum of three": lambda x: np.einsum("ij,kj,k->ik", x, x, x[:, 0]),
    "einsum with a batch": lambda x: np.einsum("bij,bjk->bik", np.reshape(x, (2, 3, 4)), np.reshape(x, (2, 4, 3))),
    "einsum without an arrow": lambda x: np.einsum("ij,kj", x, x),
    "einsum that sums": lambda x: np.einsum("ij,i->", x, x[:, 0]),
    "einsum of one": lambda x: np.einsum("ij->ji", x),
    "tensordot": lambda x: np.tensordot(x, np.reshape(x, (6, 2, 2)), 1),
    "dot": lambda x: np.dot(x, x[0]),
    "vdot": lambda x: np.vdot(x, x),
    "inner": lambda x: np.inner(x, x),
    "outer": lambda x: np.outer(x[0], x[1]),
    "norm": lambda x: np.linalg.norm(x, axis=-1, keepdims=True),
    "nan_to_num": lambda x: np.nan_to_num(x),
}  # fmt: skip


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_values_are_numpys(name):
    f, x = FUNCTIONS[name], X.astype(np.float64)
    mine, exact = f(Tensor(x)), f(x)
    for a, e in zip(*[y if isinstance(y, tuple) else (y,) for y in (mine, exact)], strict=True):
        assert isinstance(a, Tensor)
        assert a.shape == np.shape(e)
        np.testing.assert_allclose(a.data, e, rtol=1e-12, atol=1e-12)


def test_a_kernel_is_judged_beside_a_reference_of_such_functions():
    def kernel(x):
        return (x @ x.T / x.var(-1, keepdims=True)).astype(x.dtype)

    def g(x):
        return np.einsum("ij,kj->ik", x, x) / np.var(x, axis=-1, keepdims=True)

    def rule(gy, y, x, wrong=1.0):
        v, n = x.var(-1, keepdims=True), x.shape[-1]
        gv = -(gy * y / v).sum(-1, keepdims=True)
        return wrong * (gy / v @ x + (gy / v).T @ x) + gv * 2 / n * (x - x.mean(-1, keepdims=True))

    x = RNG.standard_normal((24, 32)).astype(np.float32)
    assert gradcheck(kernel, (x,), vjp=rule, reference=g).ratio < 0.9
    wrong = gradcheck(kernel, (x,), vjp=lambda *a: rule(*a, wrong=1.0001), reference=g, raise_exception=False)
    assert not wrong


def test_sums_within_get_their_errors():
    def low(x):
        total = np.zeros_like(x[:, 0])
        for column in x.T:
            total = (total + column).astype(x.dtype)
        return total

    x = np.abs(RNG.standard_normal((8, 400))).astype(np.float16)
    options = {"vjp": lambda gy, y, x: np.broadcast_to(gy[:, None], x.shape).copy(), "raise_exception": False}

    def g(x):
        return np.cumsum(x, axis=1)[:, -1]

    assert gradcheck(low, (x,), reference=g, **options).causes == ("accumulated",)
    assert gradcheck(low, (x,), reference=g, accumulate="float16", **options)


@pytest.mark.parametrize(
    ("g", "words"),
    [
        (lambda x: np.fft.fft(x), "could not be differentiated: np.fft.fft gives complex numbers"),
        (lambda x: x.partition_of(2), "has no attribute 'partition_of'"),
        (lambda x: np.pad(x, 1, mode="mean"), "pad got mode='mean'"),
        (lambda x: np.linalg.norm(x, 3), "norm got ord=3 for matrices"),
    ],
)
def test_what_is_left_says_what_to_do(g, words):
    with pytest.raises(CallError, match=f"{words}.*or in PyTorch or JAX"):
        gradcheck(lambda x: x, (X,), vjp=lambda gy, y, x: gy, reference=g)


EXACT = {
    *[
        "abs",
        "astype",
        "broadcast_to",
        "concatenate",
        "fmax",
        "fmin",
        "getitem",
        "max",
        "max_pool2d",
        "max_pool2d_input",
        "max_pool2d_pick",
        "maximum",
        "min",
    ],
    *["minimum", "neg", "relu", "reshape", "transpose", "where", "clip_numbers"],
}
"""Ops that only move, pick or compare."""
FEW = settings(
    max_examples=8, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)


@pytest.mark.nightly(each_time=25)
@pytest.mark.parametrize("name", [n for n, entry in registry.ops.items() if isinstance(entry, Op)])
def test_every_op_that_rounds_has_errors_in_a_reference(name):
    entry, moved = registry.ops[name], False
    for case in entry.spec.cases:
        for example in drawn(examples(case), FEW):
            source = Source(Claims(1e-3, 1e-3), Pool(0))
            y = np.asarray(entry.forward(*example.arrays, **example.params))
            moved |= not np.array_equal(run(entry, example.arrays, example.params, source), y, equal_nan=True)
    assert moved == (name not in EXACT)


def test_a_kernel_in_single_precision_passes_beside_an_inverse_and_a_wrong_one_does_not():
    x = (np.eye(6) * 3 + RNG.standard_normal((6, 6))).astype(np.float32)

    def rule(gy, y, x, wrong=1.0):
        return -wrong * y.T @ gy @ y.T

    assert gradcheck(np.linalg.inv, (x,), vjp=rule, reference=np.linalg.inv)
    wrong = gradcheck(
        np.linalg.inv,
        (x,),
        vjp=lambda *a: rule(*a, wrong=1.001),
        reference=np.linalg.inv,
        raise_exception=False,
    )
    assert not wrong
