"""Calls that other small autograds were once reported to get wrong, made here: gradients of ops.

Each entry names the project and the number of the report (or of the pull request that describes and mends it), says what went
wrong there, and holds the same call with the gradient that it must have, worked out by hand.
"""

import numpy as np
import pytest
from numpy.linalg import inv
from numpy.testing import assert_allclose

import gradcore
from gradcheck import gradcheck
from gradcore import Tensor, grad, hessian, jacobian

RNG = np.random.default_rng(0)
A, B, C = RNG.normal(size=(3, 3, 3)) + 2 * np.eye(3)
S = A @ A.T
V, W = RNG.normal(size=(2, 3))
BLOCK = RNG.normal(size=(3, 2, 3, 2))
WAVE = RNG.normal(size=6)
RETURNS = RNG.uniform(0.9, 1.1, size=(4, 5, 3))
CLOSE = {"rtol": 1e-10, "atol": 1e-12}


def _number(report):
    return report.partition(":")[0]


def spectrum_of_half(x):
    """The energy of the first three of six frequencies: sum |fft(x)_k|^2 for k < 3."""
    return (gradcore.fft(x)[:3] ** 2).sum()


def with_its_largest(x):
    """x with its largest entry in front."""
    return np.concatenate((x.max(axis=0).reshape((1, 1)), x))


def growth(x):
    """Minus the mean log of a product of returns over the first three periods."""
    return -np.log(np.cumprod(RETURNS @ x, axis=1)[:, 2]).mean()


def first_half_by_wave():
    """2 Re sum_(k<3) conj(F_k) e^(-2 pi i k n / 6), the gradient of `spectrum_of_half`."""
    k, n = np.arange(3)[:, None], np.arange(6)
    return 2 * (np.conj(np.fft.fft(WAVE)[:3, None]) * np.exp(-2j * np.pi * k * n / 6)).sum(0).real


def of_eigenvalue(place):
    """v v^T by the lower triangle, which is all that eigh reads: entries below the diagonal count twice."""
    v = np.linalg.eigh(S)[1][:, place]
    return np.tril(2 * np.outer(v, v)) - np.diag(v * v)


def of_pinv(x, w):
    """By sum w * pinv(x) for x of full column rank: pinv = (x^T x)^-1 x^T."""
    m, p = inv(x.T @ x), np.linalg.pinv(x)
    return (m @ w @ (np.eye(len(x)) - x @ p)).T - (p @ w.T @ p).T


TALL = RNG.normal(size=(4, 2))
PULL = RNG.normal(size=(2, 4))
UP, DOWN = RNG.normal(size=(2, 4, 3)), RNG.normal(size=(3, 5))
X3 = RNG.normal(size=(2, 3, 3))
WEIGHTS = RNG.normal(size=(2, 3, 4))
WIDE = RNG.normal(size=(4, 6))
STACKED = RNG.normal(size=(4, 4))

