"""A call of `verify` that can't be judged gets a sentence too; and what it differentiates by is what was requested."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gradcheck import CallError, GradientError, verify
from gradcore.spec import case, reals

PAIR = case(reals("n"), reals("n"))


def sine_rule(gy, y, x):
    return gy * np.cos(x)


def refused(*args, **kwargs) -> str:
    with pytest.raises(CallError) as caught:
        verify(*args, **{"vjp": sine_rule, "max_examples": 5, **kwargs})
    return str(caught.value)


# --- by what to differentiate -----------------------------------------------------------------------------------------


def test_a_case_is_differentiated_by_what_is_requested():
    def first_only(gy, y, a, b):
        return gy * b, None

    for wrt in (0, [0], "inputs[0]", -2):
        assert verify(np.multiply, PAIR, wrt=wrt, vjp=first_only, max_examples=10)
    with pytest.raises(GradientError, match="missing"):
        verify(np.multiply, PAIR, wrt=1, vjp=first_only, max_examples=10)


def test_an_optional_input_that_is_requested_may_be_left_out():
    def scaled(x, w):
        return x if w is None else x * w

    def rule(gy, y, x, w):
        return (gy, None) if w is None else (gy * w, gy * x)

    domain = case(reals("n"), reals("n", optional=True))
    result = verify(scaled, domain, wrt=(0, 1), vjp=rule, max_examples=20)
    assert result
    assert result.set_aside == 0


def test_an_input_that_there_is_not_is_refused():
    assert "wrt= names input 5, and there are 2 inputs" in refused(
        np.multiply, PAIR, wrt=5, vjp=lambda gy, y, a, b: (gy * b, gy * a)
    )


# --- what can't be judged ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [2.5, "10", 0, None, True])
def test_a_number_of_examples_that_is_none_is_refused(count):
    assert refused(np.sin, PAIR, max_examples=count).startswith(
        f"max_examples={count!r}: pass a whole number from 1"
    )


@pytest.mark.parametrize("seed", ["a", -1, 1.5, None])
def test_a_seed_that_repeats_nothing_is_refused(seed):
    assert refused(np.sin, PAIR, seed=seed).startswith(f"seed={seed!r}: pass a whole number from 0 up")


def test_parameters_without_names_are_refused():
    assert "pass a dict with the static parameters by name" in refused(np.sin, PAIR, params=[1])


def test_a_domain_of_whole_numbers_has_nothing_to_differentiate_by():
    message = refused(np.sin, st.tuples(st.integers()))
    assert message.startswith("nothing to differentiate by: inputs[0] is the number")


def test_a_rule_that_can_not_be_called_is_refused():
    assert "takes (gy, x), and it is called as rule(gy, y, *inputs)" in refused(
        np.sin, case(reals("n")), vjp=lambda gy, x: gy
    )


@pytest.mark.parametrize(
    ("domain", "words"),
    [
        (st.nothing(), "the domain has no example"),
        (case(reals("n"), where=lambda env: False), "the domain has no example"),
        (case(reals("n"), where=lambda env: env["m"] > 1), "which raised KeyError: 'm'"),
        (case(reals("n$")), "which raised SpecError: 'n$' is no arithmetic on letters"),
    ],
    ids=["nothing", "where refuses", "where raises", "no shape"],
)
def test_a_domain_without_examples_is_refused(domain, words):
    assert words in refused(np.sin, domain)


def test_verify_within_a_test_that_draws_is_refused_with_what_to_do():
    messages = []

    @settings(max_examples=2, database=None)
    @given(st.integers())
    def nested(n):
        messages.append(refused(np.sin, case(reals("n"))))

    nested()
    assert all("call gradcheck on what the test draws" in m for m in messages)

    @settings(max_examples=2, database=None, deadline=None, suppress_health_check=[HealthCheck.nested_given])
    @given(st.integers())
    def allowed(n):
        assert verify(np.sin, case(reals("n")), vjp=sine_rule, max_examples=2)

    allowed()


def test_an_error_of_the_checker_itself_is_not_reported_as_one_of_the_domain(monkeypatch):
    def broken(*args, **kwargs):
        raise MemoryError("here")

    monkeypatch.setattr("gradcheck.explore.explorer.gradcheck", broken)
    with pytest.raises(MemoryError, match="here"):
        verify(np.sin, case(reals("n")), vjp=sine_rule)
