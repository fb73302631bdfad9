"""power: which planted mistakes a test detects, and why it misses others."""

import numpy as np
import pytest

from gradcheck import CallError, power
from gradcore import registry

RNG = np.random.default_rng(0)
X, W = RNG.standard_normal((3, 4)), RNG.standard_normal((4, 3))


def product(x, w):
    return x @ w


def rule(gy, y, x, w):
    return gy @ w.T, x.T @ gy


def test_a_good_test_detects_all_of_them_and_names_causes():
    found = power(product, (X, W), vjp=rule, contracts=False)
    assert found
    assert found.score == 1.0
    assert {p.input for p in found.planted} == {"inputs[0]", "inputs[1]", ""}
    assert {p.mistake: p.cause for p in found.planted if p.input == "inputs[0]"}["sign"] == "sign"
    assert str(found).startswith(
        f"product: this test detects {len(found.planted)} of {len(found.planted)} planted mistakes (100%)"
    )


def test_inputs_of_zeros_hide_mistakes_and_the_table_says_so():
    found = power(lambda x: x * x, (np.zeros(3),), vjp=lambda gy, y, x: 2 * gy * x, contracts=False)
    missed = {p.mistake for p in found.missed if p.same}
    assert {"sign", "factor 2", "zero"} <= missed
    assert found.score < 0.5
    assert "MISSED: these inputs do not show it" in str(found)


def test_one_precision_hides_small_errors_that_the_other_shows():
    narrow = X.astype(np.float32)
    found = power(
        np.sin, (narrow,), vjp=lambda gy, y, x: (gy * np.cos(x)).astype(np.float32), contracts=False, wrt=0
    )
    assert "all by 1e-3" not in {p.mistake for p in found.missed}


def test_of_an_op_with_broadcasting_the_mean_for_the_sum_is_planted():
    found = power(registry.ops["mul"], (X, W[0, :1]), contracts=False)
    assert found
    assert ("mean for sum", "inputs[1]") in {(p.mistake, p.input) for p in found.planted}


def test_nested_and_static_inputs_keep_their_places():
    def f(held, n):
        return held["w"] ** n

    found = power(
        f,
        ({"w": X}, 3),
        vjp=lambda gy, y, held, n: ({"w": gy * n * held["w"] ** (n - 1)}, None),
        contracts=False,
    )
    assert found, str(found)
    assert {p.input for p in found.planted} == {"inputs[0]['w']", ""}


def test_a_test_that_fails_already_and_functions_without_a_rule_say_so():
    with pytest.raises(CallError, match="fails as it is"):
        power(product, (X, W), vjp=lambda gy, y, x, w: (gy @ w.T, -x.T @ gy))
    from gradcore import Tensor

    with pytest.raises(CallError, match="pass vjp=rule, or a gradcore Op"):
        power(lambda x: x.sin(), (Tensor(X),))
