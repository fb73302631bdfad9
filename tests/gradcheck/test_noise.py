"""The errors that stand for rounding: as large as they claim to be, in every operation that rounds and in no other."""

import numpy as np
import pytest

from gradcheck.kernels.formats import FORMATS, Claims
from gradcheck.kernels.noise import Pool, Source, noisy
from gradcheck.kernels.recorded import Recorded

X = np.linspace(0.5, 2.0, 400).reshape(20, 20)
LOUD = Claims(2.0**-8, 0.0, 0.0)
SUMS = Claims(0.0, 2.0**-8, 0.0)


def spread(f, claims, *arrays):
    source = Source(claims, Pool(0))
    return np.std([np.asarray(f(*[noisy(a, source) for a in arrays])) - f(*arrays) for _ in range(200)], 0)


@pytest.mark.parametrize("f", [np.exp, np.sqrt, lambda x: x * x, lambda x: x + 1, lambda x: 1 / x])
def test_a_result_is_rounded(f):
    assert np.median(spread(f, LOUD, X) / (2.0**-8 * np.abs(f(X)))) == pytest.approx(1, rel=0.1)


@pytest.mark.parametrize(
    "f",
    [
        np.negative,
        np.abs,
        np.max,
        lambda x: np.maximum(x, 1),
        lambda x: x[::2],
        lambda x: np.where(x > 1, x, 0),
    ],
)
def test_what_rounds_nothing_has_no_error(f):
    assert not spread(f, LOUD, X).any()


def test_errors_go_on_behind_a_selection():
    assert spread(lambda x: np.exp(np.where(x > 1, x, 1.0)), LOUD, X).all()


@pytest.mark.parametrize(
    ("f", "terms"),
    [
        (lambda x: x.sum(0), lambda x: np.abs(x).sum(0)),
        (lambda x: x @ x.T, lambda x: np.abs(x) @ np.abs(x).T),
        (lambda x: np.add.reduce(x, 1), lambda x: np.abs(x).sum(1)),
    ],
)
def test_a_sum_has_the_error_of_its_terms(f, terms):
    x = np.random.default_rng(0).standard_normal((20, 20))
    size = terms(x) + np.sqrt(20) / 4 * np.abs(f(x))
    assert np.median(spread(f, SUMS, x) / (2.0**-8 * size)) == pytest.approx(1, rel=0.1)


def test_what_is_added_in_place_has_an_error_where_something_is_added():
    def scattered(x):
        out = np.zeros(4)
        np.add.at(out, np.array([0, 0, 2]), x)
        return out

    found = spread(scattered, SUMS, np.array([1.0, 2.0, 3.0]))
    assert (found > 0).tolist() == [True, False, True, False]


def test_the_backward_pass_has_errors_of_its_own():
    recorded = Recorded(np.exp, lambda v: np.exp(v[0]), [X])
    recorded.pull([X])
    recorded.ready()
    exact = recorded.exact().pulled[0][0]
    draws = [found.pulled[0][0] - exact for found in recorded.noisy(LOUD, [0.0], 200)]
    # exp in forward and the product in backward
    assert np.median(np.std(draws, 0) / (2.0**-8 * exact)) == pytest.approx(np.sqrt(2), rel=0.1)
    assert np.allclose(exact, X * np.exp(X), rtol=1e-14)


def test_torch_has_the_same_errors():
    torch = pytest.importorskip("torch")
    from gradcheck.kernels.torch_reference import TorchReference

    def softmax(x):
        return np.exp(x) / np.sum(np.exp(x), axis=-1, keepdims=True)

    ours = Recorded(softmax, lambda v: softmax(v[0]), [X])
    theirs = TorchReference(torch.softmax, lambda v: torch.softmax(v[0], -1), [X], "cpu")
    sizes = []
    for reference in (ours, theirs):
        reference.pull([X])
        reference.ready()
        exact = reference.exact().pulled[0][0]
        draws = [r.pulled[0][0] - exact for r in reference.noisy(Claims(2.0**-8, 2.0**-8), [0.0], 100)]
        sizes.append(np.sqrt(np.mean(np.square(draws))))
    assert 0.5 < sizes[0] / sizes[1] < 2


def test_a_format_rounds_to_its_digits():
    bfloat16 = FORMATS["bfloat16"]
    assert bfloat16.rounded(np.array([1.001, 1.0041, -3.3])).tolist() == [1.0, 1.0078125, -3.296875]
    assert bfloat16.ulp(1.5) == 2.0**-7
    assert bfloat16.rounding(np.array([2.0]))[0] == pytest.approx(2.0**-7)
