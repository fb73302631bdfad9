"""Fourier transforms of pairs are NumPy's of complex numbers, and say what they take."""

import numpy as np
import pytest

import gradcore
from gradcore.errors import GraphError, ShapeError

RNG = np.random.default_rng(0)
C = RNG.standard_normal((3, 5)) + 1j * RNG.standard_normal((3, 5))


def pairs(c):
    return np.stack([c.real, c.imag], axis=-1)


@pytest.mark.parametrize("axis", [0, 1, -1, -2])
def test_they_are_numpys(axis):
    np.testing.assert_allclose(gradcore.fft(pairs(C), axis), pairs(np.fft.fft(C, axis=axis)), atol=1e-14)
    np.testing.assert_allclose(gradcore.ifft(pairs(C), axis), pairs(np.fft.ifft(C, axis=axis)), atol=1e-14)
    half = np.fft.rfft(C.real, axis=axis)
    np.testing.assert_allclose(gradcore.rfft(C.real, axis), pairs(half), atol=1e-14)
    n = C.shape[axis]
    np.testing.assert_allclose(gradcore.irfft(pairs(half), n, axis), C.real, atol=1e-14)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
def test_a_dtype_stays(dtype):
    x = gradcore.tensor(C.real.astype(dtype), requires_grad=True)
    y = gradcore.irfft(gradcore.rfft(x), 5)
    assert y.dtype == gradcore.fft(pairs(C).astype(dtype)).dtype == dtype
    y.sum().backward()
    assert x.grad.dtype == dtype
    np.testing.assert_allclose(x.grad, np.ones((3, 5)), atol=20 * np.finfo(dtype).eps)


def test_energy_is_kept_and_so_is_its_gradient():
    x = gradcore.tensor(pairs(C), requires_grad=True)
    energy = (gradcore.fft(x) ** 2).sum() / 5
    np.testing.assert_allclose(energy.data, (np.abs(C) ** 2).sum())
    energy.backward()
    np.testing.assert_allclose(x.grad, 2 * pairs(C))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: gradcore.fft(np.ones((2, 3))), r"last axis of 2, and got the shape \(2, 3\): of real numbers they are gradcore.stack"),
        (lambda: gradcore.ifft(np.ones(())), r"ifft takes real and imaginary parts"),
        (lambda: gradcore.fft(np.ones((0, 2))), r"fft got axis -1 of shape \(0,\), which has no entries"),
        (lambda: gradcore.rfft(np.ones((2, 0))), r"rfft got axis -1 of shape \(2, 0\), which has no entries"),
        (lambda: gradcore.rfft(np.ones((2, 3)), 2), r"rfft got axis 2 of shape \(2, 3\): axes go from -2 to 1"),
        (lambda: gradcore.irfft(np.ones((3, 2)), 6), r"irfft got n=6 and 3 frequencies along axis -1"),
        (lambda: gradcore.irfft(np.ones((1, 2)), 0), r"n has n // 2 \+ 1 of them, and is 1 or more"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_a_sentence(call, words):
    with pytest.raises(ShapeError, match=words):
        call()


def test_numpys_own_names_those_that_are_here():
    with pytest.raises(
        GraphError, match=r"np\.fft\.rfft gives complex numbers.*gradcore\.fft, ifft, rfft and irfft"
    ):
        np.fft.rfft(gradcore.tensor([1.0, 2.0]))
