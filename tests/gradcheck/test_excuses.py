"""Each excuse has a right function that needs it, and a mistake at the same place that it does not excuse."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

from gradcheck import Verdict, gradcheck
from gradcheck.verdict import excuses


@dataclass(frozen=True)
class Case:
    f: Callable
    inputs: tuple
    right: Callable
    planted: Callable
    other: tuple = ()
    """Inputs of the planted mistake, where the numeric derivative measures nothing at the first ones."""


def largest_first(gy, y, x):
    gx = np.empty_like(x)
    gx[np.argsort(x, kind="stable")] = gy
    return gx


def square_in_units(x):
    return x.dtype.type(200) * x * x


def log_sigmoid(x):
    return -np.log1p(np.exp(-x))


def log_sigmoid_rule(factor):  # of 1 - sigmoid(9) few digits are left
    return lambda gy, y, x: gy * x.dtype.type(factor) * (1 - 1 / (1 + np.exp(-x)))


def harmonic(p, t):
    return 2 * p * t / (p + t)


def harmonic_rule(factor):
    return lambda gy, y, p, t: (
        factor * gy * 2 * t * t / (p + t) ** 2,
        factor * gy * 2 * p * p / (p + t) ** 2,
    )


def coarse_tanh(x):
    return np.tanh(x.astype(np.float32)).astype(x.dtype)


def waves_and_square(x, b):
    return np.sin(x) - b * b


def shrunk(x, edge):
    return np.sign(x) * np.maximum(np.abs(x) - edge, 0)


def shrunk_rule(gy, y, x, edge):
    out = np.abs(x) > edge
    return gy * out, -gy * np.sign(x) * out


CASES = {
    "out_of_range": Case(
        square_in_units,
        (np.array([20.0, 1.0], np.float16),),
        lambda gy, y, x: gy * x.dtype.type(2) * y / x,
        lambda gy, y, x: gy * x.dtype.type(2.05) * y / x,
    ),
    "bends_both_ways": Case(
        np.sort,
        (np.array([1.0, 3.0, 1.0, 2.0, 1.0]),),
        largest_first,
        lambda gy, y, x: largest_first(gy * np.where(y == 2.0, 1.01, 1.0), y, x),
    ),
    "rounding": Case(
        log_sigmoid,
        (np.array([8.0, 9.0, 10.0], np.float32),),
        log_sigmoid_rule(1.0),
        log_sigmoid_rule(1.01),
    ),
    "finer_than_steps": Case(
        harmonic,
        (np.array([0.0, 1.0]), np.array([1e-30, 1.0])),
        harmonic_rule(1.0),
        harmonic_rule(1.01),
        other=(np.array([0.0, 1.0]), np.array([1e-12, 1.0])),
    ),
    "stands_still": Case(
        np.floor,
        (np.array([1e12 + 0.3]),),
        lambda gy, y, x: gy * 0,
        lambda gy, y, x: gy * 1e-3,
    ),
    "coarser_than_steps": Case(
        coarse_tanh,
        (np.array([9.0]),),
        lambda gy, y, x: gy * (1 - np.tanh(x) ** 2),
        lambda gy, y, x: gy * (1 - np.tanh(x) ** 2) * np.where(x < 1, 1.5, 1),
        other=(np.array([9.0, 0.5]),),
    ),
    "hidden_by_rounding": Case(
        waves_and_square,
        (np.array([3.03e11, -2.97e11]), np.array([3.03e11, 2.5e11])),
        lambda gy, y, x, b: (gy * np.cos(x), -2 * b * gy),
        lambda gy, y, x, b: (gy * np.cos(x), -2.1 * b * gy),
    ),
    "on_a_plateau": Case(
        shrunk,
        (np.array([0.0, 1.0, 2.0]), np.full(3, 1e-9)),
        shrunk_rule,
        lambda gy, y, x, edge: tuple([1.01 * g for g in shrunk_rule(gy, y, x, edge)]),
    ),
}


def report(case, rule, seed=0, *, inputs=None):
    return gradcheck(case.f, inputs or case.inputs, vjp=rule, seed=seed, raise_exception=False)


def test_every_excuse_has_its_case():
    listed = [f.__name__ for f in (*excuses.OF_DIFFERENCE, *excuses.OF_POINT)]
    assert listed == list(CASES)


@pytest.mark.parametrize("name", CASES)
def test_the_report_on_a_right_function_names_the_excuse(name):
    found = report(CASES[name], CASES[name].right)
    assert found.verdict is not Verdict.FAIL
    assert name in found.excuses
    assert f"excused ({name}): {found.excuses[name]}" in str(found)


@pytest.mark.parametrize("name", CASES)
def test_without_the_excuse_a_right_function_fails(name, monkeypatch):
    for kind in ("OF_DIFFERENCE", "OF_POINT"):
        rest = tuple([f for f in getattr(excuses, kind) if f.__name__ != name])
        monkeypatch.setattr(excuses, kind, rest)
    assert any(report(CASES[name], CASES[name].right, seed).verdict is Verdict.FAIL for seed in range(3))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", CASES)
def test_the_excuse_does_not_hide_a_planted_mistake(name, seed):
    case = CASES[name]
    assert report(case, case.planted, seed, inputs=case.other).verdict is Verdict.FAIL


def orthonormal(a):
    return np.linalg.qr(a)[0]


def orthonormal_rule(gy, y, a):
    q, r = np.linalg.qr(a)
    m = np.tril(-gy.T @ q, -1)
    m = m + m.T - np.diag(np.diag(gy.T @ q))
    return np.linalg.solve(r, (gy + q @ m).T).T


STEEP = np.array([[-76.0, 47.0], [-99.0, 59.0]], np.float32)
"""LAPACK takes no half precision, so that no coarser dtype shows what single precision loses here."""


@pytest.mark.parametrize("seed", range(5))
def test_what_single_precision_loses_shows_in_double_where_no_coarser_dtype_is_taken(seed):
    gy = np.array([[-3.5, -3.25], [3.0, 2.5]], np.float32)

    def verdict(rule):
        return gradcheck(
            orthonormal, (STEEP,), vjp=rule, gy=gy, seed=seed, wrt=(0,), raise_exception=False
        ).verdict

    assert verdict(orthonormal_rule) is Verdict.PASS
    assert verdict(lambda gy, y, a: orthonormal_rule(gy, y, a) * a.dtype.type(1.001)) is Verdict.FAIL
    assert verdict(lambda gy, y, a: orthonormal_rule(gy.astype(np.float32), y, coarse(a))) is Verdict.FAIL


def coarse(a):
    """Rounded to 11 bits, in the dtype of `a`: what a rule that works in half precision inside starts from."""
    return a.astype(np.float16).astype(a.dtype) * a.dtype.type(1 + 2.0**-11)


def recurrence(x, w, u, b):
    """Two steps of a recurrent layer of one unit."""
    h = np.tanh(w * x[0] + b)
    return np.stack([h, np.tanh(w * x[1] + u * h + b)])


def recurrence_rule(factor=1.0, rounded=lambda a: a):
    def rule(gy, y, x, w, u, b):
        h, last = map(rounded, recurrence(x, w, u, b))  # its own, not y, as within a graph of many ops
        g1 = (gy[1] - gy[1] * (last * last)) * y.dtype.type(factor)
        g0 = gy[0] + u * g1
        g0 = g0 - g0 * (h * h)
        return np.stack([w * g0, w * g1]), np.sum(g0 * x[0] + g1 * x[1]), np.sum(g1 * h), np.sum(g0 + g1)

    return rule


@pytest.mark.parametrize("seed", range(5))
def test_what_single_precision_loses_where_half_precision_saturates_is_excused(seed):
    x = np.array([[-4.4841833, 138.67143], [-4.4841833, 138.67143]], np.float32)
    others = [np.array(v, np.float32) for v in (-1.7345828, -0.8838395, 0.6387813)]

    def verdict(rule):
        return gradcheck(recurrence, (x, *others), vjp=rule, seed=seed, raise_exception=False).verdict

    assert verdict(recurrence_rule()) is Verdict.PASS
    assert verdict(recurrence_rule(factor=1.001)) is Verdict.FAIL
    assert verdict(recurrence_rule(rounded=coarse)) is Verdict.FAIL


def queries(q, k, v):
    s = k @ q
    p = np.exp(s - s.max())
    return v @ (p / p.sum())


def queries_rule(factor=1.0):
    def rule(gy, y, q, k, v):
        s = k @ q
        p = np.exp(s - s.max())
        p = p / p.sum()
        gp = gy @ v
        gs = p * (gp - p @ gp) * q.dtype.type(factor)
        return gs @ k, np.outer(gs, q), np.outer(gy, p)

    return rule


@pytest.mark.parametrize("seed", range(5))
def test_what_single_precision_loses_of_an_attention_that_looks_at_one_key_is_excused(seed):
    q = np.array([-226.11209, 12.5], np.float32)
    k = np.array([[-0.2026493, 0.034402836], [-0.13, 0.018067623]], np.float32)
    v = np.array([[32.828693, -249.24638], [-50.341606, 3.337556]], np.float32)

    def verdict(rule):
        return gradcheck(queries, (q, k, v), vjp=rule, seed=seed, raise_exception=False).verdict

    assert verdict(queries_rule()) is Verdict.PASS
    assert verdict(queries_rule(factor=1.001)) is Verdict.FAIL
