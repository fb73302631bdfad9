"""Initialisers: variance, bounds, seeds."""

import math

import numpy as np
import pytest

from gradcore.nn import Linear, init

VARIANCE = {
    "xavier_uniform": lambda i, o: 2 / (i + o),
    "xavier_normal": lambda i, o: 2 / (i + o),
    "kaiming_uniform": lambda i, o: 2 / i,
    "kaiming_normal": lambda i, o: 2 / i,
}


@pytest.mark.parametrize("name", VARIANCE)
@pytest.mark.parametrize(("fan_in", "fan_out"), [(400, 300), (100, 900)])
def test_weights_have_mean_zero_and_the_variance_of_the_paper(name, fan_in, fan_out):
    w = getattr(init, name)((fan_in, fan_out), fan_in, fan_out, 0, np.float64)
    variance = VARIANCE[name](fan_in, fan_out)
    # The relative error of a variance from n normal draws is sqrt(2 / n) = 0.5 % or less here.
    assert math.isclose(w.var(), variance, rel_tol=0.02)
    assert abs(w.mean()) < 4 * math.sqrt(variance / w.size)


@pytest.mark.parametrize("name", ["xavier_uniform", "kaiming_uniform"])
def test_uniform_weights_fill_their_interval(name):
    w = getattr(init, name)((200, 300), 200, 300, 0, np.float64)
    bound = math.sqrt(3 * VARIANCE[name](200, 300))
    assert np.abs(w).max() <= bound
    assert np.abs(w).max() > 0.999 * bound


@pytest.mark.parametrize("name", ["xavier_normal", "kaiming_normal"])
def test_normal_weights_have_the_tails_of_a_normal_distribution(name):
    w = getattr(init, name)((300, 300), 300, 300, 0, np.float64)
    beyond = (np.abs(w) > 2 * w.std()).mean()
    assert abs(beyond - 0.0455) < 0.005


@pytest.mark.parametrize("name", VARIANCE)
def test_a_seed_gives_the_same_weights_and_float32_is_the_default(name):
    draw = getattr(init, name)
    a, b, c = (draw((4, 5), 4, 5, seed) for seed in (1, 1, 2))
    assert a.shape == (4, 5)
    assert a.dtype == np.float32
    np.testing.assert_array_equal(a, b)
    assert not np.array_equal(a, c)
    assert draw((4, 5), 4, 5, 1, np.float64).dtype == np.float64


@pytest.mark.parametrize("name", VARIANCE)
def test_no_inputs_or_outputs_at_all_are_no_division_by_zero(name):
    assert getattr(init, name)((0, 0), 0, 0, 0).shape == (0, 0)


@pytest.mark.parametrize("name", VARIANCE)
def test_one_input_gives_twice_the_deviation_of_four(name):
    one, four = (getattr(init, name)((3, 2), fan_in, 0, 0, np.float64) for fan_in in (1, 4))
    np.testing.assert_allclose(one, 2 * four, rtol=1e-15)


def test_kaiming_keeps_the_size_of_signals_through_many_relu_layers():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 256)).astype(np.float32)
    for _ in range(20):
        x = np.maximum(Linear(256, 256, rng=rng)(x).data, 0)
    assert 0.3 < (x**2).mean() < 3
