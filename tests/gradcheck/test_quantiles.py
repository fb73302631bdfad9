"""What was written out for speed gives to the bit what NumPy, or the rule step by step, gives."""

import numpy as np
import pytest

from gradcheck.numeric.derivative import LADDER
from gradcheck.numeric.ladder import Samples, _lepski, _running, estimates
from gradcheck.numeric.perturbation import signs
from gradcheck.numeric.quantiles import lower, median, quantiles

EPS = float(np.finfo(np.float64).eps)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 7, 10, 31, 100, 257, 400])
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
    assert (rival is not None) == (rows > 1)
    rivals = np.full(500, -1) if rival is None else rival
    assert [*zip(chosen, rivals, strict=True)] == [
        by_steps(v, b) for v, b in zip(value.T, bound.T, strict=True)
    ]


@pytest.mark.parametrize("combine", [np.fmax, np.fmin, np.logical_or])
@pytest.mark.parametrize("columns", [0, 1, 64, 65, 300])
@pytest.mark.parametrize("rows", [1, 2, 9])
def test_a_running_extreme_is_that_of_numpy(combine, columns, rows):
    values = np.random.default_rng(columns).standard_normal((rows, columns))
    values[np.abs(values) < 0.3] = np.nan
    values = values > 1 if combine is np.logical_or else values
    before = values.copy()
    np.testing.assert_array_equal(_running(combine, values), combine.accumulate(values))
    np.testing.assert_array_equal(values, before)


@pytest.mark.parametrize("steps", [2, 4, 5, 11])
def test_an_estimate_is_the_same_alone_and_among_many(steps):
    rng = np.random.default_rng(steps)
    h = np.array(LADDER[:steps])[:, None]
    x, bend = rng.standard_normal((2, 700))
    sides = np.stack([np.sin(3 * (x + t)) + bend * np.abs(t) for t in (h, -h)])
    sides[rng.random(sides.shape) < 0.01] = np.nan
    many = estimates(Samples(LADDER[:steps], sides, np.sin(3 * x), EPS, (0.0,) * steps))
    for k in (0, 1, 350, 699):
        alone = Samples(LADDER[:steps], sides[:, :, k : k + 1], np.sin(3 * x[k : k + 1]), EPS, (0.0,) * steps)
        for all_, one in zip(many, estimates(alone), strict=True):
            np.testing.assert_array_equal(all_[:, k], one[:, 0])
