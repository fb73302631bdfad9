"""What was written out for speed gives to the bit what NumPy, or the rule step by step, gives."""

import numpy as np
import pytest

from gradcheck.numeric.ladder import _lepski
from gradcheck.numeric.perturbation import signs
from gradcheck.numeric.quantiles import lower, median, quantiles


@pytest.mark.parametrize("n", [1, 2, 3, 4, 7, 10, 31, 100])
def test_quantiles_are_those_of_numpy_to_the_bit(n):
    rng = np.random.default_rng(n)
    for k in range(50):
        x = rng.standard_normal(n) * 10.0 ** rng.integers(-9, 9, n)
        x = np.round(x) if k % 3 == 0 else x  # with ties
        assert median(x) == np.median(x)
        assert lower(x, 0.25) == np.quantile(x, 0.25, method="lower")
        assert quantiles(x, 0.1, 0.5, 0.9) == np.quantile(x, [0.1, 0.5, 0.9]).tolist()


def test_a_median_takes_any_shape_and_leaves_it_as_it_is():
    x = np.array([[3.0, 1.0], [2.0, 10.0]])
    before = x.copy()
    assert median(x) == 2.5
    assert median(np.array(4.0)) == 4.0
    assert np.array_equal(x, before)


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
@pytest.mark.parametrize("shape", [(), (0, 2), (5,), (3, 4)])
def test_signs_are_those_that_a_choice_draws(dtype, shape):
    drawn, chosen = np.random.default_rng(3), np.random.default_rng(3)
    found = signs(np.zeros(shape, dtype), drawn)
    expected = chosen.choice(np.array([-1.0, 1.0], dtype), shape)
    assert (found.dtype, found.shape, found.tolist()) == (dtype, shape, expected.tolist())
    assert drawn.bit_generator.state == chosen.bit_generator.state


def by_steps(value, bound):
    """Lepski's rule for one output, step by step: the tightest interval that meets all finer ones, and the tightest rejected."""
    low, high, going = -np.inf, np.inf, True
    chosen, rival, tightest, against = len(value) - 1, -1, bound[-1], np.inf
    for a in reversed(range(len(value))):
        if not np.isfinite(bound[a]):
            continue
        if value[a] - bound[a] > high or value[a] + bound[a] < low:
            going = False
            if bound[a] < against:
                rival, against = a, bound[a]
        elif going:
            low, high = max(low, value[a] - bound[a]), min(high, value[a] + bound[a])
            if bound[a] < tightest:
                chosen, tightest = a, bound[a]
    return chosen, rival


@pytest.mark.parametrize("rows", [1, 2, 3, 5, 10])
def test_lepskis_rule_on_all_outputs_is_that_on_each(rows):
    rng = np.random.default_rng(rows)
    value = rng.standard_normal((rows, 500))
    bound = np.abs(rng.standard_normal((rows, 500))) * 4.0 ** rng.integers(-1, 2, 500)
    bound[rng.random(bound.shape) < 0.1] = np.inf
    value[np.isinf(bound) & (rng.random(bound.shape) < 0.5)] = np.nan
    chosen, rival = _lepski(value, bound)
    assert [*zip(chosen, rival, strict=True)] == [
        by_steps(v, b) for v, b in zip(value.T, bound.T, strict=True)
    ]
    assert (rival >= 0).any() == (rows > 1)
