"""Kernels at ties: any shares between nothing and the whole that add up to it are right, and no others."""

import numpy as np
import pytest

from gradcheck import Verdict, gradcheck

VALUES = np.random.default_rng(0).permutation(np.arange(-60.0, 60.0)).reshape(10, 12)


def tied(*columns):
    """Rows whose maximum, another number in each, comes in all these columns."""
    x = VALUES.copy()
    x[:, list(columns)] = np.arange(70.0, 80.0)[:, None]
    return x.astype(np.float32)


def largest(x):
    return x.max(-1)


def reference(x):
    return np.max(x, axis=-1)


def shared(shares):
    """A rule that gives the tied entries of each row, in order, these shares."""

    def rule(gy, y, x):
        gx = np.zeros_like(x)
        for row, g, v, given in zip(
            gx, gy, x, np.broadcast_to(shares, (len(x), len(shares[0]))), strict=True
        ):
            row[np.flatnonzero(v == v.max())] = g * given.astype(x.dtype)
        return gx

    return rule


def check(shares, columns, wide=reference):
    return gradcheck(
        largest, (tied(*columns),), vjp=shared(np.atleast_2d(shares)), reference=wide, raise_exception=False
    )


RIGHT = [(0.5, 0.5), (1, 0), (0, 1), (0.25, 0.75), (1, 0, 0), (0.5, 0.25, 0.25), (1 / 3, 2 / 3, 0)]
WRONG = [
    (1, 1),
    (0, 0),
    (1.5, -0.5),  # the right total, and a share beyond it
    (0.5, 0.25),
    (1 / 3, 0.9, 0.9),  # one as in the reference, and too much together
    (1 / 3, 0, 0),
    (1, 0.25, -0.25),
]


@pytest.mark.parametrize("shares", RIGHT)
def test_shares_of_the_whole_are_right(shares):
    report = check(shares, range(len(shares)))
    assert report.verdict in (Verdict.PASS, Verdict.SUBGRADIENT)
    assert report.evaluations <= 60


@pytest.mark.parametrize("shares", WRONG)
def test_other_shares_are_wrong(shares):
    assert check(shares, range(len(shares))).verdict is Verdict.FAIL


def test_one_row_among_many_that_shares_wrongly():
    shares = np.tile([1.0, 0.0], (10, 1))
    assert check(shares, (2, 7)).verdict is Verdict.SUBGRADIENT
    for wrong in ((1.25, -0.25), (0.75, 0.0)):
        shares[4] = wrong
        assert check(shares, (2, 7)).verdict is Verdict.FAIL


def test_totals_that_make_up_for_each_other_are_wrong():
    shares = np.tile([0.75, 0.0], (10, 1))
    shares[::2] = 1.0, 0.25
    assert check(shares, (2, 7)).verdict is Verdict.FAIL


@pytest.mark.parametrize("wide", [lambda x: x.max(-1).values, lambda x: x.amax(-1)])
@pytest.mark.parametrize(
    ("shares", "verdict"), [((0.25, 0.75), "subgradient"), ((1.5, -0.5), "fail"), ((0.5, 0.25), "fail")]
)
def test_whatever_the_reference_does_at_a_tie(wide, shares, verdict):
    torch = pytest.importorskip("torch")

    class Largest(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x.amax(-1)

        @staticmethod
        def backward(ctx, gy):
            x = ctx.saved_tensors[0].numpy()
            return torch.from_numpy(shared(np.atleast_2d(shares))(gy.numpy(), None, x))

    x = torch.from_numpy(tied(2, 7))
    assert gradcheck(Largest.apply, (x,), reference=wide, raise_exception=False).verdict.value == verdict


def test_either_slope_of_relu_at_zero_is_right_and_none_beyond():
    x = VALUES.astype(np.float32)
    x[::3] = 0

    def rule(at_zero):
        return lambda gy, y, x: gy * np.where(x == 0, np.float32(at_zero), (x > 0).astype(x.dtype))

    def relu(x):
        return np.maximum(x, 0)

    for slope, verdict in (
        (1, Verdict.SUBGRADIENT),
        (0.25, Verdict.SUBGRADIENT),
        (1.5, Verdict.FAIL),
        (-1, Verdict.FAIL),
    ):
        report = gradcheck(relu, (x,), vjp=rule(slope), reference=relu, raise_exception=False)
        assert report.verdict is verdict


def test_a_reference_in_jax_keeps_ties_as_well():
    jax = pytest.importorskip("jax")
    from gradcheck.kernels.formats import Claims
    from gradcheck.kernels.jax_reference import JaxReference

    def g(x):
        return jax.numpy.max(x, -1)

    made = JaxReference(g, lambda arrays: g(arrays[0]), [tied(2, 7).astype(np.float64)])
    made.pull([np.ones(10)])
    made.ready()
    exact = made.exact().pulled[0][0]
    for run in made.noisy(Claims(2.0**-24, 2.0**-24), [2.0**-8], 4):
        np.testing.assert_allclose(run.pulled[0][0], exact, rtol=1e-5)