GRADIENTS = {
    # --- einsum and products ---
    "HIPS/autograd#19: einsum had no gradient by its second operand": (
        lambda b: (C * np.einsum("ij,jk->ik", A, b)).sum(), B, A.T @ C),
    "HIPS/autograd#112: einsum did not sum the gradient over an axis that an ellipsis broadcasts": (
        lambda b: (WEIGHTS * np.einsum("...ij,...jk->...ik", X3, b)).sum(), RNG.normal(size=(3, 4)),
        sum(x.T @ w for x, w in zip(X3, WEIGHTS, strict=True))),
    "HIPS/autograd#242: einsum failed where it sums out two letters of one operand": (
        lambda x: (np.einsum("abcd->bd", x) ** 2).sum(), BLOCK,
        np.broadcast_to(2 * BLOCK.sum((0, 2), keepdims=True), BLOCK.shape)),
    "HIPS/autograd#98: tensordot failed for axes counted from the back": (
        lambda x: (WIDE[:, :5] * np.tensordot(x, DOWN, axes=[[-1], [0]])).sum(), UP[0], WIDE[:, :5] @ DOWN.T),
    "HIPS/autograd#473: tensordot's rule mixed up the axes that it was given": (
        lambda x: (X3[0] * np.tensordot(x, UP, axes=([0, 1], [0, 1]))[None]).sum(), UP[:, :, 0],
        np.tensordot(UP, X3[0].sum(0), axes=1)),
    "HIPS/autograd#209: kron failed on vectors": (
        lambda x: (np.kron(x[:2], x[2:]) * np.array([1.0, 2.0, 3.0, 4.0])).sum(), np.array([1.0, 2.0, 3.0, 4.0]),
        np.array([11.0, 25.0, 7.0, 10.0])),
    "HIPS/autograd#107: dot of a matrix that is itself a Jacobian failed inside a Jacobian": (
        lambda x: np.dot(jacobian(lambda y: y**3)(x), V).sum(), W, 6 * W * V),
    # --- linear algebra ---
    "HIPS/autograd#22: one det and one solve by the same matrix: their gradients did not add up": (
        lambda j: -0.5 * np.log(np.linalg.det(j)) + 0.5 * np.dot(V, np.linalg.solve(j, V)), S,
        -0.5 * inv(S) - 0.5 * np.outer(inv(S) @ V, inv(S) @ V)),
    "HIPS/autograd#23: solve with a vector gave a gradient of the wrong shape": (
        lambda a: np.dot(V, np.linalg.solve(a, V)), A, -np.outer(inv(A).T @ V, inv(A) @ V)),
    "HIPS/autograd#83: inv, called as NumPy's own function, was not differentiated": (
        lambda a: (B * np.linalg.inv(a)).sum(), A, -inv(A).T @ B @ inv(A).T),
    "HIPS/autograd#408: a first rule for pinv was wrong for matrices that are not square": (
        lambda x: (PULL * np.linalg.pinv(x)).sum(), TALL, of_pinv(TALL, PULL)),
    "HIPS/autograd#527: eigh's rule did not heed that one triangle alone is read": (
        lambda x: np.linalg.eigh(x)[0][1], S, of_eigenvalue(1)),
    "HIPS/autograd#463: the log determinant of a Hessian was differentiated with a flipped sign": (
        lambda x: np.linalg.slogdet(hessian(lambda y: (y**4).sum() / 12 + y[0] * y[1])(x))[1],
        np.array([2.0, 1.0]), np.array([4 / 3, 8 / 3])),
    "HIPS/autograd#30: trace was wrong for more than two axes": (
        lambda x: (np.trace(x) * np.array([1.0, 5.0])).sum(), RNG.normal(size=(3, 3, 2)),
        np.eye(3)[..., None] * np.array([1.0, 5.0])),
    # --- the kinks ---
    "HIPS/autograd#116: x**2 made the third derivative of exp(-x**2) NaN at 0": (
        lambda x: grad(grad(grad(lambda y: np.exp(-(y**2)))))(x), 0.0, 12.0),
    "HIPS/autograd#183: exp(-norm(x)**2) had the gradient NaN at 0": (
        lambda x: np.exp(-1.0 * np.linalg.norm(x) ** 2), np.zeros((2, 1)), np.zeros((2, 1))),
    "HIPS/autograd#268: norm had the gradient NaN at 0": (np.linalg.norm, np.zeros(1), np.zeros(1)),
    "HIPS/autograd#570: norm(x)**2 had the gradient NaN at 0": (
        lambda x: np.linalg.norm(x) ** 2, np.zeros(3), np.zeros(3)),
    "HIPS/autograd#100: abs had the gradient NaN at 0": (np.abs, 0.0, 0.0),
    "HIPS/autograd#712: absolute, unlike abs, divided by 0": (
        lambda x: np.absolute(x).sum(), np.array([-2.0, 0.0, 3.0]), np.array([-1.0, 0.0, 1.0])),
    "rsokl/MyGrad#379: norm along an axis had the gradient NaN for a row of zeros": (
        lambda x: np.linalg.norm(x, axis=1).sum(), np.array([[3.0, 4.0], [0.0, 0.0]]),
        np.array([[0.6, 0.8], [0.0, 0.0]])),
    "HIPS/autograd#138: maxima of what was joined from maxima: a tie counted twice": (
        lambda x: with_its_largest(with_its_largest(x)).sum(), np.array([[1.0]]), np.array([[3.0]])),
    "HIPS/autograd#110: a soft maximum over -inf and -4000: what underflows must give 0": (
        lambda a: np.log(np.sum(np.exp(a - np.max(a)))) + np.max(a), np.array([-4000.0, -3900.0, 0.0, -np.inf]),
        np.array([0.0, 0.0, 1.0, 0.0])),
    "tinygrad/tinygrad#155: a power by a constant took the logarithm of a negative base": (
        lambda x: (x ** np.array([2.0, 3.0])).sum(), np.array([-2.0, -3.0]), np.array([-4.0, 27.0])),
    "tinygrad/tinygrad#9217: a power by a whole number had a wrong gradient": (
        lambda x: (x**3).sum() + (x**-2).sum() + (x**0).sum(), np.array([-2.0, 0.5]),
        np.array([12 + 0.25, 0.75 - 16])),
    # --- indexing and joining ---
    "HIPS/autograd#39: an index that comes twice counted once": (
        lambda x: np.sum(x[[0, 0]]) + np.sum(np.take(x, [1, 1, 1])), np.array([1.0, 5.0]), np.array([2.0, 3.0])),
    "HIPS/autograd#52: slices of a vector failed where single entries did not": (
        lambda x: np.dot(x[0:2], x[2:4]), np.array([1.0, 2.0, 3.0, 4.0]), np.array([3.0, 4.0, 1.0, 2.0])),
    "HIPS/autograd#24: one entry taken from a vector broke second derivatives": (
        lambda x: grad(lambda y: y[0] ** 3 * y[1])(x)[0], np.array([2.0, 5.0]), np.array([60.0, 12.0])),
    "HIPS/autograd#159: a softplus of the entries that a boolean index takes failed": (
        lambda x: np.log(1 + np.exp(x[x.data < 2])).sum() + x[x.data >= 2].sum(), np.array([0.0, 40.0, -1.0]),
        np.array([0.5, 1.0, 1 / (1 + np.e)])),
    "HIPS/autograd#71: numbers computed from x, cast to int, failed as an index": (
        lambda x: (x[x[:, -1].astype(np.int64)] * [[1.0, 2.0]] * 3).sum(), np.array([[5.0, 1.0], [7.0, 1.0]]),
        np.array([[0.0, 0.0], [6.0, 12.0]])),
    "HIPS/autograd#91: hstack was not differentiated where vstack and concatenate were": (
        lambda m: (STACKED * np.hstack([np.vstack([m, 2 * m]), np.vstack([3 * m, m])])).sum(), A[:2, :2],
        STACKED[:2, :2] + 2 * STACKED[2:, :2] + 3 * STACKED[:2, 2:] + STACKED[2:, 2:]),
    "HIPS/autograd#255: column_stack did not finish": (
        lambda x: (np.column_stack((np.sin(x), np.cos(x))) * [[1.0, 2.0]]).sum(), V, np.cos(V) - 2 * np.sin(V)),
    "HIPS/autograd#331: append was not differentiated": (
        lambda x: (np.append(x, 4) * [1.0, 2.0, 3.0, 4.0]).sum(), V, np.array([1.0, 2.0, 3.0])),
    "HIPS/autograd#441: pad was not differentiated": (
        lambda x: (np.pad(x, ((1, 1),), "constant") ** 2).sum(), V, 2 * V),
    "HIPS/autograd#725: flip was not differentiated": (lambda x: (np.flip(x) * W).sum(), V, W[::-1]),
    "HIPS/autograd#32: swapaxes was not differentiated": (
        lambda x: (np.swapaxes(x, 0, 2) * UP.transpose(2, 1, 0) ** 2).sum(), UP, UP**2),
    # --- the rest ---
    "HIPS/autograd#85: a sum, called as NumPy's own function, failed": (lambda x: -0.5 * np.sum(x**2), V, -V),
    "HIPS/autograd#244: a cumulative product did not finish": (
        growth, np.full(3, 1 / 3), -(RETURNS / RETURNS.mean(-1, keepdims=True))[:, :3].sum(1).mean(0)),
    "HIPS/autograd#447: gradient (differences of neighbours) was not differentiated": (
        lambda x: (np.gradient(x) * [1.0, 2.0, 4.0, 8.0]).sum(), RNG.normal(size=4), np.array([-2.0, -1.0, -7.0, 10.0])),
    "HIPS/autograd#185: the gradient was wrong where some frequencies of a Fourier transform count": (
        lambda x: spectrum_of_half(np.stack([x, 0 * x], axis=-1)), WAVE, first_half_by_wave()),
    "HIPS/autograd#414: arctan2 of the entries of a tuple was not differentiated, nor on the axis": (
        lambda xy: np.arctan2(xy[1], xy[0]), (0.0, 1.0), (-1.0, 0.0)),
    "HIPS/autograd#419: arctan2 of the entries of an array was not differentiated": (
        lambda x: np.arctan2(x[1], x[0]), np.array([1.0, 1.0]), np.array([-0.5, 0.5])),
    "HIPS/autograd#436: exp, called as NumPy's own function inside a network, was not differentiated": (
        lambda w: np.sum(1.0 / (1.0 + np.exp(-(V @ w)))), A,
        np.outer(V, 1 / (2 + np.exp(V @ A) + np.exp(-V @ A)))),
    "rsokl/MyGrad#123: broadcast_to failed on a number": (
        lambda x: (np.broadcast_to(x, (2, 3)) * A[:2]).sum(), 2.0, A[:2].sum()),
    "chainer/chainer#1152: the sum of a number by itself failed in the backward pass": (np.sum, 3.0, 1.0),
    "chainer/chainer#2744: a matrix product failed on the cotangent of a sum, whose strides are 0": (
        lambda x: np.sum(x @ B), A, np.tile(B.sum(1), (3, 1))),
}  # fmt: skip


@pytest.mark.parametrize("report", GRADIENTS, ids=_number)
def test_the_gradient_reported_wrong_elsewhere_is_right_here(report):
    f, x, expected = GRADIENTS[report]
    found = grad(f)(x)
    assert type(found) is (
        tuple if isinstance(x, tuple) else np.float64 if isinstance(x, float) else np.ndarray
    )
    assert np.shape(found) == np.shape(x)
    assert_allclose(found, expected, **CLOSE)


SMOOTH = [
    r for r, (_, x, _) in GRADIENTS.items() if isinstance(x, np.ndarray) and x.all() and np.isfinite(x).all()
]


@pytest.mark.parametrize("report", SMOOTH, ids=_number)
def test_its_second_derivative_is_the_numeric_derivative_of_the_first(report):
    f, x, _ = GRADIENTS[report]
    gradcheck(grad(f), (Tensor(x, requires_grad=True),))
